import pytest
import torch
from torch import distributions as theirs

from models import (
    MLP,
    CategoricalPolicy,
    DeterministicPolicy,
    EpsilonGreedyPolicy,
    GaussianPolicy,
    SquashedGaussianPolicy,
    Value,
)
from models.distributions import Categorical, EpsilonGreedy, Gaussian, SquashedGaussian
from models.heads import DuelingValue
from models.streams import gumbel, normal, uniform

SHAPE = (2, 5, 3)  # S, B, A


def test_categorical(float64):
    logits = torch.randn(2, 5, 3, 4)  # three choices of four
    ours, other = Categorical(logits), theirs.Independent(theirs.Categorical(logits=logits), 1)
    action = other.sample()
    torch.testing.assert_close(ours.log_prob(action), other.log_prob(action))
    torch.testing.assert_close(ours.entropy, other.entropy())
    torch.testing.assert_close(ours.mode, logits.argmax(-1))


def test_gumbel_noise_samples_the_categorical():
    logits = torch.tensor([[[[0.0, 1.0, -1.0]]]]).expand(1, 40_000, 1, 3)
    sample = Categorical(logits).sample(gumbel([5], (0,), (40_000, 1, 3)))
    shares = torch.bincount(sample.flatten()) / 40_000
    torch.testing.assert_close(shares, logits[0, 0, 0].softmax(0), atol=0.01, rtol=0)


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


def test_gaussian(float64):
    mean, log_std, noise = 0.5 * torch.randn(3, *SHAPE)
    ours, other = Gaussian(mean, log_std), theirs.Independent(theirs.Normal(mean, log_std.exp()), 1)
    action = ours.sample(noise)
    torch.testing.assert_close(action, mean + log_std.exp() * noise)
    torch.testing.assert_close(ours.log_prob(action), other.log_prob(action))
    torch.testing.assert_close(ours.entropy, other.entropy())


def test_squashed_gaussian(float64):
    mean, log_std, noise = 0.5 * torch.randn(3, *SHAPE)
    base = theirs.Independent(theirs.Normal(mean, log_std.exp()), 1)
    other = theirs.TransformedDistribution(base, [theirs.TanhTransform(cache_size=1)])
    ours = SquashedGaussian(mean, log_std)
    action, log_prob = ours.sample_with_log_prob(noise)
    torch.testing.assert_close(action, torch.tanh(mean + log_std.exp() * noise))
    torch.testing.assert_close(log_prob, other.log_prob(action), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(ours.sample(noise), action)


def test_the_squashed_log_probability_is_finite_where_tanh_is_one():
    far = torch.full((1, 1, 1), 40.0, requires_grad=True)
    action, log_prob = SquashedGaussian(far, torch.zeros(1, 1, 1)).sample_with_log_prob(torch.zeros(1, 1, 1))
    assert action.item() == 1.0
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(torch.autograd.grad(log_prob.sum(), far)[0]).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_epsilon_greedy_explores_its_share(epsilon):
    values = torch.tensor([[[0.0, 5.0, 1.0]]]).expand(1, 30_000, 3)
    sample = EpsilonGreedy(values, torch.tensor([[epsilon]])).sample(uniform([5], (0,), (30_000, 2)))
    shares = torch.bincount(sample.flatten(), minlength=3) / 30_000
    expected = torch.tensor([0.0, 1.0, 0.0]) * (1 - epsilon) + epsilon / 3
    torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)


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
