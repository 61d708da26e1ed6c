"""Value iteration and Q-learning with a table (Sutton and Barto 2018, 4.4 and 6.5; Watkins and Dayan 1992).

Both solve Bellman's optimality equation, over the points x and actions a of a small decision process that never ends,

    Q(x, a) = r(x, a) + gamma sum_x' p(x' | x, a) max_a' Q(x', a').

Value iteration knows r and p and applies the right-hand side until it no longer moves anything. Q-learning knows
neither: it walks, and takes a step of its learning rate towards r + gamma max_a' Q(x', a') for the x' it came to.

S seed, N walkers of one seed, T steps, X points, A actions, K points that may follow, n observations.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.streams import stream

Process = tuple[np.ndarray, np.ndarray, np.ndarray]  # reward (X, A); next point and its probability, both (X, A, K)
Number = float | np.ndarray  # one for all seeds, or (S,)


def value_iteration(process: Process, gamma: float, tolerance: float = 1e-3) -> Iterator[tuple[np.ndarray, float]]:
    """Q (X, A) after each sweep, beginning from 0, and the residual: the most by which V = max_a Q has moved.

    A sweep brings any two V nearer by a factor of gamma, so the residual falls at least like gamma^k. It ends when that
    is at most `tolerance`; then V is within tolerance * gamma / (1 - gamma) of the solution.

    Raises:
        ValueError: for a discount with which it might never end.
    """
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma: found {gamma}, expected at least 0 and below 1")
    reward, next_point, probability = process
    value, moved = np.zeros(len(reward)), np.inf
    while moved > tolerance:
        q = reward + gamma * (probability * value[next_point]).sum(-1)
        moved = float(np.abs(q.max(1) - value).max())
        value = q.max(1)
        yield q, moved


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
    """Q (S, X, A) after every N episodes, beginning from 0; a replica has walkers, randomness and settings of its own.

    Args:
        process: what the walkers walk in; a point and an action bring a reward, and one of K points at random.
        starts: (X,) in proportion to the probability that an episode starts from each point.
        seeds: S seeds; those that are equal draw the same random numbers.
        learning_rate: share of the way to the first target of a point and an action.
        decay: the n-th is approached by learning_rate / n^decay, the polynomial learning rate of Even-Dar and Mansour
            (2003, "Learning rates for Q-learning"). Above 1/2 and up to 1 Q converges, if every action is taken at
            every point again and again; at 0 the rate is constant, and where chance decides Q never comes to rest.
        gamma: discount per step.
        epsilon: probability of a random action.
        num_envs: N walkers of each seed. Where several take the same action at the same point, one of them is learned
            from.
        num_steps: T of an episode. It is a time limit: the last step is learned from like any other.
    """
    reward, next_point, probability = process
    (points, actions), follow = reward.shape, next_point.shape[-1]
    streams = [stream(seed, 0) for seed in seeds]
    own = [np.broadcast_to(np.asarray(x, float), len(seeds))[:, None] for x in (learning_rate, decay, gamma, epsilon)]
    learning_rate, decay, gamma, epsilon = own  # (S, 1)
    starting, cumulative = starts.cumsum(), probability.cumsum(-1)[..., :-1].reshape(points * actions, -1)
    table = points * np.arange(len(seeds))[:, None]  # where each seed's own begins: flat indices are read fastest
    q, visits = np.zeros((len(seeds) * points, actions)), np.zeros(len(seeds) * points * actions)
    while True:
        chance = np.stack([one.random((num_steps, 3, num_envs)) for one in streams])  # (S, T, 3, N)
        begin = np.stack([one.random(num_envs) for one in streams]) * starting[-1]
        x = np.searchsorted(starting, begin, side="right")  # (S, N)
        for explore, which, fall in chance.transpose(1, 2, 0, 3):
            action = np.where(explore < epsilon, (which * actions).astype(np.int64), q.take(table + x, 0).argmax(-1))
            pair = x * actions + action
            k = (fall[..., None] >= cumulative.take(pair, 0)).sum(-1)
            x = next_point.take(pair * follow + k)
            target = reward.take(pair) + gamma * q.take(table + x, 0).max(-1)
            at = table * actions + pair
            count, old = visits.take(at) + 1, q.take(at)
            visits[at] = count
            q.reshape(-1)[at] = old + learning_rate * count**-decay * (target - old)
        yield q.reshape(len(seeds), points, actions).copy()


@dataclass(frozen=True)
class Greedy:
    """The best action of S tables; it acts like an agent (`predict`)."""

    q: np.ndarray  # (S, X, A)
    look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # obs -> the points (S, n, K) it lies between, weights

    def values(self, obs: np.ndarray) -> np.ndarray:
        """Q (S, n, A) of observations (S, n, O), between the points their weighted mean."""
        point, weight = self.look(obs)
        replica = np.arange(len(self.q))[:, None, None]
        return (self.q[replica, point] * weight[..., None]).sum(-2)

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """Actions (S, n) for each seed's own observations (S, n, O)."""
        return self.values(obs).argmax(-1), None

    def __len__(self) -> int:
        return len(self.q)
