import itertools

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

from envs.optimum import Optimum, optimal_returns, optimum, solve, spread_torques, start_value
from envs.physics import Pendulum, reward, transition, wrap


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def _coarse(monkeypatch):
    monkeypatch.setattr("envs.optimum.GRIDS", ((40, 31),))


def test_a_few_steps_against_every_sequence_of_torques():
    pendulum, torques, horizon = Pendulum(dt=0.1, max_torque=3.0), np.array([-3.0, 0.0, 3.0]), 6
    best = Optimum(pendulum, torques, horizon, solve(pendulum, torques, horizon, (200, 161)), True)
    rng = np.random.default_rng(0)
    angle, speed = rng.uniform(-np.pi, np.pi, 40), rng.uniform(-3, 3, 40)
    brute = np.full(40, -np.inf)
    for sequence in itertools.product(torques, repeat=horizon):
        a, s, total = angle, speed, np.zeros(40)
        for torque in sequence:
            total = total + reward(a, s, np.array(torque))
            a, s = transition(a, s, np.array(torque), pendulum)
        brute = np.maximum(brute, total)
    actual = best.value(angle, speed)
    assert (actual <= brute + 1e-9).all()
    np.testing.assert_allclose(actual, brute, atol=0.1)
    assert np.mean(abs(actual - brute) < 1e-9) > 0.8


@pytest.mark.slow
def test_the_default_pendulum():
    """Known from an independent computation: -127.3 on these twenty starts, -140.6 on two hundred."""
    assert optimal_returns("balancier/Pendulum-v0", range(20)).mean() == pytest.approx(-127.3, abs=0.7)
    assert optimal_returns("envs:balancier/Pendulum-v0", range(200)).mean() == pytest.approx(-140.6, abs=0.7)
    np.testing.assert_allclose(optimal_returns("Pendulum-v1", [3]), optimal_returns("balancier/Pendulum-v0", [3]))


def test_no_simple_controller_is_better_than_the_optimum_of_a_light_pendulum(monkeypatch):
    """One that goes toward the top with a speed of k times the angle, as fast as the motor can. Evenly spaced torques
    kick a light pendulum too hard to balance it: -28.5, where the controller reaches -23.4."""
    monkeypatch.setattr("envs.optimum.GRIDS", ((100, 61),))
    pendulum = Pendulum(mass=0.2, length=0.3, gravity=3.0, max_torque=5.0)
    best = start_value(optimum(mass=0.2, length=0.3, gravity=3.0, max_torque=5.0))
    per_sine, per_torque = pendulum.gains
    returns = []
    for k in 2.0, 4.0, 8.0:
        angle, speed = (limit * ((np.arange(n) + 0.5) / n * 2 - 1) for limit, n in ((np.pi, 32), (1.0, 8)))
        angle, speed = np.broadcast_arrays(angle[:, None], speed)
        total = np.zeros(angle.shape)
        for _ in range(200):
            wanted = (-k * wrap(angle)).clip(-8, 8)
            torque = (((wanted - speed) / 0.05 - per_sine * np.sin(angle)) / per_torque).clip(-5, 5)
            total += reward(angle, speed, torque)
            angle, speed = transition(angle, speed, torque, pendulum)
        returns.append(total.mean())
    assert max(returns) == pytest.approx(-23.4, abs=0.1)
    assert max(returns) < best < max(returns) + 1.5


def test_torques_are_even_where_a_pendulum_is_heavy_enough():
    np.testing.assert_array_equal(spread_torques(Pendulum()), np.linspace(-1, 1, 41) * 2)
    light = spread_torques(Pendulum(mass=0.25))  # a step of 0.1 N m changes its speed by 0.06 rad/s
    assert len(light) == 45
    np.testing.assert_allclose(light[21:26], [-0.025, 0, 0.025, 0.05, 0.1], atol=1e-12)


@pytest.mark.usefixtures("_coarse")
def test_it_acts_like_an_agent():
    best, seeds = optimum(), [0, 1, 2]
    expected = optimal_returns("balancier/Pendulum-v0", seeds)
    for seed, value in zip(seeds, expected, strict=True):
        env = gym.make("balancier/Pendulum-v0")
        env.reset(seed=seed)
        actual, _ = evaluate_policy(best, _Reseeded(env, seed), n_eval_episodes=1, warn=False)
        assert actual == pytest.approx(value, abs=0.05)
    with pytest.raises(ValueError, match="needs the speed"):
        best.predict(np.zeros((1, 2)))


