"""What a pipeline waits for: a fresh environment, the wheel with its dependencies, and 20 cached models checked.

The wheel is built and the models are fetched once before, as a pipeline's cache holds them; pip's own cache is off, as
on a cold runner. The installation needs pip's package index; without one the row is absent. `--quick` checks three
models in the environment that is there, and installs nothing.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from reference_models import reference_network
from rows import Row, limit, main

ROOT = Path(__file__).parents[2]
ROW, LIMIT_SECONDS = "20 cached models checked in CI, install included", 60.0


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the table is the output."""


def measure(quick: bool) -> Iterator[Row]:
    """Yield the one row."""
    count = 3 if quick else 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _cached_goldens(folder, count)
        stages = {} if quick else _installed(folder)
        if stages is None:
            return
        scripts = Path(sysconfig.get_path("scripts")) if quick else folder / "venv" / "bin"
        stages["check"] = _wall(lambda: _check(scripts / "trader", folder, count))
    note = ", ".join(f"{stage} {taken:.1f} s" for stage, taken in stages.items())
    note += f"; {count} models, nothing installed" if quick else ""
    yield limit(ROW, f"limit of {LIMIT_SECONDS:g} s", LIMIT_SECONDS, sum(stages.values()), "s", note=note)


def _cached_goldens(folder: Path, count: int) -> None:
    """List ``count`` models as goldens with URLs that nobody serves any more, their bytes in a cache."""
    from trader_sdk import save
    from trader_sdk.cli.compat_golden import add

    served = folder / "served"
    served.mkdir()
    network = reference_network()
    for index in range(count):
        network.actor_head.bias.data[0] = index * 1e-3
        save(served / f"model{index}.pt", policy=network, activation="tanh")
    handler = functools.partial(_Silent, directory=served)
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for path in sorted(served.iterdir()):
            url = f"http://127.0.0.1:{server.server_port}/{path.name}"
            add(url, goldens=folder / "goldens.toml", cache=folder / "cache")
        server.shutdown()


def _installed(folder: Path) -> dict[str, float] | None:
    python = folder / "venv" / "bin" / "python"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    _run([*build, str(ROOT)])
    (wheel,) = folder.glob("*.whl")
    # As .github/workflows/compat-check.yml does it, by the pip that is there. --no-compile: a pipeline runs one command
    # and needs the bytecode of what that command imports.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    install = [*pip, "install", "--quiet", "--no-cache-dir", "--no-compile", str(wheel)]
    try:
        return {
            "venv": _wall(lambda: _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])),
            "install": _wall(lambda: _run(install)),
        }
    except subprocess.CalledProcessError as error:
        print(f"no row: the wheel could not be installed: {error.stderr[-300:]}", file=sys.stderr)
        return None


def _check(trader: Path, folder: Path, count: int) -> None:
    goldens, cache = folder / "goldens.toml", folder / "cache"
    said = _run([str(trader), "compat", "check", "--goldens", str(goldens), "--cache", str(cache)])
    if f"{count} passed, 0 failed" not in said:
        raise RuntimeError(f"not every model was checked: {said[-300:]}")


def _wall(work: Callable[[], object]) -> float:
    # A pipeline waits for the network too, whatever clock the other benches use.
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _run(command: list[str]) -> str:
    # S603: the commands are this file's own.
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)  # noqa: S603
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main(measure))
