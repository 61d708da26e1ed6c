import pytest
import torch

from models import (
    MLP,
    CategoricalPolicy,
    DeterministicPolicy,
    EpsilonGreedyPolicy,
    GaussianPolicy,
    SquashedGaussianPolicy,
    Value,
)
from models.heads import DuelingValue
from models.streams import normal


def test_choices_of_different_sizes_never_take_a_missing_action(float64):
    policy = CategoricalPolicy(MLP(4, (8,), seeds=2), [2, 3], seeds=2)
    distribution = policy(torch.randn(2, 500, 4))
    action = distribution.sample(policy.noise([3, 11], (0,), (500,)))
    assert action.shape == (2, 500, 2)
    assert action.amax((0, 1)).tolist() == [1, 2]
    pairs = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    total = sum(distribution.log_prob(pair.expand(2, 500, 2)).exp() for pair in pairs)
    torch.testing.assert_close(total, torch.ones(2, 500))
    first, second = distribution.logits[..., 0, :2].log_softmax(-1), distribution.logits[..., 1, :].log_softmax(-1)
    expected = -(first.exp() * first).sum(-1) - (second.exp() * second).sum(-1)
    torch.testing.assert_close(distribution.entropy, expected)


@pytest.mark.parametrize(("kind", "arguments", "components"), [
    (CategoricalPolicy, ([3, 2],), 2),
    (EpsilonGreedyPolicy, (3,), 1),
    (DeterministicPolicy, (3, 0.1), 3),
    (GaussianPolicy, (3,), 3),
    (SquashedGaussianPolicy, (3,), 3),
])  # fmt: skip
def test_policies_take_the_noise_that_they_ask_for(kind, arguments, components):
    policy = kind(MLP(4, (8,), seeds=2), *arguments, seeds=[0, 1])
    noise = policy.noise([3, 11], (0,), (6,))
    distribution = policy(torch.randn(2, 6, 4))
    assert distribution.sample(noise).shape == distribution.mode.shape == (2, 6, components)


def test_a_gaussian_policys_spread_is_a_parameter_per_seed():
    policy = GaussianPolicy(MLP(4, (8,), seeds=2), 3, seeds=2)
    with torch.no_grad():
        policy.log_std[1] = 1.0
    distribution = policy(torch.zeros(2, 6, 5, 4))
    assert distribution.log_prob(torch.zeros(2, 6, 5, 3)).shape == (2, 6, 5)
    noise = normal([0, 1], (0,), (6, 5, 3))
    spread = (distribution.sample(noise) - distribution.mean) / noise
    torch.testing.assert_close(spread[1] / spread[0], torch.full((6, 5, 3), torch.e))


def test_dueling_values_have_the_state_value_as_their_mean(float64):
    head = DuelingValue(MLP(4, (8,), seeds=2), 3, seeds=2)
    x = torch.randn(2, 6, 4)
    both = head.head(head.trunk(x))
    torch.testing.assert_close(head(x).mean(-1), both[..., 0])
    torch.testing.assert_close(head(x)[..., 1] - head(x)[..., 0], both[..., 2] - both[..., 1])


def test_values():
    trunk = MLP(4, (8,), seeds=2)
    assert Value(trunk, seeds=2)(torch.zeros(2, 6, 4)).shape == (2, 6)
    assert Value(trunk, 3, seeds=2)(torch.zeros(2, 6, 4)).shape == (2, 6, 3)
