"""Where a broker lives, as one frozen value: Alpaca's paper house, its live house, or a twin on loopback."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import urlsplit

from trader_sdk.contract.bars import DataKind
from trader_sdk.contract.errors import ConfigError

ALPACA_REQUESTS_PER_MINUTE: Final = 200
"""Alpaca's documented limit of a basic account."""


class Venue(StrEnum):
    """Whose money is at stake."""

    PAPER = "alpaca-paper"
    LIVE = "alpaca-live"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one HTTP request may take, in seconds; all on the monotonic clock."""

    connect_seconds: float = 3.0
    read_seconds: float = 5.0
    total_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One venue's addresses.

    Args:
        venue: Paper, live or local.
        rest_url, data_url: Without a trailing slash and without ``/v2``.
        trading_stream_url, data_stream_url: Full websocket addresses.
        feed: ``iex`` or ``sip``, as requests name it.
        feed_label: What volumes are called in ``Bars.feed``; the feed itself when empty.
        data_kind: Real or simulated bars.
        requests_per_minute: The venue's limit, None for no limit.
        crypto_stream_url: Stream of crypto bars, empty where the venue has none.

    Raises:
        ConfigError: A local endpoint is not on loopback, or a remote one is not encrypted.
    """

    venue: Venue
    rest_url: str
    data_url: str
    trading_stream_url: str
    data_stream_url: str
    feed: str = "iex"
    feed_label: str = ""
    data_kind: DataKind = DataKind.REAL
    requests_per_minute: int | None = ALPACA_REQUESTS_PER_MINUTE
    crypto_stream_url: str = ""

    def __post_init__(self) -> None:
        for url in (self.rest_url, self.data_url, self.trading_stream_url, self.data_stream_url):
            _check(self.venue, url)
        if self.feed not in ("iex", "sip"):
            raise ConfigError("CONFIG", "unknown data feed", where="feed", expected="iex or sip", found=self.feed)

    @property
    def volume_label(self) -> str:
        """Return the name of the feed that volumes come from."""
        return self.feed_label or self.feed


def is_loopback(url: str) -> bool:
    """Return whether ``url`` names this machine without asking a name server.

    Example:
        >>> is_loopback("http://127.0.0.1:8080"), is_loopback("https://api.alpaca.markets")
        (True, False)
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(venue: Venue, url: str) -> None:
    if venue is Venue.LOCAL:
        if not is_loopback(url):
            raise ConfigError("CONFIG", "a local venue must be on loopback", where=url, expected="127.0.0.1")
    elif urlsplit(url).scheme not in ("https", "wss"):
        raise ConfigError("CONFIG", "keys are only sent encrypted", where=url, expected="https or wss")


def alpaca_paper(*, feed: str = "iex") -> Endpoint:
    """Return Alpaca's paper trading endpoint."""
    return _alpaca(Venue.PAPER, "paper-api.alpaca.markets", feed)


def alpaca_live(*, feed: str = "iex") -> Endpoint:
    """Return Alpaca's endpoint for real money."""
    return _alpaca(Venue.LIVE, "api.alpaca.markets", feed)


def _alpaca(venue: Venue, host: str, feed: str) -> Endpoint:
    return Endpoint(
        venue,
        rest_url=f"https://{host}",
        data_url="https://data.alpaca.markets",
        trading_stream_url=f"wss://{host}/stream",
        data_stream_url=f"wss://stream.data.alpaca.markets/v2/{feed}",
        feed=feed,
        crypto_stream_url="wss://stream.data.alpaca.markets/v1beta3/crypto/us",
    )


class ExchangeAddresses(Protocol):
    """What a running exchange on this machine says of itself."""

    @property
    def rest_url(self) -> str:
        """Return the base address of the trading API."""

    @property
    def data_url(self) -> str:
        """Return the base address of market data."""

    @property
    def trading_stream_url(self) -> str:
        """Return the address of the order stream."""

    @property
    def data_stream_url(self) -> str:
        """Return the address of the stock stream."""

    @property
    def crypto_stream_url(self) -> str:
        """Return the address of the crypto stream."""


def local_endpoint(
    exchange: ExchangeAddresses, *, feed_label: str = "", data_kind: DataKind = DataKind.REAL
) -> Endpoint:
    """Return the endpoint of an exchange on this machine; it has no request limit.

    Args:
        exchange: A started ``LocalExchange``.
        feed_label: Feed of the bars that it replays (``Bars.feed``), so that history read back says the same.
        data_kind: Kind of those bars.
    """
    return Endpoint(
        Venue.LOCAL,
        exchange.rest_url.rstrip("/"),
        exchange.data_url.rstrip("/"),
        exchange.trading_stream_url,
        exchange.data_stream_url,
        feed_label=feed_label,
        data_kind=data_kind,
        requests_per_minute=None,
        crypto_stream_url=exchange.crypto_stream_url,
    )
