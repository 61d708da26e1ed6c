"""Estimators of a pendulum's parameters from its angles: least-squares fit, Cramer-Rao bound, posterior mean.

n pendulums, T angles, P = 4 unknowns: length (m), mass (kg), first angle (rad from the bottom), first speed (rad/s).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from envs.physics import Pendulum, transition
from envs.sources import SWING_RANGE, SWINGING

NOISE = 0.01  # rad, of a measured angle
LOW = np.array([SWINGING["length"][0], SWINGING["mass"][0], -SWING_RANGE[0], -SWING_RANGE[1]])
HIGH = np.array([SWINGING["length"][1], SWINGING["mass"][1], *SWING_RANGE])
PRIOR_STD = (HIGH - LOW) / np.sqrt(12)  # of a uniform distribution
STEP = 1e-5  # of central differences
DEGREES = 5.0  # of freedom of Student's t distribution: its tails are wide enough for every posterior here


def simulate(unknown: np.ndarray, num_steps: int, damping: float = SWINGING["damping"]) -> np.ndarray:
    """Angles (..., T) without noise, of the pendulums with the unknowns (..., P)."""
    length, mass, angle, speed = np.moveaxis(unknown, -1, 0)
    # A fit may try values that no pendulum has; the smallest possible ones take their place.
    values = {"length": np.maximum(length, 0.05), "mass": np.maximum(mass, 0.05)}
    settings: dict[str, Any] = {"damping": damping, "max_speed": 100.0}
    pendulum = Pendulum(**(SWINGING | settings)).at(values)
    angle, angles = angle + np.pi, []
    for _ in range(num_steps):
        angles.append(angle)
        angle, speed = transition(angle, speed, 0.0, pendulum)
    return np.stack(angles, -1) - np.pi


def jacobian(unknown: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles (n, T) and their derivatives (n, T, P), by central differences, all in one simulation."""
    shifts = np.concatenate([np.zeros((1, 4)), STEP * np.eye(4), -STEP * np.eye(4)])  # (9, P)
    angles = simulate(unknown[:, None] + shifts, num_steps)  # (n, 9, T)
    return angles[:, 0], np.moveaxis((angles[:, 1:5] - angles[:, 5:]) / (2 * STEP), 1, -1)


def information(unknown: np.ndarray, num_steps: int) -> np.ndarray:
    """Fisher information of the first 1, 2, ..., T angles about the unknowns, (n, T, P, P)."""
    _, slope = jacobian(unknown, num_steps)
    return np.cumsum(slope[..., :, None] * slope[..., None, :], 1) / NOISE**2


def cramer_rao(unknown: np.ndarray, num_steps: int) -> np.ndarray:
    """About the least error of length and mass after 1, 2, ..., T angles, (T, 2): root mean square over pendulums.

    This is the Cramer-Rao bound with the information of the prior, taken as normal. The true prior is uniform, and its
    sharp ends tell more: the limit, the error of the posterior mean, lies up to a fifth below.
    """
    total = information(unknown, num_steps) + np.diag(PRIOR_STD**-2.0)
    return np.sqrt(np.diagonal(np.linalg.inv(total), axis1=-2, axis2=-1)[..., :2].mean(0))


class Limit(NamedTuple):
    """The posterior of n pendulums: what an estimator can know of length and mass."""

    fits: np.ndarray  # (n, P), least-squares fits
    mean: np.ndarray  # (n, 2)
    std: np.ndarray  # (n, 2)
    effective_samples: np.ndarray  # (n,)

    @property
    def error(self) -> np.ndarray:
        """The error of the posterior mean, (2,): no estimator has a smaller one."""
        return self.expected_error(self.mean)

    def expected_error(self, estimate: np.ndarray) -> np.ndarray:
        """Root mean square error (..., 2) of estimates (..., n, 2), averaged over the posterior.

        Given the angles, the mean square error of an estimate is its squared distance to the posterior mean plus the
        variance of the posterior. It is therefore never below the limit, as the error on a few true values can be by
        luck.
        """
        return np.sqrt(((estimate - self.mean) ** 2 + self.std**2).mean(-2))


