"""CleanRL-style code on Gymnasium's vector API, one file and one Agent: `python docs/examples/cleanrl_style.py`."""

import sys
from pathlib import Path

import torch
from market import environments, judge_and_archive, stamp
from torch import nn
from torch.distributions.categorical import Categorical

from trader_sdk import NativeModelWrapper, save
from training.gym_env import TradingVectorEnv

num_steps, gamma, gae_lambda, clip_coef, ent_coef, vf_coef = 32, 0.97, 0.9, 0.2, 0.005, 0.5


def layer_init(layer, std=2**0.5):
    """Return the layer with orthogonal weights."""
    torch.nn.init.orthogonal_(layer.weight, std)
    torch.nn.init.constant_(layer.bias, 0.0)
    return layer


class Agent(nn.Module):
    """Two networks, as in `ppo.py` of CleanRL; only the actor is deployed."""

    def __init__(self, envs):
        super().__init__()
        size, count = envs.single_observation_space.shape[0], envs.single_action_space.n
        self.critic = nn.Sequential(layer_init(nn.Linear(size, 16)), nn.Tanh(), layer_init(nn.Linear(16, 1), std=1.0))
        self.actor = nn.Sequential(
            layer_init(nn.Linear(size, 16)), nn.Tanh(), layer_init(nn.Linear(16, int(count)), std=0.01)
        )

    def get_action_and_value(self, x, action=None):
        """Return action, its log-probability, the entropy and the value."""
        probs = Categorical(logits=self.actor(x))
        action = probs.sample() if action is None else action
        return action, probs.log_prob(action), probs.entropy(), self.critic(x).squeeze(-1)


def main(folder: Path, updates: int = 3) -> object:
    """Train, save the actor, archive, and return the verdict."""
    torch.manual_seed(7)
    envs = TradingVectorEnv(environments())
    agent = Agent(envs)
    optimizer = torch.optim.Adam(agent.parameters(), lr=1e-3, eps=1e-5)
    next_obs = torch.from_numpy(envs.reset(seed=7)[0])
    for _ in range(updates):
        obs, actions, logprobs, rewards, dones, values = [], [], [], [], [], []
        for _ in range(num_steps):
            with torch.no_grad():
                action, logprob, _, value = agent.get_action_and_value(next_obs)
            obs.append(next_obs)
            found, reward, terminations, truncations, _ = envs.step(action.numpy())
            next_obs, done = torch.from_numpy(found), torch.from_numpy(terminations | truncations).float()
            for stored, new in zip(
                (actions, logprobs, rewards, dones, values),
                (action, logprob, torch.from_numpy(reward).float(), done, value),
                strict=True,
            ):
                stored.append(new)
        with torch.no_grad():
            next_value, lastgaelam, advantages = agent.get_action_and_value(next_obs)[3], 0.0, []
            for t in reversed(range(num_steps)):
                delta = rewards[t] + gamma * next_value * (1 - dones[t]) - values[t]
                lastgaelam = delta + gamma * gae_lambda * (1 - dones[t]) * lastgaelam
                advantages.insert(0, lastgaelam)
                next_value = values[t]
        b_obs, b_actions, b_logprobs = torch.cat(obs), torch.cat(actions), torch.cat(logprobs)
        b_advantages = torch.cat(advantages)
        b_returns = b_advantages + torch.cat(values)
        for _ in range(2):
            _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs, b_actions)
            ratio = (newlogprob - b_logprobs).exp()
            mb = (b_advantages - b_advantages.mean()) / (b_advantages.std() + 1e-8)
            pg_loss = torch.max(-mb * ratio, -mb * ratio.clamp(1 - clip_coef, 1 + clip_coef)).mean()
            loss = pg_loss - ent_coef * entropy.mean() + vf_coef * 0.5 * (newvalue - b_returns).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()
    probe = next_obs[:2].numpy()
    saved = save(folder / "cleanrl.pt", policy=agent.actor, optimizer=optimizer, probe_observations=probe, **stamp())
    return judge_and_archive(saved.path, NativeModelWrapper(saved.path).policy, folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
