"""Train and rank declared variants: the same as ``python -m training zoo``."""

import sys

from training.cli import main

if __name__ == "__main__":
    main(["zoo", *sys.argv[1:]])
