"""What people say of one file beside the file itself: pins assert, recalls forbid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from trader_sdk.contract.detect import Detection, VersionSource
from trader_sdk.contract.errors import Finding
from trader_sdk.contract.spec import MODEL_SPECS


@dataclass(frozen=True, slots=True)
class Pin:
    """What a person asserts about one file, named by its sha256 (hex)."""

    sha256: str
    version: str | None = None
    activation: str | None = None
    feature_schema: str | None = None
    who: str = ""
    why: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """A file (sha256 hex) or a model version that must not run any more."""

    sha256: str | None = None
    version: str | None = None
    who: str = ""
    why: str = ""


def bare(digest: str) -> str:
    """Return a digest's digits, without ``sha256:``."""
    return digest.removeprefix("sha256:")


def pins_in_force(pins: Iterable[Pin], sha256: str | None, at: datetime | None) -> list[Pin]:
    """Return the pins of one file that hold at ``at``; one with an end never holds without a time."""
    if sha256 is None:
        return []
    return [
        pin
        for pin in pins
        if bare(pin.sha256) == bare(sha256) and (pin.until is None or (at is not None and at < pin.until))
    ]


def pinned(detection: Detection, pins: Sequence[Pin]) -> Detection:
    """Return the detection with what pins add: a version among several, an activation where none is stated."""
    for pin in pins:
        if pin.version is not None and detection.ambiguous and pin.version in detection.candidates:
            detection = replace(
                detection,
                version=pin.version,
                spec=MODEL_SPECS[pin.version],
                candidates=(pin.version,),
                source=VersionSource.PIN,
            )
        if pin.activation is not None and detection.activation is None:
            detection = replace(detection, activation=pin.activation)
    return detection


def asserted_schema(pins: Iterable[Pin]) -> str | None:
    """Return the ``sha256:<hex>`` of the features that a pin asserts."""
    return next((f"sha256:{bare(pin.feature_schema)}" for pin in pins if pin.feature_schema is not None), None)


def pin_conflicts(detection: Detection, pins: Iterable[Pin], stated_schema: str | None) -> list[Finding]:
    """Return a finding for each assertion that the file itself contradicts: a pin completes a file, it corrects none.

    Args:
        detection: What the file says.
        pins: Those in force.
        stated_schema: ``sha256:<hex>`` of the features that the file states.
    """
    conflicts = []
    for pin in pins:
        if pin.version is not None and pin.version not in detection.candidates:
            conflicts.append(Finding("E301", "pin: version", detection.version, pin.version))
        if pin.activation is not None and detection.activation not in (None, pin.activation):
            conflicts.append(Finding("E301", "pin: activation", str(detection.activation), pin.activation))
        if pin.feature_schema is not None and stated_schema not in (None, f"sha256:{bare(pin.feature_schema)}"):
            conflicts.append(Finding("E304", "pin: feature_schema", str(stated_schema), pin.feature_schema))
    return conflicts


def recall_findings(detection: Detection, sha256: str | None, recalls: Iterable[Recall]) -> list[Finding]:
    """Return E505 for each recall of this file, of one that it was stamped from, or of its version."""
    # A stamped copy is other bytes with the same weights: what was recalled stays recalled.
    lineage = detection.metadata.fields.get("lineage", {})
    ancestors = (sha256, lineage.get("stamped_from"), *_texts(lineage.get("stamped_earlier")))
    digests = {bare(str(one)) for one in ancestors if one is not None}
    return [
        recalled(recall)
        for recall in recalls
        if (recall.sha256 is not None and bare(recall.sha256) in digests)
        or (recall.version is not None and recall.version in detection.candidates)
    ]


def recalled(recall: Recall) -> Finding:
    """Return what a recall says of what it names."""
    where = recall.sha256 or f"model {recall.version}"
    return Finding("E505", where=where, actual=f"recalled by {recall.who}: {recall.why}")


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()
