"""Venue values as Alpaca's JSON: exactly its fields, its strings where it has strings.

Source:
    alpaca-py 0.44's models, and the vendor's documentation.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from trader_sdk.exchange.account import Funds, funds, held_for_orders
from trader_sdk.exchange.events import OrderChanged
from trader_sdk.exchange.sessions import Session, SessionBook, new_york, utc
from trader_sdk.exchange.state import VenueState
from trader_sdk.exchange.values import Asset, Fill, Order, Position

_FORTNIGHT_NS: Final = 14 * 86_400 * 1_000_000_000

Json = dict[str, Any]


def timestamp(at: int) -> str:
    """Return nanoseconds UTC as RFC 3339.

    Example:
        >>> timestamp(1577975400000001000)
        '2020-01-02T14:30:00.000001Z'
    """
    moment = utc(at)
    nanos = f"{at % 1_000_000_000:09d}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + nanos if nanos else ''}Z"


def number(value: Decimal) -> str:
    """Return a decimal as the protocol's strings have it: no exponent, no trailing zeros.

    Example:
        >>> number(Decimal("10.500")), number(Decimal("1E+2"))
        ('10.5', '100')
    """
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cents(value: Decimal) -> str:
    """Return an amount of money rounded to cents."""
    return f"{value:.2f}"


def maybe(value: Decimal | None) -> str | None:
    """Return :func:`number` of a value that may be missing."""
    return None if value is None else number(value)


def maybe_time(at: int | None) -> str | None:
    """Return :func:`timestamp` of a time that may be missing."""
    return None if at is None else timestamp(at)


def order_json(order: Order) -> Json:
    """Return the Order object."""
    request = order.request
    return {
        "id": order.id,
        "client_order_id": request.client_order_id,
        "created_at": timestamp(order.created_at),
        "updated_at": timestamp(order.updated_at),
        "submitted_at": timestamp(order.created_at),
        "filled_at": maybe_time(order.filled_at),
        "expired_at": maybe_time(order.expired_at),
        "expires_at": maybe_time(order.expires_at),
        "canceled_at": maybe_time(order.canceled_at),
        "failed_at": maybe_time(order.failed_at),
        "replaced_at": maybe_time(order.replaced_at),
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": order.asset.id,
        "symbol": order.symbol,
        "asset_class": order.asset.asset_class.value,
        "notional": maybe(request.notional),
        "qty": maybe(request.qty),
        "filled_qty": number(order.filled_qty),
        "filled_avg_price": maybe(order.filled_avg_price),
        "order_class": "",
        "order_type": request.type.value,
        "type": request.type.value,
        "side": request.side.value,
        "position_intent": order.position_intent.value,
        "time_in_force": request.time_in_force.value,
        "limit_price": maybe(request.limit_price),
        "stop_price": maybe(request.stop_price),
        "status": order.status.value,
        "extended_hours": request.extended_hours,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
    }


def trade_update_json(event: OrderChanged) -> Json:
    """Return one message of the ``trade_updates`` stream."""
    data: Json = {"event": event.kind.value, "timestamp": timestamp(event.at), "order": order_json(event.order)}
    if event.fill is not None:
        fill = event.fill
        data |= {
            "execution_id": fill.execution_id,
            "price": number(fill.price),
            "qty": number(fill.qty),
            "position_qty": number(fill.position_qty),
        }
    return {"stream": "trade_updates", "data": data}


def fill_activity_json(fill: Fill) -> Json:
    """Return one row of ``/v2/account/activities/FILL``."""
    return {
        "id": activity_id(fill),
        "activity_type": "FILL",
        "transaction_time": timestamp(fill.at),
        "type": "fill" if fill.leaves_qty == 0 else "partial_fill",
        "price": number(fill.price),
        "qty": number(fill.qty),
        "side": fill.side.value,
        "symbol": fill.symbol,
        "leaves_qty": number(fill.leaves_qty),
        "order_id": fill.order_id,
        "cum_qty": number(fill.cum_qty),
        "order_status": fill.order_status.value,
    }


def activity_id(fill: Fill) -> str:
    """Return an activity's id, which begins with its time and ends in the execution id."""
    return f"{utc(fill.at):%Y%m%d%H%M%S}{fill.at // 1_000_000 % 1_000:03d}::{fill.execution_id}"


def account_json(state: VenueState) -> Json:
    """Return the TradeAccount object."""
    money, settings = funds(state), state.settings
    return {
        "id": state.terms.identity("account", 1),
        "account_number": account_number(state),
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "created_at": timestamp(state.created_at),
        "trading_blocked": state.is_blocked,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": settings.suspend_trade,
        "shorting_enabled": not settings.no_shorting and state.terms.multiplier > 1,
        "multiplier": number(state.terms.multiplier),
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "last_equity": number(state.last_equity),
        **_money_json(money),
    }


