"""Which models trade: the archive's gate table narrowed to one run, with every refusal kept and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from trader_sdk.approved import ApprovedModel, DeployRow, deployable
from trader_sdk.archive.eligibility import HOUSE_ONLY
from trader_sdk.contract.errors import (
    ArchiveError,
    Finding,
    LifecycleError,
    SdkError,
    UsageError,
    error_for,
    exit_code_of,
)
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.timeframe import Timeframe
from trader_sdk.features.observation import ObservationBuilder
from trader_sdk.features.provider import ProviderFactory, load_provider
from trader_sdk.live.config import REAL_DAILY, SIMULATED_1MIN, LiveConfig

_TIMEFRAME_OF_MARKET: Final = {REAL_DAILY: Timeframe.DAY_1, SIMULATED_1MIN: Timeframe.MIN_1}


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model that will trade a symbol, with the features it was proven to be fed."""

    symbol: str
    model: ApprovedModel
    observations: ObservationBuilder

    @property
    def data_end(self) -> datetime | None:
        """Return where the data it was trained and judged on ends, None if nobody said."""
        data = self.model.approval.verdict.data
        stated = data.end if data is not None else self.model.metadata.get("data_end")
        return _moment(str(stated)) if stated else None

    def facts(self) -> dict[str, Any]:
        """Return what the journal keeps of it."""
        approval = self.model.approval
        end = self.data_end
        return {
            "symbol": self.symbol,
            "timeframe": approval.verdict.timeframe.value,
            "version": self.model.model_version,
            "version_id": approval.version_id,
            "sha256": self.model.sha256,
            "policy_sha256": self.model.policy_sha256,
            "class": approval.verdict.class_.value,
            "tier": approval.tier.value,
            "gate_policy": approval.gate_policy,
            "override": approval.override.who if approval.override is not None else None,
            "features": self.observations.schema.sha256,
            "data_end": end.isoformat() if end is not None else None,
        }


def _moment(text: str) -> datetime:
    """Return the end that a document states: a time, or the end of a day."""
    if len(text) == len("2010-12-31"):
        return datetime.combine(date.fromisoformat(text) + timedelta(days=1), datetime.min.time(), UTC)
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """The outcome of choosing models.

    Attributes:
        timeframe: The one that the run trades.
        rows: The whole gate table, for showing; refusals that choosing added are in it.
        models: What trades, by symbol.
        errors: Why requested symbols do not, by symbol.
        refusal: Why the run may not start at all, None if it may.
        archive: Where it was chosen from; None where that is not known, and then nothing is followed.
        features: Makes the feature provider; None: ours.
        feed: Where the venue's volumes come from, where models must agree with it.
    """

    timeframe: Timeframe
    rows: tuple[DeployRow, ...]
    models: Mapping[str, LiveModel]
    errors: Mapping[str, SdkError]
    refusal: SdkError | None = None
    archive: Path | None = None
    features: ProviderFactory | None = None
    feed: str | None = None

    @property
    def data_end(self) -> datetime | None:
        """Return the latest end of any model's data, None where nobody said."""
        return max((live.data_end for live in self.models.values() if live.data_end is not None), default=None)


def gate_table(archive: Path, config: LiveConfig, mode: TradingMode) -> list[DeployRow]:
    """Return the archive's gate table as this run sees it; requested symbols without a verdict have a row too."""
    return deployable(
        archive,
        symbols=config.symbols or None,
        mode=mode,
        accept_policies=(*HOUSE_ONLY, *config.accept_policies),
        strict_version=config.strict_version,
        follow=config.follow,
        require_signature=config.require_signature,
        max_model_age=timedelta(days=config.max_model_age) if config.max_model_age else None,
        pins=config.pins,
        recalls=config.recalls,
    )


def choose_timeframe(rows: Sequence[DeployRow], config: LiveConfig) -> Timeframe:
    """Return the one timeframe that the run trades: as asked, else days before minutes.

    Raises:
        UsageError: A symbol has two deployable slots and nothing says which.
    """
    if config.timeframe is not None:
        return config.timeframe
    if config.market in _TIMEFRAME_OF_MARKET:
        return _TIMEFRAME_OF_MARKET[config.market]
    chosen = [row for row in rows if row.chosen]
    twice = sorted({row.symbol for row in chosen if sum(other.symbol == row.symbol for other in chosen) > 1})
    if twice:
        offered = sorted({row.timeframe for row in chosen if row.symbol in twice})
        raise UsageError(
            "USAGE", f"{', '.join(twice)} can be traded at several timeframes", expected="--timeframe", found=offered
        )
    frames = [Timeframe(row.timeframe) for row in (chosen or [row for row in rows if row.timeframe in set(Timeframe)])]
    return max(frames, key=lambda frame: frame.seconds, default=Timeframe.DAY_1)


