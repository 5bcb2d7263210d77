"""Run every bench and print one table: `python scripts/bench/all.py [--quick] [--only ROW]... [--json-file FILE]`.

Each script runs in a process of its own, so that none inherits another's threads or caches. Peers come from the extra
`bench`; those that are not installed have no row. `--markdown-file` also writes the table between the two marks of a
page, docs/guide/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import CPU_HELP, THREADS_HELP, Row, markdown, table, write

HERE = Path(__file__).parent
NO_BENCHES = ("all.py", "rows.py", "reference_models.py")
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def main() -> int:
    """Run the scripts and join their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--only", action="append", help="one script by its name, or rows by a part of their name")
    parser.add_argument("--json-file", type=Path, help="write the rows to this file")
    parser.add_argument("--markdown-file", type=Path, help="write the table between the marks of this page")
    parser.add_argument("--cpu", action="store_true", help=CPU_HELP)
    parser.add_argument("--default-threads", action="store_true", help=THREADS_HELP)
    arguments = parser.parse_args()
    flags = [
        flag for flag in ("--quick", "--cpu", "--default-threads") if getattr(arguments, flag[2:].replace("-", "_"))
    ]
    measured = [_measured(only, flags) for only in arguments.only or [""]]
    rows, failed = [row for part, _ in measured for row in part], any(failure for _, failure in measured)
    if not rows:
        print("nothing measured: no row has such a name", file=sys.stderr)
        return 3
    print(table(rows))
    write(rows, arguments.json_file)
    if arguments.markdown_file is not None:
        write_page(arguments.markdown_file, rows, flags)
    return 1 if failed else 0


def _measured(only: str, flags: list[str]) -> tuple[list[Row], bool]:
    scripts = sorted(path for path in HERE.glob("*.py") if path.name not in NO_BENCHES)
    named = [path for path in scripts if path.stem == only]
    if named:
        scripts, only = named, ""
    rows: list[Row] = []
    failed = False
    for script in _holding(scripts, only):
        try:
            rows += _rows(script, only, flags)
        except subprocess.CalledProcessError as error:
            # One bench that cannot run must not hide the others; the exit code says that something is missing.
            print(f"{script.name} failed with exit code {error.returncode}", file=sys.stderr)
            failed = True
    return rows, failed


def _holding(scripts: list[Path], only: str) -> list[Path]:
    # The beginning of every row's name stands in its script as it is, so the others need not run.
    return [path for path in scripts if only in path.read_text("utf-8")]


def _rows(script: Path, only: str, flags: list[str]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, str(script), "--json-file", str(file), "--only", only, *flags]
        # S603: the command is a script of this folder.
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        return [Row(**{**row, "spread": tuple(row["spread"])}) for row in json.loads(file.read_text("utf-8"))]


def write_page(page: Path, rows: list[Row], flags: list[str]) -> None:
    """Write the table between the marks of a page, and under it on what it was measured."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    command = " ".join(["python scripts/bench/all.py", *flags])
    how = f"`{command}`, Python {sys.version.split()[0]}, {os.cpu_count()} cores."
    page.write_text(f"{before}{BEGIN}\n{markdown(rows)}\n\n{how}\n{END}{after}", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
