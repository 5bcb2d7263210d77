"""The split first layer against the plain MLP, and the rollout's view of it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from trader_sdk.contract.errors import ConfigError
from trader_sdk.contract.spec import MODEL_SPECS
from training.env import TradingEnvs
from training.gym_env import TradingVectorEnv
from training.policy import ActorCritic, MarketWindows
from training.rollout import Actor, Rollout, collect

EnvMaker = Callable[..., TradingEnvs]
CPU = torch.device("cpu")


def windows_of(envs: TradingEnvs) -> MarketWindows:
    """Return the market of ``envs`` as tensors."""
    return MarketWindows(envs.market.features, envs.spec.window, CPU)


@pytest.mark.parametrize("version", ["2.3.0", "2.4.0", "2.7.0"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_split_forward_and_gradients_equal_the_dense_layer(version: str, activation: str, make_envs: EnvMaker) -> None:
    """In float64, outputs and every gradient agree to 1e-12 for each width of account columns."""
    envs = make_envs(spec=MODEL_SPECS[version])
    network = ActorCritic(envs.spec, (16, 8), activation, seed=1).double()
    seen = envs.observe()
    market = windows_of(envs).at(seen.rows).double()
    account = torch.from_numpy(seen.account).double().reshape(envs.num_bars, envs.envs_per_bar, -1)
    obs = torch.from_numpy(envs.gather(seen)).double()
    gradients = []
    for logits, values in (network.forward_parts(market, account), network(obs)):
        network.zero_grad()
        (logits.reshape(-1, envs.spec.n_actions).sin().sum() + values.reshape(-1).square().sum()).backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()])
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*gradients, strict=True))


def test_actor_equals_the_network_it_was_made_from(make_envs: EnvMaker) -> None:
    """What acts in a rollout gives the logits and values that the update starts from."""
    envs = make_envs()
    network = ActorCritic(envs.spec, (16, 8), "tanh", seed=1)
    seen = envs.observe()
    actor = Actor(network, windows_of(envs), envs.envs_per_bar, envs.num_bars)
    logits, values = actor.evaluate(seen.rows, seen.account)
    expected = network(torch.from_numpy(envs.gather(seen)))
    assert torch.allclose(logits, expected[0], atol=1e-5)
    assert np.allclose(values, expected[1].detach().numpy(), atol=1e-5)


def test_actor_gives_the_same_whether_or_not_it_computed_a_run_ahead(make_envs: EnvMaker) -> None:
    """Over episodes that end and start anew, bars computed in runs equal bars computed one at a time."""
    envs = make_envs(episode_bars=10)
    network = ActorCritic(envs.spec, (16, 8), "tanh", seed=1)
    windows = windows_of(envs)
    ahead, alone = (Actor(network, windows, envs.envs_per_bar, envs.num_bars) for _ in range(2))
    rng = np.random.default_rng(3)
    for left in range(40, 0, -1):
        seen = envs.observe()
        expected = alone.evaluate(seen.rows, seen.account)
        logits, values = ahead.evaluate(seen.rows, seen.account, ahead=left)
        assert torch.allclose(logits, expected[0], atol=1e-5)
        assert np.allclose(values, expected[1], atol=1e-5)
        envs.step(rng.integers(0, envs.spec.n_actions, envs.num_envs))


def test_first_layer_is_a_plain_linear_layer_outside() -> None:
    """Its state is what the contract describes, and a plain weight comes back as it went in, or is refused by shape."""
    network = ActorCritic(MODEL_SPECS["2.7.0"], (16, 8), "tanh", seed=1)
    state = network.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "trunk.0.weight": (16, 5900),
        "trunk.0.bias": (16,),
        "trunk.2.weight": (8, 16),
        "trunk.2.bias": (8,),
        "actor_head.weight": (7, 8),
        "actor_head.bias": (7,),
        "critic_head.weight": (1, 8),
        "critic_head.bias": (1,),
    }
    other = ActorCritic(MODEL_SPECS["2.7.0"], (16, 8), "tanh", seed=2)
    other.load_state_dict(state)
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())
    with pytest.raises(RuntimeError, match=r"trunk\.0\.weight is \(16, 10\)"):
        other.load_state_dict({**state, "trunk.0.weight": torch.zeros(16, 10)})
    with pytest.raises(RuntimeError, match=r"Missing key.*trunk\.0\.bias"):
        other.load_state_dict({name: value for name, value in state.items() if name != "trunk.0.bias"})


def test_rollout_stores_indices_and_not_observations(make_envs: EnvMaker) -> None:
    """Eight environments for 128 steps take less than 100 kB; their observations would take 24 MB."""
    assert Rollout.empty(128, make_envs()).nbytes < 100_000


def test_collect_takes_the_next_value_of_a_truncated_step_from_before_the_reset(make_envs: EnvMaker) -> None:
    """A value head that counts closed bars: the bootstrap looks at the last bar of the episode, not at the new one."""
    envs = make_envs(episode_bars=10)
    network = ActorCritic(envs.spec, (8,), "tanh", seed=1)
    rollout = collect(network, envs, windows_of(envs), 30, np.random.default_rng(0))
    cut = rollout.truncated[:-1]
    assert cut.any()
    assert not rollout.terminated.any()
    continued = ~cut
    assert np.allclose(rollout.next_values[:-1][continued], rollout.values[1:][continued])
    assert not np.allclose(rollout.next_values[:-1][cut], rollout.values[1:][cut], atol=1e-3)


def test_vector_env_gives_the_observation_of_the_contract(make_envs: EnvMaker) -> None:
    """Oldest bar first, account columns repeated in every row, spaces that hold it, final observations when cut."""
    envs = make_envs(episode_bars=10)
    vector = TradingVectorEnv(envs)
    obs, _ = vector.reset(seed=4)
    row = envs.rows[0]
    window = obs[0].reshape(100, 59)
    assert (window[:, :53] == envs.market.features[row - 99 : row + 1]).all()
    assert (window[:, 53:] == envs.observe().account[0]).all()
    assert vector.observation_space.contains(obs)
    infos = [vector.step(np.zeros(8, dtype=np.int64))[4] for _ in range(10)]
    assert any("final_obs" in info and info["_final_obs"].any() for info in infos)


def test_vector_env_repeats_itself_when_reset_with_a_seed(make_envs: EnvMaker) -> None:
    """Gymnasium's contract of ``reset(seed=...)``."""
    vector = TradingVectorEnv(make_envs())
    first, _ = vector.reset(seed=4)
    second, _ = vector.reset(seed=4)
    assert (first == second).all()


def test_actor_critic_refuses_an_unknown_activation() -> None:
    """The contract knows no such network."""
    with pytest.raises(ConfigError):
        ActorCritic(MODEL_SPECS["2.7.0"], (8,), "swish", seed=0)
