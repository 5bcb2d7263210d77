"""A store on anything that speaks S3; needs ``pip install trader-sdk[store]``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from trader_sdk.archive.store.faults import RefusedError, UnreachableError, brief, no_such_name
from trader_sdk.archive.store.folder import checked_name
from trader_sdk.contract.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from obstore.store import S3Store

_CONNECT_TIMEOUT: Final = "5s"
_RETRY_SECONDS: Final = 10
_MAX_RETRIES: Final = 4
_SECRET_NAMES: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")


@dataclass(frozen=True, slots=True)
class S3Address:
    """Where objects lie; keys come from the environment as for every S3 client.

    Attributes:
        bucket: The bucket.
        prefix: Prefix of every name, without slashes around it; may be empty.
        endpoint: URL of the service; None: ``AWS_ENDPOINT_URL``, else Amazon's.
        region: Its region; None: ``AWS_REGION``, else us-east-1.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def parse(cls, url: str, *, endpoint: str | None = None, region: str | None = None) -> S3Address:
        """Return the address that ``s3://bucket/prefix`` names.

        Raises:
            UsageError: It is no such URL, or it carries keys.

        Example:
            >>> S3Address.parse("s3://models/desk").prefix
            'desk'
        """
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise UsageError(
                "USAGE",
                "keys do not belong into a URL",
                where="store",
                expected="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
            )
        if parts.scheme != "s3" or not parts.hostname or parts.query or parts.fragment:
            raise UsageError("USAGE", "not an object store", where="store", expected="s3://bucket/prefix")
        return cls(parts.netloc, parts.path.strip("/"), endpoint, region)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True)
class S3Objects:
    """Objects below a prefix of a bucket, created once with ``If-None-Match: *``.

    Args:
        address: Where they lie.
        environment: Holds the keys.
        timeout_seconds: Longest wait for an answer.
    """

    address: S3Address
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    timeout_seconds: float = 30.0

    @property
    def where(self) -> str:
        """Return the URL; it holds no secret."""
        return str(self.address)

    @property
    def key_name(self) -> str | None:
        """Return a name for the access key in use that does not give it away, None without one.

        ``s3-`` and the first 12 digits of the sha256 of the access key id.
        """
        key = self.environment.get("AWS_ACCESS_KEY_ID")
        return f"s3-{hashlib.sha256(key.encode()).hexdigest()[:12]}" if key else None

    def put_new(self, name: str, data: bytes) -> bool:
        """Store bytes under a new name; return False where the name is taken.

        An answer that was lost and asked for again reads as taken: whoever must know compares the bytes.

        Raises:
            UnreachableError: E610, refused or no answer.
        """
        import obstore

        path = str(checked_name(name))
        with self._typed(name):
            try:
                obstore.put(self._client, path, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def get(self, name: str) -> bytes:
        """Return the bytes under a name.

        Raises:
            ArchiveError: E602 where there is no such name.
            UnreachableError: E610, refused or no answer.
        """
        import obstore

        path = str(checked_name(name))
        with self._typed(name):
            try:
                return bytes(obstore.get(self._client, path).bytes())
            except FileNotFoundError as error:
                raise no_such_name(self.where, name) from error

    def exists(self, name: str) -> bool:
        """Return whether a name is taken."""
        import obstore

        path = str(checked_name(name))
        with self._typed(name):
            try:
                obstore.head(self._client, path)
            except FileNotFoundError:
                return False
        return True

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[str]:
        """Yield the names that begin with ``prefix`` and sort behind ``after``, in order."""
        import obstore

        # The service compares whole path parts; a prefix that ends within one is narrowed down here.
        folder = prefix.rpartition("/")[0]
        with self._typed(prefix):
            for page in obstore.list(self._client, folder or None, offset=after or None):
                names = sorted(str(one["path"]) for one in page)
                yield from (name for name in names if name.startswith(prefix) and name > after)

    def age(self, name: str) -> timedelta:
        """Return how long ago an object was written."""
        import obstore

        with self._typed(name):
            try:
                written = obstore.head(self._client, str(checked_name(name)))["last_modified"]
            except FileNotFoundError as error:
                raise no_such_name(self.where, name) from error
        return max(timedelta(0), datetime.now(UTC) - written)

    def remove(self, name: str) -> None:
        """Remove an object; for what no committed record names."""
        import obstore

        with self._typed(name):
            obstore.delete(self._client, str(checked_name(name)))

    @cached_property
    def _client(self) -> S3Store:
        try:
            from obstore.store import S3Store
        except ImportError as error:
            raise ConfigError(
                "CONFIG",
                "an archive on S3 needs obstore",
                where=self.where,
                remedy="pip install 'trader-sdk[store]'",
            ) from error
        with self._typed(""):
            return S3Store(
                self.address.bucket,
                prefix=self.address.prefix or None,
                config=self._config(),  # type: ignore[arg-type] # a TypedDict of options, built by condition
                client_options={
                    "connect_timeout": _CONNECT_TIMEOUT,
                    "timeout": timedelta(seconds=self.timeout_seconds),
                    "allow_http": self._may_speak_plain_http(),
                },
                retry_config={
                    "max_retries": _MAX_RETRIES,
                    "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=50),
                        "max_backoff": timedelta(seconds=2),
                        "base": 2,
                    },
                },
            )

    def _config(self) -> dict[str, Any]:
        environment = self.environment
        options = {
            "endpoint": self.address.endpoint or environment.get("AWS_ENDPOINT_URL"),
            "region": self.address.region or environment.get("AWS_REGION") or "us-east-1",
            "access_key_id": environment.get("AWS_ACCESS_KEY_ID"),
            "secret_access_key": environment.get("AWS_SECRET_ACCESS_KEY"),
            "session_token": environment.get("AWS_SESSION_TOKEN"),
        }
        return {name: value for name, value in options.items() if value}

    def _may_speak_plain_http(self) -> bool:
        endpoint = self._config().get("endpoint", "")
        if not endpoint.startswith("http://"):
            return False
        if urlsplit(endpoint).hostname in ("127.0.0.1", "localhost", "::1"):
            return True
        raise ConfigError(
            "CONFIG",
            "an object store on another host is spoken to by https only",
            where="endpoint",
            expected="https://...",
            found=endpoint,
        )

    @property
    def _secrets(self) -> Collection[str]:
        return [self.environment.get(name, "") for name in _SECRET_NAMES]

    @contextmanager
    def _typed(self, name: str) -> Iterator[None]:
        import obstore

        try:
            yield
        except obstore.exceptions.GenericError as error:
            raise UnreachableError(
                "the object store does not answer", where=self._place(name), found=brief(error, self._secrets)
            ) from error
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise RefusedError(
                "the object store refuses", where=self._place(name), found=brief(error, self._secrets)
            ) from error

    def _place(self, name: str) -> str:
        return f"{self.where}/{name}" if name else self.where
