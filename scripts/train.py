"""Train, judge and archive a policy: the same as ``python -m training``."""

from training.cli import main

if __name__ == "__main__":
    main()
