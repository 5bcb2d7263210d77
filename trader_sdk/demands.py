"""What a caller asks of a model beyond its approval."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from trader_sdk.contract.compatibility import Mode, Pin, Recall
from trader_sdk.contract.errors import Finding
from trader_sdk.contract.pins import bare, recalled
from trader_sdk.contract.verdicts import Verdict

if TYPE_CHECKING:
    from trader_sdk.signing import PublicKey


@dataclass(frozen=True, slots=True)
class Demands:
    """What :func:`~trader_sdk.approved.load_approved` was told of the model itself.

    Attributes:
        strict_version: Whether POLICY findings refuse.
        signers: Keys one of which must have signed; None where no signature is required.
        max_model_age: Older models are stale (W706).
        pins: What people assert about files.
        recalls: What must not run any more.
        mapped: Whether the artefact's pages are shared between processes.
    """

    strict_version: bool
    signers: Collection[PublicKey] | None
    max_model_age: timedelta | None
    pins: Sequence[Pin]
    recalls: Sequence[Recall]
    mapped: bool

    @property
    def mode(self) -> Mode:
        """Return how POLICY findings are treated."""
        return Mode.STRICT if self.strict_version else Mode.WARN

    def recall_of(self, verdict: Verdict) -> Finding | None:
        """Return the recall of any file that a verdict is about: the trained one, its artefacts, the policy."""
        digests = {bare(digest) for digest in (verdict.policy_sha256 or "", *(one.sha256 for one in verdict.subjects))}
        return next((recalled(one) for one in self.recalls if one.sha256 and bare(one.sha256) in digests), None)


def recalls_of(recalls: Path | str | Sequence[Recall] | None) -> Sequence[Recall]:
    """Return recalls as they are, or read from a ``recalls.toml``.

    Raises:
        ConfigError: The file cannot be read.
    """
    if recalls is None:
        return ()
    if not isinstance(recalls, Path | str):
        return recalls
    from trader_sdk.checkpoint.pins import read_recalls

    return read_recalls(recalls)
