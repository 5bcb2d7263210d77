"""A market day of many symbols through the real trader and the real exchange: memory, missed bars, drift.

``python scripts/soak.py --symbols 500 --bars 390 --out DIR`` makes an archive with a model for each symbol, starts the
trader in a process of its own (which starts the exchange in another), reads both processes' memory at every bar, and at
the end asks the oracles I1-I6 of the fault campaign and decides the whole journal again (I7). It writes ``soak.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from trader_sdk.contract.bars import Bars

HISTORY_BARS: Final = 780
"""Two whole sessions, so that the replay starts with the third."""
TRADES_BEYOND: Final = 2.3
"""Volatilities that the last minute must have moved before a model trades against it: about one symbol in fifty."""
HIDDEN: Final = 16
WARM_UP_BARS: Final = 30
"""Bars after which memory must no longer grow: caches and buffers are full by then."""
MOST_GROWTH: Final = 0.05
"""Share of its size by which a process may grow between then and the end and still be called flat."""


@dataclass(frozen=True)
class Sample:
    """Memory of both processes after one bar, MiB, and what the trader said of the bar."""

    trader_mib: float
    exchange_mib: float
    bar: Mapping[str, Any]


def names(n_symbols: int) -> list[str]:
    """Return the symbols of the day."""
    return [f"SIM{number:03}" for number in range(n_symbols)]


def market(symbols: Sequence[str], n_bars: int) -> dict[str, Bars]:
    """Return simulated minutes without an edge, another seed for each symbol."""
    from trader_sdk.data.simulators import PlantedMarket, planted_bars

    total = HISTORY_BARS + n_bars + 2
    return {
        symbol: planted_bars(PlantedMarket(seed=seed, edge=0.0, n_bars=total), symbol)
        for seed, symbol in enumerate(symbols)
    }


def build_archive(folder: Path, symbols: Sequence[str], data_end: str) -> Path:
    """Archive a model for each symbol that trades against the largest moves; its metrics are made up to pass."""
    from trader_sdk.archive.manager import TrainingArchiveManager

    models = {symbol: _summary(_checkpoint(folder / f"{symbol}.safetensors", symbol), symbol, data_end)
              for symbol in symbols}  # fmt: skip
    TrainingArchiveManager(folder / "archive", who="soak").archive_training_run(
        {"schema": 1, "run": {"trainer": "scripts/soak.py"}, "models": models}
    )
    return folder / "archive"


def _checkpoint(path: Path, symbol: str) -> Path:
    from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
    from trader_sdk.contract.metadata import get_checkpoint_metadata
    from trader_sdk.features.schema import build_schema

    n_features, window = 59, 100
    first = np.zeros((HIDDEN, n_features * window), np.float32)
    first[0, (window - 1) * n_features] = 1.0  # the newest bar's return, in volatilities
    head = np.zeros((7, HIDDEN), np.float32)
    head[2, 0], head[5, 0] = -1.0, 1.0  # BUY_50% after a fall, SELL_50% after a rise
    bias = np.zeros(7, np.float32)
    bias[0] = np.tanh(TRADES_BEYOND)
    schema = build_schema("2.7.0", "1Min", calendar="XNYS", feed="simulated", adjustment="split")
    metadata = {**get_checkpoint_metadata("2.7.0"), "activation": "tanh", "symbol": symbol, "timeframe": "1Min"}
    metadata["action_meanings"] = {str(index): meaning for index, meaning in metadata["action_meanings"].items()}
    metadata |= {"feature_schema": schema.document(), "feature_schema_sha256": schema.sha256}
    tensors = {
        "trunk.0.weight": first,
        "trunk.0.bias": np.zeros(HIDDEN, np.float32),
        "actor_head.weight": head,
        "actor_head.bias": bias,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(safetensors_bytes(tensors, metadata))
    return path


def _summary(path: Path, symbol: str, data_end: str) -> dict[str, Any]:
    good = {"fitness_score": 1.27, "profit_factor": 2.4, "consistency": 1.0, "max_drawdown": 0.03}
    fold = {"start": "2020-01-01", "end": "2020-12-31", "net_return": 0.03, "sharpe": 0.9, "n_trades": 12}
    proof = {"t": 3.4, "n_bars": 2100, "n_windows": 7, "n_trades": 84, "real_drawdown": 0.05, "folds": [fold] * 5}
    return {
        "symbol": symbol,
        "timeframe": "1Min",
        "checkpoints": [{"update": 80, "path": str(path)}],
        "final": str(path),
        "metrics": {name: [value] for name, value in good.items()},
        "gate": {"final": {**good, **proof, "shown": {"active_windows": 7.0}}, "best": None},
        "validation_interval": 40,
        "metric_set": "house@1",
        "drawdown_kind": "equity",
        "reward_scale": 0.001,
        "cost_model": "us_equity@1",
        "invariants": "passed",
        "data": {"digest": "sha256:" + 64 * "d", "kind": "simulated", "start": "2020-01-01", "end": data_end},
    }


def trade(folder: Path, n_symbols: int, n_bars: int) -> None:
    """Trade the prepared day to its end; runs in the trader's own process and tells JSON lines."""
    from trader_sdk.broker.alpaca import AlpacaBroker
    from trader_sdk.broker.credentials import Credentials
    from trader_sdk.broker.endpoint import local_endpoint
    from trader_sdk.broker.local_control import LocalControl
    from trader_sdk.contract.bars import DataKind
    from trader_sdk.contract.modes import TradingMode
    from trader_sdk.exchange import LocalExchange
    from trader_sdk.live import LiveConfig, LiveTrader
    from trader_sdk.live.clock import VenueClock
    from trader_sdk.live.events import bar_time, rfc3339
    from trader_sdk.live.journal import lock_folder
    from trader_sdk.live.models import gate_table, select
    from trader_sdk.live.state import RunFolder

    archive = folder / "archive"
    config = LiveConfig.of(archive=str(archive), broker="local", max_bars=n_bars, state_dir=folder / "state")
    selection = select(gate_table(archive, config, TradingMode.PAPER_LOCAL), config, feed="simulated")
    with LocalExchange(folder / "run") as exchange:
        credentials = Credentials.of(exchange.key, exchange.secret)
        endpoint = local_endpoint(exchange, feed_label="simulated", data_kind=DataKind.SIMULATED)
        broker = AlpacaBroker(endpoint, credentials)
        control = LocalControl(exchange.control_url, credentials)
        control.run(None)
        start = bar_time(exchange.setup.start_ns)
        trader = LiveTrader(
            config,
            archive=selection,
            broker=broker,
            clock=lambda _schedule: VenueClock(control, control.state()),
            folder=RunFolder(folder / "run", "soak", False, lock_folder(folder / "run")),
            facts={"replay_start": rfc3339(start), "replay_from": rfc3339(start), "archive": str(archive)},
        )
        _tell("processes", {"exchange": exchange.pid, "symbols": n_symbols, "models": len(selection.models)})
        trader.observe(_tell)
        asyncio.run(_run(trader))
        broker.close()


