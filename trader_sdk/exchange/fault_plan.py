"""The fault plan: a strict file that says what goes wrong between the venue and its clients, and when.

A plan is TOML or JSON. It holds any number of faults; each one matches something that happens (a request, a stream
message, a connection, a bar, a step of the trader) and says what becomes of it. docs/guide/faults.md shows every field.

Example:
    >>> plan = FaultPlan.model_validate({"faults": [{"kind": "http", "method": "POST", "path": "/v2/orders",
    ...                                              "effect": "reset", "stage": "after"}]})
    >>> plan.faults[0].nth, plan.faults[0].times
    (1, 1)
"""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trader_sdk.contract.errors import ConfigError
from trader_sdk.exchange.events import Act, Intervene
from trader_sdk.exchange.faults import StreamName

PLAN_SCHEMA: Final = 1


class Stage(StrEnum):
    """Whether a fault strikes before the venue acted on a request or after."""

    BEFORE = "before"
    AFTER = "after"


class HttpEffect(StrEnum):
    """What becomes of a request or its reply."""

    PASS = "pass"  # noqa: S105 - a word of the plan's vocabulary, no password: nothing but the acts happens
    STATUS = "status"
    EDIT = "edit"
    SKEW = "skew"
    TRUNCATE = "truncate"
    EMPTY = "empty"
    DELAY = "delay"
    HANG = "hang"
    DRIP = "drip"
    CUT = "cut"
    RESET = "reset"


class StreamEffect(StrEnum):
    """What becomes of one message of a stream."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    MUTE = "mute"
    EDIT = "edit"
    SKEW = "skew"
    GARBAGE = "garbage"
    CLOSE = "close"


class ConnectionEffect(StrEnum):
    """What becomes of a stream's connection."""

    REFUSE = "refuse"
    DENY = "deny"
    CLOSE = "close"


class KillPoint(StrEnum):
    """Where a trader's process is killed."""

    SUBMIT = "submit"
    COMMIT = "commit"
    READ = "read"
    ADVANCE = "advance"
    INTENT = "intent"
    FILL = "fill"
    ROUND = "round"
    WRITE = "write"
    CHECKPOINT = "checkpoint"
    CANDIDATE = "candidate"
    SWAP = "swap"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VenueAct(_Part):
    """Something that the venue, or somebody else with the account, does.

    Attributes:
        act: What.
        symbol: Whose.
        amount: Units of ``order``, ``fill`` and ``replace``, new shares for one of ``split``, money of ``cash``, half
            the width of ``band`` as a fraction of the last price.
        side: Of ``order``.
        price: Limit of ``order`` and ``replace``.
        into: New name of ``rename``.
    """

    act: Act
    symbol: str = ""
    amount: Decimal | None = None
    side: Literal["buy", "sell"] | None = None
    price: Decimal | None = None
    into: str = ""

    def command(self) -> Intervene:
        """Return the venue's command."""
        return Intervene(self.act, self.symbol, self.amount, self.side, self.price, self.into)


class _Matched(_Part):
    """What every fault that waits for a match has.

    Attributes:
        nth: Strikes from the n-th match on.
        times: How often; 0 for ever.
    """

    nth: int = Field(default=1, ge=1)
    times: int = Field(default=1, ge=0)

    def strikes(self, match: int) -> bool:
        """Return whether match number ``match`` (from 1) is struck."""
        return match >= self.nth and (self.times == 0 or match < self.nth + self.times)


class HttpFault(_Matched):
    """A request that goes wrong.

    Attributes:
        method: ``GET``, ``POST``, ``DELETE``, ``PATCH`` or ``*``.
        path: A shell pattern over the path, ``/v2/orders*`` for instance.
        symbol: Only orders of this symbol (in the body or the query).
        client_order_id: Only orders whose id matches this shell pattern.
        effect: ``status`` answers with ``status``, ``headers`` and ``body``; ``edit`` merges ``patch`` into the JSON
            reply; ``skew`` moves every time in it by ``seconds``; ``truncate`` keeps ``keep`` of its bytes; ``empty``
            none; ``delay`` waits ``seconds``; ``hang`` never answers; ``drip`` sends a byte every ``seconds``; ``cut``
            hangs up in the middle; ``reset`` resets the connection; ``pass`` leaves it alone, for the acts' sake.
        stage: ``before``: the venue never sees the request (after a ``delay`` it does); ``after``: it has acted on it.
        before, after: What happens at the venue before and after it saw, or would have seen, the request.
    """

    kind: Literal["http"] = "http"
    method: str = "*"
    path: str = "*"
    symbol: str | None = None
    client_order_id: str | None = None
    effect: HttpEffect
    stage: Stage = Stage.AFTER
    status: int = Field(default=500, ge=200, le=599)
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | dict[str, Any] = ""
    patch: dict[str, Any] = Field(default_factory=dict)
    seconds: float = Field(default=1.0)
    keep: float = Field(default=0.5, ge=0, lt=1)
    before: tuple[VenueAct, ...] = ()
    after: tuple[VenueAct, ...] = ()

    @model_validator(mode="after")
    def _reply_exists(self) -> Self:
        needs_reply = {HttpEffect.EDIT, HttpEffect.SKEW, HttpEffect.TRUNCATE, HttpEffect.EMPTY, HttpEffect.PASS}
        if self.effect in needs_reply and self.stage is Stage.BEFORE:
            raise ValueError(f"{self.effect} spoils a reply, so its stage is after")
        return self


