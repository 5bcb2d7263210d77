"""An archive whose models trade: handmade weights that buy after a fall and sell after a rise."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.broker.alpaca import AlpacaBroker
from trader_sdk.broker.credentials import Credentials
from trader_sdk.broker.endpoint import local_endpoint
from trader_sdk.broker.local_control import LocalControl
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.metadata import get_checkpoint_metadata
from trader_sdk.data import load_bars
from trader_sdk.exchange import AssetSetup, ExchangeSetup, LocalExchange
from trader_sdk.features.schema import build_schema
from trader_sdk.live import LiveConfig, LiveTrader
from trader_sdk.live.clock import WallClock
from trader_sdk.live.events import bar_ns
from trader_sdk.live.schedule import Schedule

REPOSITORY = Path(__file__).parents[2]
N_FEATURES, WINDOW = 59, 100
DAILY_END = "2012-06-29"
"""Where the data of the daily models ends; the vendored bars go on until 2013-03-01."""
ONE_ORDER = timedelta(days=1, hours=18)
"""From the first evening until after the second open: one buy, decided on 2012-07-10 and filled the next morning."""
GOOD = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
FOLDS = [
    {"start": f"200{i}-01-01", "end": f"200{i}-12-31", "net_return": 0.03, "sharpe": 0.9, "n_trades": 12}
    for i in range(5)
]
KEY_NAMES = ("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPACA_API_SECRET", "APCA_API_KEY_ID", "APCA_API_SECRET_KEY")


def write_contrarian(path: Path, *, symbol: str, timeframe: str, feed: str, states_features: bool = True) -> Path:
    """Write a 2.7.0 checkpoint that buys 50 % after a falling bar and sells 50 % after a rising one."""
    first = np.zeros((2, N_FEATURES * WINDOW), np.float32)
    first[0, (WINDOW - 1) * N_FEATURES] = 1.0  # the newest bar's return
    head = np.zeros((7, 2), np.float32)
    head[2, 0], head[5, 0] = -1.0, 1.0
    tensors = {
        "trunk.0.weight": first,
        "trunk.0.bias": np.zeros(2, np.float32),
        "actor_head.weight": head,
        "actor_head.bias": np.zeros(7, np.float32),
    }
    schema = build_schema("2.7.0", timeframe, calendar="XNYS", feed=feed, adjustment="split")
    stated = {"feature_schema": schema.document(), "feature_schema_sha256": schema.sha256} if states_features else {}
    metadata = {**get_checkpoint_metadata("2.7.0"), "activation": "tanh", "symbol": symbol, "timeframe": timeframe}
    metadata["action_meanings"] = {str(k): v for k, v in metadata["action_meanings"].items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(safetensors_bytes(tensors, {**metadata, **stated}))
    return path


def summary_model(
    checkpoint: Path, symbol: str, timeframe: str, data: Mapping[str, Any], **gate: Any
) -> dict[str, Any]:
    """Return one model of a summary that the house's gate approves, unless ``gate`` says worse."""
    final = {**GOOD, "t": 3.4, "n_bars": 2100, "n_windows": 7, "n_trades": 84, "real_drawdown": 0.05, "folds": FOLDS}
    return {
        "symbol": symbol,
        "timeframe": timeframe,
        "checkpoints": [{"update": 80, "path": str(checkpoint)}],
        "final": str(checkpoint),
        "metrics": {name: [value] for name, value in GOOD.items()},
        "gate": {"final": {**final, "shown": {"active_windows": 7.0}, **gate}, "best": None},
        "validation_interval": 40,
        "metric_set": "house@1",
        "drawdown_kind": "equity",
        "reward_scale": 0.001,
        "cost_model": "us_equity@1",
        "invariants": "passed",
        "data": {"digest": "sha256:" + 64 * "d", "start": "2000-03-01", **data},
    }


def build_archive(folder: Path, models: Sequence[Mapping[str, Any]]) -> Path:
    """Archive models in one run and return the archive's folder."""
    summary = {"schema": 1, "run": {"trainer": "test"}, "models": {str(i): dict(m) for i, m in enumerate(models)}}
    TrainingArchiveManager(folder, who="test").archive_training_run(summary)
    return folder


@pytest.fixture(scope="session")
def daily_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive with approved daily models of AAPL and MSFT and a REVIEW one of IBM."""
    folder = tmp_path_factory.mktemp("daily")
    data = {"kind": "real", "end": DAILY_END}
    models = []
    for symbol, gate in (("AAPL", {}), ("MSFT", {}), ("IBM", {"fitness_score": 0.6})):
        path = write_contrarian(folder / f"{symbol}.safetensors", symbol=symbol, timeframe="1Day", feed="vendored")
        models.append(summary_model(path, symbol, "1Day", data, **gate))
    return build_archive(folder / "archive", models)


@pytest.fixture(scope="session")
def minute_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive with an approved model of the simulated minutes."""
    folder = tmp_path_factory.mktemp("minutes")
    path = write_contrarian(folder / "SIM.safetensors", symbol="SIM", timeframe="1Min", feed="simulated")
    data = {"kind": "simulated", "end": "2021-06-30"}
    return build_archive(folder / "archive", [summary_model(path, "SIM", "1Min", data)])


