"""Value iteration and Q-learning with a table (Sutton and Barto 2018, 4.4 and 6.5; Watkins and Dayan 1992).

Both solve Bellman's optimality equation for a small decision process that never ends, with points x and actions a:

    Q(x, a) = r(x, a) + gamma sum_x' p(x' | x, a) max_a' Q(x', a').

Value iteration knows r and p. It computes the right-hand side again and again, until Q hardly changes. Q-learning knows
neither r nor p. It acts, and after each step to a point x' it moves Q(x, a) towards the target
r + gamma max_a' Q(x', a'), by a share that is its learning rate.

S seed, N environments of one seed, T steps, X points, A actions, K possible next points, n observations.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.streams import stream

Process = tuple[np.ndarray, np.ndarray, np.ndarray]  # reward (X, A); next point and its probability, both (X, A, K)
Number = float | np.ndarray  # one for all seeds, or (S,)
Corners = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # obs (S, n, O) -> points around it, weights, (S, n, K)


def value_iteration(process: Process, gamma: float, tolerance: float = 1e-3) -> Iterator[tuple[np.ndarray, float]]:
    """Q (X, A) after each sweep, beginning from 0, and the residual: the largest change of V = max_a Q in the sweep.

    A sweep is one update of all points. It reduces the distance of any two V by a factor of gamma or less, so the
    residual falls at least like gamma^k. The sweeps end when the residual is at most `tolerance`. Then V is within
    tolerance * gamma / (1 - gamma) of the solution.

    Raises:
        ValueError: for a discount with which the sweeps might never end.
    """
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma: found {gamma}, expected at least 0 and below 1")
    reward, next_point, probability = process
    value, residual = np.zeros(len(reward)), np.inf
    while residual > tolerance:
        q = reward + gamma * (probability * value[next_point]).sum(-1)
        residual = float(np.abs(q.max(1) - value).max())
        value = q.max(1)
        yield q, residual


def q_learning(
    process: Process,
    starts: np.ndarray,
    seeds: Sequence[int],
    *,
    learning_rate: Number = 1.0,
    decay: Number = 0.5,
    gamma: Number = 0.99,
    epsilon: Number = 0.3,
    num_envs: int = 16,
    num_steps: int = 50,
) -> Iterator[np.ndarray]:
    """Q (S, X, A) after every N episodes, beginning from 0; each replica has its own environments and random numbers.

    Args:
        process: the decision process. An action at a point brings a reward and leads to one of K points at random.
        starts: (X,), proportional to the probability that an episode starts at each point.
        seeds: S seeds. Equal seeds draw the same random numbers.
        learning_rate: the first update of Q(x, a) goes this share of the way to its target.
        decay: update n goes learning_rate / n^decay of the way (Even-Dar and Mansour 2003, "Learning rates for
            Q-learning"). From above 1/2 to 1, Q converges if every action is taken at every point again and again. At 0
            the rate is constant, and Q never converges if next points are random.
        gamma, epsilon: discount per step; probability of a random action.
        num_envs: N environments of each seed. If several take the same action at the same point, one updates Q.
        num_steps: T, steps of an episode. This is a time limit: the last step has a next point as all others have.
    """
    reward, next_point, probability = process
    (points, actions), num_next = reward.shape, next_point.shape[-1]
    streams = [stream(seed, 0) for seed in seeds]
    numbers = learning_rate, decay, gamma, epsilon
    learning_rate, decay, gamma, epsilon = (np.broadcast_to(np.asarray(x, float), len(seeds))[:, None] for x in numbers)
    cumulative_start, cumulative = starts.cumsum(), probability.cumsum(-1)[..., :-1].reshape(points * actions, -1)
    offset = points * np.arange(len(seeds))[:, None]  # (S, 1), index of each seed's first point; flat indices are fast
    q, visits = np.zeros((len(seeds) * points, actions)), np.zeros(len(seeds) * points * actions)
    while True:
        uniforms = np.stack([generator.random((num_steps, 3, num_envs)) for generator in streams])  # (S, T, 3, N)
        start = np.stack([generator.random(num_envs) for generator in streams]) * cumulative_start[-1]
        x = np.searchsorted(cumulative_start, start, side="right")  # (S, N)
        for explore, choice, transition in uniforms.transpose(1, 2, 0, 3):  # (S, N) each
            greedy = q.take(offset + x, 0).argmax(-1)
            action = np.where(explore < epsilon, (choice * actions).astype(np.int64), greedy)
            pair = x * actions + action
            k = (transition[..., None] >= cumulative.take(pair, 0)).sum(-1)
            x = next_point.take(pair * num_next + k)
            target = reward.take(pair) + gamma * q.take(offset + x, 0).max(-1)
            index = offset * actions + pair
            count, old = visits.take(index) + 1, q.take(index)
            visits[index] = count
            q.reshape(-1)[index] = old + learning_rate * count**-decay * (target - old)
        yield q.reshape(len(seeds), points, actions).copy()


@dataclass(frozen=True)
class Greedy:
    """The greedy policies of S tables. It has an agent's `predict`."""

    q: np.ndarray  # (S, X, A)
    corners: Corners

    def values(self, obs: np.ndarray) -> np.ndarray:
        """Q (S, n, A) of observations (S, n, O): the weighted mean of Q at the points around each."""
        point, weight = self.corners(obs)
        replica = np.arange(len(self.q))[:, None, None]
        return (self.q[replica, point] * weight[..., None]).sum(-2)

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """Actions (S, n) for each seed's own observations (S, n, O)."""
        return self.values(obs).argmax(-1), None

    def __len__(self) -> int:
        return len(self.q)
