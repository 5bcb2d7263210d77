"""A local run: its folder, its working copy of the archive, and the embedded exchange that replays bars to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from trader_sdk.approved import DeployRow
from trader_sdk.broker.port import BrokerPort
from trader_sdk.contract.bars import Bars, DataKind
from trader_sdk.contract.errors import ArchiveError, LifecycleError, UsageError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.contract.verdicts import GateClass
from trader_sdk.live.clock import Clock, VenueClock
from trader_sdk.live.config import DEFAULT_MAX_BARS, REAL_DAILY, SIMULATED_1MIN, LiveConfig
from trader_sdk.live.events import bar_ns, bar_time, rfc3339
from trader_sdk.live.journal import JOURNAL_FILE
from trader_sdk.live.models import Selection, check_no_overlap, gate_table, select
from trader_sdk.live.report import gate_fields
from trader_sdk.live.schedule import Schedule
from trader_sdk.live.state import ARCHIVE_FOLDER, RunFolder, open_local_run, read_ledger

DEMO_OVERRIDE_FOR: Final = timedelta(hours=24)
_HISTORY_BARS: Final = 1_600
_TAIL_BARS: Final = 2
_PLANTED_BARS: Final = 62_000
_MARKET_OF: Final[Mapping[Timeframe, str]] = {Timeframe.DAY_1: REAL_DAILY, Timeframe.MIN_1: SIMULATED_1MIN}

Say = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class LocalRun:
    """Everything that a trader needs of a local run."""

    config: LiveConfig
    folder: RunFolder
    selection: Selection
    broker: BrokerPort
    make_clock: Callable[[Schedule], Clock]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replay:
    """What the exchange replays.

    Attributes:
        bars: By symbol, history included; empty where the folder's own are resumed.
        start: Bars that start before this are history.
        first_bar: Start of the first bar that is replayed.
        n_bars: Bars that the run ends after.
        feed: Where volumes come from.
        kind: Real or simulated.
    """

    bars: Mapping[str, Bars]
    start: datetime
    first_bar: datetime
    n_bars: int
    feed: str
    kind: DataKind

    def facts(self) -> dict[str, Any]:
        """Return what the journal keeps of it, for a summary and for resuming."""
        return {
            "replay_start": rfc3339(self.start),
            "replay_from": rfc3339(self.first_bar),
            "replay_bars": self.n_bars,
            "feed": self.feed,
            "data_kind": self.kind.value,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Replay:
        """Return what :meth:`facts` kept."""
        start, first = (datetime.fromisoformat(facts[name]) for name in ("replay_start", "replay_from"))
        return cls({}, start, first, facts["replay_bars"], facts["feed"], DataKind(facts["data_kind"]))


def fingerprint(config: LiveConfig) -> str:
    """Return what makes two starts the same run, as text."""
    names = {"archive", "symbols", "timeframe", "market", "features", "follow", "max_bars", "once", "dry_run"}
    return json.dumps(config.model_dump(mode="json", include=names), sort_keys=True)


@contextmanager
def local_run(config: LiveConfig, say: Say) -> Iterator[LocalRun]:
    """Open or resume the local run of ``config``; its exchange ends with the context.

    Args:
        config: The run's configuration.
        say: Told of the archive and of each row of the gate table.

    Raises:
        SdkError: The archive, the market or the folder is not usable.
    """
    mark = fingerprint(config)
    with ExitStack() as resources:
        folder = open_local_run(config.state_dir, mark)
        resources.callback(_leave, folder)
        archive = _archive(config, folder, say)
        rows = gate_table(archive, config, TradingMode.PAPER_LOCAL)
        replay, selection = _choose(rows, config, folder, archive)
        for row in selection.rows:
            say("gate_row", gate_fields(row))
        if selection.refusal is not None or replay is None:
            raise selection.refusal or ArchiveError("E601", "nothing to trade", where=str(archive))
        real = sorted({row.symbol for row in selection.rows if row.data_kind == DataKind.REAL})
        if config.archive is None and replay.kind is not DataKind.REAL and real:
            say("no_real_model", {"symbols": real})
        check_no_overlap(selection.models, replay.first_bar)
        broker, make_clock = _start_exchange(config, folder, replay, resources)
        config = config.model_copy(update={"max_bars": replay.n_bars})
        facts = {**replay.facts(), "fingerprint": mark, "archive": config.archive}
        yield LocalRun(config, folder, selection, broker, make_clock, facts)


def _leave(folder: RunFolder) -> None:
    """Release a run's folder; one in which nothing was ever written down, as of a refused start, goes away."""
    if not (folder.path / JOURNAL_FILE).exists():
        shutil.rmtree(folder.path, ignore_errors=True)
    folder.lock.release()


def _choose(
    rows: Sequence[DeployRow], config: LiveConfig, folder: RunFolder, archive: Path
) -> tuple[Replay | None, Selection]:
    """Return what is replayed, None if nothing trades, and the models that were checked against its feed."""
    selection = select(rows, config)
    if folder.resumed:
        replay = Replay.from_facts(read_ledger(folder.path).facts)
    elif selection.models:
        replay = _new_replay(config, selection)
    else:
        return None, selection
    return replay, select(rows, config, feed=replay.feed, archive=archive)


