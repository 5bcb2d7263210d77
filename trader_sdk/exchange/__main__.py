"""``python -m trader_sdk.exchange FOLDER``: the exchange's own process, started by :class:`LocalExchange`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from trader_sdk.contract.errors import SdkError
from trader_sdk.exchange.server import serve


def _say_ready(host: str, port: int) -> None:
    """Tell the parent where the venue serves: one JSON line on standard output, the only one."""
    sys.stdout.write(json.dumps({"event": "exchange_ready", "host": host, "port": port}) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve one state folder and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trader_sdk.exchange", description=__doc__)
    parser.add_argument("folder", type=Path, help="state folder with setup and market")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input closes")
    parser.add_argument("--fault-plan", type=Path, help="what goes wrong (docs/guide/faults.md)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    try:
        return serve(
            options.folder,
            port=options.port,
            watch_stdin=options.watch_stdin,
            fault_plan=options.fault_plan,
            on_ready=_say_ready,
        )
    except SdkError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
