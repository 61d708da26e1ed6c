"""Controllers of a pendulum that are one line: a polynomial in cos, sin and speed, clipped to the largest torque.

In a mirror the pendulum is the same: opposite angle and speed need the opposite torque. A controller that keeps to this
needs only the odd terms, those that change their sign with those of angle and speed. They are half of a polynomial.

K terms, S controllers, n samples.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

NEWTON_STEPS = 20  # at most
AT_LIMIT = 0.98  # share of the largest torque from which on a torque counts as the largest
RIDGE = 1e-8  # keeps terms that are sums of others from having no solution


class Term(NamedTuple):
    """A product of powers of cos, sin and speed."""

    cos: int
    sin: int
    speed: int


def all_terms(degree: int) -> tuple[Term, ...]:
    """All terms up to a total degree, (degree + 1)^2 of them: sin^2 is 1 - cos^2, so no power of sin is above 1."""
    powers = itertools.product(range(degree + 1), (0, 1), range(degree + 1))
    return tuple(Term(*each) for each in powers if sum(each) <= degree)


def odd_terms(degree: int) -> tuple[Term, ...]:
    """Those of `all_terms` that change their sign with those of angle and speed, as a torque does in a mirror."""
    return tuple(term for term in all_terms(degree) if (term.sin + term.speed) % 2)


def products(obs: np.ndarray, terms: Sequence[Term]) -> np.ndarray:
    """The terms (..., K) of observations (..., 3) of cos, sin and speed."""
    powers = []
    for part, most in zip(np.moveaxis(np.asarray(obs, float), -1, 0), np.max(terms, 0), strict=True):
        powers.append([np.ones_like(part)])
        for _ in range(most):
            powers[-1].append(powers[-1][-1] * part)
    cos, sin, speed = powers
    return np.stack([cos[term.cos] * sin[term.sin] * speed[term.speed] for term in terms], -1)


@dataclass(frozen=True)
class Formula:
    """A sum of weighted terms, clipped to +-limit. It acts like an agent (`predict`)."""

    terms: tuple[Term, ...]
    weight: np.ndarray  # (K,)
    limit: float = 2.0  # N m

    def torque(self, obs: np.ndarray) -> np.ndarray:
        """Torques (...), N m, counter-clockwise positive, for observations (..., 3)."""
        return np.clip((products(obs, self.terms) @ self.weight[..., None])[..., 0], -self.limit, self.limit)

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """Actions (..., 1) for observations (..., 3) of cos, sin and speed, as SB3's `predict`; else ValueError."""
        if np.shape(obs)[-1:] != (3,):
            raise ValueError(f"obs: found shape {np.shape(obs)}, expected (n, 3): a formula needs cos, sin and speed")
        return self.torque(np.asarray(obs, float))[..., None].astype(np.float32), None

    @property
    def plain(self) -> str:
        """The formula as text, such as torque = clip(-9 sin + 0.2 speed cos, -2, 2)."""
        return f"torque = clip({self.sum(('cos{}', 'sin{}', 'speed{}'), ' ')}, -{self.limit:g}, {self.limit:g})"

    @property
    def mathtext(self) -> str:
        """The same for matplotlib: u is the torque, theta the angle, 0 upright, and omega the speed."""
        total = self.sum((r"\cos{}\theta", r"\sin{}\theta", r"\omega{}"), r"\,")
        return rf"$u = {total}, \quad |u| \leq {self.limit:g}$"

    def sum(self, patterns: Sequence[str], space: str) -> str:
        """The weighted terms; the patterns are those of cos, sin and speed, each with a place for its power."""
        order = 2, 0, 1  # the speed first: cos and sin have an argument
        text = ""
        for weight, term in zip(self.weight.tolist(), self.terms, strict=True):
            factors = [patterns[i].format("" if term[i] == 1 else f"^{term[i]}") for i in order if term[i]]
            text += f" {'-' if weight < 0 else '+'} {space.join([f'{abs(weight):g}', *factors])}"
        return ("-" if text.startswith(" -") else "") + text[3:]


class Formulas(Formula):
    """S formulas of the same terms side by side: weights (S, K), observations (S, n, 3), torques (S, n)."""

    def __len__(self) -> int:
        return len(self.weight)


def fit_torques(
    x: np.ndarray, torque: np.ndarray, importance: np.ndarray | None = None, limit: float = 2.0
) -> np.ndarray:
    """Weights (K,) with which terms x (n, K) are nearest to torques (n,) once they are clipped, by least squares.

    A sample whose torque is at the limit counts only while the sum of the terms falls short of it: beyond, both are
    clipped. This error is convex. Newton's method, which solves for the samples that count, finds its minimum in a few
    steps. `importance` (n,) is the factor of each sample's squared error; without it, all are alike.
    """
    factor = np.ones(len(x)) if importance is None else importance / importance.mean()
    scale = np.sqrt((x**2).mean(0)) + 1e-12
    columns = np.ascontiguousarray((x / scale).T)  # (K, n)
    side = np.where(np.abs(torque) >= AT_LIMIT * limit, np.sign(torque), 0.0)
    counts, weight = np.ones(len(x), np.bool_), np.zeros(len(columns))
    for _ in range(NEWTON_STEPS):
        weighted = columns * (factor * counts)
        curvature = weighted @ columns.T + RIDGE * len(x) * np.eye(len(columns))
        weight = np.linalg.solve(curvature, weighted @ torque)
        before, counts = counts, (side == 0) | (side * (weight @ columns) < side * torque)
        if (before == counts).all():
            break
    return weight / scale
