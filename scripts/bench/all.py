"""Run every bench and print one table: `python scripts/bench/all.py [--quick] [--only ROW]... [--json-file FILE]`.

Each script runs in a process of its own, so that none inherits another's threads or caches. Peers come from the extra
`bench`; those that are not installed have no row. `--publish` puts each script's rows in the place of those that
docs/reference/performance.json had of it, and makes the tables of docs/guide/performance.md from that file anew.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rows import CPU_HELP, THREADS_HELP, Row, markdown, table, write

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
PUBLISHED, PAGE = DOCS / "reference" / "performance.json", DOCS / "guide" / "performance.md"
NO_BENCHES = ("all.py", "rows.py", "reference_models.py")
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def main() -> int:
    """Run the scripts and join their rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, not how fast")
    parser.add_argument("--only", action="append", help="one script by its name, or rows by a part of their name")
    parser.add_argument("--json-file", type=Path, help="write the rows to this file")
    parser.add_argument("--publish", action="store_true", help="put the rows into the docs")
    parser.add_argument("--cpu", action="store_true", help=CPU_HELP)
    parser.add_argument("--default-threads", action="store_true", help=THREADS_HELP)
    arguments = parser.parse_args()
    flags = [
        flag for flag in ("--quick", "--cpu", "--default-threads") if getattr(arguments, flag[2:].replace("-", "_"))
    ]
    measured: dict[str, list[Row]] = {}
    failed = False
    for only in arguments.only or [""]:
        rows, has_failed = _measured(only, flags)
        measured |= {name: measured.get(name, []) + more for name, more in rows.items()}
        failed |= has_failed
    every = [row for rows in measured.values() for row in rows]
    if not every:
        print("nothing measured: no row has such a name", file=sys.stderr)
        return 3
    print(table(every))
    write(every, arguments.json_file)
    if arguments.publish:
        publish(measured, flags, PUBLISHED, PAGE)
    return 1 if failed else 0


def _measured(only: str, flags: list[str]) -> tuple[dict[str, list[Row]], bool]:
    scripts = sorted(path for path in HERE.glob("*.py") if path.name not in NO_BENCHES)
    named = [path for path in scripts if path.stem == only]
    if named:
        scripts, only = named, ""
    rows: dict[str, list[Row]] = {}
    failed = False
    for script in _holding(scripts, only):
        try:
            rows[script.stem] = _rows(script, only, flags)
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
        return _typed(json.loads(file.read_text("utf-8")))


def publish(measured: Mapping[str, list[Row]], flags: list[str], published: Path, page: Path) -> None:
    """Put each script's rows in the place of its earlier ones, and make the page's tables from all of them anew."""
    kept = json.loads(published.read_text("utf-8")) if published.exists() else {}
    for name, rows in measured.items():
        command = " ".join(["python scripts/bench/all.py", "--only", name, *flags])
        how = f"`{command}`, Python {sys.version.split()[0]}, {os.cpu_count()} cores"
        kept[name] = {"about": _about(name), "how": how, "rows": [asdict(row) for row in rows]}
    published.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", "utf-8")
    tables = "\n\n".join(_section(one) for _, one in sorted(kept.items()))
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", "utf-8")


def _section(one: Mapping[str, Any]) -> str:
    return f"### {one['about']}\n\n{markdown(_typed(one['rows']))}\n\n{one['how']}."


def _about(name: str) -> str:
    """Return what a script measures: its docstring's beginning."""
    text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text("utf-8"))) or name
    return re.split(r"[.:](?:\s|$)", " ".join(text.split()))[0]


def _typed(rows: list[dict[str, Any]]) -> list[Row]:
    return [Row(**{**row, "spread": tuple(row["spread"])}) for row in rows]


if __name__ == "__main__":
    raise SystemExit(main())