def limit(observed: np.ndarray, seed: int = 0, advance: Callable[[], object] = lambda: None) -> Limit:
    """Least-squares fits and posterior of pendulums with angles `observed` (n, T); `advance` is called after each."""
    parts = []
    for start in range(0, len(observed), 2):  # as many as fit the processor's cache
        pair = observed[start : start + 2]
        fits = least_squares_fit(pair, seed)
        parts.append((fits, *posterior(pair, fits, seed + start)))
        for _ in pair:
            advance()
    return Limit(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@cache
def library(num_steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Guesses of the unknowns (5,000, P) in the prior's range, and their angles (5,000, T)."""
    guesses = LOW + (HIGH - LOW) * np.random.default_rng(seed).random((5_000, 4))
    return guesses, simulate(guesses, num_steps)


def least_squares_fit(observed: np.ndarray, seed: int = 0, advance: Callable[[], object] = lambda: None) -> np.ndarray:
    """The unknowns (n, P) in the prior's range whose angles have the smallest squared distance to `observed` (n, T).

    `advance` is called after each pendulum.
    """
    num_steps = observed.shape[1]
    guesses, guessed_angles = library(num_steps, seed)
    fits = []
    for angles in observed:
        start = guesses[np.argmin(((guessed_angles - angles) ** 2).sum(1))]
        fit = least_squares(
            lambda unknown, angles=angles: (simulate(unknown, num_steps) - angles) / NOISE,
            start,
            lambda unknown: jacobian(unknown[None], num_steps)[1][0] / NOISE,  # type: ignore[arg-type]
            bounds=(LOW, HIGH),
            max_nfev=40,
        )
        fits.append(fit.x)
        advance()
    return np.array(fits)


def posterior(
    observed: np.ndarray, fits: np.ndarray, seed: int = 0, num_samples: int = 1_500
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and standard deviation of length and mass given the angles (n, T), (n, 2) each; effective samples (n,).

    The posterior mean has the smallest mean square error of all estimators. It is computed by importance sampling in
    two rounds. The first samples from Student's t distribution around the fit, with the width that Fisher information
    and prior give; the second around the mean and covariance of the first. The effective number of samples says how
    many equally weighted samples would be as precise.
    """
    generator, num_steps = np.random.default_rng(seed), observed.shape[1]
    center = fits
    covariance = np.linalg.inv(information(fits, num_steps)[:, -1] + np.diag(PRIOR_STD**-2.0)) * 1.5
    for _ in range(2):
        root = np.linalg.cholesky(covariance)  # (n, P, P)
        normal = generator.standard_normal((len(fits), num_samples, 4))
        stretch = np.sqrt(DEGREES / generator.chisquare(DEGREES, (len(fits), num_samples, 1)))
        sample = center[:, None] + np.einsum("nij,ndj->ndi", root, normal * stretch)
        distance = ((normal * stretch) ** 2).sum(-1)
        log_proposal = -0.5 * (DEGREES + 4) * np.log1p(distance / DEGREES)
        inside = ((sample >= LOW) & (sample <= HIGH)).all(-1)
        error = simulate(np.clip(sample, LOW, HIGH), num_steps) - observed[:, None]
        log_weight = np.where(inside, -0.5 * (error**2).sum(-1) / NOISE**2 - log_proposal, -np.inf)
        weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
        center = np.einsum("nd,ndi->ni", weight, sample)
        deviation = sample - center[:, None]
        covariance = np.einsum("nd,ndi,ndj->nij", weight, deviation, deviation) * 1.5 + np.diag(PRIOR_STD**2) * 1e-8
    std = np.sqrt(np.einsum("nd,ndi->ni", weight, deviation**2))
    return center[:, :2], std[:, :2], 1 / (weight**2).sum(1)
