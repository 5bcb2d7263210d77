"""Archives by name or URL: ``[archive.<name>]`` tables of ``trader.toml``, and what an address alone says."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from trader_sdk.contract.audit import AuditRecord, Who
from trader_sdk.contract.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trader_sdk.archive.index.archive_index import ArchiveIndex
    from trader_sdk.archive.location import Place
    from trader_sdk.archive.store.chain import ChainHead
    from trader_sdk.archive.store.port import Store

CONFIG_FILE: Final = "trader.toml"
CONFIG_VARIABLE: Final = "TRADER_CONFIG"
CACHE_VARIABLE: Final = "TRADER_ARCHIVE_CACHE"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# pathlib takes one of a URL's two slashes away.
_URL: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+]+):/{1,2}(?P<rest>[^/].*)")
_MAX_OFFLINE_HOURS: Final = 24 * 7


class NamedArchive(BaseModel):
    """One ``[archive.<name>]`` table.

    Attributes:
        store: ``s3://bucket/prefix`` or a folder.
        index: ``postgresql://...``; without it the chain lies in the store.
        endpoint: URL of an S3-compatible service; Amazon's when omitted.
        region: Its region.
        offline_hours: How long this host's copy may stand in for an archive that does not answer; 0: never.
        second_person: Whether nobody may lift or promote what they archived themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store: Annotated[str, Field(min_length=1)]
    index: SecretStr | None = None
    endpoint: str | None = None
    region: str | None = None
    offline_hours: Annotated[float, Field(ge=0, le=_MAX_OFFLINE_HOURS, allow_inf_nan=False)] = 0.0
    second_person: bool = False


def named_place(archive: str) -> Place | None:
    """Return the place that a name or a URL stands for, ``None`` for a folder.

    A bare word that ``trader.toml`` names is that archive; ``./word`` is the folder.

    Raises:
        UsageError: It is a URL that no archive lies at.
        ConfigError: ``trader.toml`` cannot be read.
    """
    url = _URL.fullmatch(archive)
    if url is not None:
        return _place(NamedArchive(store=f"{url['scheme']}://{url['rest']}"))
    if _NAME.fullmatch(archive) is None:
        return None
    named = named_archives().get(archive)
    return _place(named) if named is not None else None


def named_archives(environment: Mapping[str, str] = os.environ) -> dict[str, NamedArchive]:
    """Return the archives that ``trader.toml`` and the environment name.

    The file is ``TRADER_CONFIG``, or ``trader.toml`` in the working directory, or in the user's configuration folder.
    ``TRADER__ARCHIVE__<NAME>__<SETTING>`` stands before the file, so that a password need not lie in one.

    Raises:
        ConfigError: The file cannot be read, or a setting is unknown or invalid.
    """
    path = _config_file(environment)
    tables = _tables(path) if path is not None else {}
    for name, settings in _of_environment(environment).items():
        known = next((one for one in tables if one.upper().replace("-", "_") == name), name.lower())
        tables[known] = {**tables.get(known, {}), **settings}
    return {name: _validated(name, settings, path) for name, settings in tables.items()}


def asks_for_second_person(archive: object) -> bool:
    """Return whether an archive's table in ``trader.toml`` asks for a second person.

    Raises:
        ConfigError: ``trader.toml`` cannot be read.
    """
    if not isinstance(archive, str | Path) or _NAME.fullmatch(str(archive)) is None:
        return False
    named = named_archives().get(str(archive))
    return named is not None and named.second_person


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where copies of shared archives lie on this host: ``TRADER_ARCHIVE_CACHE``, or the user's cache folder."""
    from platformdirs import user_cache_path

    stated = environment.get(CACHE_VARIABLE)
    return Path(stated).expanduser() if stated else user_cache_path("trader-sdk", appauthor=False) / "archives"


def _place(named: NamedArchive) -> Place:
    if named.index is None and "://" not in named.store:
        from trader_sdk.archive.local import FolderPlace

        return FolderPlace(Path(named.store).expanduser())
    from trader_sdk.archive.shared import SharedPlace
    from trader_sdk.archive.store.mirror import Mirror

    store, offline_for = _store(named), timedelta(hours=named.offline_hours)
    if named.index is not None:
        from trader_sdk.archive.store.postgres import PostgresChain

        def index() -> ArchiveIndex:
            from trader_sdk.archive.index.archive_index import ArchiveIndex

            return ArchiveIndex(url)

        kept = cache(index)  # it connects to nothing: records go in on the connection that commits them

        def along(connection: Connection, record: AuditRecord, head: ChainHead) -> None:
            with kept().database.typed_errors():
                kept().advance_within(connection, [record], head)

        url = named.index.get_secret_value()
        chain = PostgresChain(url, along)
        mirror = Mirror(_copy_folder(_origin(store), chain.where))
        return SharedPlace(store, chain, mirror, lambda: Who(kind="database", name=chain.role), index, offline_for)
    from trader_sdk.archive.store.object_chain import ObjectChain

    key = getattr(store, "key_name", None)
    known = Who(kind="key", name=key) if key else None
    return SharedPlace(
        store, ObjectChain(store), Mirror(_copy_folder(_origin(store))), lambda: known, None, offline_for
    )


def _store(named: NamedArchive) -> Store:
    if "://" not in named.store:
        from trader_sdk.archive.store.folder import FolderStore

        return FolderStore(Path(named.store).expanduser().resolve())
    if not named.store.startswith("s3://"):
        scheme = named.store.partition("://")[0]
        raise UsageError(
            "USAGE", "no archive lies behind such a URL", where="archive", expected="s3://bucket/prefix", found=scheme
        )
    from trader_sdk.archive.store.s3 import S3Address, S3Objects

    address = S3Address.parse(named.store, endpoint=named.endpoint, region=named.region)
    return S3Objects(replace(address, endpoint=address.endpoint or os.environ.get("AWS_ENDPOINT_URL")))


def _origin(store: Store) -> str:
    # Two services may have buckets of one name; a copy of one must never be taken for the other's.
    address = getattr(store, "address", None)
    return f"{getattr(address, 'endpoint', None) or ''} {store.where}"


def _copy_folder(*places: str) -> Path:
    digest = hashlib.sha256("\n".join(places).encode()).hexdigest()
    return cache_folder() / digest[:16]


def _config_file(environment: Mapping[str, str]) -> Path | None:
    stated = environment.get(CONFIG_VARIABLE)
    if stated:
        return Path(stated).expanduser()
    from platformdirs import user_config_path

    folders = (Path(), user_config_path("trader-sdk", appauthor=False))
    return next((folder / CONFIG_FILE for folder in folders if (folder / CONFIG_FILE).is_file()), None)


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    try:
        with path.open("rb") as stream:
            tables = tomllib.load(stream).get("archive", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("CONFIG", "the configuration cannot be read", where=str(path), found=error) from error
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError("CONFIG", "archives are tables", where=str(path), expected="[archive.<name>]")
    return dict(tables)


def _of_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for variable, value in environment.items():
        match variable.split("__"):
            case ["TRADER", "ARCHIVE", name, setting] if name and setting:
                found.setdefault(name, {})[setting.lower()] = value
            case _:
                continue
    return found


def _validated(name: str, settings: Mapping[str, Any], path: Path | None) -> NamedArchive:
    where = f"[archive.{name}] in {path or 'the environment'}"
    if _NAME.fullmatch(name) is None:
        raise ConfigError("CONFIG", "not the name of an archive", where=where, expected="letters, digits, - and _")
    try:
        return NamedArchive.model_validate(settings)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError("CONFIG", "this archive's settings do not work", where=where, found=faults) from error
