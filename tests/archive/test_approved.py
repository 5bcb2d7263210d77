"""The archive's door: what comes through, what is refused, and what a person is told about the rest."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk.approved import ApprovedModel, deployable, load_approved, load_approved_universe
from trader_sdk.archive.governance import Decider, override, promote, recall
from trader_sdk.archive.layout import DATABASE_FILE, INDEX_FILE
from trader_sdk.archive.manager import TrainingArchiveManager
from trader_sdk.archive.policy import HOUSE_POLICY_HASH, ModelGatingConfig
from trader_sdk.contract.errors import ArchiveError, CompatibilityError, SdkError, UsageError
from trader_sdk.contract.modes import TradingMode
from trader_sdk.model import NativeModelWrapper

Archive = Callable[..., Any]
Samples = Any
NOW = datetime(2026, 11, 22, tzinfo=UTC)
BOB = Decider(who="bob", at=NOW)
DESK = ModelGatingConfig(name="desk", min_t=0.5, false_approval_rate=0.4)


def refused(code: str, root: Path, symbol: str = "AAPL", **options: Any) -> SdkError:
    """Load, expect a refusal of that code that lists what was looked at, and return it."""
    with pytest.raises(SdkError) as caught:
        load_approved(root, symbol, at=NOW, **options)
    assert caught.value.code == code
    return caught.value


def test_champion_is_loaded_with_its_approval(archived: Archive, manager: TrainingArchiveManager) -> None:
    """A wrapper like any other that can also say why it may trade."""
    run = archived()
    model = load_approved(manager.root, "AAPL")
    verdict = run.assessments[0]
    assert isinstance(model, NativeModelWrapper)
    assert model.policy_sha256 == verdict.policy_sha256
    assert model.sha256 == f"sha256:{verdict.subjects[1].sha256}"
    assert model.approval.verdict == verdict
    assert (model.approval.tier, model.approval.override, model.approval.is_simulated) == ("LIVE", None, False)
    assert model.approval.gate_policy == f"house {HOUSE_POLICY_HASH[7:15]}"
    assert model.decide(np.zeros(5300, dtype=np.float32)).name in {"HOLD", "BUY", "SELL"}
    with pytest.raises(AttributeError):
        model.approval = None  # type: ignore[misc] # the assignment is what is tested


def test_pointer_is_followed_not_the_newest_run(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Champion, newest challenger, latest approved, and the same by alias."""
    one, two, three = (archived(seed).assessments[0].version_id for seed in (0, 1, 2))
    archived(3, gate=None)

    def followed(symbol: str = "AAPL", **options: Any) -> str:
        return load_approved(manager.root, symbol, **options).approval.version_id

    assert followed() == followed("models:/AAPL/1Day@champion") == one
    assert followed(follow="challenger") == followed("models:/AAPL/1Day@challenger") == three
    assert followed(follow="latest-approved") == followed("models:/AAPL/1Day@latest-approved") == three
    promote(manager.root, "AAPL", "1Day", two)
    assert followed() == two
    for wrong in ({"follow": "newest"}, {"timeframe": "2Day"}, {"mode": "TOY"}):
        with pytest.raises(UsageError):
            load_approved(manager.root, "AAPL", **wrong)


def test_alias_keeps_symbols_with_separators(archived: Archive, manager: TrainingArchiveManager) -> None:
    """models:/BTC/USD/1Hour@champion names BTC/USD."""
    archived(symbol="BTC/USD", timeframe="1Hour")
    assert load_approved(manager.root, "models:/BTC/USD/1Hour@champion").approval.verdict.symbol == "BTC/USD"


def test_refusal_lists_what_was_looked_at(archived: Archive, manager: TrainingArchiveManager) -> None:
    """No approved model: each verdict of the slot and why it was passed over."""
    review = archived(0, gate=None).assessments[0].version_id
    dropped = archived(1, gate=None, metrics={key: [0.2] for key in _METRICS}).assessments[0].version_id
    error = refused("E601", manager.root)
    assert isinstance(error, ArchiveError)
    assert review in str(error)
    assert dropped in str(error)
    assert len(error.findings) == 2
    assert "INSUFFICIENT_EVIDENCE" in str(error)
    assert "no verdict" in str(refused("E601", manager.root, "MSFT"))
    refused("E608", manager.root / "elsewhere")


_METRICS = ("fitness_score", "profit_factor", "consistency", "max_drawdown")


def test_foreign_gate_is_refused_until_its_hash_is_accepted(samples: Samples, tmp_path: Path) -> None:
    """The trader decides whose gate it trusts; the message gives the line that does it."""
    root = tmp_path / "archive"
    summary = samples.summary_of(
        samples.model_summary(samples.write_checkpoint(tmp_path / "c.pt"), gate={"final": samples.gate_block(t=0.6)})
    )
    assert TrainingArchiveManager(root, DESK).archive_training_run(summary).approved_count == 1
    error = refused("E603", root)
    assert DESK.policy_hash in error.remedy
    refused("E603", root, accept_policies=())
    model = load_approved(root, "AAPL", accept_policies=[HOUSE_POLICY_HASH, DESK.policy_hash])
    assert model.approval.gate_policy == f"desk {DESK.policy_hash[7:15]}"


