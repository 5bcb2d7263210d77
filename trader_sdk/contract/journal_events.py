"""What a line of the decision journal can say happened."""

from __future__ import annotations

from enum import StrEnum


class JournalEvent(StrEnum):
    """Closed set of the decision journal's events."""

    RUN_STARTED = "run_started"
    MODEL_LOADED = "model_loaded"
    MODEL_REFUSED = "model_refused"
    BAR_CLOSED = "bar_closed"
    DECISION_MADE = "decision_made"
    INTENT_RECORDED = "intent_recorded"
    ORDER_SENT = "order_sent"
    ORDER_ACKNOWLEDGED = "order_acknowledged"
    ORDER_REFUSED = "order_refused"
    ORDER_UNKNOWN = "order_unknown"
    ORDER_UPDATED = "order_updated"
    FILL_RECORDED = "fill_recorded"
    SLEEVE_CHANGED = "sleeve_changed"
    RECONCILE_FINISHED = "reconcile_finished"
    DRIFT_FOUND = "drift_found"
    LIMIT_CHANGED = "limit_changed"
    STATE_CHANGED = "state_changed"
    MODEL_SWAPPED = "model_swapped"
    SHADOW_DECIDED = "shadow_decided"
    NOTIFIED = "notified"
    RUN_FINISHED = "run_finished"
