"""The archive's door: the slot's champion, its verdict judged again and its bytes verified, or a typed refusal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from trader_sdk.archive.eligibility import HOUSE_ONLY, Terms
from trader_sdk.archive.location import Place
from trader_sdk.archive.pointers import CHAMPION, checked_follow, resolve
from trader_sdk.contract.compatibility import Pin, Recall
from trader_sdk.contract.modes import TradingMode
from trader_sdk.contract.timeframe import parse_timeframe
from trader_sdk.demands import Demands, recalls_of
from trader_sdk.deploy_row import DeployRow as DeployRow
from trader_sdk.deploy_row import empty_row
from trader_sdk.door import ApprovedModel as ApprovedModel
from trader_sdk.door import Door
from trader_sdk.loading import pins_of
from trader_sdk.signing import PublicKey
from trader_sdk.universe import load_approved_universe as load_approved_universe


def load_approved(
    archive: Path | str | Place,
    symbol: str,
    timeframe: str = "1Day",
    *,
    strict_version: bool = False,
    follow: str = CHAMPION,
    mode: TradingMode | str = TradingMode.PAPER_LOCAL,
    accept_policies: Collection[str] = HOUSE_ONLY,
    require_signature: Collection[PublicKey] | None = None,
    max_model_age: timedelta | None = None,
    pins: Path | str | Sequence[Pin] | None = None,
    recalls: Path | str | Sequence[Recall] | None = None,
    at: datetime | None = None,
    mapped: bool = False,
) -> ApprovedModel:
    """Load the model that a slot's pointer names, if it is approved, accepted, unchanged and compatible.

    Args:
        archive: The archive's folder, its name in ``trader.toml`` or its URL; nothing is written to it.
        symbol: As it was trained, or an alias ``models:/AAPL/1Day@champion`` that also gives the next two.
        timeframe: The slot's timeframe.
        strict_version: Refuse POLICY findings too.
        follow: ``champion``, ``challenger`` (the newest) or ``latest-approved``.
        mode: Where it will trade; decides which deployment tiers and overrides count.
        accept_policies: Hashes of the gate policies that are trusted; the house's own unless given.
        require_signature: Keys one of which must have signed the verdict, and the override where one lifts it. None:
            no signature is required, and an unsigned model has the note W105.
        max_model_age: Older models, and those that do not say when their data ended, have the finding W706.
        pins: What people assert about files: a ``trader-pins.toml``, or the pins themselves.
        recalls: What must not run any more, beside the archive's own recalls: a ``recalls.toml``, or the recalls.
        at: Moment at which an override must be in force, and of the model's age; now when omitted.
        mapped: Share the artefact's pages with every process that maps it instead of copying its weights; see
            :func:`~trader_sdk.checkpoint.mapped.map_own_artefact` for what that gives up.

    Returns:
        The model, a :class:`~trader_sdk.model.NativeModelWrapper` with ``.approval``.

    Raises:
        ArchiveError: E601..E608; ``findings`` lists what was looked at and why each was passed over.
        CompatibilityError: E505 if it was recalled.
        CheckpointError: E104 if no accepted key signed it.
        ConfigError: Pins or recalls cannot be read.
        SdkError: Its file is incompatible; codes as when loading it by path.

    Example:
        >>> model = load_approved("training_archives", "AAPL")  # doctest: +SKIP
        >>> model.approval.tier  # doctest: +SKIP
        <DeploymentTier.PAPER: 'PAPER'>
    """
    key, follow = resolve(symbol, timeframe, follow)
    asked = Demands(strict_version, require_signature, max_model_age, pins_of(pins), recalls_of(recalls), mapped)
    return Door.of(archive, Terms.of(mode, accept_policies, at), asked).load(key, follow)


def deployable(
    archive: Path | str | Place,
    *,
    symbols: Iterable[str] | None = None,
    timeframe: str | None = None,
    mode: TradingMode | str = TradingMode.PAPER_LOCAL,
    accept_policies: Collection[str] = HOUSE_ONLY,
    strict_version: bool = False,
    follow: str = CHAMPION,
    require_signature: Collection[PublicKey] | None = None,
    max_model_age: timedelta | None = None,
    pins: Path | str | Sequence[Pin] | None = None,
    recalls: Path | str | Sequence[Recall] | None = None,
    at: datetime | None = None,
    mapped: bool = False,
) -> list[DeployRow]:
    """Return the gate table: for each slot what would trade, and what was passed over and why.

    Args:
        archive: The archive's folder, its name in ``trader.toml`` or its URL; nothing is written to it.
        symbols: Only these; a symbol without any verdict gets a row that says so. Every slot when omitted.
        timeframe: Only this one; all when omitted.
        mode, accept_policies, strict_version, follow, require_signature, max_model_age, pins, recalls, at, mapped: As
            for :func:`load_approved`.

    Returns:
        Rows by slot, the followed model first. Chosen rows hold the loaded model; at most one a slot.

    Raises:
        ArchiveError: E608 or E606 about the archive as a whole; about models it is a row, never an error.
        ConfigError: Pins or recalls cannot be read.
    """
    asked = Demands(strict_version, require_signature, max_model_age, pins_of(pins), recalls_of(recalls), mapped)
    door = Door.of(archive, Terms.of(mode, accept_policies, at), asked)
    wanted = None if symbols is None else list(dict.fromkeys(symbols))
    keys = door.reader.state.keys()
    only = parse_timeframe(timeframe) if timeframe is not None else None
    keys = [key for key in keys if only in (None, key.timeframe) and (wanted is None or key.symbol in wanted)]
    rows = [row for key in keys for row in door.rows(key, checked_follow(follow))]
    for symbol in wanted or ():
        if not any(key.symbol == symbol for key in keys):
            rows.append(empty_row(symbol, timeframe or "any"))
    return rows
