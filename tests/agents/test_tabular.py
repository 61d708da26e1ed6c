import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.tabular import Greedy, q_learning, value_iteration


def nth(generator, n):
    return next(itertools.islice(generator, n - 1, None))


def process(seed, points=5, actions=3, num_next=2):
    """Rewards, next points and their probabilities, all at random."""
    rng = np.random.default_rng(seed)
    probability = rng.random((points, actions, num_next)) + 0.1
    next_point = rng.integers(points, size=(points, actions, num_next))
    return rng.normal(size=(points, actions)), next_point, probability / probability.sum(-1, keepdims=True)


def value_of(policy, decision, gamma):
    """V (X,) of a policy (X,): the solution of its linear equations."""
    reward, next_point, probability = decision
    x = np.arange(len(reward))
    matrix = np.zeros((len(reward), len(reward)))
    np.add.at(matrix, (x[:, None], next_point[x, policy]), probability[x, policy])
    return np.linalg.solve(np.eye(len(reward)) - gamma * matrix, reward[x, policy])


# Point 0: stay for -1, or pay 2 and come to point 1 every other time. Point 1: stay for nothing, or pay 3 and go back.
# With gamma 0.9: V(1) = 0 and V(0) = -2 + 0.9 V(0) / 2 = -2 / 0.55.
TWO = (
    np.array([[-1.0, -2.0], [0.0, -3.0]]),
    np.array([[[0, 0], [0, 1]], [[1, 1], [0, 0]]]),
    np.full((2, 2, 2), 0.5),
)
V0 = -2 / 0.55
TWO_Q = np.array([[-1 + 0.9 * V0, V0], [0.0, -3 + 0.9 * V0]])


def test_value_iteration_of_two_points_by_hand():
    steps = list(value_iteration(TWO, 0.9, 1e-10))
    np.testing.assert_allclose(steps[0][0], TWO[0])
    assert steps[0][1] == 1.0
    np.testing.assert_allclose(steps[1][0], [[-1.9, -2.45], [0, -3.9]])
    np.testing.assert_allclose(steps[-1][0], TWO_Q, atol=1e-8)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 0.95), points=st.integers(1, 8), actions=st.integers(1, 4))
def test_the_residual_falls_by_a_factor_of_gamma_or_faster(seed, gamma, points, actions):
    decision = process(seed, points, actions)
    q, residual = zip(*value_iteration(decision, gamma, 1e-3), strict=True)
    assert all(after <= gamma * before + 1e-12 for before, after in itertools.pairwise(residual))
    exact = list(value_iteration(decision, gamma, 1e-12))[-1][0]
    np.testing.assert_allclose(exact.max(1), value_of(exact.argmax(1), decision, gamma), atol=1e-9)
    assert abs(q[-1].max(1) - exact.max(1)).max() <= 1e-3 * gamma / (1 - gamma) + 1e-9


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_no_policy_is_better_than_that_of_value_iteration(seed):
    decision = process(seed, points=4, actions=2)
    best = list(value_iteration(decision, 0.9, 1e-10))[-1][0].max(1)
    for policy in itertools.product(range(2), repeat=4):
        assert (value_of(np.array(policy), decision, 0.9) <= best + 1e-7).all()


@pytest.mark.parametrize("gamma", [1.0, -0.1, float("nan")])
def test_a_discount_without_convergence_is_refused(gamma):
    with pytest.raises(ValueError, match="^gamma: found"):
        next(value_iteration(TWO, gamma))


def test_q_learning_converges_to_the_same_values():
    """Two hundred thousand steps of each seed; the largest of all errors is about 0.02."""
    q = nth(q_learning(TWO, np.ones(2), [3, 11, 12], decay=0.7, gamma=0.9, epsilon=0.5, num_envs=4), 1_000)
    assert abs(q).max() > 3
    np.testing.assert_allclose(q, np.broadcast_to(TWO_Q, q.shape), atol=0.1)
    decision = process(0)
    solution = list(value_iteration(decision, 0.8, 1e-9))[-1][0]
    q = nth(q_learning(decision, np.ones(5), [3, 11], decay=0.7, gamma=0.8, epsilon=0.5, num_envs=4), 1_000)
    np.testing.assert_allclose(q, np.broadcast_to(solution, q.shape), atol=0.1)


