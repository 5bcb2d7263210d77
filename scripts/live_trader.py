"""Trade approved models: ``python scripts/live_trader.py --paper 1 --strict-version 1``; the same as ``trader run``."""

import sys

from trader_sdk.cli import main

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