class _Reseeded(gym.Wrapper):
    def __init__(self, env, seed):
        super().__init__(env)
        self.seed = seed

    def reset(self, **_):
        return self.env.reset(seed=self.seed)


@pytest.mark.slow
def test_five_torques_are_nearly_as_good_and_two_a_little_worse():
    continuous = optimal_returns("balancier/Pendulum-v0", range(100)).mean()
    five = optimal_returns("balancier/PendulumDiscrete-v0", range(100)).mean()
    two = optimal_returns("balancier/PendulumDiscrete-v0", range(100), num_torques=2).mean()
    assert continuous - 0.5 < five < continuous + 0.1
    assert continuous - 4 < two < five


@pytest.mark.usefixtures("_coarse")
def test_discrete_actions_are_indices_and_the_state_counts_steps():
    best, obs = optimum(num_torques=5), np.array([[-1.0, 0.0, 0.0], [np.cos(0.1), np.sin(0.1), 0.0]])
    action, state = best.predict(obs)
    assert action.shape == (2,)
    assert action.dtype == np.int64
    assert state.tolist() == [1, 1]
    assert best.torques[action[1]] < 0  # back to upright
    _, state = best.predict(obs, state, np.array([False, True]))
    assert state.tolist() == [2, 1]


@pytest.mark.usefixtures("_coarse")
def test_the_cache_is_read_and_a_damaged_one_is_computed_again(tmp_path, monkeypatch):
    """The file's name holds the version of the equations; tables of the first edition's are not read."""
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("envs.optimum.VERSION", 1)
        optimum(length=1.3)
        (old,) = tmp_path.iterdir()
        assert old.name == "optimum-94e1bd6ba44dd6d3.npz"
    first = optimum(length=1.3)
    (file,) = set(tmp_path.iterdir()) - {old}
    assert file.name == "optimum-b90091fdfc9d9266.npz"
    with monkeypatch.context() as patch:
        patch.setattr("envs.optimum.solve", None)
        np.testing.assert_array_equal(optimum(length=1.3).tables, first.tables)
    file.write_bytes(file.read_bytes()[:1000])
    np.testing.assert_array_equal(optimum(length=1.3).tables, first.tables)


@pytest.mark.usefixtures("_coarse")
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "file"))
    assert optimum(length=0.7).tables.shape[1:] == (41, 31)


def test_the_grid_is_refined_until_the_value_settles(tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    monkeypatch.setattr("envs.optimum.GRIDS", ((10, 9), (12, 9), (14, 9), (16, 9)))
    values = iter([-150.0, -149.0, -149.4, -10.0, -9.9, -9.87])
    monkeypatch.setattr("envs.optimum.start_value", lambda optimum: next(values))
    assert optimum(length=0.8).tables.shape[1:] == (15, 9)  # the third changes the value by less than 0.5
    assert optimum(length=0.9).tables.shape[1:] == (15, 9)  # and by less than half a per cent


def test_what_does_not_settle_is_no_optimum(tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    monkeypatch.setattr("envs.optimum.GRIDS", ((10, 9), (12, 9), (14, 9)))
    values = iter([-530.0, -510.0, -480.0, -25.0, -27.0, -27.0, -150.0, -140.0, -139.0])
    monkeypatch.setattr("envs.optimum.start_value", lambda optimum: next(values))
    for length, shape, settled in (1.1, 15, False), (1.2, 11, False), (1.3, 15, True):
        for _ in "computed", "cached":
            best = optimum(length=length)
            assert (best.tables.shape[1], best.settled) == (shape, settled)
        assert (optimal_returns("balancier/Pendulum-v0", [0], length=length) is not None) == settled


def test_where_there_is_no_optimum():
    assert optimal_returns("CartPole-v1", [0]) is None
    assert optimal_returns("balancier/Pendulum-v0", [0], length=(1, 2)) is None
    with pytest.raises(ValueError, match="^length: found the range"):
        optimum(length=(1.0, 2.0))
