"""Distributions against those of PyTorch."""

import pytest
import torch
from torch import distributions as theirs

from models.distributions import Categorical, Deterministic, EpsilonGreedy, Gaussian, SquashedGaussian
from models.streams import gumbel, uniform

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


def test_a_deterministic_action_explores_within_its_limits():
    distribution = Deterministic(torch.tensor([[[0.5, -0.9]]]), 0.2)
    torch.testing.assert_close(distribution.sample(torch.tensor([[[1.0, -2.0]]])), torch.tensor([[[0.7, -1.0]]]))
