"""Specs: what is read, what is refused, and what a spec makes of a configuration."""

import types
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import TrainConfig, preset
from training.zoo import ModelSpecError, ZooSpec, load_specs, resolve_spec, spec_overrides
from training.zoo.knobs import KNOBS, Overrides
from training.zoo.rotation import stalest
from training.zoo.spec import SAMPLE, named, parse_specs
from training.zoo.training import ZooSettings


@pytest.mark.parametrize("path", [SAMPLE, SAMPLE.with_suffix(".toml")], ids=lambda path: path.suffix)
def test_shipped_samples_are_read_and_fit_the_laptop(path: Path) -> None:
    """YAML and TOML give specs whose overlays are new configurations; the base stays what it was."""
    base = preset("laptop")
    before = base.model_dump()
    resolved = [resolve_spec(spec, base) for spec in load_specs(path)]
    assert len({each.digest for each in resolved if not each.spec.command}) >= 3
    assert base.model_dump() == before


def test_every_knob_is_listed_and_changes_the_configuration() -> None:
    """The allow-list that people see is the allow-list there is, and each knob but the label reaches the run."""
    assert set(KNOBS) == set(Overrides.model_fields)
    changed = {
        "horizon": 20,
        "residual_momentum": True,
        "cross_sectional_demean": True,
        "features_version": "2.4.0",
        "hidden_dims": [7],
        "activation": "relu",
        "total_steps": 99,
        "learning_rate": 0.5,
        "ent_coef": 0.5,
        "gamma": 0.5,
        "clip_coef": 0.5,
        "cost_model": "crypto@1",
        "reward": "composite_v25",
        "seed": 99,
    }
    (plain,) = parse_specs([{"id": "x"}], where="t")
    digests = {resolve_spec(plain).digest}
    for name, value in changed.items():
        (spec,) = parse_specs([{"id": "x", "overrides": {name: value}}], where="t")
        digests.add(resolve_spec(spec).digest)
    assert len(digests) == len(KNOBS)


def test_costs_are_those_of_the_symbol_unless_a_spec_or_the_base_names_others() -> None:
    """A zoo of a crypto pair pays the venue's commission in training too; what is named stays as it is named."""
    plain, own = ZooSpec(id="a"), ZooSpec(id="b", overrides=Overrides(cost_model="us_equity@1"))
    bars = {"source": "noise", "timeframe": "1Hour", "archive": "a"}
    pair = ZooSettings(symbol="BTC/USD", **bars)
    assert pair.resolve(plain).config.cost_model == "crypto@1"
    assert pair.resolve(own).config.cost_model == "us_equity@1"
    assert ZooSettings(symbol="AAPL", **bars).resolve(plain).config.cost_model == "us_equity@1"
    told = ZooSettings(symbol="BTC/USD", base=preset("laptop", cost_model="us_equity@1"), **bars)
    assert told.resolve(plain).config.cost_model == "us_equity@1"


