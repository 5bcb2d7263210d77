"""Bars from Alpaca before a run: the trader half's own command fetches them, in a process of its own.

Training imports nothing that speaks to a broker, and sees no keys: they stay in the environment of that process.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from trader_sdk.contract.errors import BrokerError, DataError
from trader_sdk.data.sources import asked_of

LONGEST_SECONDS: Final = 3_600.0


def fetch_once(source: str, symbol: str, timeframe: str) -> None:
    """Fetch the bars of a source, unless this host has them.

    Raises:
        BrokerError: The venue refused or did not answer.
        DataError: The source cannot be read, no keys are there, or the bars are not valid.
    """
    if asked_of(source, symbol, timeframe).path.is_file():
        return
    command = [sys.executable, "-m", "trader_sdk.cli", "data", "fetch", source]
    command += ["--symbol", symbol, "--timeframe", timeframe]
    try:
        # Our own interpreter and command; what the user named are arguments, not a shell's words.
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)  # noqa: S603 - fixed command
    except subprocess.TimeoutExpired as error:
        raise BrokerError("E802", "the bars did not come in time", where=source, found=error.timeout) from error
    if done.returncode:
        reason = done.stderr.strip().removeprefix("trader: ")
        fault = DataError if done.returncode == DataError("BARS", "").exit_code else BrokerError
        code = "BARS" if fault is DataError else "E801"
        raise fault(code, "the bars could not be fetched", where=f"{symbol} {timeframe}", found=reason)
