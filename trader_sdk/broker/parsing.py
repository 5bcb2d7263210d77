"""Raw replies and frames become values: tolerant of words and fields that are new, strict about numbers and times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from trader_sdk.broker.quantise import FRACTIONAL_INCREMENT
from trader_sdk.broker.status import parse_status
from trader_sdk.broker.views import (
    AccountView,
    AssetView,
    ClockView,
    FillView,
    OrderView,
    PositionView,
    SessionView,
    Side,
    TradeUpdateView,
)
from trader_sdk.contract.errors import BrokerError

NEW_YORK: Final = ZoneInfo("America/New_York")
CRYPTO_QUOTES: Final = ("USDT", "USDC", "USD", "BTC")
_BLOCK_FLAGS: Final = ("trading_blocked", "account_blocked", "trade_suspended_by_user")

LARGEST_EXPONENT: Final = 30
"""A number beyond this is not money or shares; written out, it could fill the memory."""

Raw = Mapping[str, Any]
T = TypeVar("T")


def parse_clock(raw: Raw) -> ClockView:
    """Return the venue's clock."""
    return ClockView(
        at=_required_time(raw, "timestamp"),
        is_open=raw.get("is_open") is True,
        next_open=_required_time(raw, "next_open"),
        next_close=_required_time(raw, "next_close"),
    )


def parse_session(raw: Raw) -> SessionView:
    """Return one calendar row; its times are New York's wall clock on the wire, UTC here."""
    day = _required(raw, "date", dt.date.fromisoformat)
    open_at, close_at = (
        dt.datetime.combine(day, _required(raw, key, _wall_time), NEW_YORK).astimezone(dt.UTC)
        for key in ("open", "close")
    )
    return SessionView(day, open_at, close_at)


def _wall_time(text: str) -> dt.time:
    return dt.time.fromisoformat(text if ":" in text else f"{text[:2]}:{text[2:]}")


def parse_account(raw: Raw) -> AccountView:
    """Return the account."""
    return AccountView(
        id=_text(raw, "id"),
        number=_text(raw, "account_number"),
        status=_text(raw, "status"),
        cash=_number(raw, "cash"),
        equity=_number(raw, "equity"),
        last_equity=_optional_number(raw, "last_equity") or _number(raw, "equity"),
        buying_power=_number(raw, "buying_power"),
        non_marginable_buying_power=_optional_number(raw, "non_marginable_buying_power") or Decimal(0),
        multiplier=_optional_number(raw, "multiplier") or Decimal(1),
        shorting_enabled=raw.get("shorting_enabled") is True,
        blocks=tuple(flag for flag in _BLOCK_FLAGS if raw.get(flag)),
        currency=str(raw.get("currency") or "USD"),
    )


