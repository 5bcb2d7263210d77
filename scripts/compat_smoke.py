"""Load every golden checkpoint in warn and strict mode and print one table.

Exit codes: 0 all as expected; 3 nothing was checked; 4 something differs.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "compat"))

from expectations import GOLDEN, detection_faults, goldens, outcomes

EXIT_NOTHING_CHECKED, EXIT_DIFFERENT = 3, 4


def main() -> int:
    """Walk the goldens below one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=GOLDEN, help="folder of goldens (default: compat/golden)"
    )
    # The table shows every finding; the loader's own warnings would repeat them between its lines.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found = goldens(parser.parse_args().folder)
    if not found:
        print("nothing checked: no golden checkpoints found", file=sys.stderr)
        return EXIT_NOTHING_CHECKED
    width = max(len(golden.name) for golden in found)
    print(f"{'golden':{width}}  mode    result                    findings")
    faults = 0
    for golden in found:
        for fault in detection_faults(golden):
            print(f"  differs: {golden.name}: {fault}")
            faults += 1
        for outcome in outcomes(golden):
            codes = " ".join(outcome.findings)
            print(f"{golden.name:{width}}  {outcome.mode:6}  {outcome.result:24}  {codes}")
            for fault in outcome.faults:
                print(f"  differs: {fault}")
            faults += len(outcome.faults)
    print(f"{len(found)} goldens, {2 * len(found)} loads, {faults} differences")
    return EXIT_DIFFERENT if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