def rewrite_verdict(run: Any, change: Callable[[dict[str, Any]], None]) -> None:
    path = run.path / "model_assessments.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["assessments"][0].update({"class": "REVIEW"}),
        lambda d: d["assessments"][0]["metrics"]["fitness_score"].update(value=9.0),
        lambda d: d["assessments"][0].update(symbol="MSFT"),
        lambda d: d["assessments"].clear(),
        lambda d: d["policy"]["values"].update(min_t=0.0),
        lambda d: d["policy"].update(hash="sha256:" + 64 * "0"),
        lambda d: d.update(surprise=1),
    ],
)
def test_edited_verdict_is_refused(archived: Archive, manager: TrainingArchiveManager, change: Any) -> None:
    """Class, metrics, symbol, policy: the chain knows what was committed."""
    run = archived()
    rewrite_verdict(run, change)
    error = refused("E602", manager.root)
    assert str(run.path) in str(error.where)


def forged_archive(manager: TrainingArchiveManager, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite verdict and chain together, as somebody who holds the whole disk could."""
    from trader_sdk.archive.store.audit import encode_record
    from trader_sdk.contract.audit import AuditRecord
    from trader_sdk.contract.canonical import sha256_of

    path = next(manager.root.glob("*/model_assessments.json"))
    document = json.loads(path.read_text())
    change(document["assessments"][0])
    path.write_text(json.dumps(document))
    record = json.loads((manager.root / "audit.jsonl").read_text())
    record["body"]["verdicts"][0].update({"class": "APPROVED", "digest": sha256_of(document["assessments"][0])})
    record.pop("sha256")
    forged = AuditRecord.model_validate({**record, "sha256": sha256_of(record)})
    (manager.root / "audit.jsonl").write_bytes(encode_record(forged) + b"\n")


def test_verdict_is_judged_again_when_it_is_loaded(archived: Archive, manager: TrainingArchiveManager) -> None:
    """A class that its own numbers do not give is refused even where every digest was forged."""
    archived(gate=None)
    forged_archive(manager, lambda verdict: verdict.update({"class": "APPROVED", "flags": []}))
    error = refused("E602", manager.root)
    assert "from its own numbers" in str(error)


def test_swapped_or_missing_bytes_are_refused(archived: Archive, manager: TrainingArchiveManager) -> None:
    """The champion's file must be the one that was judged."""
    run, other = archived(0), archived(1)
    name = f"{run.assessments[0].subjects[1].sha256}.safetensors"
    foreign = other.path / "models" / f"{other.assessments[0].subjects[1].sha256}.safetensors"
    shutil.copy(foreign, run.path / "models" / name)
    assert name in str(refused("E602", manager.root).where)
    (run.path / "models" / name).unlink()
    assert name in str(refused("E602", manager.root).where)


def test_recalled_model_is_refused(archived: Archive, manager: TrainingArchiveManager) -> None:
    """By version, by file, by policy digest."""
    verdict = archived().assessments[0]
    load_approved(manager.root, "AAPL")
    recall(manager.root, [f"sha256:{verdict.subjects[1].sha256}"], why="leak", decider=BOB)
    error = refused("E505", manager.root)
    assert isinstance(error, CompatibilityError)
    assert "recalled by bob: leak" in str(error)


def test_override_counts_within_its_modes_ceiling_and_time(
    samples: Samples, archived: Archive, manager: TrainingArchiveManager
) -> None:
    """Expired means not approved."""
    run = archived(gate={"final": samples.gate_block(t=1.0), "best": None})
    assert run.review_count == 1
    modes = [TradingMode.PAPER_LOCAL, TradingMode.LIVE]
    override(manager.root, run.assessments[0].id, why="w", until=NOW + timedelta(hours=24), modes=modes, decider=BOB)
    model = load_approved(manager.root, "AAPL", at=NOW)
    assert (model.approval.tier, model.approval.override.who) == ("PAPER", "bob")
    assert "PAPER-ALPACA" in str(refused("E601", manager.root, mode="PAPER-ALPACA"))
    assert "tier PAPER" in str(refused("E601", manager.root, mode="LIVE"))
    with pytest.raises(ArchiveError) as caught:
        load_approved(manager.root, "AAPL", at=NOW + timedelta(hours=24))
    assert caught.value.code == "E607"


@pytest.mark.parametrize(
    ("sharpes", "modes"),
    [
        ([0.9] * 5, {"PAPER-LOCAL", "PAPER-ALPACA", "LIVE"}),
        ([0.9, 0.9, 0.9, -1, -1], {"PAPER-LOCAL", "PAPER-ALPACA"}),
        ([0.9, -1, -1, -1, -1], {"PAPER-LOCAL"}),
    ],
)
def test_tier_decides_where_a_model_may_trade(
    samples: Samples, archived: Archive, manager: Any, sharpes, modes
) -> None:
    """LIVE for real money, PAPER for a broker's paper account, anything approved on the embedded exchange."""
    block = samples.gate_block()
    folds = [{**fold, "sharpe": sharpe} for fold, sharpe in zip(block["folds"], sharpes, strict=True)]
    archived(gate={"final": {**block, "folds": folds}, "best": None})
    found = {mode.value for mode in TradingMode if deployable(manager.root, mode=mode)[0].chosen}
    assert found == modes


def test_gate_table_lists_what_was_chosen_and_what_was_passed_over(
    samples: Samples, archived: Archive, manager: TrainingArchiveManager
) -> None:
    """A row a model, its numbers, its policy, and why."""
    first = archived(0)
    archived(1)
    archived(2, symbol="SIM", timeframe="1Min", gate=None, data={**samples.data, "kind": "simulated"})
    rows = deployable(manager.root, symbols=["AAPL", "SIM", "MSFT"])
    assert [(row.symbol, row.chosen) for row in rows] == [
        ("AAPL", True),
        ("AAPL", False),
        ("SIM", False),
        ("MSFT", False),
    ]
    chosen = rows[0]
    assert isinstance(chosen.model, ApprovedModel)
    assert (chosen.gate_class, chosen.tier, chosen.is_champion, chosen.why) == ("APPROVED", "LIVE", True, "")
    assert (chosen.fitness_score, chosen.profit_factor, chosen.consistency, chosen.max_drawdown) == (1.27, 2.4, 1, 0.03)
    assert chosen.gate_policy == f"house {HOUSE_POLICY_HASH[7:15]}"
    assert chosen.sha8 == first.assessments[0].subjects[1].sha256[:8]
    assert "not followed" in rows[1].why
    assert (rows[2].data_kind, rows[2].gate_class) == ("simulated", "REVIEW")
    assert "INSUFFICIENT_EVIDENCE" in rows[2].why
    assert "no verdict" in rows[3].why
    assert [row.symbol for row in deployable(manager.root, timeframe="1Min")] == ["SIM"]
    assert deployable(manager.root, symbols=["MSFT"], timeframe="1Min")[0].timeframe == "1Min"


def test_gate_table_says_what_is_damaged_and_goes_on(archived: Archive, manager: TrainingArchiveManager) -> None:
    """One fool does not stop the rest."""
    broken = archived(0)
    archived(1, symbol="MSFT")
    (broken.path / "model_assessments.json").write_text("{}")
    rows = {row.symbol: row for row in deployable(manager.root)}
    assert rows["MSFT"].chosen
    assert rows["AAPL"].refusal is not None
    assert rows["AAPL"].refusal.code == "E602"


def test_universe_gives_models_and_refusals_as_values(archived: Archive, manager: TrainingArchiveManager) -> None:
    """Many symbols at once."""
    archived(0)
    found = load_approved_universe(manager.root, ["AAPL", "MSFT"])
    assert isinstance(found["AAPL"], ApprovedModel)
    assert isinstance(found["MSFT"], ArchiveError)


_opened: list[str] = []
_watched: list[str] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watched and event in {"open", "os.mkdir", "os.rename", "os.remove", "os.truncate", "os.link", "os.rmdir"}:
        path = os.fspath(args[0]) if isinstance(args[0], str | os.PathLike) else ""
        writes = event != "open" or bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        if writes and str(path).startswith(_watched[0]):
            _opened.append(f"{event} {path}")


sys.addaudithook(_audit)


@pytest.fixture
def writes_seen(manager: TrainingArchiveManager) -> Iterator[list[str]]:
    """Watch the archive's folder for anything opened to write, made, renamed or removed."""
    _opened.clear()
    _watched.append(str(manager.root))
    yield _opened
    _watched.clear()


def test_readers_never_write(archived: Archive, manager: TrainingArchiveManager, writes_seen: list[str]) -> None:
    """A read-only mount is enough: loads and the gate table open nothing to write."""
    archived()
    assert writes_seen
    writes_seen.clear()
    (manager.root / INDEX_FILE).unlink()
    (manager.root / DATABASE_FILE).unlink()
    writes_seen.clear()
    before = sorted(manager.root.rglob("*"))
    load_approved(manager.root, "AAPL")
    deployable(manager.root)
    manager.get_symbol_history("AAPL")
    assert writes_seen == []
    assert sorted(manager.root.rglob("*")) == before
