"""The one cost model, by asset class; costs are always on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from trader_sdk.contract.errors import ConfigError

_BPS: Final = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class CostModel:
    """What trading costs, in basis points of the traded notional (1 bps = 0.01 %).

    Attributes:
        id: Name and version, written into verdicts.
        commission_bps: Paid to the venue a side.
        half_spread_bps: Half of the bid-ask spread a side.
        slippage_bps: Further adverse movement a side.
        borrow_bps_per_year: Paid on the notional of a short position, by calendar time: nights and weekends too.
    """

    id: str
    commission_bps: Decimal
    half_spread_bps: Decimal
    slippage_bps: Decimal
    borrow_bps_per_year: Decimal

    @property
    def side_fraction(self) -> Decimal:
        """Return the whole cost of one side as a fraction of its notional."""
        return (self.commission_bps + self.half_spread_bps + self.slippage_bps) / _BPS

    @property
    def price_fraction(self) -> Decimal:
        """Return the part of a side's cost that is in the fill price: half spread and slippage."""
        return (self.half_spread_bps + self.slippage_bps) / _BPS

    @property
    def commission_fraction(self) -> Decimal:
        """Return the part of a side's cost that is charged beside the price."""
        return self.commission_bps / _BPS

    def scaled(self, factor: int) -> CostModel:
        """Return the same model at ``factor`` times the costs, for sensitivity tables."""
        return CostModel(
            f"{self.id}*{factor}",
            self.commission_bps * factor,
            self.half_spread_bps * factor,
            self.slippage_bps * factor,
            self.borrow_bps_per_year * factor,
        )


COST_MODELS: Final[Mapping[str, CostModel]] = MappingProxyType(
    {
        model.id: model
        for model in (
            # Round trip 5 bps: liquid US equities at small size, no commission.
            CostModel("us_equity@1", Decimal(0), Decimal("1.0"), Decimal("1.5"), Decimal(50)),
            # Taker fee of Alpaca's first crypto tier (docs: 15 bps maker, 25 bps taker).
            CostModel("crypto@1", Decimal(25), Decimal("2.0"), Decimal("2.0"), Decimal(0)),
        )
    }
)


def cost_model_of(symbol: str) -> str:
    """Return the name of the cost model of a symbol's asset class: a pair such as ``BTC/USD`` is crypto.

    Example:
        >>> cost_model_of("AAPL"), cost_model_of("BTC/USD")
        ('us_equity@1', 'crypto@1')
    """
    return "crypto@1" if "/" in symbol else "us_equity@1"


def cost_model(name: str) -> CostModel:
    """Return the cost model called ``name``.

    Raises:
        ConfigError: There is no such model.
    """
    try:
        return COST_MODELS[name]
    except KeyError:
        known = ", ".join(COST_MODELS)
        raise ConfigError("CONFIG", "unknown cost model", where="cost_model", expected=known, found=name) from None
