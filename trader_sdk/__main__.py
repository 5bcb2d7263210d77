"""``python -m trader_sdk``: the ``trader`` command where no script was installed."""

from trader_sdk.cli import main

if __name__ == "__main__":
    main()
