"""Value iteration and Q-learning with a table (Sutton and Barto 2018, 4.4 and 6.5; Watkins and Dayan 1992).

Both solve Bellman's optimality equation for a small decision process that never ends, with states x and actions a:

    Q(x, a) = r(x, a) + gamma sum_x' p(x' | x, a) max_a' Q(x', a').

Value iteration knows r and p. It computes the right-hand side again and again, until Q hardly changes. Q-learning knows
neither r nor p. It acts, and after each step to a next state x' it moves Q(x, a) towards the target
r + gamma max_a' Q(x', a'), by a share that is its learning rate.

S seed, N environments of one seed, T steps, X states, A actions, K possible next states, n observations.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from balancier import Bound, check, is_number, number, shown, whole
from models.streams import stream

Process = tuple[np.ndarray, np.ndarray, np.ndarray]  # reward (X, A); next states and probabilities, both (X, A, K)
Number = float | np.ndarray  # one for all seeds, or (S,)


DISCOUNT = Bound(lambda x: is_number(x) and 0 <= x < 1, "at least 0 and below 1")


def check_process(process: Any) -> Process:
    """The arrays of a process; ValueError where they do not fit one another."""
    try:
        reward, next_state, probability = (np.asarray(part) for part in process)
    except (TypeError, ValueError):
        raise ValueError(f"process: found {shown(process)}, expected three arrays, as of Grid.process") from None
    shapes = reward.shape, next_state.shape, probability.shape
    if reward.ndim != 2 or not reward.size or next_state.shape[:2] != reward.shape or next_state.ndim != 3:
        raise ValueError(f"process: found shapes {shapes}, expected (X, A), (X, A, K) and (X, A, K)")
    if probability.shape != next_state.shape or next_state.dtype.kind not in "iu":
        raise ValueError(f"process: found shapes {shapes}, expected (X, A), (X, A, K) of whole numbers and (X, A, K)")
    if not ((next_state >= 0) & (next_state < len(reward))).all() or not np.isfinite(reward).all():
        raise ValueError(
            f"process: found a next state or a reward out of range, expected states 0 to {len(reward) - 1}"
        )
    if not (probability >= 0).all() or not np.allclose(probability.sum(-1), 1):
        raise ValueError("process: found probabilities that do not sum to 1, expected those of all next states to")
    return reward, next_state, probability


def value_iteration(process: Process, gamma: float, tolerance: float = 1e-3) -> Iterator[tuple[np.ndarray, float]]:
    """Q (X, A) after each sweep, beginning from 0, and the residual: the largest change of V = max_a Q.

    A sweep is one update of all states. It reduces the distance of any two V by a factor of gamma or less, so the
    residual falls at least like gamma^k. The sweeps end when the residual is at most `tolerance`. Then V is within
    tolerance * gamma / (1 - gamma) of the solution.

    Raises:
        ValueError: for a discount with which the sweeps might never end.
    """
    check(gamma=(gamma, DISCOUNT), tolerance=(tolerance, number(1e-12)))
    reward, next_state, probability = check_process(process)
    value, residual = np.zeros(len(reward)), np.inf
    while residual > tolerance:
        q = reward + gamma * (probability * value[next_state]).sum(-1)
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
    """Q (S, X, A) after every N episodes, beginning from 0; seeds share no random numbers and may differ in settings.

    Args:
        process: the environment; a state and an action give a reward, and one of K next states at random.
        starts: (X,), proportional to the probability that an episode starts in each state.
        seeds: S seeds; equal ones have the same random numbers.
        learning_rate: the first update of Q(x, a) goes this share of the way to its target.
        decay: update n goes learning_rate / n^decay of the way (Even-Dar and Mansour 2003, "Learning rates for
            Q-learning"). From above 1/2 to 1, Q converges if every action is taken in every state again and again. At 0
            the rate is constant, and with random transitions Q never converges.
        gamma: discount per step.
        epsilon: probability of a random action.
        num_envs: N environments of each seed. If several take the same action in the same state, Q learns from one.
        num_steps: T, steps of an episode. This is a time limit: Q learns from the last step as from any other.
    """
    reward, next_state, probability = check_process(process)
    starts, seeds = np.asarray(starts), list(seeds) if isinstance(seeds, Iterable) else []
    if starts.shape != (len(reward),) or starts.dtype.kind not in "fiu" or not (starts >= 0).all() or not starts.any():
        expected = f"{len(reward)} weights of states, none negative, not all 0"
        raise ValueError(f"starts: found {shown(starts)}, expected {expected}")
    each = Bound(lambda x: len(x) > 0 and all(map(whole(0).holds, x)), "a list of whole numbers of at least 0")
    check(seeds=(seeds, each), num_envs=(num_envs, whole(1, 10**6)), num_steps=(num_steps, whole(1, 10**6)))
    settings = {"learning_rate": learning_rate, "decay": decay, "gamma": gamma, "epsilon": epsilon}
    for name, setting in settings.items():
        values = np.asarray(setting).ravel().tolist()
        expected = Bound(number(0, 1).holds, f"numbers from 0 to 1, one or {len(seeds)}")
        for value in values:
            check(**{name: (value, expected)})
        if np.shape(setting) not in ((), (len(seeds),)):
            raise ValueError(f"{name}: found {shown(setting)}, expected {expected.words}")
    (states, actions), num_next = reward.shape, next_state.shape[-1]
    streams = [stream(seed, 0) for seed in seeds]
    numbers = np.broadcast_arrays(np.ones(len(seeds)), learning_rate, decay, gamma, epsilon)
    _, learning_rate, decay, gamma, epsilon = (x[:, None] for x in numbers)  # (S, 1)
    cumulative_start, cumulative = starts.cumsum(), probability.cumsum(-1)[..., :-1].reshape(states * actions, -1)
    offset = states * np.arange(len(seeds))[:, None]  # first index of each seed: flat indices are fastest
    q, visits = np.zeros((len(seeds) * states, actions)), np.zeros(len(seeds) * states * actions)
    while True:
        uniforms = np.stack([generator.random((num_steps, 3, num_envs)) for generator in streams])  # (S, T, 3, N)
        start = np.stack([generator.random(num_envs) for generator in streams]) * cumulative_start[-1]
        x = np.searchsorted(cumulative_start, start, side="right")  # (S, N)
        for explore, choice, transition in uniforms.transpose(1, 2, 0, 3):
            action = np.where(explore < epsilon, (choice * actions).astype(np.int64), q.take(offset + x, 0).argmax(-1))
            pair = x * actions + action
            k = (transition[..., None] >= cumulative.take(pair, 0)).sum(-1)
            x = next_state.take(pair * num_next + k)
            target = reward.take(pair) + gamma * q.take(offset + x, 0).max(-1)
            index = offset * actions + pair
            count, old = visits.take(index) + 1, q.take(index)
            visits[index] = count
            q.reshape(-1)[index] = old + learning_rate * count**-decay * (target - old)
        yield q.reshape(len(seeds), states, actions).copy()


@dataclass(frozen=True)
class Greedy:
    """The greedy policies of S tables, with the `predict` of an agent."""

    q: np.ndarray  # (S, X, A)
    locate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # obs -> states (S, n, K) around it, their weights

    def values(self, obs: np.ndarray) -> np.ndarray:
        """Q (S, n, A) of observations (S, n, O): the weighted mean of the states around them."""
        state, weight = self.locate(obs)
        replica = np.arange(len(self.q))[:, None, None]
        return (self.q[replica, state] * weight[..., None]).sum(-2)

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """Actions (S, n) for each seed's own observations (S, n, O)."""
        return self.values(obs).argmax(-1), None

    def __len__(self) -> int:
        return len(self.q)
