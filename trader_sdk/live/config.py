"""One frozen configuration of a run, and the one place that reads whose money is at stake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trader_sdk.breakers import DEFAULT_BREAKERS, BreakerLimits
from trader_sdk.contract.errors import ConfigError, UsageError
from trader_sdk.contract.execution import DEFAULT_LIMITS, ExecutionLimits
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.risk import DEFAULT_RISK_LIMITS, RiskLimits
from trader_sdk.signing import PublicKey

ARMED_FILE: Final = "armed.json"
"""What `trader golive` leaves in the state folder."""
REAL_DAILY: Final = "real-daily"
SIMULATED_1MIN: Final = "simulated-1min"
DEFAULT_MAX_BARS: Final = 390
"""Bars that a replay without --max-bars ends after: one simulated session, or a year and a half of days."""

SymbolName = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9./-]{0,19}$")]


class LiveConfig(BaseModel):
    """Everything a run is told; field names are the command's flags.

    Attributes:
        paper: False trades real money.
        strict_version: Whether POLICY findings refuse a model.
        archive: Folder or name of the training archive; None: the packaged demo, on the embedded exchange only.
        symbols: Requested symbols; empty: every slot with a champion.
        timeframe: The one timeframe of the run; None: the only one there is.
        broker: ``auto`` chooses Alpaca where there are keys, else the embedded exchange.
        market: What the embedded exchange replays: ``real-daily``, ``simulated-1min`` or a file of bars.
        features: ``package.module:Provider`` instead of ours.
        follow: Which model of a slot: its champion, or the latest approved.
        shadow: Whether a slot's challengers decide beside its champion, on sleeves of their own.
        require_all: Whether one refused symbol ends the run.
        max_bars: Bars after which the run ends; None: no end on Alpaca, :data:`DEFAULT_MAX_BARS` in a replay.
        speed_seconds: Seconds a replayed bar takes; None: as fast as the trader is ready.
        dry_run: Decide and plan, send nothing.
        once: End after the first bar.
        state_dir: Where journals and run folders lie.
        confirm_live: Last four characters of the real account's number.
        accept_policies: Hashes of gate policies that are trusted beside the house's.
        require_signature: Keys one of which must have signed a verdict; None: no signature is required.
        max_model_age: Days; a model whose data ended earlier is stale (W706).
        pins: A ``trader-pins.toml``: what people assert about files.
        recalls: A ``recalls.toml``: what must not run, beside what the archive recalled.
        strategy: Stamped into client order ids.
        unknown_grace_seconds: How far apart two fruitless look-ups of an order must lie.
        reconcile_seconds: How often books and venue are compared.
        stream_barrier_seconds: How long after a minute's end the stream is waited for before REST is asked.
        execution: Sizing constants on a sleeve.
        risk: Account-wide limits.
        breakers: Losses, turnover, flips and action mix that hold trading back.
        decision_budget_seconds: How long a model may take for one decision.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    paper: bool = True
    strict_version: bool = False
    archive: str | None = None
    symbols: tuple[SymbolName, ...] = ()
    timeframe: Timeframe | None = None
    broker: Literal["auto", "alpaca", "local"] = "auto"
    market: str | None = None
    features: str | None = None
    follow: Literal["champion", "latest-approved"] = "champion"
    shadow: Literal["challengers", "none"] = "challengers"
    require_all: bool = False
    max_bars: int | None = Field(default=None, ge=1)
    speed_seconds: float | None = Field(default=None, ge=0)
    dry_run: bool = False
    once: bool = False
    state_dir: Path = Field(default_factory=lambda: default_state_dir())
    confirm_live: str | None = None
    accept_policies: tuple[str, ...] = ()
    require_signature: tuple[PublicKey, ...] | None = None
    max_model_age: int | None = Field(default=None, ge=1)
    pins: Path | None = None
    recalls: Path | None = None
    strategy: str = Field(default="main", pattern=r"^[A-Za-z0-9]{1,6}$")
    unknown_grace_seconds: float = Field(default=5.0, gt=0)
    reconcile_seconds: float = Field(default=60.0, gt=0)
    stream_barrier_seconds: float = Field(default=3.0, gt=0)
    execution: ExecutionLimits = DEFAULT_LIMITS
    risk: RiskLimits = DEFAULT_RISK_LIMITS
    breakers: BreakerLimits = DEFAULT_BREAKERS
    decision_budget_seconds: float = Field(default=1.0, gt=0)

    @field_validator("symbols")
    @classmethod
    def _unique(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(symbols)) != len(symbols):
            raise ValueError("a symbol is named twice")
        return symbols

    @model_validator(mode="after")
    def _real_money_has_a_real_broker(self) -> LiveConfig:
        if not self.paper and self.broker == "local":
            raise ValueError("real money (--paper 0) never trades on the embedded exchange")
        return self

    @property
    def bar_limit(self) -> int | None:
        """Return the bars after which the run ends, if it was told."""
        return 1 if self.once else self.max_bars

    @classmethod
    def of(cls, **fields: Any) -> LiveConfig:
        """Return the configuration, with every fault named at once.

        Raises:
            UsageError: A value is not legal.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            faults = "; ".join(_fault(dict(fault)) for fault in error.errors())
            raise UsageError("USAGE", "these arguments do not work", found=faults) from error


def _fault(fault: dict[str, Any]) -> str:
    flag = "".join(f"--{str(part).replace('_', '-')} " for part in fault["loc"][:1])
    return f"{flag}{fault['msg'].removeprefix('Value error, ')}"


def default_state_dir() -> Path:
    """Return where journals lie unless ``--state-dir`` says otherwise: the platform's state folder."""
    from platformdirs import user_state_path  # not needed where a folder is given

    return user_state_path("trader-sdk", appauthor=False)


