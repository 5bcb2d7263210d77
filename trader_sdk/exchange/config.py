"""What an exchange is started with: one frozen document, kept in its state folder beside market and log."""

from __future__ import annotations

import secrets
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer, model_validator

from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import ConfigError
from trader_sdk.exchange.state import Terms
from trader_sdk.exchange.values import Asset, AssetClass

SETUP_FILE: Final = "exchange.json"
MARKET_FILE: Final = "exchange-market.npz"
LOG_FILE: Final = "exchange-events.jsonl"
LOCK_FILE: Final = "exchange.lock"
OUTPUT_FILE: Final = "exchange-output.log"
PORT_FILE: Final = "exchange.port"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AssetSetup(_Document):
    """One instrument and what may be done with it."""

    symbol: str = Field(min_length=1, max_length=20)
    asset_class: AssetClass = AssetClass.US_EQUITY
    exchange: str = "NASDAQ"
    tradable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    fractionable: bool = True
    min_order_size: Decimal | None = None
    min_trade_increment: Decimal | None = None
    price_increment: Decimal | None = None

    @classmethod
    def of(cls, bars: Bars) -> Self:
        """Return the usual rules for the asset that ``bars`` are of; a slash in the symbol makes it crypto."""
        if "/" not in bars.symbol:
            return cls(symbol=bars.symbol)
        return cls(
            symbol=bars.symbol,
            asset_class=AssetClass.CRYPTO,
            exchange="CRYPTO",
            shortable=False,
            easy_to_borrow=False,
            min_order_size=Decimal("0.0001"),
            min_trade_increment=Decimal("0.000000001"),
            price_increment=Decimal("0.01"),
        )


class ExchangeSetup(_Document):
    """Everything about one run of the venue that does not change.

    Attributes:
        run_id: Seed of every id; the account belongs to it.
        start_ns: Bars that start before this are history, the others are replayed.
        participation: Largest share of a bar's volume that the account may trade.
        speed_seconds: None: the clock moves when the trader says it is ready. Else: a bar every so many seconds.
        requests_per_minute: None switches the rate limit off; Alpaca's basic plan has 200.
        key, secret: What clients authenticate with; made up when not given.
    """

    run_id: str = Field(min_length=1, max_length=64)
    assets: tuple[AssetSetup, ...] = Field(min_length=1)
    start_ns: int
    initial_cash: Decimal = Field(default=Decimal(100_000), gt=0)
    multiplier: Decimal = Field(default=Decimal(2), ge=1, le=4)
    participation: Decimal = Field(default=Decimal("0.10"), gt=0, le=1)
    speed_seconds: float | None = Field(default=None, gt=0)
    requests_per_minute: int | None = Field(default=None, gt=0)
    rate_clock: Literal["wall", "venue"] = "wall"
    data_connections: int = Field(default=1, gt=0)
    key: SecretStr = Field(default_factory=lambda: SecretStr(f"PKLOCAL{secrets.token_hex(6).upper()}"))
    secret: SecretStr = Field(default_factory=lambda: SecretStr(secrets.token_urlsafe(24)))

    @model_validator(mode="after")
    def _symbols_are_unique(self) -> Self:
        symbols = [asset.symbol for asset in self.assets]
        if len(set(symbols)) != len(symbols):
            raise ValueError("a symbol is listed twice")
        return self

    @field_serializer("key", "secret", when_used="json")
    def _reveal(self, value: SecretStr) -> str:
        return value.get_secret_value()

    def terms(self) -> Terms:
        """Return what the engine needs of the setup."""
        return Terms(
            run_id=self.run_id,
            assets=tuple(_asset(self.run_id, asset) for asset in self.assets),
            initial_cash=self.initial_cash,
            multiplier=self.multiplier,
        )

    def save(self, folder: Path) -> None:
        """Write the document into a state folder, readable by its owner only."""
        path = folder / SETUP_FILE
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the document of a state folder.

        Raises:
            ConfigError: It is missing or says something else than a setup.
        """
        path = folder / SETUP_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigError("CONFIG", "no exchange was set up here", where=str(path)) from error
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ConfigError("CONFIG", "the exchange's setup is damaged", where=str(path), found=faults) from error


def _asset(run_id: str, setup: AssetSetup) -> Asset:
    identity = Terms(run_id=run_id, assets=()).identity("asset", setup.symbol)
    is_crypto = setup.asset_class is AssetClass.CRYPTO
    return Asset(
        id=identity,
        symbol=setup.symbol,
        name=setup.symbol,
        asset_class=setup.asset_class,
        exchange=setup.exchange,
        tradable=setup.tradable,
        marginable=not is_crypto,
        shortable=setup.shortable,
        easy_to_borrow=setup.easy_to_borrow,
        fractionable=setup.fractionable,
        min_order_size=setup.min_order_size,
        min_trade_increment=setup.min_trade_increment,
        price_increment=setup.price_increment,
    )