def test_overrides_that_contradict_each_other_are_refused_by_name() -> None:
    """The composite reward looks at the next bar only, so that a longer horizon does not fit it."""
    far = ZooSpec(id="far", overrides=Overrides(horizon=20, reward="composite_v25"))
    with pytest.raises(ModelSpecError, match=r"reward: composite_v25, expected net_log_return"):
        resolve_spec(far)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"overrides": {"learning_rat": 0.1}}, "did you mean learning_rate?"),
        ({"overrides": {"entropy": 0.1}}, "did you mean ent_coef?"),
        ({"overrides": {"moon_phase": 1}}, "overrides.moon_phase is not known"),
        ({"overrides": {"horizon": "20"}}, "overrides.horizon must be a whole number 1..256, not '20'"),
        ({"overrides": {"horizon": True}}, "overrides.horizon must be a whole number"),
        ({"overrides": {"horizon": 0}}, "overrides.horizon must be a whole number"),
        ({"overrides": {"residual_momentum": 1}}, "overrides.residual_momentum must be a true or false"),
        ({"overrides": {"learning_rate": "1e-3"}}, "YAML reads 1e-3 as text"),
        ({"overrides": {"learning_rate": float("nan")}}, "overrides.learning_rate must be a number > 0"),
        ({"overrides": {"hidden_dims": []}}, "overrides.hidden_dims must be a list"),
        ({"overrides": {"hidden_dims": "64"}}, "overrides.hidden_dims must be a list"),
        ({"overides": {}}, "overides is not known"),
        ({"status": "asleep"}, "status"),
        ({"command": "python train.py"}, "command"),
        ({"priority": "high"}, "priority"),
        ({"id": "No Such Id"}, "id"),
        ({"id": "b"}, "label spec-b is there 2 times"),
        ({"id": "a", "overrides": {"model_version_label": "other"}}, "id a is there 2 times"),
        ({"overrides": {"model_version_label": "spec-a"}}, "label spec-a is there 2 times"),
    ],
)
def test_specs_with_faults_are_refused_with_what_is_wrong(spec: dict[str, object], told: str) -> None:
    """Unknown and mistyped knobs, fields, ids and labels; the error shows the allow-list where a knob is meant."""
    roster = [{"id": "a"}, {"id": "b"}, {"id": "c", **spec}]
    with pytest.raises(ModelSpecError) as caught:
        parse_specs(roster, where="zoo.yaml")
    text = str(caught.value)
    assert told in text
    assert ("cost_model (text" in text) == ("overrides." in text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "specs: [{id: a, id: b}]"),
        ("a.yaml", "specs: {id: a}"),
        ("a.yaml", "specs: [a"),
        ("a.yaml", "!!python/object/apply:os.system [ls]"),
        ("a.toml", "specs = 3"),
        ("a.toml", "[[specs]]\nid = 'a'\nid = 'b'"),
        ("a.json", "[]"),
        ("missing.yaml", None),
    ],
)
def test_files_that_are_no_specs_are_refused(name: str, text: str | None, tmp_path: Path) -> None:
    """Doubled keys, other shapes, broken text, code in tags, another format, no file: one typed error."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelSpecError):
        load_specs(tmp_path / name)


def test_missing_and_retired_specs_are_refused_by_name() -> None:
    """A typo gets a suggestion; a retired spec says so."""
    roster = load_specs(SAMPLE.with_suffix(".toml"))
    with pytest.raises(ModelSpecError, match="Did you mean default"):
        named(roster, "defualt")
    with pytest.raises(ModelSpecError, match="retired"):
        named(roster, "old-idea")


def test_overlay_that_contradicts_the_base_is_refused_and_the_base_stays() -> None:
    """A cost model or contract version that there is not is found when the spec is resolved, before anything runs."""
    for overrides in (Overrides(cost_model="free"), Overrides(features_version="9.9.9")):
        with pytest.raises(ModelSpecError, match="do not fit"):
            resolve_spec(ZooSpec(id="x", overrides=overrides))


def test_label_is_the_overrides_then_the_specs_then_its_id() -> None:
    """The most particular label wins."""
    own = Overrides(model_version_label="knob")
    labels = [
        ZooSpec(id="x", model_version_label="mine", overrides=own).label,
        ZooSpec(id="x", model_version_label="mine").label,
        ZooSpec(id="x").label,
    ]
    assert labels == ["knob", "mine", "spec-x"]


def test_spec_overrides_put_a_module_back_as_it_was_even_after_an_exception() -> None:
    """What was there is restored, what was absent is gone, and an unknown knob sets nothing."""
    module = types.ModuleType("trainer")
    seen = []
    module.HORIZON = 1  # type: ignore[attr-defined] # what a trainer's module has

    def train() -> None:
        seen.append((module.HORIZON, module.SEED))
        raise RuntimeError("training failed")

    with pytest.raises(RuntimeError), spec_overrides({"horizon": 5, "seed": 3}, module):
        train()
    assert seen == [(5, 3)]
    assert module.HORIZON == 1
    assert not hasattr(module, "SEED")
    with pytest.raises(ModelSpecError), spec_overrides({"horizon": 5, "moon": 3}, module):
        pytest.fail("an unknown knob was set")
    assert module.HORIZON == 1


specs_of = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), min_size=1, max_size=8)


@given(specs_of, st.integers(1, 9))
def test_rotation_takes_the_stalest_whatever_their_priority(facts: list[tuple[int, int]], budget: int) -> None:
    """Never trained first, then the oldest, then priority, then id; whoever is left out is no staler."""
    specs = [ZooSpec(id=f"s{place}", priority=priority) for place, (priority, _) in enumerate(facts)]
    ages = {f"s{place}": datetime(2026, 1, age, tzinfo=UTC) for place, (_, age) in enumerate(facts) if age}
    chosen = stalest(specs, ages, budget)
    never = datetime(1, 1, 1, tzinfo=UTC)
    left = [spec for spec in specs if spec not in chosen]
    assert len(chosen) == min(budget, len(specs))
    for one in chosen:
        for other in left:
            first, second = ages.get(one.id, never), ages.get(other.id, never)
            assert (first, -one.priority, one.id) < (second, -other.priority, other.id)


def test_rotation_of_nobody_with_a_budget_is_an_error() -> None:
    """An empty roster is no quiet success."""
    with pytest.raises(ModelSpecError, match="empty roster"):
        stalest([], {}, 2)


def test_targets_stay_out_of_what_is_stored_by_older_runs() -> None:
    """A configuration that was written before these knobs existed is read as it was meant."""
    old = preset("laptop").model_dump(exclude={"horizon", "residual_momentum", "cross_sectional_demean", "peers"})
    assert TrainConfig.model_validate(old) == preset("laptop")
