"""Sample models, the command, and a small web server on loopback that can also misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.cli import build_app, run_app

GOLDEN = Path(__file__).parents[2] / "compat" / "golden"

Trader = Callable[..., int]


@pytest.fixture
def golden() -> Callable[[str], Path]:
    """Return the path of a golden checkpoint by its name."""
    return lambda name: GOLDEN / name / "checkpoint.pt"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a desk's repository with two good models, far from the machine's cache and any CI service."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "desk"
    (folder / "models").mkdir(parents=True)
    for version in ("2.7.0", "2.4.0"):
        (folder / "models" / f"{version}.pt").write_bytes((GOLDEN / version / "checkpoint.pt").read_bytes())
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def trader(tmp_path: Path) -> Trader:
    """Return a function that runs a command in this process and gives its exit code."""

    def run(*arguments: object) -> int:
        argv = [str(argument) for argument in arguments]
        return run_app(build_app(argv), argv)

    return run


def report(path: Path) -> dict[str, Any]:
    """Return the report among the events of a ``--json-file``."""
    (found,) = (event for event in json.loads(path.read_text("utf-8")) if event["event"] == "checks_reported")
    return found


@dataclass
class Web:
    """What the server gives, and what it was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def web() -> Iterator[Web]:
    """Serve files on loopback; ``redirects`` and false ``lengths`` are per path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            if self.path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[self.path])
                self.end_headers()
                return
            content = site.files.get(self.path.partition("?")[0])
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(site.lengths.get(self.path, len(content or b""))))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Web(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, name="web", daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()
