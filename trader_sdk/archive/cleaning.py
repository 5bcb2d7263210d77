"""Remove what writers that died left behind: files that no record names, never anything that one does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

from trader_sdk.archive.governance import Decider
from trader_sdk.archive.location import Place, committing
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.contract.audit import AuditKind

DEFAULT_MIN_AGE: Final = timedelta(days=7)
"""A writer's files lie unnamed for seconds; a week is far beyond any that is still alive."""


def remove_leftovers(
    archive: Path | str | Place, *, min_age: timedelta = DEFAULT_MIN_AGE, decider: Decider | None = None
) -> tuple[str, ...]:
    """Remove old files that no record names; the chain says so before they are gone.

    Args:
        archive: The archive's folder, its name in ``trader.toml``, or its URL.
        min_age: Younger files may be of a writer that commits in a moment; they stay.
        decider: Who and when; whoever is logged in, now, when omitted.

    Returns:
        The names that were removed.

    Raises:
        ArchiveError: E608 without an archive, E602 where a verdict cannot be read and so it is not known what is named,
            E605 while other writers keep it busy, E610 where it does not answer.
    """
    place, acting = ArchiveReader(archive).place, decider or Decider()
    who = acting.identity(place)

    def attempt() -> tuple[str, ...]:
        reader = ArchiveReader(place)
        left = place.leftovers(reader.state.runs, _named(reader))
        old = [one.name for one in left if one.age is not None and one.age >= min_age]
        if old:
            body = {"what": "files removed that no record names", "names": old}
            place.chain.append(AuditKind.REPAIR, body, who=who, at=acting.time(), expected=reader.head)
            place.keep_index()
        return _remove(place, old)

    return committing(place, acting.timeout_seconds, attempt)


def _remove(place: Place, names: list[str]) -> tuple[str, ...]:
    removed = {name: place.discard(name) for name in names}
    if not any(removed.values()):
        return tuple(removed)
    # A writer may have found a file there, and committed a run that names it, before it was gone.
    named = _named(ArchiveReader(place))
    back = {name: data for name, data in removed.items() if data and name.rpartition("/")[2] in named}
    for name, data in back.items():
        place.put_named(name, data)
    return tuple(name for name in removed if name not in back)


def _named(reader: ArchiveReader) -> set[str]:
    """Return the digests of every file that a record names, directly or through a verdict."""
    digests = {digest for run in reader.state.runs.values() for digest in run.files.values()}
    for ref in reader.state.verdicts.values():
        digests |= {subject.sha256 for subject in reader.judged(ref).verdict.subjects}
    return digests
