"""Judging outside models: which bars count, whose word it is, whose features, and that the numbers are the gate's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trader_sdk import NativeModelWrapper, load_approved
from trader_sdk.archive.blocks import PURGE_BARS, equal_windows
from trader_sdk.archive.metrics import gate_final, house_metrics
from trader_sdk.archive.pointers import aliased, model_file
from trader_sdk.archive.reader import ArchiveReader
from trader_sdk.archive.verify import verify
from trader_sdk.archive.walk import NO_DECISION, Prices, walk_windows
from trader_sdk.checkpoint import read_checkpoint
from trader_sdk.checkpoint.safetensors_format import safetensors_bytes
from trader_sdk.cli import build_app, run_app
from trader_sdk.contract.bars import Bars
from trader_sdk.contract.costs import cost_model
from trader_sdk.contract.errors import ContractError, DataError, LifecycleError, SdkError, UsageError
from trader_sdk.data import load_bars
from trader_sdk.data.calendar import bars_per_year
from trader_sdk.demo import demo_archive_path
from trader_sdk.evaluate import Columns, Evaluation, TrainedUntil, evaluate

OUTSIDE = (
    "data_start",
    "data_end",
    "symbol",
    "timeframe",
    "lineage",
    "label",
    "feature_schema",
    "feature_schema_sha256",
)
OWN = "trader_sdk.features:Ohlcv53Provider"
SOURCE = "planted:bars=4000,seed=11"


@pytest.fixture(scope="module")
def bars() -> Bars:
    """Return 4,000 bars that no demo model was trained on."""
    return load_bars(SOURCE, "SIM", "1Min")


@pytest.fixture(scope="module")
def demo_file() -> Path:
    """Return the demo champion's file."""
    reader = ArchiveReader(demo_archive_path())
    return model_file(reader, aliased(reader.state, "models:/SIM/1Min@champion"))


