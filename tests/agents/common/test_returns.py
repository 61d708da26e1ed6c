import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hypothesis import given
from hypothesis import strategies as st

from agents.common.returns import gae, n_step_return


def column(*numbers: float) -> torch.Tensor:
    """One seed, one environment: (1, T, 1)."""
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, -1, 1)


def test_hand_computed_advantages():
    """gamma 0.5, lambda 0.5, so that the decay is a quarter; rewards 1, 2, 3, values 4, 2, 1, and 8 afterwards."""
    reward, value, next_value, never = column(1, 2, 3), column(4, 2, 1), column(2, 1, 8), column(0, 0, 0)
    # deltas: 1 + 1 - 4 = -2;  2 + 0.5 - 2 = 0.5;  3 + 4 - 1 = 6
    found = gae(reward, never + 0.5, never, value, next_value, 0.5)
    torch.testing.assert_close(found, column(-2 + 0.25 * (0.5 + 0.25 * 6), 0.5 + 0.25 * 6, 6))


def test_an_end_takes_the_next_value_out_and_a_time_limit_does_not():
    reward, value, next_value = column(1, 2, 3), column(4, 2, 1), column(2, 1, 8)
    ends = column(0, 1, 0)
    ended = gae(reward, 0.5 * (1 - ends), ends, value, next_value, 0.5)
    torch.testing.assert_close(ended, column(-2 + 0.25 * 0.0, 0.0, 6))  # the second delta is 2 - 2
    cut = gae(reward, column(0.5, 0.5, 0.5), ends, value, next_value, 0.5)
    torch.testing.assert_close(cut, column(-2 + 0.25 * 0.5, 0.5, 6))


@given(seed=st.integers(0, 1000), gamma=st.floats(0, 1), steps=st.integers(1, 12))
def test_with_lambda_one_it_is_the_discounted_return_less_the_value(seed, gamma, steps):
    generator = torch.Generator().manual_seed(seed)
    reward, value = torch.randn(2, 2, steps, 3, generator=generator, dtype=torch.float64)
    last = torch.randn(2, 1, 3, generator=generator, dtype=torch.float64)
    next_value = torch.cat([value[:, 1:], last], 1)
    never = torch.zeros_like(reward)
    discounted = last[:, 0]
    for t in reversed(range(steps)):
        discounted = reward[:, t] + gamma * discounted
    found = gae(reward, never + gamma, never, value, next_value, 1.0)
    torch.testing.assert_close(found[:, 0], discounted - value[:, 0])


def test_each_seed_has_its_own_discount():
    reward, zeros = torch.ones(2, 3, 1), torch.zeros(2, 3, 1)
    found = gae(reward, torch.tensor([0.5, 1.0]).reshape(2, 1, 1).expand(2, 3, 1), zeros, zeros, zeros, 1.0)
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([1.75, 3.0]))


def test_hand_computed_n_step_returns():
    """gamma 0.5; rewards 1, 2, 4: uncut, truncated, terminated, terminated at the last step."""
    reward = torch.tensor([1.0, 2.0, 4.0]).expand(1, 1, 4, 3)
    done = torch.tensor([[[[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]]]).float()
    terminated = torch.tensor([[[[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]]]]).float()
    found, discount, last = n_step_return(reward, 0.5 * (1 - terminated), done)
    torch.testing.assert_close(found, torch.tensor([[[3.0, 2.0, 2.0, 3.0]]]))
    torch.testing.assert_close(discount, torch.tensor([[[0.125, 0.25, 0.0, 0.0]]]))
    assert last.tolist() == [[[2, 1, 1, 2]]]


class Endless(gym.Env):
    """A reward of 1 for ever; the observation tells how many steps the episode has lasted."""

    observation_space, action_space = gym.spaces.Box(0, 100, (1,)), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(1, self.steps, np.float32), 1.0, False, False, {}


def collect(mode, steps, limit):
    """Transitions from two environments whose episodes are cut after `limit` steps, and which of them are real."""
    vec_env = gym.vector.SyncVectorEnv([lambda: gym.wrappers.TimeLimit(Endless(), limit)] * 2, autoreset_mode=mode)
    obs, _ = vec_env.reset(seed=0)
    over, steps_taken = np.zeros(2, bool), []
    for _ in range(steps):
        if mode is AutoresetMode.DISABLED and over.any():
            obs, _ = vec_env.reset(options={"reset_mask": over})
            over = np.zeros(2, bool)
        after, reward, terminated, truncated, info = vec_env.step(vec_env.action_space.sample())
        final = after.copy()
        if mode is AutoresetMode.SAME_STEP and truncated.any():
            final[truncated] = np.stack(list(info["final_obs"][truncated]))
        real = ~over if mode is AutoresetMode.NEXT_STEP else np.ones(2, bool)  # the step after an end only resets
        steps_taken.append([obs[:, 0], final[:, 0], reward, terminated, truncated, real])
        obs, over = after.copy(), terminated | truncated
    fields = zip(*steps_taken, strict=True)
    return [torch.tensor(np.stack(field), dtype=torch.float64)[None] for field in fields]  # (1, T, 2)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_time_limit_does_not_end_the_task(mode):
    gamma, limit = 0.9, 5
    obs, next_obs, reward, terminated, truncated, real = collect(mode, 60, limit)
    assert truncated.sum() >= 18
    assert terminated.sum() == 0
    assert next_obs[real.bool()].max() == limit
    assert (next_obs - obs)[real.bool()].unique().tolist() == [1.0]

    def learned_value(terminated):
        """One value for each number of steps lasted, fitted to the targets until it no longer moves."""
        table = torch.zeros(limit + 1, dtype=torch.float64)
        for _ in range(300):
            value, next_value = table[obs.long()], table[next_obs.long()]
            target = value + gae(reward, gamma * (1 - terminated), truncated, value, next_value, 0.95)
            for steps in range(limit):
                table[steps] = target[(obs == steps) & real.bool()].mean()
            table[limit] = table[0]  # every state is alike
        return table

    torch.testing.assert_close(learned_value(terminated)[:limit], torch.full((limit,), 1 / (1 - gamma)).double())
    wrong = learned_value(truncated)  # a time limit taken for an end
    assert wrong[0] == pytest.approx((1 - gamma**limit) / (1 - gamma))
