"""The checks behind ``trader features check``: they pass ours and catch each way of cheating."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.errors import DataError
from trader_sdk.features import FeatureSchema, Ohlcv53Provider, ProviderReport, check_provider

SchemaOf = Callable[..., FeatureSchema]


class LooksAhead(Ohlcv53Provider):
    """Normalises by the whole history."""

    def history(self, bars: Bars) -> np.ndarray:
        """Return rows less their mean over all bars."""
        rows = super().history(bars)
        return rows - rows.mean(axis=0)


class NeverForgets(Ohlcv53Provider):
    """Adds something of the very first bar."""

    def history(self, bars: Bars) -> np.ndarray:
        """Return rows plus the first bar's price."""
        return super().history(bars) + np.float32(bars.close[0])


class HasHoles(Ohlcv53Provider):
    """Gives NaN at times."""

    def history(self, bars: Bars) -> np.ndarray:
        """Return rows with one value missing."""
        rows = super().history(bars)
        rows[7, 7] = np.nan
        return rows


class StreamsOtherwise(Ohlcv53Provider):
    """Observes something else than its history."""

    def observe(self, account: np.ndarray | None = None) -> np.ndarray:
        """Return a shifted observation."""
        return super().observe(account) + np.float32(0.01)


class GivesDoubles(Ohlcv53Provider):
    """Has another dtype."""

    def history(self, bars: Bars) -> np.ndarray:
        """Return float64."""
        return super().history(bars).astype(np.float64)


def failed(report: ProviderReport) -> set[str]:
    """Return the names of the checks that did not hold."""
    return {check.name for check in report.checks if not check.passed}


def test_our_provider_passes_every_check(daily: Bars, schema_of: SchemaOf) -> None:
    """Six checks, all held, and the report carries the hash."""
    schema = schema_of(daily)
    report = check_provider(lambda: Ohlcv53Provider(schema), daily.slice(0, 800), starts=3)
    assert report.passed
    assert len(report.checks) == 6
    assert report.schema_sha256 == schema.sha256


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (LooksAhead, "no look-ahead"),
        (NeverForgets, "finite memory"),
        (HasHoles, "finite"),
        (StreamsOtherwise, "history equals streaming"),
        (GivesDoubles, "shape"),
    ],
)
def test_each_way_of_cheating_is_caught(
    daily: Bars, schema_of: SchemaOf, kind: type[Ohlcv53Provider], caught: str
) -> None:
    """The check that is meant for it says so."""
    schema = schema_of(daily)
    assert caught in failed(check_provider(lambda: kind(schema), daily.slice(0, 800), starts=2))


def test_a_schema_that_changes_between_providers_is_caught(daily: Bars, schema_of: SchemaOf) -> None:
    """Two providers of one name must have one identity."""
    versions = iter(["2.3.0", "2.7.0", "2.3.0", "2.7.0", "2.3.0", "2.7.0"])
    report = check_provider(lambda: Ohlcv53Provider(schema_of(daily, next(versions))), daily.slice(0, 800), starts=2)
    assert "stable hash" in failed(report)


def test_too_few_bars_for_the_checks_are_refused(daily: Bars, schema_of: SchemaOf) -> None:
    """A check that compared nothing would pass everything."""
    schema = schema_of(daily)
    with pytest.raises(DataError, match="too few bars"):
        check_provider(lambda: Ohlcv53Provider(schema), daily.slice(0, 500))


def test_the_command_prints_every_check_and_ends_zero(capsys: pytest.CaptureFixture[str]) -> None:
    """``trader features check`` on the package's own provider."""
    argv = ("features", "check", "--data", "vendored", "--symbol", "MSFT", "--json", "1")
    assert run_app(build_app(argv), argv) == 0
    table, verdict = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [row["result"] for row in table["rows"]] == ["ok"] * 6
    assert (verdict["event"], verdict["passed"]) == ("provider_checked", True)


def test_the_schema_command_prints_hash_and_document(capsys: pytest.CaptureFixture[str]) -> None:
    """What a checkpoint should hold can be read off the command line."""
    argv = ("features", "schema", "--timeframe", "1Min", "--json", "1")
    assert run_app(build_app(argv), argv) == 0
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["document"]["timeframe"] == "1Min"
    assert event["sha256"].startswith("sha256:")