class StreamFault(_Matched):
    """A stream message that goes wrong.

    Attributes:
        stream: ``trade_updates`` or ``market_data``.
        event: Shell pattern over the order event (``fill``, ``partial_fill``, ...) or the data type (``b``, ``s``).
        symbol: Only messages of this symbol.
        effect: ``drop``; ``duplicate`` (the copy has ``patch`` merged in, and with ``late`` comes right before
            the next message, when the first was dealt with); ``reorder`` (sent after the next one);
            ``mute`` (nothing more until a connection is opened anew); ``edit`` merges ``patch``; ``skew`` moves its
            times by ``seconds``; ``garbage`` sends ``body`` instead; ``close`` ends the connection with ``code``
            instead.
    """

    kind: Literal["stream"] = "stream"
    stream: StreamName
    event: str = "*"
    symbol: str | None = None
    effect: StreamEffect
    patch: dict[str, Any] = Field(default_factory=dict)
    seconds: float = 0.0
    body: str = "{"
    late: bool = False
    code: int = 1006


class ConnectionFault(_Matched):
    """A stream's connection that goes wrong; ``nth`` counts connections.

    Attributes:
        stream: Which.
        effect: ``refuse`` answers the authentication with an error; ``deny`` the subscription; ``close`` ends the
            connection ``seconds`` after it was let in.
        code, message: Of the error.
    """

    kind: Literal["connection"] = "connection"
    stream: StreamName
    effect: ConnectionEffect
    code: int = 406
    message: str = "connection limit exceeded"
    seconds: float = Field(default=0.0, ge=0)


class VenueFault(_Part):
    """Something that happens at the venue after the n-th replayed bar was released."""

    kind: Literal["venue"] = "venue"
    bar: int = Field(ge=1)
    acts: tuple[VenueAct, ...] = Field(min_length=1)


class KillFault(_Part):
    """The trader's process is killed at the n-th call of one of its steps; the exchange ignores it."""

    kind: Literal["kill"] = "kill"
    point: KillPoint
    nth: int = Field(default=1, ge=1)
    stage: Stage = Stage.BEFORE


Fault = Annotated[HttpFault | StreamFault | ConnectionFault | VenueFault | KillFault, Field(discriminator="kind")]


class FaultPlan(_Part):
    """Everything that goes wrong in one run, in the order in which it is looked at: the first match strikes."""

    schema_: Literal[1] = Field(default=PLAN_SCHEMA, alias="schema")
    name: str = ""
    faults: tuple[Fault, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def dump(self) -> dict[str, Any]:
        """Return the plan as plain JSON data, defaults left out, that :func:`load_plan` reads."""
        return {"schema": PLAN_SCHEMA, **self.model_dump(mode="json", by_alias=True, exclude_defaults=True)} | {
            "faults": [
                {"kind": fault.kind, **fault.model_dump(mode="json", exclude_defaults=True)} for fault in self.faults
            ]
        }


def parse_plan(data: object, *, where: str) -> FaultPlan:
    """Return a validated plan.

    Raises:
        ConfigError: With every fault of the document.
    """
    try:
        return FaultPlan.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ConfigError("CONFIG", "not a fault plan", where=where, found=faults[:800]) from error


def read_document(path: Path) -> dict[str, Any]:
    """Read a ``.toml`` or ``.json`` file that holds an object.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError("CONFIG", "the fault plan cannot be read", where=str(path), found=error) from error
    if not isinstance(data, dict):
        raise ConfigError("CONFIG", "not a fault plan", where=str(path), expected="an object", found=type(data))
    return data


def load_plan(path: Path) -> FaultPlan:
    """Read a plan from a ``.toml`` or ``.json`` file.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    return parse_plan(read_document(path), where=str(path))
