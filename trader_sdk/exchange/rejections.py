"""Refusals as values: the HTTP status, code and body that Alpaca's protocol gives each.

Source:
    The vendor's documentation and issue threads; none of it was measured on the vendor's servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

INVALID: Final = 40010001
UNPROCESSABLE: Final = 42210000
FORBIDDEN: Final = 40310000
NOT_FOUND: Final = 40410000
UNAUTHORIZED: Final = 40110000


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a request was refused.

    Attributes:
        http_status: Status line of the reply.
        code: Alpaca's eight-digit code.
        message: Alpaca's text.
        details: Further fields of the body, as strings.
    """

    http_status: int
    code: int
    message: str
    details: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, object]:
        """Return the reply's JSON object."""
        return {"code": self.code, "message": self.message, **self.details}


def invalid(message: str) -> Rejection:
    """Return a 422 for a missing or malformed parameter."""
    return Rejection(422, INVALID, message)


def unprocessable(message: str) -> Rejection:
    """Return a 422 for a well-formed order that breaks a trading rule."""
    return Rejection(422, UNPROCESSABLE, message)


def forbidden(message: str, **details: str) -> Rejection:
    """Return a 403 for an order that the account may not place."""
    return Rejection(403, FORBIDDEN, message, details)


def not_found(what: str) -> Rejection:
    """Return a 404; ``what`` is the noun, for example ``order``."""
    return Rejection(404, NOT_FOUND, f"{what} not found")


def no_position() -> Rejection:
    """Return the 404 for a symbol that is not held."""
    return Rejection(404, NOT_FOUND, "position does not exist")


def insufficient_buying_power(buying_power: Decimal, cost_basis: Decimal) -> Rejection:
    """Return the 403 for an order that costs more than the account may spend."""
    return forbidden("insufficient buying power", buying_power=f"{buying_power:.2f}", cost_basis=f"{cost_basis:.2f}")


def insufficient_qty(symbol: str, requested: Decimal, available: Decimal, existing: Decimal) -> Rejection:
    """Return the 403 for selling (or covering) more than is free."""
    return forbidden(
        f"insufficient qty available for order (requested: {requested:f}, available: {available:f})",
        available=f"{available:f}",
        existing_qty=f"{existing:f}",
        held_for_orders=f"{existing - available:f}",
        symbol=symbol,
    )


def wash_trade(existing_order_id: str, reason: str) -> Rejection:
    """Return the 403 for an order that could trade against the account's own."""
    return forbidden(
        "potential wash trade detected. use complex orders", existing_order_id=existing_order_id, reject_reason=reason
    )
