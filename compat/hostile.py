"""Loads every case of the hostile corpus, each in a process of its own, and prints one table.

A case passes when it is refused with its one code (a control: when it loads), no payload ran, the process neither
crashed nor hung, and it took less than 2 s and less than 256 MiB above what it began with.

Exit codes: 0 all passed; 3 nothing was checked; 4 something differs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
from corpus import corpus
from hostile_case import Hostile

from trader_sdk.checkpoint import read_checkpoint, safetensors_format, torch_legacy
from trader_sdk.contract.errors import SdkError
from trader_sdk.model import NativeModelWrapper

SECONDS, MIB = 2.0, 256.0
EXIT_NOTHING_CHECKED, EXIT_DIFFERENT = 3, 4
# ru_maxrss counts kilobytes on Linux and bytes on macOS.
_RSS_PER_MIB = 1 << 20 if sys.platform == "darwin" else 1 << 10
# Imported lazily by the reader: loaded here, so that a case is charged for its own work alone.
_PRELOADED = (safetensors_format, torch_legacy)


@dataclass(frozen=True)
class Outcome:
    """What one case did.

    Attributes:
        case: Its name.
        expected: Its code; None for a control.
        found: The code of the refusal, ``loaded``, or what went wrong.
        seconds: Wall time of the load.
        mib: Peak memory above the base.
        ran: Whether a payload left its marker.
    """

    case: str
    expected: str | None
    found: str
    seconds: float
    mib: float
    ran: bool

    @property
    def passed(self) -> bool:
        """Return whether everything is as it must be."""
        right = self.found == (self.expected or "loaded")
        return right and not self.ran and self.seconds < SECONDS and self.mib < MIB


def run(case: Hostile, folder: Path, marker: Path) -> Outcome:
    """Load one case in a forked process and measure it there."""
    path = folder / "case.pt"
    case.write(path)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _load_and_report(case, path, writer)
    os.close(writer)
    report = _report(reader, child)
    os.close(reader)
    ran = marker.exists()
    for left in (marker, path, folder / "plain"):
        if left.is_dir() and not left.is_symlink():
            left.rmdir()
        else:
            left.unlink(missing_ok=True)
    return Outcome(case.name, case.code, report["found"], report["seconds"], report["mib"], ran)


def _load_and_report(case: Hostile, path: Path, writer: int) -> None:
    base, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = _load(case, path)
    peak, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter() - started
    report = {"found": found, "seconds": seconds, "mib": (peak - base) / _RSS_PER_MIB}
    os.write(writer, json.dumps(report).encode())
    os._exit(0)


def _load(case: Hostile, path: Path) -> str:
    try:
        if case.model:
            NativeModelWrapper(path)
        else:
            read_checkpoint(path, optimizer=True)
    except SdkError as error:
        return error.code if len(str(error)) < 2000 else f"{error.code} with {len(str(error))} characters"
    except BaseException as error:  # noqa: BLE001 - whatever else escapes is what this program looks for
        return f"raised {type(error).__name__}"
    return "loaded"


def _report(reader: int, child: int) -> dict[str, object]:
    ready, _, _ = select.select([reader], [], [], 2 * SECONDS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    content = os.read(reader, 4096)
    _, status = os.waitpid(child, 0)
    if content:
        return json.loads(content)
    fault = "hung" if not ready else f"crashed, signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "exited"
    return {"found": fault, "seconds": 2 * SECONDS if not ready else 0.0, "mib": 0.0}


def outcomes(only: str = "") -> Iterator[Outcome]:
    """Run every case whose name contains ``only``."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        marker = folder / "marker"
        for case in corpus(marker):
            if only in case.name:
                yield run(case, folder, marker)


def table(results: list[Outcome]) -> str:
    """Return one line a group, and one for each case that did not pass."""
    groups: dict[str, list[Outcome]] = {}
    for result in results:
        groups.setdefault(result.case.partition("-")[0], []).append(result)
    lines = [f"{'group':12} {'cases':>6} {'right':>6} {'slowest':>10} {'most memory':>12}"]
    for group, members in [*groups.items(), ("all", results)]:
        right, slowest = sum(each.passed for each in members), max(each.seconds for each in members)
        lines.append(f"{group:12} {len(members):6} {right:6} {slowest:8.3f} s {max(e.mib for e in members):8.1f} MiB")
    lines += [
        f"  differs: {each.case}: {each.found}, expected {each.expected or 'a load'}"
        f" ({each.seconds:.2f} s, {each.mib:.0f} MiB{', A PAYLOAD RAN' if each.ran else ''})"
        for each in results
        if not each.passed
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the corpus and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--json-file", type=Path, help="also write every outcome to this file")
    arguments = parser.parse_args()
    # A control may load with a finding; the table is what is printed here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    results = list(outcomes(arguments.only))
    if not results:
        sys.stderr.write("nothing checked: no case has such a name\n")
        return EXIT_NOTHING_CHECKED
    sys.stdout.write(table(results) + "\n")
    if arguments.json_file is not None:
        rows = [{**asdict(result), "passed": result.passed} for result in results]
        arguments.json_file.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    return 0 if all(result.passed for result in results) else EXIT_DIFFERENT


if __name__ == "__main__":
    raise SystemExit(main())
