"""Going live: what paper has to show first, and the record that stands for a person's confirmation at each start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from trader_sdk.contract.canonical import sha256_of
from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.contract.modes import TradingMode
from trader_sdk.live.config import ARMED_FILE
from trader_sdk.live.control import read_private, write_private
from trader_sdk.live.events import JournalEntry
from trader_sdk.risk import RiskLimits, TradingState

SOAK_DAYS: Final = 20
"""Days on which a model decided on Alpaca's paper account before it may trade real money."""
ARMED_FOR: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Soak:
    """What a model did on paper, measured from the journal.

    Attributes:
        days: Days on which it decided.
        decisions, fills: How many.
        drifts: How often books and venue disagreed.
        halts: How often the account was halted, a person's own requests excepted.
    """

    days: int = 0
    decisions: int = 0
    fills: int = 0
    drifts: int = 0
    halts: int = 0

    @property
    def is_enough(self) -> bool:
        """Return whether that is enough to go live."""
        return self.days >= SOAK_DAYS and self.drifts == 0 and self.halts == 0


def soak_of(entries: Iterable[JournalEntry], symbol: str, sha256: str) -> Soak:
    """Return what the model with ``sha256`` did for ``symbol`` in a paper account's journal."""
    days, decisions, fills, drifts, halts = set(), 0, 0, 0, 0
    for entry in entries:
        body = entry.body
        is_symbols = body.get("symbol") == symbol
        match entry.event:
            case JournalEvent.DECISION_MADE if is_symbols and body["model_sha256"] == sha256:
                days.add(entry.at.date())
                decisions += body["logits"] is not None
            case JournalEvent.FILL_RECORDED if is_symbols:
                fills += 1
            case JournalEvent.DRIFT_FOUND if is_symbols:
                drifts += 1
            case JournalEvent.STATE_CHANGED if body["state"] == TradingState.HALTED and "lifts" not in body:
                halts += not str(body["cause"]).startswith(("OPERATOR", "KILL_SWITCH"))
    return Soak(len(days), decisions, fills, drifts, halts)


class ArmingRecord(BaseModel):
    """What a person confirmed.

    Attributes:
        account: Digest of the account's number, which is not written down.
        models: sha256 by symbol.
        limits: Digest of the account-wide limits.
        until: When a start needs a new one.
        who: Who armed it.
        at: When.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str
    models: dict[str, str]
    limits: str
    until: datetime
    who: str
    at: datetime


def account_digest(number: str) -> str:
    """Return what stands for an account's number."""
    return sha256_of({"account": number})


def limits_digest(limits: RiskLimits) -> str:
    """Return what stands for the limits."""
    plain = {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in asdict(limits).items()}
    return sha256_of(plain)


def write_armed(state_dir: Path, record: ArmingRecord) -> Path:
    """Write the record for the next starts and return where."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(state_dir / ARMED_FILE, record.model_dump(mode="json"))
    return state_dir / ARMED_FILE


def read_armed(state_dir: Path) -> ArmingRecord | None:
    """Return the record, None where there is none that its owner alone could have written."""
    text = read_private(state_dir / ARMED_FILE)
    try:
        return None if text is None else ArmingRecord.model_validate(json.loads(text))
    except (ValidationError, ValueError):
        return None


def why_not_armed(
    record: ArmingRecord | None, number: str, models: Mapping[str, str], limits: RiskLimits, now: datetime
) -> str | None:
    """Return why ``record`` does not stand for a confirmation of this start, None where it does.

    Args:
        record: As read, None where there is none.
        number: Of the account.
        models: sha256 by symbol, of everything that would trade.
        limits: Account-wide limits of this start.
        now: Aware UTC.
    """
    if record is None:
        return "nothing is armed"
    foreign = sorted(symbol for symbol, sha256 in models.items() if record.models.get(symbol) != sha256)
    checks = (
        (record.account != account_digest(number), "armed for another account"),
        (now >= record.until, f"armed until {record.until:%Y-%m-%d}"),
        (bool(foreign), f"other models are armed for {', '.join(foreign)}"),
        (record.limits != limits_digest(limits), "armed with other limits"),
    )
    return next((why for failed, why in checks if failed), None)


def check_armed(state_dir: Path, number: str, models: Mapping[str, str], limits: RiskLimits) -> None:
    """Let a start with real money go on only if somebody armed exactly this.

    Raises:
        ConfigError: They did not.
    """
    why = why_not_armed(read_armed(state_dir), number, models, limits, datetime.now(UTC))
    if why is not None:
        raise ConfigError(
            "CONFIG",
            "real money needs a confirmation",
            where="--paper 0",
            expected="--confirm-live <last 4 of the account number>, or `trader golive SYMBOL --arm 1` before",
            found=why,
        )


def mode_folders(state_dir: Path) -> list[Path]:
    """Return the journals of Alpaca's paper accounts in a state folder."""
    prefix = f"{TradingMode.PAPER_ALPACA.value.lower()}-"
    return sorted(path for path in state_dir.glob(f"{prefix}*") if path.is_dir()) if state_dir.is_dir() else []


def checklist(row: Mapping[str, Any], soak: Soak) -> list[tuple[str, bool, str]]:
    """Return what must hold before real money: name, whether it does, and what was found."""
    return [
        ("approved", bool(row["chosen"]), row["why"] or f"{row['class']} {row['version_id']}"),
        ("tier", row["tier"] == "LIVE", f"{row['tier'] or 'none'}; real money needs LIVE"),
        ("soak days", soak.days >= SOAK_DAYS, f"{soak.days} days on Alpaca's paper account, of {SOAK_DAYS}"),
        ("soak drift", soak.drifts == 0, f"{soak.drifts} times books and venue disagreed"),
        ("soak halts", soak.halts == 0, f"{soak.halts} times halted by itself"),
    ]
