"""Run every bench and print one table: `python scripts/bench/all.py [--quick] [--only ROW] [--json-file FILE]`.

Each script runs in a process of its own, so that none inherits another's threads or caches. Peers come from the extra
`bench`; those that are not installed have no row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import Row, table, write

HERE = Path(__file__).parent
NO_BENCHES = ("all.py", "rows.py", "reference_models.py")


def main() -> int:
    """Run the scripts and join their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--only", default="", help="one script by its name, or the rows whose name contains this")
    parser.add_argument("--json-file", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    scripts = sorted(path for path in HERE.glob("*.py") if path.name not in NO_BENCHES)
    named = [path for path in scripts if path.stem == arguments.only]
    rows: list[Row] = []
    for script in named or scripts:
        rows += _rows(script, arguments.quick, "" if named else arguments.only)
    if not rows:
        print("nothing measured: no row has such a name", file=sys.stderr)
        return 3
    print(table(rows))
    write(rows, arguments.json_file)
    return 0


def _rows(script: Path, quick: bool, only: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, str(script), "--json-file", str(file), "--only", only]
        # S603: the command is a script of this folder.
        subprocess.run([*command, *(["--quick"] if quick else [])], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        return [Row(**{**row, "spread": tuple(row["spread"])}) for row in json.loads(file.read_text("utf-8"))]


if __name__ == "__main__":
    raise SystemExit(main())