def _new_replay(config: LiveConfig, selection: Selection) -> Replay:
    """Return the bars after every model's data, with enough history before them."""
    end = selection.data_end
    if end is None or any(live.data_end is None for live in selection.models.values()):
        check_no_overlap(selection.models, datetime.min.replace(tzinfo=UTC))
    assert end is not None  # or the check would have refused
    limit = config.bar_limit or DEFAULT_MAX_BARS
    series = _market(config, selection, limit)
    start_ns = bar_ns(end)
    later = {symbol: bars.t[bars.t >= start_ns][:limit] for symbol, bars in series.items()}
    for symbol, starts in later.items():
        if not len(starts):
            raise LifecycleError(
                "E705",
                "the market has no bars after the model's own data",
                where=symbol,
                expected=f"bars after {end:%Y-%m-%d}",
                found=f"bars up to {bar_time(int(series[symbol].t[-1])):%Y-%m-%d}",
            )
    any_series = next(iter(series.values()))
    return Replay(
        bars={symbol: _cut(bars, start_ns, limit) for symbol, bars in series.items()},
        start=end,
        first_bar=bar_time(min(int(starts[0]) for starts in later.values())),
        n_bars=min(limit, len(np.unique(np.concatenate(list(later.values()))))),
        feed=any_series.feed,
        kind=any_series.kind,
    )


def _cut(bars: Bars, start_ns: int, limit: int) -> Bars:
    first = int(np.searchsorted(bars.t, start_ns))
    return bars.slice(max(first - _HISTORY_BARS, 0), min(first + limit + _TAIL_BARS, len(bars)))


def _market(config: LiveConfig, selection: Selection, limit: int) -> dict[str, Bars]:
    """Return the bars of the market that was asked for, or of the one that fits the timeframe.

    Raises:
        UsageError: No packaged market has this timeframe.
    """
    from trader_sdk.data import load_bars

    market = config.market or _MARKET_OF.get(selection.timeframe)
    if market is None:
        raise UsageError(
            "USAGE", "no packaged market has this timeframe", found=selection.timeframe, expected="--market FILE"
        )
    planted = f"planted:bars={_PLANTED_BARS + limit + _TAIL_BARS}"
    source = {REAL_DAILY: "vendored", SIMULATED_1MIN: planted}.get(market, market)
    return {symbol: load_bars(source, symbol, selection.timeframe) for symbol in sorted(selection.models)}


def _archive(config: LiveConfig, folder: RunFolder, say: Say) -> Path:
    """Return the archive to read: the one that was named, or the run's working copy of the demo."""
    if config.archive is not None:
        return Path(config.archive).expanduser()
    from trader_sdk.demo import copy_working_archive

    copy = copy_working_archive(folder.path / ARCHIVE_FOLDER)
    say("demo_archive", {"path": str(copy), "overrides": _lift_reviews(copy)})
    return copy


def _lift_reviews(archive: Path) -> list[str]:
    """Write an override for each slot whose only hope is a REVIEW verdict on real bars; for this working copy alone."""
    from trader_sdk.archive.governance import Decider, override
    from trader_sdk.archive.reader import ArchiveReader

    now = datetime.now(UTC)
    reader = ArchiveReader(archive)
    lifted: list[str] = []
    for key in sorted({ref.slot for ref in reader.state.verdicts.values()}):
        newest = reader.state.verdicts_of(key)[0]
        known = reader.state.overrides.get(newest.id)
        champion = reader.state.slot(key).champion
        if newest.gate_class is not GateClass.REVIEW or (known is not None and known.until > now):
            continue
        if champion is not None and champion.policy_sha256 != newest.policy_sha256:
            continue
        data = reader.judged(newest).verdict.data
        if data is None or data.kind is not DataKind.REAL:
            continue
        override(
            archive,
            newest.id,
            why="the demo trades it on the embedded exchange, with no money",
            until=now + DEMO_OVERRIDE_FOR,
            modes=(TradingMode.PAPER_LOCAL,),
            decider=Decider(who="demo", at=now),
        )
        lifted.append(newest.id)
    return lifted


def _start_exchange(
    config: LiveConfig, folder: RunFolder, replay: Replay, resources: ExitStack
) -> tuple[BrokerPort, Callable[[Schedule], Clock]]:
    """Start or resume the exchange, and return the port to it and its clock."""
    from trader_sdk.broker.alpaca import AlpacaBroker
    from trader_sdk.broker.credentials import Credentials
    from trader_sdk.broker.endpoint import local_endpoint
    from trader_sdk.broker.local_control import LocalControl
    from trader_sdk.exchange import AssetSetup, ExchangeSetup, LocalExchange

    setup = None
    if replay.bars:
        assets = tuple(AssetSetup.of(bars) for bars in replay.bars.values())
        setup = ExchangeSetup(run_id=folder.run_id, assets=assets, start_ns=bar_ns(replay.start))
    exchange = resources.enter_context(LocalExchange(folder.path, setup, replay.bars or None))
    credentials = Credentials.of(exchange.key, exchange.secret)
    endpoint = local_endpoint(exchange, feed_label=replay.feed, data_kind=replay.kind)
    broker = AlpacaBroker(endpoint, credentials)
    resources.callback(broker.close)
    control = resources.enter_context(LocalControl(exchange.control_url, credentials))
    control.run(config.speed_seconds or None)
    return broker, lambda _schedule: VenueClock(control, control.state())