async def _run(trader: Any) -> None:
    async with trader:
        await trader.run()


_TOLD: Final = frozenset({"processes", "ready", "bar_finished", "run_finished", "drift_found", "broker_trouble"})


def _tell(name: str, fields: Mapping[str, Any]) -> None:
    if name in _TOLD:
        sys.stdout.write(json.dumps({"event": name, **fields}, default=str) + "\n")
        sys.stdout.flush()


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def soak(folder: Path, n_symbols: int, n_bars: int) -> dict[str, Any]:
    """Play the day and return its summary."""
    from trader_sdk.exchange import AssetSetup, ExchangeSetup
    from trader_sdk.exchange.local import prepare
    from trader_sdk.live.events import bar_time

    bars = market(names(n_symbols), n_bars)
    first = next(iter(bars.values()))
    start_ns = int(first.t[HISTORY_BARS])
    last_seen = bar_time(int(first.t[HISTORY_BARS - 1])).date() - timedelta(days=1)
    build_archive(folder, list(bars), last_seen.isoformat())
    assets = tuple(AssetSetup.of(series) for series in bars.values())
    prepare(folder / "run", ExchangeSetup(run_id="soak", assets=assets, start_ns=start_ns), bars)
    command = [sys.executable, __file__, "--trade", str(folder), "--symbols", str(n_symbols), "--bars", str(n_bars)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - this very file
        samples, told = _watch(process)
    told["seconds"] = round(time.monotonic() - began, 1)
    told["process_exit_code"] = process.returncode
    return _summarised(folder, samples, told, n_symbols, n_bars)


def _watch(process: subprocess.Popen[str]) -> tuple[list[Sample], dict[str, Any]]:
    assert process.stdout is not None
    samples: list[Sample] = []
    told: dict[str, Any] = {"troubles": 0, "drifts": 0, "exchange": 0}
    for line in process.stdout:
        event = json.loads(line)
        match event["event"]:
            case "processes":
                told["exchange"] = event["exchange"]
            case "ready":
                told["ready_seconds"] = event["seconds"]
            case "bar_finished":
                samples.append(Sample(rss_mib(process.pid), rss_mib(told["exchange"]), event))
            case "drift_found":
                told["drifts"] += 1
            case "broker_trouble":
                told["troubles"] += 1
            case "run_finished":
                told["finished"] = event
    return samples, told


def _summarised(
    folder: Path, samples: Sequence[Sample], told: Mapping[str, Any], n_symbols: int, n_bars: int
) -> dict[str, Any]:
    from trader_sdk.faults.evidence import Evidence
    from trader_sdk.faults.oracles import judge
    from trader_sdk.faults.stage import read_log
    from trader_sdk.live.journal import read_events

    entries = read_events(folder / "run")
    closed = [entry.body for entry in entries if entry.event == "bar_closed"]
    evidence = Evidence(
        records=read_log(folder / "run"),
        entries=entries,
        exit_code=told["process_exit_code"],
        told=(),
        struck={},
        timeframe_seconds=60,
        sessions=(),
    )
    verdicts = judge(evidence)
    replayed = _replayed(folder, entries)
    verdicts["I7"] = (
        None if replayed["differences"] == 0 else f"{replayed['differences']} decisions came out differently"
    )
    decide_ms = [float(sample.bar["decide_ms"]) for sample in samples]
    return {
        "symbols": n_symbols,
        "bars": n_bars,
        "seconds": told["seconds"],
        "ready_seconds": told.get("ready_seconds"),
        "bars_closed": len(closed),
        "bars_missed": n_symbols * n_bars - len({(body["symbol"], body["bar"]) for body in closed}),
        "bars_late": sum(1 for sample in samples if sample.bar["symbols"] < n_symbols),
        "decisions": told["finished"]["decisions"],
        "orders": told["finished"]["orders"],
        "fills": told["finished"]["fills"],
        "blocked": told["finished"]["blocked"],
        "drifts": told["drifts"],
        "broker_troubles": told["troubles"],
        "journal_entries": len(entries),
        "decide_and_commit_ms": {"p50": _at(decide_ms, 50), "p95": _at(decide_ms, 95), "max": round(max(decide_ms), 1)},
        "replayed": replayed,
        "oracles": {name: wrong or "holds" for name, wrong in verdicts.items()},
        "trader": _memory([sample.trader_mib for sample in samples]),
        "exchange": _memory([sample.exchange_mib for sample in samples]),
    }


def _replayed(folder: Path, entries: Sequence[Any]) -> dict[str, Any]:
    from trader_sdk.cli.replay import loader_of
    from trader_sdk.live.replay import Replay

    report = Replay(folder / "run", loader_of(str(folder / "archive"), None, None)).run(entries)
    fields = report.fields()
    del fields["models"]
    return fields


def _at(values: Sequence[float], percentile: int) -> float:
    return round(float(np.percentile(values, percentile)), 1)


def _memory(mib: Sequence[float]) -> dict[str, Any]:
    """Return a process's memory by bar, and whether it stayed flat after the first bars."""
    settled = mib[min(WARM_UP_BARS, len(mib) // 2)]
    growth = mib[-1] / settled - 1
    return {
        "mib_by_bar": [round(value, 1) for value in mib],
        "first_mib": round(mib[0], 1),
        "settled_mib": round(settled, 1),
        "last_mib": round(mib[-1], 1),
        "growth": round(growth, 4),
        "flat": growth <= MOST_GROWTH,
    }


def main() -> int:
    """Play the day, print and write the summary; 1 if a bar is missing, something drifted or an oracle is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--bars", type=int, default=390)
    parser.add_argument("--out", type=Path, default=None, help="folder for soak.json; nothing is kept without it")
    parser.add_argument("--trade", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trade is not None:
        trade(arguments.trade, arguments.symbols, arguments.bars)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        summary = soak(Path(folder), arguments.symbols, arguments.bars)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "soak.json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    shown = {name: value for name, value in summary.items() if name not in ("trader", "exchange")}
    for name in ("trader", "exchange"):
        shown[name] = {key: value for key, value in summary[name].items() if key != "mib_by_bar"}
    print(json.dumps(shown, indent=1))
    broken = [name for name, verdict in summary["oracles"].items() if verdict != "holds"]
    return 1 if summary["bars_missed"] or summary["drifts"] or broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
