"""Chains without files behind them, written short and valid, and an index on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader_sdk.archive.index.archive_index import ArchiveIndex
from trader_sdk.archive.layout import model_key
from trader_sdk.archive.store.audit import AuditLog
from trader_sdk.archive.store.chain import START, Chain, ChainHead, encode_record, head_of
from trader_sdk.contract.audit import AuditKind, AuditRecord, Who
from trader_sdk.contract.timeframe import Timeframe

FIRST = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
UNTIL = datetime(2026, 12, 24, tzinfo=UTC)


class ChainBuilder:
    """Writes records as the archive writes them; keeps them, and a file where it has a folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.records: list[AuditRecord] = []
        self.log = AuditLog(root) if root is not None else None

    @property
    def where(self) -> str:
        """Return what stands in messages."""
        return "a chain in memory"

    def read(self, after: ChainHead | None = None) -> Chain:
        """Return the records behind a head, as an :class:`AuditChain` does."""
        start = after or START
        return Chain(tuple(self.records[start.seq :]), after=start)

    def head(self) -> ChainHead:
        """Return the end."""
        return head_of(self.records[-1]) if self.records else START

    def add(self, kind: AuditKind, body: dict[str, Any], at: datetime | None = None) -> AuditRecord:
        """Append one record; each a minute after the one before unless said otherwise."""
        head = self.head()
        record = AuditRecord.make(
            seq=head.seq + 1,
            prev=head.sha256,
            at=at or FIRST + timedelta(minutes=head.seq),
            kind=kind,
            who=Who(kind="os", name=f"person{head.seq % 3}"),
            body=body,
        )
        self.records.append(record)
        if self.log is not None:
            self.log.path.parent.mkdir(parents=True, exist_ok=True)
            with self.log.path.open("ab") as stream:
                stream.write(encode_record(record) + b"\n")
        return record

    def run(self, *models: tuple[str, str, int, str | None], at: datetime | None = None) -> str:
        """Archive a run of models (symbol, class, number of the policy, data); return its timestamp.

        Data is a letter, the digest's, with or without a digit behind it: the day that judged.
        """
        timestamp = f"20261121_093000_{len(self.records) + 1}"
        classes = [gate_class for _, gate_class, _, _ in models]
        body = {
            "timestamp": timestamp,
            "approved": classes.count("APPROVED"),
            "review": classes.count("REVIEW"),
            "dropped": classes.count("DROP"),
            "files": {"summary.json": f"{len(self.records):064x}"},
            "verdicts": [self._verdict(timestamp, *model) for model in models],
        }
        self.add(AuditKind.RUN_ARCHIVED, body, at)
        return timestamp

    def _verdict(self, timestamp: str, symbol: str, gate_class: str, policy: int, data: str | None) -> dict[str, Any]:
        return {
            "id": f"{model_key(symbol, Timeframe.DAY_1)}/{timestamp}",
            "version_id": f"m-{policy}",
            "symbol": symbol,
            "timeframe": "1Day",
            "class": gate_class,
            "tier": None if gate_class == "DROP" else "PAPER",
            "policy_sha256": f"sha256:{policy:064x}",
            "data_digest": None if data is None else f"sha256:{64 * data[0]}",
            "judged": _judged(data),
            "digest": f"sha256:{len(self.records):064x}",
        }

    def promote(self, symbol: str, policy: int, kind: AuditKind = AuditKind.PROMOTE) -> None:
        """Point a slot at a policy."""
        digest = f"sha256:{policy:064x}"
        self.add(kind, {"symbol": symbol, "timeframe": "1Day", "to": f"m-{policy}", "policy_sha256": digest})

    def override(self, verdict: str, why: str = "look") -> None:
        """Lift a verdict."""
        document = {
            "verdict": verdict,
            "class_from": "REVIEW",
            "class_to": "APPROVED",
            "who": "ann",
            "why": why,
            "until": UNTIL.isoformat(),
        }
        self.add(AuditKind.OVERRIDE, {"override": document})

    def recall(self, *names: str) -> None:
        """Forbid names."""
        self.add(AuditKind.RECALL, {"names": list(names), "why": "leaked"})


def _judged(data: str | None) -> dict[str, str] | None:
    if data is None or len(data) == 1:
        return None  # as records of 0.1.0
    return {"first": f"2026-01-0{data[1]}T14:30:00Z", "last": f"2026-01-0{data[1]}T20:59:00Z"}


@pytest.fixture
def chain() -> ChainBuilder:
    """Return an empty chain in memory."""
    return ChainBuilder()


@pytest.fixture
def chain_in() -> type[ChainBuilder]:
    """Return what builds a chain in a folder."""
    return ChainBuilder


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Return where an index may lie: a file, then a schema of a real server."""
    return tmp_path / "index.sqlite" if request.param == "sqlite" else request.getfixturevalue("database").url()


@pytest.fixture
def index(location: Path | str) -> Iterator[ArchiveIndex]:
    """Return an empty index."""
    found = ArchiveIndex(location)
    yield found
    found.close()


@pytest.fixture
def some_runs() -> Callable[[ChainBuilder], None]:
    """Return what writes a bit of everything."""

    def write(chain: ChainBuilder) -> None:
        first = chain.run(("AAPL", "APPROVED", 1, "d"), ("BTC/USD", "REVIEW", 2, None))
        chain.run(("AAPL", "APPROVED", 3, "d"))
        chain.override(f"BTC%2FUSD_1Day/{first}")
        chain.promote("AAPL", 3)
        chain.run(("AAPL", "DROP", 4, "e"))
        chain.recall("m-4", f"sha256:{1:064x}")
        chain.promote("AAPL", 1, AuditKind.REVERT)

    return write