@pytest.fixture(scope="module")
def outside(demo_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes the demo's policy as somebody else would: without saying where it is from."""
    raw = read_checkpoint(demo_file)

    def write(**said: Any) -> Path:
        fields = {name: value for name, value in raw.metadata.items() if name not in OUTSIDE}
        fields["action_meanings"] = {str(index): name for index, name in fields["action_meanings"].items()}
        path = tmp_path_factory.mktemp("outside") / "vendor.safetensors"
        path.write_bytes(safetensors_bytes(dict(raw.tensors), {**fields, **said}))
        return path

    return write


def at(bars: Bars, index: int) -> str:
    """Return the start of a bar, RFC 3339."""
    return f"{np.datetime64(int(bars.t[index]), 'ns').astype('datetime64[s]')}Z"


def judged(path: Path, bars: Bars, until: str, **options: Any) -> Evaluation:
    """Evaluate a file on this package's own columns."""
    model = NativeModelWrapper(path)
    return evaluate(
        model, bars, columns=Columns.of(model, bars, OWN), trained_until=TrainedUntil.of(until, "ann"), **options
    )


def test_only_bars_after_the_date_and_a_purge_are_judged(outside: Callable[..., Path], bars: Bars) -> None:
    """From 100 bars after the asserted moment to the end, less what does not divide by seven."""
    found = judged(outside(), bars, at(bars, 1000))
    first = len(bars) - len(found.block)
    assert found.block.t[-1] == bars.t[-1]
    assert 1000 + PURGE_BARS <= first < 1000 + PURGE_BARS + 7
    assert (found.metrics.n_bars, found.metrics.n_windows) == (len(found.block), 7)


def test_a_date_alone_means_that_the_whole_day_was_seen(bars: Bars) -> None:
    """The careful reading: a model trained until a day saw that day."""
    day = TrainedUntil.of("2021-01-04", "ann")
    assert day.ns == TrainedUntil.of("2021-01-05T00:00:00Z", "ann").ns
    assert int(bars.t[0]) < day.ns


def test_numbers_are_those_of_the_gate_itself(outside: Callable[..., Path], bars: Bars) -> None:
    """The same windows walked by hand give the same metrics, folds and tier to the last digit."""
    found = judged(outside(), bars, at(bars, 1000))
    model = NativeModelWrapper(outside())
    market = Columns.of(model, bars, OWN).provider.history(bars)
    warm_up = len(bars) - len(market)
    block = range(max(1000 + PURGE_BARS, warm_up + 99) - warm_up, len(market))
    prices = Prices(bars.t[warm_up:], bars.open[warm_up:], bars.close[warm_up:], bars.timeframe.seconds)
    windows = equal_windows(block, 7)
    walks = walk_windows(model.policy, model.model_spec, market, prices, windows, costs=cost_model("us_equity@1"))
    again = house_metrics(
        [walk.ledger for walk in walks], n_trials=1, bars_per_year=bars_per_year(bars.timeframe, bars.calendar)
    )
    assert gate_final(again) == gate_final(found.metrics)
    chosen = np.concatenate([walk.actions for walk in walks])
    chosen = chosen[chosen != NO_DECISION]
    names = [action.name for action in model.model_spec.actions]
    assert found.action_mix == {f"mix_{name}": float((chosen == i).mean()) for i, name in enumerate(names)}
    assert found.summary_model(outside(), label="m")["gate"]["final"]["shown"].items() >= found.action_mix.items()
    assert again.tier is found.metrics.tier


def test_earlier_bars_change_nothing_but_the_features(outside: Callable[..., Path], bars: Bars) -> None:
    """The judged bars are the same, with or without a long past before the date."""
    short = bars.slice(400, len(bars))
    one, other = judged(outside(), bars, at(bars, 1000)), judged(outside(), short, at(bars, 1000))
    assert one.block.t.tolist() == other.block.t.tolist()
    assert one.metrics.profit_factor == pytest.approx(other.metrics.profit_factor, rel=1e-6)


@pytest.mark.parametrize(
    ("until", "start", "code"),
    [
        ("2031-01-01", None, "E705"),  # every bar lies before
        ("2021-01-05", "2021-01-04", "E705"),  # asked to judge what was seen
        ("2021-01-05", "2021-01-05", "E705"),  # the asserted day itself
    ],
)
def test_bars_before_the_date_are_refused(
    outside: Callable[..., Path], bars: Bars, until: str, start: str | None, code: str
) -> None:
    """They are never judged, whoever asks."""
    with pytest.raises(LifecycleError) as caught:
        judged(outside(), bars, until, first_bar=start)
    assert caught.value.code == code
    assert caught.value.exit_code == 5


def test_too_few_later_bars_are_refused(outside: Callable[..., Path], bars: Bars) -> None:
    """Seven windows of fifty bars, or nothing is said."""
    with pytest.raises(DataError, match="too short"):
        judged(outside(), bars, at(bars, len(bars) - PURGE_BARS - 300))


def test_a_file_that_says_it_saw_later_bars_is_believed(outside: Callable[..., Path], bars: Bars) -> None:
    """A person's word does not overrule the file's own ``data_end``; a later word than the file's is fine."""
    path = outside(data_end=at(bars, 1500))
    with pytest.raises(LifecycleError, match="saw later bars") as caught:
        judged(path, bars, at(bars, 1000))
    assert caught.value.code == "E705"
    assert at(bars, 1500) in caught.value.remedy
    assert judged(path, bars, at(bars, 1600)).metrics.n_windows == 7


@pytest.mark.parametrize("text", ["soon", "", "2021-13-01", "2021-01-05T10:00:00", "20210105", "9999-12-31T99:00:00Z"])
def test_a_date_that_is_none_is_a_usage_error(text: str) -> None:
    """Nothing is guessed about when training ended."""
    with pytest.raises(UsageError) as caught:
        TrainedUntil.of(text, "ann")
    assert caught.value.exit_code == 2


def test_dates_at_the_end_of_the_calendar_are_still_dates(outside: Callable[..., Path], bars: Bars) -> None:
    """Year 1 lies before every bar, year 9999 after."""
    assert judged(outside(), bars, "0001-01-01").block.t[-1] == bars.t[-1]
    with pytest.raises(SdkError):
        judged(outside(), bars, "9999-12-31")


def test_another_symbols_or_timeframes_file_is_refused(outside: Callable[..., Path], bars: Bars) -> None:
    """E301, before anything is computed."""
    for said in ({"symbol": "MSFT"}, {"timeframe": "1Day"}):
        with pytest.raises(ContractError) as caught:
            judged(outside(**said), bars, at(bars, 1000))
        assert caught.value.code == "E301"


def test_features_are_proven_or_named(outside: Callable[..., Path], demo_file: Path, bars: Bars) -> None:
    """Without a schema in the file they must be named, and then the verdict says so; proven ones need no word."""
    silent = NativeModelWrapper(outside())
    with pytest.raises(ContractError) as caught:
        Columns.of(silent, bars)
    assert caught.value.code == "E309"
    named = Columns.of(silent, bars, OWN)
    assert named.asserted_schema is not None
    proven = Columns.of(NativeModelWrapper(demo_file), bars)
    assert (proven.name, proven.asserted_schema) == ("", None)
    with pytest.raises(UsageError, match="another timeframe"):
        Columns.of(NativeModelWrapper(demo_file), load_bars("vendored", "AAPL", "1Day"))


def trader(*arguments: str) -> int:
    argv = ["archive", *arguments]
    return run_app(build_app(argv), argv)


def test_command_judges_archives_and_counts_the_look(
    outside: Callable[..., Path], bars: Bars, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Printed first, archived second with date and name; the next look at the same bars is a trial more."""
    path, archive = outside(), str(tmp_path / "archive")
    until = at(bars, 1000)
    common = (str(path), "--data", SOURCE, "--symbol", "SIM", "--timeframe", "1Min", "--features", OWN)
    common += ("--trained-until", until, "--asserted-by", "vendor's letter")
    page = tmp_path / "page.html"
    assert trader("evaluate", *common, "--html", str(page)) == 0
    (shown, _) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert shown["verdict"]["asserted"]["who"] == "vendor's letter"
    assert "vendor&#39;s letter" in page.read_text() or "vendor's letter" in page.read_text()
    assert not (tmp_path / "archive").exists()
    for look in (1, 2):
        assert trader("evaluate", *common, "--archive", archive, "--label", "vendor") == 0
        verdict = json.loads(capsys.readouterr().out.splitlines()[0])["verdict"]
        assert (verdict["n_trials"], verdict["evidence"]["shown"]["n_trials"]) == (look, look)
    assert verdict["asserted"] == {
        "trained_until": until,
        "who": "vendor's letter",
        "features": OWN,
        "feature_schema": Columns.of(NativeModelWrapper(path), bars, OWN).asserted_schema,
    }
    assert verify(archive).holds
    assert verdict["class"] == "APPROVED"
    model = load_approved(archive, "SIM", "1Min")
    assert model.approval.verdict.asserted is not None
    assert model.approval.version_id.startswith("vendor-")


def test_command_refuses_with_the_code_of_what_is_wrong(
    outside: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing symbol and an unknown class are usage, no file is 3, no proof of features is 4, early bars are 5."""
    path = str(outside())
    slot = ("--symbol", "SIM", "--timeframe", "1Min")
    common = ("--data", SOURCE, "--trained-until", "2021-01-05")
    assert trader("evaluate", path, *common, "--features", OWN) == 2
    assert trader("evaluate", path, *common, *slot, "--features", OWN, "--require", "GREAT") == 2
    assert trader("evaluate", str(tmp_path / "none.pt"), *common, *slot) == 3
    assert trader("evaluate", path, *common, *slot) == 4
    assert trader("evaluate", path, *common, *slot, "--features", OWN, "--from", "2021-01-04") == 5
    noise = ("--data", "noise:bars=4000", "--trained-until", "2021-01-05", "--features", OWN, *slot)
    assert trader("evaluate", path, *noise, "--require", "APPROVED") == 5
    assert trader("evaluate", path, *noise) == 0
    assert "--symbol" in capsys.readouterr().err


def test_a_sentence_says_whose_word_the_date_is(bars: Bars, outside: Callable[..., Path]) -> None:
    """The summary's assertion is what was given, not what was made of it."""
    found = judged(outside(), bars, at(bars, 1000))
    plain = replace(found, trained_until=TrainedUntil.of("2010-12-31", "bob")).summary_model(Path("m.pt"), label="x")
    assert plain["asserted"]["trained_until"] == "2010-12-31"
    assert plain["asserted"]["who"] == "bob"
    assert plain["data"]["start"] == at(found.block, 0)