def resolve_mode(config: LiveConfig, *, has_keys: bool) -> TradingMode:
    """Return whose money is at stake; never a fallback from real money or Alpaca to the embedded exchange.

    Args:
        config: The run's configuration.
        has_keys: Whether the environment holds API keys.

    Raises:
        ConfigError: Keys, confirmation or archive are missing for what was asked.
    """
    if not config.paper:
        return _live(config, has_keys=has_keys)
    wants_alpaca = config.broker == "alpaca" or (config.broker == "auto" and has_keys)
    if not wants_alpaca:
        return TradingMode.PAPER_LOCAL
    if not has_keys:
        raise _missing("--broker alpaca needs API keys", "ALPACA_API_KEY and ALPACA_SECRET_KEY in the environment")
    _check_alpaca(config)
    return TradingMode.PAPER_ALPACA


def _live(config: LiveConfig, *, has_keys: bool) -> TradingMode:
    if not has_keys:
        raise _missing("--paper 0 needs API keys", "ALPACA_API_KEY and ALPACA_SECRET_KEY in the environment")
    if not config.confirm_live and not (config.state_dir / ARMED_FILE).is_file():
        expected = "--confirm-live <last 4 of the account number>, or an arming record of `trader golive`"
        raise _missing("--paper 0 needs a confirmation", expected)
    _check_alpaca(config)
    return TradingMode.LIVE


def _check_alpaca(config: LiveConfig) -> None:
    if config.archive is None:
        raise _missing("the demo archive never trades on Alpaca", "--archive PATH")
    if config.market is not None:
        raise ConfigError("CONFIG", "--market is what the embedded exchange replays", where="--market")


def _missing(what: str, expected: str) -> ConfigError:
    return ConfigError("CONFIG", what, expected=expected, found="nothing")


def check_confirmation(config: LiveConfig, account_number: str) -> None:
    """Compare ``--confirm-live`` with the account before anything else is done with it.

    Raises:
        ConfigError: They differ.
    """
    if config.paper or (config.confirm_live and account_number[-4:] == config.confirm_live):
        return
    raise ConfigError(
        "CONFIG",
        "--confirm-live does not name this account",
        where="--confirm-live",
        expected="the last 4 characters of the account number",
        found=config.confirm_live,
    )


def state_dir_of(option: Path | None) -> Path:
    """Return the state folder that a command works on."""
    return option.expanduser() if option is not None else default_state_dir()
