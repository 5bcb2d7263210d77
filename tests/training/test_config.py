"""Presets and what a configuration refuses."""

import pytest

from trader_sdk.contract.errors import ConfigError
from training.config import PRESETS, machine_hidden_dims, preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_configuration(name: str) -> None:
    """Each preset can be asked for, keeps its name and spends at least its budget."""
    config = preset(name)
    assert config.preset == name
    assert config.num_updates * config.batch_size >= config.total_steps
    assert config.num_updates % config.validation_interval == 0


def test_presets_for_larger_networks_put_more_environments_on_a_bar() -> None:
    """Eight where the first layer is most of the work, four on a laptop; either can be replaced."""
    assert {name: preset(name).envs_per_bar for name in PRESETS} == {**dict.fromkeys(PRESETS, 8), "laptop": 4}
    assert preset("standard", envs_per_bar=2).envs_per_bar == 2


def test_preset_takes_overrides_and_ignores_those_that_are_none() -> None:
    """An option that was not given leaves the preset's number."""
    config = preset("laptop", seed=3, learning_rate=None)
    assert (config.seed, config.learning_rate) == (3, 3e-4)


@pytest.mark.parametrize(
    "overrides",
    [
        {"num_envs": 63},
        {"num_minibatches": 7},
        {"model_version": "9.9.9"},
        {"gamma": 1.5},
        {"hidden_dims": ()},
        {"unknown": 1},
        {"learning_rate": float("nan")},
    ],
)
def test_preset_refuses_settings_that_cannot_work(overrides: dict[str, object]) -> None:
    """One clear typed error, exit 2."""
    with pytest.raises(ConfigError) as caught:
        preset("laptop", **overrides)
    assert caught.value.exit_code == 2


def test_preset_refuses_an_unknown_name() -> None:
    """The message lists the names there are."""
    with pytest.raises(ConfigError, match="laptop"):
        preset("desktop")


def test_machine_hidden_dims_grow_with_the_machine() -> None:
    """Three sizes of machine, three trunks."""
    assert [machine_hidden_dims(cores) for cores in (2, 8, 64)] == [
        (256, 128, 64),
        (512, 256, 128),
        (1024, 512, 256),
    ]
