"""Everything the venue knows at one moment."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID, uuid5

from trader_sdk.contract.costs import CostModel, cost_model
from trader_sdk.exchange.values import ZERO, Asset, AssetClass, Fill, Mark, Order, OrderId, Position

_NAMESPACE = UUID("6f2a5f0c-6d0e-5a4b-9a3c-5f1d2c7b8e90")


@dataclass(frozen=True, slots=True)
class Terms:
    """What does not change over a run.

    Attributes:
        run_id: Seed of every id that the venue gives out.
        initial_cash: Deposit at the start.
        multiplier: Leverage of equity buying power: 1, 2 or 4.
        costs: Cost model of each asset class.
    """

    run_id: str
    assets: tuple[Asset, ...]
    initial_cash: Decimal = Decimal(100_000)
    multiplier: Decimal = Decimal(2)
    costs: dict[AssetClass, CostModel] = field(
        default_factory=lambda: {
            AssetClass.US_EQUITY: cost_model("us_equity@1"),
            AssetClass.CRYPTO: cost_model("crypto@1"),
        }
    )

    def costs_of(self, asset: Asset) -> CostModel:
        """Return what trading ``asset`` costs."""
        return self.costs[asset.asset_class]

    def identity(self, kind: str, name: object) -> str:
        """Return the deterministic UUID of the ``name``-th thing of a kind in this run."""
        return str(uuid5(_NAMESPACE, f"{self.run_id}/{kind}/{name}"))


@dataclass(frozen=True, slots=True)
class Settings:
    """What the client may set about the account."""

    no_shorting: bool = False
    suspend_trade: bool = False
    fractional_trading: bool = True


@dataclass(slots=True)
class VenueState:
    """One account, its orders and where the market stands.

    The engine owns the value it is given and returns it changed, so a caller that wants the old one keeps a copy.

    Attributes:
        now: Venue time, nanoseconds UTC; strictly increases from event to event.
        is_session_open: Whether the equity session runs.
        session_close: When the running session ends, else 0.
        open_orders: The ids of orders that are not terminal, oldest first.
        client_ids: Every client order id ever used, for good.
        last_equity: Equity at the previous session's close.
        equity_history: (time, equity) after each bar.
        halted: Symbols in which nothing trades and no bar is printed; orders are taken and wait.
        thin: Symbols in which nobody takes our orders, although others trade.
        bands: Limit down and limit up by symbol: nothing trades below and above.
        is_blocked: Whether the account may place no order.
        unprinted: Starts of the bars, by symbol, that a halt left out.
        splits: (time, new units for one) by symbol, oldest first.
    """

    terms: Terms
    now: int
    created_at: int
    cash: Decimal
    last_equity: Decimal
    assets: dict[str, Asset]
    settings: Settings = field(default_factory=Settings)
    is_session_open: bool = False
    session_close: int = 0
    positions: dict[str, Position] = field(default_factory=dict)
    orders: dict[OrderId, Order] = field(default_factory=dict)
    open_orders: dict[OrderId, None] = field(default_factory=dict)
    client_ids: dict[str, OrderId] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    fees_paid: Decimal = ZERO
    equity_history: list[tuple[int, Decimal]] = field(default_factory=list)
    halted: set[str] = field(default_factory=set)
    thin: set[str] = field(default_factory=set)
    bands: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    is_blocked: bool = False
    unprinted: dict[str, list[int]] = field(default_factory=dict)
    splits: dict[str, list[tuple[int, Decimal]]] = field(default_factory=dict)

    def tick(self) -> int:
        """Advance venue time by one microsecond and return it; no two events share a time."""
        self.now += 1_000
        return self.now

    def put(self, order: Order) -> None:
        """Store an order's new state."""
        self.orders[order.id] = order
        if order.is_open:
            self.open_orders[order.id] = None
        else:
            self.open_orders.pop(order.id, None)

    def working(self, symbol: str | None = None) -> list[Order]:
        """Return the open orders, oldest first; of one symbol if given."""
        orders = (self.orders[order_id] for order_id in self.open_orders)
        return [order for order in orders if symbol is None or order.symbol == symbol]

    def position_qty(self, symbol: str) -> Decimal:
        """Return the signed quantity held."""
        position = self.positions.get(symbol)
        return ZERO if position is None else position.qty

    def is_trading(self, asset: Asset) -> bool:
        """Return whether orders in ``asset`` reach the market now."""
        return asset.is_crypto or self.is_session_open

    def digest(self) -> str:
        """Return ``sha256:<hex>`` over everything that a rebuild must reproduce."""
        text = json.dumps(
            {
                "now": self.now,
                "cash": str(self.cash),
                "open": self.is_session_open,
                "settings": str(self.settings),
                "positions": {symbol: str(position) for symbol, position in sorted(self.positions.items())},
                "orders": [str(order) for order in self.orders.values()],
                "fills": [str(fill) for fill in self.fills],
                "halted": sorted(self.halted),
                "thin": sorted(self.thin),
                "bands": str(sorted(self.bands.items())),
                "blocked": self.is_blocked,
                "unprinted": sorted(self.unprinted.items()),
                "splits": str(sorted(self.splits.items())),
                "marks": {symbol: str(mark) for symbol, mark in sorted(self.marks.items())},
            },
            sort_keys=True,
        )
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def open_account(terms: Terms, *, at: int, last_prices: dict[str, Decimal]) -> VenueState:
    """Return the state before the first event.

    Args:
        terms: Assets, cash and costs.
        at: Venue time, nanoseconds UTC.
        last_prices: Each symbol's last known price, so that buying power can be reckoned out of session.
    """
    state = VenueState(
        terms=terms,
        now=at,
        created_at=at,
        cash=terms.initial_cash,
        last_equity=terms.initial_cash,
        assets={asset.symbol: asset for asset in terms.assets},
    )
    for symbol, price in last_prices.items():
        state.marks[symbol] = Mark(price, price, liquidity=ZERO, is_live=False, at=at)
    return state


def marked(mark: Mark, *, price: Decimal, at: int) -> Mark:
    """Return a mark moved to another price."""
    return replace(mark, price=price, at=at)