def test_q_learning_with_a_constant_rate_does_not_converge():
    fixed = {"gamma": 0.9, "epsilon": 0.5, "num_envs": 4, "learning_rate": 0.5}
    q = nth(q_learning(TWO, np.ones(2), [3, 3], decay=np.array([0.0, 0.7]), **fixed), 1_000)
    noisy, quiet = abs(q - TWO_Q).max((1, 2))
    assert noisy > 10 * quiet


def test_a_time_limit_is_no_terminal_state():
    """One point and a reward of 1 for ever: V is 1, 1 + 0.9, 1 + 0.9 + 0.81, ..., however short the episodes."""
    decision = np.ones((1, 1)), np.zeros((1, 1, 1), int), np.ones((1, 1, 1))
    for num_steps in (1, 3):
        run = q_learning(decision, np.ones(1), [3], decay=0.0, gamma=0.9, num_envs=1, num_steps=num_steps)
        assert nth(run, 3 // num_steps).item() == pytest.approx(1 + 0.9 + 0.81)
    assert nth(run, 100).item() == pytest.approx(10, abs=1e-6)


def test_the_nth_update_has_the_nth_rate():
    """Discount 0 and rewards of 1: after n visits 1 - q is the product of 1 - rate / n^decay."""
    decision = np.ones((1, 1)), np.zeros((1, 1, 1), int), np.ones((1, 1, 1))
    fixed = {"gamma": 0.0, "num_envs": 1, "num_steps": 3}
    q = next(q_learning(decision, np.ones(1), [3, 11], learning_rate=0.4, decay=np.array([0.0, 0.5]), **fixed))
    rates = 0.4 / np.sqrt([1, 2, 3])
    np.testing.assert_allclose(q.ravel(), [1 - 0.6**3, 1 - np.prod(1 - rates)])


def test_episodes_start_at_starts_and_follow_the_process():
    """From point 2 alone, with one action that leads to point 0 and stays there: nothing is learned of point 1."""
    decision = np.ones((3, 1)), np.zeros((3, 1, 1), int), np.ones((3, 1, 1))
    q = next(q_learning(decision, np.array([0.0, 0.0, 2.0]), [3], num_envs=8, num_steps=4))
    assert q[0, 1, 0] == 0
    assert (q[0, [0, 2], 0] > 0).all()


def test_without_exploration_it_repeats_the_first_good_action():
    """Two actions for rewards of 1 and 5 without a future: the first is tried first, and is then better than 0."""
    decision = np.array([[1.0, 5.0]]), np.zeros((1, 2, 1), int), np.ones((1, 2, 1))
    q = next(q_learning(decision, np.ones(1), [3, 11], decay=0.0, gamma=0.0, epsilon=np.array([0.0, 0.5])))
    np.testing.assert_allclose(q[:, 0], [[1, 0], [1, 5]])


def test_a_replica_among_others_equals_the_replica_alone():
    decision, seeds = process(1), [3, 11, 12]
    varied = {
        "learning_rate": [1.0, 0.5, 0.2],
        "decay": [0.6, 0.0, 0.6],
        "gamma": [0.9, 0.8, 0.9],
        "epsilon": [0, 0.3, 1],
    }
    varied = {name: np.array(values) for name, values in varied.items()}
    together = nth(q_learning(decision, np.ones(5), seeds, **varied), 5)
    assert (abs(together).max((1, 2)) > 0.5).all()
    assert not np.array_equal(together[0], together[2])
    for i, seed in enumerate(seeds):
        alone = nth(q_learning(decision, np.ones(5), [seed], **{name: x[[i]] for name, x in varied.items()}), 5)
        np.testing.assert_array_equal(together[i], alone[0])


def test_a_yielded_table_does_not_change_later():
    run = q_learning(process(1), np.ones(5), [3])
    first = next(run)
    before = first.copy()
    assert not np.array_equal(next(run), before)
    np.testing.assert_array_equal(first, before)


def test_the_greedy_policy_interpolates_between_states():
    """A quarter of (0, 4) and three quarters of (2, 0) is (1.5, 1); the other table prefers the other action."""
    q = np.array([[[0.0, 4.0], [2.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]]])

    def look(obs):
        return np.broadcast_to([0, 1], (*obs.shape[:-1], 2)), np.concatenate([obs, 1 - obs], -1)

    greedy, obs = Greedy(q, look), np.full((2, 1, 1), 0.25)
    np.testing.assert_allclose(greedy.values(obs), [[[1.5, 1.0]], [[0.0, 1.0]]])
    assert greedy.predict(obs)[0].tolist() == [[0], [1]]
    assert len(greedy) == 2
