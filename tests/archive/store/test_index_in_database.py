"""The index beside a chain in PostgreSQL: moves with the commit, is derived, and never decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trader_sdk.archive.governance import recall
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import Kind, rebuild_index, verify


def rows(shop: Any, table: str) -> Any:
    return shop.database.execute(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608 # a table of ours


def test_index_is_at_the_chains_end_after_every_commit(open_shop: Callable[..., Any]) -> None:
    """Runs, verdicts and recalls, for whoever asks in SQL."""
    shop = open_shop("s3+postgres")
    for seed in range(2):
        shop.archive(seed)
    recall(shop.name, ["x"], why="y")
    assert (rows(shop, "runs"), rows(shop, "verdicts"), rows(shop, "recalls")) == (2, 2, 1)
    head = ArchiveReader(shop.name).head
    assert shop.database.execute("SELECT seq, sha256 FROM head") == [(head.seq, head.sha256)]
    assert verify(shop.name).remarks == ()


def test_index_moves_in_the_transaction_that_commits(open_shop: Callable[..., Any], monkeypatch: Any) -> None:
    """Before anybody had time to bring it after."""
    from trader_sdk.archive.shared import SharedPlace

    shop = open_shop("s3+postgres")
    shop.archive(0)
    monkeypatch.setattr(SharedPlace, "keep_index", lambda _: None)
    recall(shop.name, ["x"], why="y")
    assert rows(shop, "recalls") == 1


def test_deleted_or_lying_index_is_noticed_and_made_again(open_shop: Callable[..., Any]) -> None:
    """A commit goes through without it, verify remarks it, nothing is decided by it, rebuilding makes it good."""
    shop = open_shop("s3+postgres")
    shop.archive(0)
    shop.database.execute("DROP TABLE runs CASCADE")
    shop.archive(1)
    shop.database.execute("UPDATE head SET seq = 1")
    assert Kind.INDEX_LAGS in {remark.kind for remark in verify(shop.name).remarks}
    assert len(ArchiveReader(shop.name).state.runs) == 2
    assert rebuild_index(shop.name) == 2
    assert verify(shop.name).remarks == ()
    assert rows(shop, "runs") == 2
