"""What stands for a confirmation of real money, and the paper days that must come before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.journal_events import JournalEvent
from trader_sdk.live.arming import (
    ArmingRecord,
    account_digest,
    check_armed,
    limits_digest,
    read_armed,
    soak_of,
    why_not_armed,
    write_armed,
)
from trader_sdk.live.events import Draft
from trader_sdk.live.journal import Journal, Stamp, read_events
from trader_sdk.risk import DEFAULT_RISK_LIMITS, RiskLimits

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def test_arming_stands_for_this_account_these_models_and_these_limits(tmp_path: Path) -> None:
    """Every other start with real money is refused, and says why."""
    models = {"AAPL": "sha256:a"}
    now = datetime.now(UTC)
    record = ArmingRecord(
        account=account_digest("123456789"),
        models=models,
        limits=limits_digest(DEFAULT_RISK_LIMITS),
        until=now + timedelta(days=1),
        who="ann",
        at=now,
    )
    with pytest.raises(ConfigError, match="nothing is armed"):
        check_armed(tmp_path, "123456789", models, DEFAULT_RISK_LIMITS)
    path = write_armed(tmp_path, record)
    assert "123456789" not in path.read_text()
    check_armed(tmp_path, "123456789", models, DEFAULT_RISK_LIMITS)
    wider = RiskLimits(symbol_fraction=Decimal("0.9"))
    refusals = [
        why_not_armed(record, "987654321", models, DEFAULT_RISK_LIMITS, now),
        why_not_armed(record, "123456789", {"AAPL": "sha256:b"}, DEFAULT_RISK_LIMITS, now),
        why_not_armed(record, "123456789", {**models, "IBM": "sha256:c"}, DEFAULT_RISK_LIMITS, now),
        why_not_armed(record, "123456789", models, wider, now),
        why_not_armed(record, "123456789", models, DEFAULT_RISK_LIMITS, now + timedelta(days=2)),
    ]
    assert None not in refusals
    assert len(set(refusals)) == 5
    path.chmod(0o666)
    assert read_armed(tmp_path) is None


def test_soak_counts_days_of_this_model_alone(tmp_path: Path) -> None:
    """Days on which it decided; a halt by itself spoils it, one by a person does not."""
    decided = {"symbol": "AAPL", "bar": "2026-01-05T05:00:00Z", "action": "HOLD", "reason": None, "logits": [0.0]}
    with Journal.open(tmp_path, Stamp("a1", "PAPER-ALPACA", "r1")) as journal:
        for day in range(3):
            body = {**decided, "bar": f"2026-01-0{day + 5}T05:00:00Z", "client_order_id": None}
            digest = "sha256:a" if day else "sha256:other"
            at = AT + timedelta(days=day)
            journal.append([Draft(JournalEvent.DECISION_MADE, at, {**body, "model_sha256": digest, "price": "1"})])
        for cause in ("OPERATOR: lunch", "DRAWDOWN: 15 %"):
            journal.append([Draft(JournalEvent.STATE_CHANGED, AT, {"state": "HALTED", "cause": cause})])
    soak = soak_of(read_events(tmp_path), "AAPL", "sha256:a")
    assert (soak.days, soak.decisions, soak.halts, soak.is_enough) == (2, 2, 1, False)
