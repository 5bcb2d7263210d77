"""Addresses, what may be sent to them, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from alpaca.common.enums import BaseURL

from trader_sdk.broker.endpoint import Venue, alpaca_live, alpaca_paper, is_loopback
from trader_sdk.contract.errors import ConfigError


def test_alpacas_addresses_are_the_clients_own():
    """What we pass explicitly is what alpaca-py would use."""
    paper, live = alpaca_paper(), alpaca_live()
    assert (paper.rest_url, live.rest_url) == (BaseURL.TRADING_PAPER.value, BaseURL.TRADING_LIVE.value)
    assert paper.trading_stream_url == BaseURL.TRADING_STREAM_PAPER.value
    assert live.trading_stream_url == BaseURL.TRADING_STREAM_LIVE.value
    assert paper.data_url == live.data_url == BaseURL.DATA.value
    assert paper.data_stream_url == BaseURL.MARKET_DATA_STREAM.value + "/v2/iex"
    assert paper.crypto_stream_url == BaseURL.MARKET_DATA_STREAM.value + "/v1beta3/crypto/us"
    assert paper.volume_label == "iex"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1", True),
        ("ws://127.8.8.8/stream", True),
        ("http://[::1]:1", True),
        ("http://localhost:1", True),
        ("http://127.0.0.1.example.com", False),
        ("http://localhost.example.com", False),
        ("http://192.0.2.1", False),
        ("", False),
    ],
)
def test_loopback_is_recognised_without_asking_a_name_server(url, expected):
    """A name that merely looks local is not."""
    assert is_loopback(url) is expected


@pytest.mark.parametrize("field", ["rest_url", "data_url", "trading_stream_url", "data_stream_url"])
def test_endpoint_is_refused_when_keys_would_leave_unprotected(field):
    """A remote address is encrypted, a local one is local."""
    with pytest.raises(ConfigError):
        replace(alpaca_paper(), **{field: "http://paper-api.alpaca.markets"})
    with pytest.raises(ConfigError):
        replace(alpaca_paper(), venue=Venue.LOCAL)


def test_endpoint_is_refused_when_its_feed_is_unknown():
    """Only the feeds that the client streams are offered."""
    with pytest.raises(ConfigError):
        alpaca_paper(feed="otc")


def test_port_loads_no_client_library_when_imported():
    """Whoever codes against the port needs neither alpaca-py nor what it pulls in."""
    modules = ["port", "quantise", "parsing", "wire_bars", "stream_frames", "endpoint", "credentials", "replies"]
    code = "; ".join(
        [
            *(f"import trader_sdk.broker.{name}" for name in modules),
            "import sys",
            "print([m for m in ('alpaca', 'pandas', 'requests', 'websockets', 'torch') if m in sys.modules])",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
