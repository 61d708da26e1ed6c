import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.returns import gae, n_step_return


def column(*numbers: float) -> torch.Tensor:
    """One seed, one environment: (1, T, 1)."""
    return torch.tensor(numbers, dtype=torch.float64).reshape(1, -1, 1)


def test_hand_computed_advantages():
    """gamma 0.5, lambda 0.5, so that the decay is a quarter; rewards 1, 2, 3, values 4, 2, 1, and 8 afterwards."""
    reward, value, next_value, never = column(1, 2, 3), column(4, 2, 1), column(2, 1, 8), column(0, 0, 0)
    # deltas: 1 + 1 - 4 = -2;  2 + 0.5 - 2 = 0.5;  3 + 4 - 1 = 6
    found = gae(reward, value, next_value, never, never, 0.5, 0.5)
    torch.testing.assert_close(found, column(-2 + 0.25 * (0.5 + 0.25 * 6), 0.5 + 0.25 * 6, 6))


def test_an_end_takes_the_next_value_out_and_a_time_limit_does_not():
    reward, value, next_value = column(1, 2, 3), column(4, 2, 1), column(2, 1, 8)
    ends = column(0, 1, 0)
    ended = gae(reward, value, next_value, ends, ends, 0.5, 0.5)
    torch.testing.assert_close(ended, column(-2 + 0.25 * 0.0, 0.0, 6))  # the second delta is 2 - 2
    cut = gae(reward, value, next_value, column(0, 0, 0), ends, 0.5, 0.5)
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
    found = gae(reward, value, next_value, never, never, gamma, 1.0)
    torch.testing.assert_close(found[:, 0], discounted - value[:, 0])


def test_each_seed_has_its_own_discount():
    reward, value = torch.ones(2, 3, 1), torch.zeros(2, 3, 1)
    found = gae(reward, value, value, value, value, torch.tensor([0.5, 1.0]).reshape(2, 1, 1), 1.0)
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([1.75, 3.0]))


def test_hand_computed_n_step_returns():
    """gamma 0.5; rewards 1, 2, 4: uncut, cut by a time limit, ended by the world, ended at the last step."""
    reward = torch.tensor([1.0, 2.0, 4.0]).expand(1, 4, 3)
    done = torch.tensor([[[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]]).float()
    terminated = torch.tensor([[[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]]]).float()
    found, discount, last = n_step_return(reward, terminated, done, torch.tensor([[0.5]]))
    torch.testing.assert_close(found, torch.tensor([[3.0, 2.0, 2.0, 3.0]]))
    torch.testing.assert_close(discount, torch.tensor([[0.125, 0.25, 0.0, 0.0]]))
    assert last.tolist() == [[2, 1, 1, 2]]
