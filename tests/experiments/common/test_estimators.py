"""Estimators of a pendulum's parameters: simulation, least-squares fit, Cramer-Rao bound, posterior mean."""

import numpy as np

from envs import datasets
from experiments.common.estimators import (
    NOISE,
    PRIOR_STD,
    Limit,
    cramer_rao,
    information,
    least_squares_fit,
    limit,
    posterior,
    simulate,
)


def pendulums(count, seed=0):
    angles, parameters = datasets.swings(count, 60, seed=seed)
    return angles, np.stack([parameters["length"], parameters["mass"], angles[:, 0], parameters["speed"]], 1)


def test_the_model_is_the_environment():
    angles, unknown = pendulums(10)
    np.testing.assert_allclose(simulate(unknown, 60), angles, atol=3e-6)


def test_a_fit_without_noise_is_exact():
    angles, unknown = pendulums(4, seed=3)
    np.testing.assert_allclose(least_squares_fit(angles)[:, 0], unknown[:, 0], atol=1e-3)


def test_the_posterior_has_the_width_of_fisher_information_where_angles_are_many():
    unknown = np.array([[1.0, 1.0, 1.4, 0.5], [0.8, 0.9, -1.4, 0.0]])
    observed = simulate(unknown, 200) + NOISE * np.random.default_rng(1).standard_normal((2, 200))
    mean, std, effective_samples = posterior(observed, least_squares_fit(observed))
    expected = np.sqrt(np.diagonal(np.linalg.inv(information(unknown, 200)[:, -1]), axis1=1, axis2=2)[:, :2])
    np.testing.assert_allclose(std, expected, rtol=0.1)
    assert (np.abs(mean - unknown[:, :2]) < 4 * std).all()
    assert effective_samples.min() > 1000


def test_without_damping_angles_do_not_depend_on_the_mass():
    unknown = np.array([[1.0, 1.3, 1.2, 0.0]])
    angles = simulate(unknown, 60, damping=0.0)
    np.testing.assert_array_equal(angles, simulate(unknown * [1, 0.5, 1, 1], 60, damping=0.0))


def test_the_bound_falls_from_the_prior():
    _, unknown = pendulums(50)
    bound = cramer_rao(unknown, 60)
    np.testing.assert_allclose(bound[0], PRIOR_STD[:2], rtol=1e-3)
    assert (np.diff(bound, axis=0) < 1e-9).all()


def test_a_fit_reports_each_pendulum():
    calls = []
    least_squares_fit(pendulums(3)[0], advance=lambda: calls.append(1))
    assert len(calls) == 3


def test_no_estimate_is_better_than_the_limit():
    angles, unknown = pendulums(6, seed=5)
    found = limit(angles + NOISE * np.random.default_rng(2).standard_normal(angles.shape))
    np.testing.assert_allclose(found.error, np.sqrt((found.std**2).mean(0)))
    for estimate in (unknown[:, :2], found.fits[:, :2], found.mean + 0.01):
        assert (found.expected_error(estimate) > found.error).all()
    np.testing.assert_allclose(found.expected_error(found.mean + 3 * found.std), np.sqrt(10) * found.error)
    assert (np.abs(found.mean - unknown[:, :2]) < 5 * found.std).all()


def test_the_error_expected_of_an_estimate_is_its_error_on_average():
    generator = np.random.default_rng(0)
    mean, std, estimate = np.ones((1, 2)), np.full((1, 2), 0.3), np.array([[1.4, 0.8]])
    truth = mean + std * generator.standard_normal((100_000, 2))
    expected = Limit(estimate, mean, std, np.ones(1)).expected_error(estimate)
    np.testing.assert_allclose(np.sqrt(((estimate - truth) ** 2).mean(0)), expected, rtol=0.01)
