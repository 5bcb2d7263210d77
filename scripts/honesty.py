"""Ask the trainer and the gate together: how much noise do they approve, and how much of an edge?

    nice python scripts/honesty.py run --lines honesty.jsonl          # appends; goes on where it was stopped
    python scripts/honesty.py render --lines honesty.jsonl --json-file docs/reference/honesty.json \\
        --page docs/reference/honesty.md

Every run trains a policy on a market of its own through the training half's own loop, and is judged by the archive's
own judge. Budget, network and block sizes are the same for all; the control is judged on the bars it was trained on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from honesty_runs import POPULATIONS, PUBLISHED, Line, Population, Scale, one


def main() -> int:
    """Run or render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "render"))
    parser.add_argument("--lines", type=Path, required=True, help="one JSON line a run")
    parser.add_argument("--limit", type=int, help="runs of each kind at most")
    parser.add_argument("--json-file", type=Path, help="write the figures to this file")
    parser.add_argument("--page", type=Path, help="write them as a page of the docs")
    arguments = parser.parse_args()
    if arguments.command == "run":
        return run(arguments.lines, arguments.limit)
    from honesty_page import page, summary

    figures = json.loads(json.dumps(summary(read(arguments.lines))))
    if arguments.json_file is not None:
        arguments.json_file.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    text = page(figures)
    if arguments.page is not None:
        arguments.page.write_text(text, "utf-8")
    print(text)
    return 0


def run(lines: Path, limit: int | None = None, scale: Scale = PUBLISHED) -> int:
    """Do the runs that ``lines`` does not hold yet, one after the other on one thread."""
    import torch

    torch.set_num_threads(1)
    cut_to_whole_lines(lines)
    done = {(line.population, line.seed) for line in read(lines)}
    with lines.open("a", encoding="utf-8") as stream:
        for population, seed in planned(limit):
            if (population.name, seed) in done:
                continue
            line = one(population, seed, scale)
            stream.write(json.dumps(asdict(line)) + "\n")
            stream.flush()
            print(f"{line.population:9} seed {line.seed:3}: {line.gate_class:8} t {line.t or 0:5.2f}", flush=True)
    return 0


def cut_to_whole_lines(lines: Path) -> None:
    """Remove a last line that was cut short; the next one would be appended to it."""
    if lines.exists():
        text = lines.read_bytes()
        lines.write_bytes(text[: text.rfind(b"\n") + 1])


def planned(limit: int | None = None) -> Iterator[tuple[Population, int]]:
    """Yield every run, seed by seed, so that a campaign cut short has some of each kind."""
    for seed in range(1, max(population.runs for population in POPULATIONS) + 1):
        for population in POPULATIONS:
            if seed <= min(population.runs, limit or population.runs):
                yield population, seed


def read(lines: Path) -> list[Line]:
    """Return the runs that are done; a last line that was cut short is left out."""
    if not lines.exists():
        return []
    return [Line(**json.loads(text)) for text in lines.read_text("utf-8").split("\n")[:-1]]


if __name__ == "__main__":
    raise SystemExit(main())