def select(
    rows: Sequence[DeployRow],
    config: LiveConfig,
    *,
    features: ProviderFactory | None = None,
    feed: str | None = None,
    archive: Path | None = None,
) -> Selection:
    """Return what trades, and why the rest does not.

    Args:
        rows: The gate table.
        config: The run's configuration.
        features: Makes the provider; None: the one that the configuration names, or ours.
        feed: Where the venue's volumes come from; None: not known, and not compared.
        archive: Where the table comes from, to be followed while the run trades.

    Returns:
        A selection; its ``refusal`` is set where the table of refusals ends the run: none left, a strict run's symbol
        without a model, or any refusal with ``--require all``.

    Raises:
        UsageError: A symbol has two deployable slots and nothing says which.
    """
    timeframe = choose_timeframe(rows, config)
    features = features or (load_provider(config.features) if config.features else None)
    strict_feed = feed if config.strict_version else None
    shown: list[DeployRow] = []
    models: dict[str, LiveModel] = {}
    errors: dict[str, SdkError] = {}
    for row in rows:
        if row.chosen and row.timeframe != timeframe:
            row = replace(row, model=None, refusal=_other_timeframe(row, timeframe))
        elif row.model is not None:
            try:
                models[row.symbol] = live_model(row.symbol, row.model, features, strict_feed)
            except SdkError as error:
                row = replace(row, model=None, error=error, refusal=_finding(error, row))
        if _is_requested(row, timeframe, config) and row.model is None:
            errors.setdefault(row.symbol, row.error or _error_of(row))
        shown.append(row)
    errors = {symbol: error for symbol, error in errors.items() if symbol not in models}
    return Selection(
        timeframe,
        tuple(shown),
        models,
        errors,
        _refusal(models, errors, config),
        archive=archive,
        features=features,
        feed=strict_feed,
    )


def _is_requested(row: DeployRow, timeframe: Timeframe, config: LiveConfig) -> bool:
    if row.timeframe not in (timeframe, "any"):
        return False
    return row.symbol in config.symbols if config.symbols else row.is_champion


def live_model(
    symbol: str, model: ApprovedModel, features: ProviderFactory | None, strict_feed: str | None
) -> LiveModel:
    """Return a model with the features that it was proven to be fed.

    Raises:
        SdkError: E309 for features that are not proven, W311 for another feed than ``strict_feed``.
    """
    observations = ObservationBuilder.for_model(model, features=features)
    if strict_feed is not None and observations.schema.feed != strict_feed:
        raise error_for(
            "W311",
            "the venue's feed is not the one that the model's features were made of",
            where=symbol,
            expected=observations.schema.feed,
            found=strict_feed,
            remedy="Train on this feed, or run without --strict-version 1 and watch the volume features.",
        )
    return LiveModel(symbol, model, observations)


def _finding(error: SdkError, row: DeployRow) -> Finding:
    expected = "" if error.expected is None else str(error.expected)
    found = error.message if error.found is None else f"{error.message} ({error.found})"
    return Finding(error.code, row.version_id, expected, found, error.remedy)


def _other_timeframe(row: DeployRow, timeframe: Timeframe) -> Finding:
    remedy = f"Trade it with --timeframe {row.timeframe}."
    return Finding("E601", row.version_id, f"timeframe {timeframe}", f"not chosen: {row.timeframe}", remedy)


def _error_of(row: DeployRow) -> SdkError:
    """Return the refusal of a row as an error; recalls and archive refusals keep their code."""
    finding = row.refusal
    if finding is None:
        return ArchiveError("E601", "no deployable model", where=row.symbol)
    return error_for(
        finding.code,
        "no deployable model",
        where=f"{row.symbol}/{row.timeframe} {row.version_id}".strip(),
        expected=finding.expected or None,
        found=finding.actual or None,
        remedy=finding.remedy,
        findings=[finding],
    )


def _refusal(models: Mapping[str, LiveModel], errors: Mapping[str, SdkError], config: LiveConfig) -> SdkError | None:
    """Return what the table of refusals makes of the errors (docs/guide/live.md)."""
    unavailable = [error for error in errors.values() if isinstance(error, ArchiveError)]
    unusable = [error for error in errors.values() if not isinstance(error, ArchiveError)]
    if config.require_all and unusable:
        return _combined(unusable)
    if config.strict_version and unavailable:
        return _no_model(unavailable)
    if not models:
        return _combined(unusable) if unusable else _no_model(unavailable)
    return None


def _combined(errors: Sequence[SdkError]) -> SdkError:
    """Return the one error whose exit code stands for all, with every finding."""
    code = exit_code_of(errors)
    first = next(error for error in errors if error.exit_code == code)
    return first if len(errors) == 1 else _with_all(first, errors)


def _with_all(first: SdkError, errors: Sequence[SdkError]) -> SdkError:
    findings = [
        Finding(error.code, error.where, str(error.expected or ""), str(error.found or error.message), error.remedy)
        for error in errors
    ]
    return error_for(
        first.code,
        f"{first.message}, and {len(errors) - 1} more",
        where=first.where,
        expected=first.expected,
        found=first.found,
        remedy=first.remedy,
        findings=findings,
    )


def _no_model(errors: Sequence[SdkError]) -> SdkError:
    if not errors:
        return ArchiveError("E601", "the archive has no deployable model for this run")
    return _combined(errors)


def check_no_overlap(models: Mapping[str, LiveModel], first_bar_at: datetime) -> None:
    """Refuse to judge models on bars that they were trained or chosen on.

    Raises:
        LifecycleError: E705.
    """
    for symbol, live in sorted(models.items()):
        end = live.data_end
        if end is None or first_bar_at < end:
            found = (
                "the model does not say where its data ends" if end is None else f"bars from {first_bar_at:%Y-%m-%d}"
            )
            raise LifecycleError(
                "E705",
                "the replay would show a model bars of its own training range",
                where=symbol,
                expected=f"bars after {end:%Y-%m-%d}" if end is not None else "a stated data_end",
                found=found,
            )