def parse_asset(raw: Raw) -> AssetView:
    """Return what may be done with a symbol."""
    fractionable = raw.get("fractionable") is True
    least = FRACTIONAL_INCREMENT if fractionable else Decimal(1)
    return AssetView(
        id=_text(raw, "id"),
        symbol=_text(raw, "symbol"),
        asset_class=str(raw.get("class") or raw.get("asset_class") or "us_equity"),
        status=_text(raw, "status"),
        tradable=raw.get("tradable") is True,
        fractionable=fractionable,
        shortable=raw.get("shortable") is True,
        easy_to_borrow=raw.get("easy_to_borrow") is True,
        marginable=raw.get("marginable") is True,
        qty_increment=_optional_number(raw, "min_trade_increment") or least,
        min_qty=_optional_number(raw, "min_order_size") or least,
        price_increment=_optional_number(raw, "price_increment"),
        attributes=_texts(raw.get("attributes")),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def parse_position(raw: Raw) -> PositionView:
    """Return an open position with a signed quantity and the symbol as orders write it."""
    asset_class = str(raw.get("asset_class") or "us_equity")
    sign = -1 if raw.get("side") == "short" else 1
    qty = sign * abs(_number(raw, "qty"))
    available = _optional_number(raw, "qty_available")
    return PositionView(
        symbol=pair_symbol(_text(raw, "symbol"), asset_class),
        qty=qty,
        qty_available=qty if available is None else sign * abs(available),
        avg_entry_price=_number(raw, "avg_entry_price"),
        current_price=_optional_number(raw, "current_price"),
        market_value=_optional_number(raw, "market_value"),
        cost_basis=_number(raw, "cost_basis"),
        unrealized_pl=_optional_number(raw, "unrealized_pl"),
        asset_class=asset_class,
        asset_id=_text(raw, "asset_id"),
    )


def pair_symbol(symbol: str, asset_class: str) -> str:
    """Return a crypto symbol with its slash, as orders and bars write it; positions come without.

    Example:
        >>> pair_symbol("BTCUSD", "crypto"), pair_symbol("AAPL", "us_equity")
        ('BTC/USD', 'AAPL')
    """
    if asset_class != "crypto" or "/" in symbol:
        return symbol
    for quote in CRYPTO_QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return f"{symbol.removesuffix(quote)}/{quote}"
    return symbol


def parse_order(raw: Raw) -> OrderView:
    """Return an order; a status of a newer venue becomes ``UNKNOWN_OPEN``, unknown fields are ignored.

    Raises:
        BrokerError: E803 if identity, side or a number is missing or malformed.
    """
    raw_status = _text(raw, "status")
    return OrderView(
        broker_order_id=_text(raw, "id"),
        client_order_id=_text(raw, "client_order_id"),
        symbol=pair_symbol(_text(raw, "symbol"), str(raw.get("asset_class") or "")),
        side=_required(raw, "side", Side),
        type=str(raw.get("type") or raw.get("order_type") or ""),
        time_in_force=str(raw.get("time_in_force") or ""),
        status=parse_status(raw_status),
        raw_status=raw_status,
        qty=_optional_number(raw, "qty"),
        notional=_optional_number(raw, "notional"),
        filled_qty=_optional_number(raw, "filled_qty") or Decimal(0),
        filled_avg_price=_optional_number(raw, "filled_avg_price"),
        limit_price=_optional_number(raw, "limit_price"),
        stop_price=_optional_number(raw, "stop_price"),
        extended_hours=raw.get("extended_hours") is True,
        submitted_at=_optional_time(raw, "submitted_at") or _optional_time(raw, "created_at"),
        updated_at=_optional_time(raw, "updated_at"),
        filled_at=_optional_time(raw, "filled_at"),
        replaces=_optional_text(raw, "replaces"),
        replaced_by=_optional_text(raw, "replaced_by"),
    )


def parse_fill(raw: Raw) -> FillView:
    """Return one FILL activity; its id ends in the execution's own (``<time>::<uuid>``)."""
    return FillView(
        execution_id=_text(raw, "id").rpartition("::")[2],
        broker_order_id=_text(raw, "order_id"),
        symbol=_text(raw, "symbol"),
        side=_required(raw, "side", _fill_side),
        qty=abs(_number(raw, "qty")),
        price=_number(raw, "price"),
        at=_required_time(raw, "transaction_time"),
        cumulative_qty=_optional_number(raw, "cum_qty"),
        leaves_qty=_optional_number(raw, "leaves_qty"),
    )


def _fill_side(text: str) -> Side:
    return Side(text.removesuffix("_short"))


def parse_trade_update(raw: Raw) -> TradeUpdateView:
    """Return an order event of the trade stream.

    Args:
        raw: The whole frame (``{"stream": ..., "data": {...}}``) or its ``data``.

    Raises:
        BrokerError: E803 if the frame is not an order event; quarantine it.
    """
    data = raw.get("data", raw)
    if not isinstance(data, Mapping) or not isinstance(data.get("order"), Mapping):
        raise _unexpected("order", "an order", data)
    order = parse_order(data["order"])
    at = _optional_time(data, "timestamp") or _optional_time(data, "at") or order.updated_at
    if at is None:
        raise _unexpected("timestamp", "a time", None)
    return TradeUpdateView(
        event=_text(data, "event"),
        at=at,
        order=order,
        execution_id=_optional_text(data, "execution_id"),
        price=_optional_number(data, "price"),
        qty=_optional_number(data, "qty"),
        position_qty=_optional_number(data, "position_qty"),
    )


def parse_time(text: str) -> dt.datetime:
    """Return an RFC 3339 time as aware UTC; digits beyond the microsecond are cut.

    Example:
        >>> parse_time("2021-03-16T14:38:01.942282123-04:00")
        datetime.datetime(2021, 3, 16, 18, 38, 1, 942282, tzinfo=datetime.timezone.utc)
    """
    at = dt.datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without zone")
    return at.astimezone(dt.UTC)


def _required(raw: Raw, key: str, convert: Callable[[str], T]) -> T:
    value = raw.get(key)
    try:
        return convert(value if isinstance(value, str) else str(value))
    except (ValueError, InvalidOperation) as error:
        raise _unexpected(key, "a valid value", value) from error


def _text(raw: Raw, key: str) -> str:
    value = raw.get(key)
    if value in (None, ""):
        raise _unexpected(key, "a value", value)
    return str(value)


def _optional_text(raw: Raw, key: str) -> str | None:
    return None if raw.get(key) in (None, "") else str(raw[key])


def _finite(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > LARGEST_EXPONENT:
        raise ValueError("not a number of money or shares")
    return number


def _number(raw: Raw, key: str) -> Decimal:
    return _required(raw, key, _finite)


def _optional_number(raw: Raw, key: str) -> Decimal | None:
    return None if raw.get(key) in (None, "") else _number(raw, key)


def _required_time(raw: Raw, key: str) -> dt.datetime:
    return _required(raw, key, parse_time)


def _optional_time(raw: Raw, key: str) -> dt.datetime | None:
    return None if raw.get(key) in (None, "") else _required_time(raw, key)


def _unexpected(key: str, expected: str, found: object) -> BrokerError:
    return BrokerError("E803", "a reply could not be read", where=key, expected=expected, found=repr(found)[:80])