@pytest.fixture
def make_archive(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that archives one daily model of AAPL with what a test is about changed."""

    def make(*, states_features: bool = True, end: str | None = DAILY_END, **gate: float) -> Path:
        path = tmp_path / "AAPL.safetensors"
        write_contrarian(path, symbol="AAPL", timeframe="1Day", feed="vendored", states_features=states_features)
        model = summary_model(path, "AAPL", "1Day", {"kind": "real", "end": end or ""}, **gate)
        if end is None:
            del model["data"]
        return build_archive(tmp_path / "made", [model])

    return make


PLAYED_FROM = datetime(2012, 7, 10, tzinfo=UTC)


class PlayedAlpaca(AlpacaBroker):
    """The local exchange under Alpaca's name: everything that depends on the mode takes Alpaca's way."""

    @property
    def name(self) -> str:
        """Return Alpaca's paper house."""
        return "alpaca-paper"


class PlayedDay:
    """A running venue whose time passes only when the trader sleeps."""

    def __init__(self, exchange: LocalExchange) -> None:
        credentials = Credentials.of(exchange.key, exchange.secret)
        self.broker = PlayedAlpaca(local_endpoint(exchange, feed_label="vendored"), credentials)
        self.control = LocalControl(exchange.control_url, credentials)
        self.slept_seconds = 0.0
        self._state = self.control.state()

    def now(self) -> datetime:
        """Return the venue's time."""
        return self._state.at

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at the venue, instant by instant."""
        self.slept_seconds += seconds
        until = self.now() + timedelta(seconds=seconds)
        while self.now() < until and not self._state.is_finished:
            self._state = (await asyncio.to_thread(self.control.ready, self._state.instant, wake_at=until)).state

    def clock(self, schedule: Schedule) -> WallClock:
        """Return the wall clock that the trader uses for Alpaca, on this time."""
        return WallClock(
            schedule,
            wall=self.now,
            sleep=self.sleep,
            monotonic=lambda: self.now().timestamp(),  # or every nap would look like a clock that was set
            longest_nap_seconds=7_200,
        )

    def trade(
        self,
        archive: Path,
        state_dir: Path,
        prepare: Callable[[LiveTrader], None] = lambda _: None,
        time: timedelta = ONE_ORDER,
    ) -> LiveTrader:
        """Trade AAPL for ``time`` after ``prepare`` and return the trader that did."""
        config = LiveConfig.of(
            archive=str(archive),
            symbols=("AAPL",),
            state_dir=state_dir,
            reconcile_seconds=3_600,
            unknown_grace_seconds=0.05,
        )
        trader = LiveTrader(config, archive=archive, broker=self.broker, clock=self.clock)
        prepare(trader)

        async def run() -> None:
            async with trader:
                await trader.run(self.now() + time)

        asyncio.run(run())
        return trader


@pytest.fixture
def day(tmp_path: Path) -> Iterator[PlayedDay]:
    """Return a venue on the evening before 2012-07-10, with real AAPL bars."""
    bars = load_bars("vendored", "AAPL", "1Day")
    first = int((bars.t < bar_ns(PLAYED_FROM)).sum())
    cut = {"AAPL": bars.slice(first - 900, first + 5)}
    assets = tuple(AssetSetup.of(series) for series in cut.values())
    setup = ExchangeSetup(run_id="alpaca-day", assets=assets, start_ns=bar_ns(PLAYED_FROM))
    with LocalExchange(tmp_path / "venue", setup, cut) as exchange:
        played = PlayedDay(exchange)
        yield played
        played.control.close()
        played.broker.close()


class RunResult:
    """What one run of the command said and how it ended."""

    def __init__(self, completed: subprocess.CompletedProcess[str]) -> None:
        self.code, self.stderr, self.stdout = completed.returncode, completed.stderr, completed.stdout
        lines = completed.stdout.splitlines()
        self.events: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def last(self) -> dict[str, Any]:
        """Return the last event."""
        return self.events[-1]

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the events of one name."""
        return [event for event in self.events if event["event"] == name]


def environment(**more: str) -> dict[str, str]:
    """Return an environment without API keys."""
    return {**{name: value for name, value in os.environ.items() if name not in KEY_NAMES}, **more}


def run_trader(state_dir: Path, *arguments: str) -> RunResult:
    """Run ``scripts/live_trader.py ... --json 1`` to its end."""
    argv = [sys.executable, str(REPOSITORY / "scripts" / "live_trader.py"), *arguments]
    argv += ["--state-dir", str(state_dir), "--json", "1"]
    return RunResult(subprocess.run(argv, capture_output=True, text=True, env=environment(), timeout=120, check=False))


@pytest.fixture(scope="session")
def ended_run(tmp_path_factory: pytest.TempPathFactory, daily_archive: Path) -> tuple[Path, RunResult]:
    """Return the state folder and the output of a strict run of eight real days."""
    state_dir = tmp_path_factory.mktemp("ended")
    return state_dir, run_trader(state_dir, "--archive", str(daily_archive), "--strict-version", "1", "--max-bars", "8")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., RunResult]:
    """Return a function that runs a command in this process, without API keys."""
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)

    def run(state_dir: Path, *arguments: str) -> RunResult:
        argv = [*arguments, "--state-dir", str(state_dir), "--json", "1"]
        capsys.readouterr()
        code = run_app(build_app(argv), argv)
        shown = capsys.readouterr()
        return RunResult(subprocess.CompletedProcess(argv, code, shown.out, shown.err))

    return run


@pytest.fixture
def start_trader(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts ``trader run ... --json 1`` and lets it live."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, str(REPOSITORY / "scripts" / "live_trader.py"), *arguments]
        argv += ["--state-dir", str(tmp_path / "state"), "--json", "1"]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=environment()))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