def _money_json(money: Funds) -> Json:
    return {
        "cash": number(money.cash),
        "equity": number(money.equity),
        "portfolio_value": number(money.equity),
        "buying_power": cents(money.buying_power),
        "regt_buying_power": cents(money.buying_power),
        "non_marginable_buying_power": cents(money.non_marginable),
        "long_market_value": number(money.long_value),
        "short_market_value": number(money.short_value),
        "initial_margin": cents(money.initial_margin),
        "maintenance_margin": cents(money.maintenance_margin),
        "last_maintenance_margin": cents(money.maintenance_margin),
        "sma": cents(money.equity),
    }


def account_number(state: VenueState) -> str:
    """Return the paper account's number."""
    return "PA" + state.terms.identity("account", 1).replace("-", "")[:10].upper()


def configuration_json(state: VenueState) -> Json:
    """Return the AccountConfiguration object."""
    settings = state.settings
    return {
        "fractional_trading": settings.fractional_trading,
        "max_margin_multiplier": number(state.terms.multiplier),
        "no_shorting": settings.no_shorting,
        "suspend_trade": settings.suspend_trade,
        "trade_confirm_email": "none",
        "ptp_no_exception_entry": False,
    }


def asset_json(asset: Asset) -> Json:
    """Return the Asset object."""
    data: Json = {
        "id": asset.id,
        "class": asset.asset_class.value,
        "exchange": asset.exchange,
        "symbol": asset.symbol,
        "name": asset.name,
        "status": "active" if asset.tradable else "inactive",
        "tradable": asset.tradable,
        "marginable": asset.marginable,
        "shortable": asset.shortable,
        "easy_to_borrow": asset.easy_to_borrow,
        "fractionable": asset.fractionable,
        "attributes": [],
    }
    for name in ("min_order_size", "min_trade_increment", "price_increment"):
        value: Decimal | None = getattr(asset, name)
        if value is not None:
            data[name] = number(value)
    return data


def position_json(state: VenueState, position: Position) -> Json:
    """Return the Position object; crypto loses the slash of its symbol here, as on the real venue."""
    asset, mark = position.asset, state.marks[position.asset.symbol]
    value, basis = position.qty * mark.price, position.cost_basis
    profit = value - basis
    intraday = position.qty * (mark.price - mark.previous_close)
    free = abs(position.qty) - held_for_orders(state, asset.symbol)
    return {
        "asset_id": asset.id,
        "symbol": asset.symbol.replace("/", ""),
        "exchange": asset.exchange,
        "asset_class": asset.asset_class.value,
        "asset_marginable": asset.marginable,
        "qty": number(position.qty),
        "qty_available": number(free if position.qty > 0 else -free),
        "side": "long" if position.qty > 0 else "short",
        "avg_entry_price": number(position.avg_entry_price),
        "market_value": number(value),
        "cost_basis": number(basis),
        "unrealized_pl": number(profit),
        "unrealized_plpc": _ratio(profit, abs(basis)),
        "unrealized_intraday_pl": number(intraday),
        "unrealized_intraday_plpc": _ratio(intraday, abs(position.qty) * mark.previous_close),
        "current_price": number(mark.price),
        "lastday_price": number(mark.previous_close),
        "change_today": _ratio(mark.price - mark.previous_close, mark.previous_close),
    }


def _ratio(part: Decimal, whole: Decimal) -> str:
    return "0" if whole == 0 else number((part / whole).quantize(Decimal("0.00000001")))


def clock_json(state: VenueState, sessions: SessionBook) -> Json:
    """Return the Clock object, in New York time as the venue gives it; past the calendar's end in a fortnight."""
    beyond = state.now + _FORTNIGHT_NS
    return {
        "timestamp": new_york(state.now).isoformat(),
        "is_open": state.is_session_open,
        "next_open": new_york(sessions.next_open(state.now) or beyond).isoformat(),
        "next_close": new_york(sessions.next_close(state.now) or beyond).isoformat(),
    }


def session_json(session: Session) -> Json:
    """Return one Calendar object: New York wall times."""
    opens, closes = new_york(session.opens_at), new_york(session.closes_at)
    return {
        "date": f"{opens:%Y-%m-%d}",
        "open": f"{opens:%H:%M}",
        "close": f"{closes:%H:%M}",
        "session_open": "0400",
        "session_close": "2000",
        "settlement_date": f"{opens:%Y-%m-%d}",
    }


def history_json(state: VenueState, *, is_daily: bool) -> Json:
    """Return the PortfolioHistory object."""
    points = state.equity_history
    if is_daily:
        points = list({new_york(at).date(): (at, equity) for at, equity in points}.values())
    base = state.terms.initial_cash
    return {
        "timestamp": [at // 1_000_000_000 for at, _ in points],
        "equity": [float(equity) for _, equity in points],
        "profit_loss": [float(equity - base) for _, equity in points],
        "profit_loss_pct": [float((equity - base) / base) for _, equity in points],
        "base_value": float(base),
        "timeframe": "1D" if is_daily else "1Min",
    }
