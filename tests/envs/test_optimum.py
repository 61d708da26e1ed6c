import errno
import io
import itertools
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

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


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setattr("envs.optimum.GRIDS", ((10, 9),))


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
    """The file's name holds the version of the equations; tables of another version are not read."""
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("envs.optimum.VERSION", 1)
        optimum(length=1.3)
        (old,) = tmp_path.iterdir()
    first = optimum(length=1.3)
    (file,) = set(tmp_path.iterdir()) - {old}
    assert file.name == "optimum-9fe9306c85fbb6a4.npz"  # another one needs another VERSION
    with monkeypatch.context() as patch:
        patch.setattr("envs.optimum.solve", None)
        np.testing.assert_array_equal(optimum(length=1.3).tables, first.tables)


FEW = {"num_torques": 3, "num_steps": 20}


def change(**arrays):
    """The same archive with other arrays in it, as `numpy.savez` writes it."""

    def spoil(path):
        with np.load(path) as file:
            found = dict(file)
        np.savez(path, **found | {name: make(found[name]) for name, make in arrays.items()})

    return spoil


def edit(path, make):
    path.write_bytes(make(path.read_bytes()))


def flip(position):
    return lambda path: edit(path, lambda data: data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])


class Payload:
    """Whoever unpickles this makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


SPOILED = {
    "NaN": change(tables=lambda x: x * np.nan),
    "zeros": change(tables=np.zeros_like),
    "another shape": change(tables=lambda x: x[:, :-1]),
    "no tables": change(tables=lambda x: x[:0]),
    "another type": change(tables=lambda x: x.astype(np.int8)),
    "settled or not": change(settled=np.logical_not),
    "a pickle": change(tables=lambda x: np.array([Payload()], object)),
    "only a pickle": lambda path: path.write_bytes(pickle.dumps(Payload())),
    "an array": lambda path: edit(path, lambda data: npy(np.zeros((3, 41, 31), np.float32))),
    "empty": lambda path: edit(path, lambda data: b""),
    "half": lambda path: edit(path, lambda data: data[: len(data) // 2]),
    "more": lambda path: edit(path, lambda data: data + b"0"),
    "other bytes": lambda path: edit(path, lambda data: bytes(len(data))),
    "a folder": lambda path: path.unlink() or path.mkdir(),
    "a pipe": lambda path: path.unlink() or os.mkfifo(path),
    "a link to itself": lambda path: path.unlink() or path.symlink_to(path),
    "a link to nothing": lambda path: path.unlink() or path.symlink_to(path.with_name("nothing")),
} | {f"bit of byte {position}": flip(position) for position in (0, 8, 30, 100, 5_000, -1, -65, -70, -90)}  # fmt: skip


def npy(array):
    np.save(buffer := io.BytesIO(), array)
    return buffer.getvalue()


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
@pytest.mark.usefixtures("_tiny")
def test_a_file_that_is_not_as_it_was_written_is_computed_again(spoil, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BALANCIER_CACHE", "cache")
    first = optimum(length=1.3, **FEW)
    (path,) = (tmp_path / "cache").iterdir()
    spoil(path)
    for _ in range(2):
        again = optimum(length=1.3, **FEW)
        np.testing.assert_array_equal(again.tables, first.tables)
        assert (again.tables.dtype, again.settled) == (np.float32, first.settled)
    assert not (tmp_path / "executed").exists()
    if path.is_file():
        with monkeypatch.context() as patch:
            patch.setattr("envs.optimum.solve", None)  # it was written again, whole
            np.testing.assert_array_equal(optimum(length=1.3, **FEW).tables, first.tables)
    assert [each for each in path.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.usefixtures("_tiny")
def test_the_tables_of_another_pendulum_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    other, first = optimum(length=0.6, **FEW), None
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    first = optimum(length=1.3, **FEW)
    (renamed,) = set(tmp_path.iterdir()) - {path}
    renamed.write_bytes(data)
    np.testing.assert_array_equal(optimum(length=1.3, **FEW).tables, first.tables)
    assert not np.array_equal(other.tables, first.tables)


def in_home(home):
    return {"HOME": home, "XDG_CACHE_HOME": None, "BALANCIER_CACHE": None}


# Environment variables, and the folder where the tables then lie; None where they are not kept.
PLACES = {
    "home": (in_home("home"), "home/.cache/balancier"),
    "empty": (in_home("home") | {"BALANCIER_CACHE": ""}, "home/.cache/balancier"),
    "a tilde": ({"HOME": "home", "BALANCIER_CACHE": "~/tables"}, "home/tables"),
    "relative": ({"BALANCIER_CACHE": "some/tables"}, "some/tables"),
    "no home": (in_home("nowhere"), None),
    "no home but a cache": (in_home("nowhere") | {"XDG_CACHE_HOME": "home"}, "home/balancier"),
    "no such user": ({"BALANCIER_CACHE": "~nobody-of-this-name/tables"}, None),
    "a file": ({"BALANCIER_CACHE": "file"}, None),
    "below a file": ({"BALANCIER_CACHE": "file/tables"}, None),
    "too long": ({"BALANCIER_CACHE": "x" * 300}, None),
}


@pytest.mark.parametrize(("variables", "place"), PLACES.values(), ids=PLACES)
@pytest.mark.usefixtures("_tiny")
def test_where_the_tables_lie(variables, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    (tmp_path / "file").touch()
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(tmp_path / value) if "HOME" in name else value)
    tables = [optimum(length=0.7, **FEW).tables for _ in range(2)]
    np.testing.assert_array_equal(*tables)
    found = [path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.npz")]
    assert found == ([place] if place else [])
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "file", "some"}


@pytest.mark.usefixtures("_tiny")
def test_without_any_home_nothing_is_kept(tmp_path, monkeypatch):
    def unknown(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BALANCIER_CACHE")
    monkeypatch.setattr(Path, "home", unknown)
    assert optimum(length=0.7, **FEW).tables.shape[1:] == (11, 9)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.usefixtures("_tiny")
def test_a_cache_that_cannot_be_written_is_no_error(error, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    first = optimum(length=0.7, **FEW)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"damaged")
    monkeypatch.setattr("balancier.os.fsync", fail)
    np.testing.assert_array_equal(optimum(length=0.7, **FEW).tables, first.tables)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"damaged"]


ORPHANS = [".optimum-b90091fdfc9d9266.npz.0123abcd", ".cifar-10-batches-bin.00000000", ".titanic.csv.ffffffff"]
OTHERS = ["optimum-b90091fdfc9d9266.npz", ".profile.20200101", "titanic.csv", ".optimum-x", ".titanic.csv.fffffffg"]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to(path.parent)])
@pytest.mark.usefixtures("_tiny")
def test_orphans_are_removed_after_an_hour(make, tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    now = time.time()
    for age, names in ((3700, ORPHANS + OTHERS), (3500, [name[:-1] + "e" for name in ORPHANS])):
        for name in names:
            make(tmp_path / name)
            os.utime(tmp_path / name, (now - age, now - age), follow_symlinks=False)
    if make is Path.mkdir:
        (tmp_path / ORPHANS[0] / "inside").touch()
        os.utime(tmp_path / ORPHANS[0], (now - 3700, now - 3700))
    expected = {path.name for path in tmp_path.iterdir()} - set(ORPHANS)
    optimum(length=0.7, **FEW)
    found = {path.name for path in tmp_path.iterdir()}
    assert expected <= found
    assert [name[:8] for name in found - expected] == ["optimum-"]


def test_processes_that_write_the_same_file_do_each_other_no_harm(tmp_path):
    code = "import sys, numpy as np; from envs import optimum as o; o.GRIDS = ((10, 9),);"
    code += "[np.save(sys.stdout.buffer, o.optimum(length=0.7, num_torques=3, num_steps=20).tables) for _ in range(10)]"
    variables = os.environ | {"BALANCIER_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", code]
    together = [subprocess.Popen(command, env=variables, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate()[0] for process in together]
    assert len(set(outputs)) == 1
    assert len(outputs[0]) > 1_000
    assert len(list(tmp_path.iterdir())) == 1


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
    for name in ("delay", "angle_noise", "speed_noise"):
        assert optimal_returns("balancier/Pendulum-v0", [0], **{name: 0.1}) is None
        with pytest.raises(ValueError, match=f"^{name}: found 0.1, expected 0: this takes neither delay nor"):
            optimum(**{name: 0.1})
    with pytest.raises(ValueError, match="^length: found the range"):
        optimum(length=(1.0, 2.0))


@pytest.mark.usefixtures("_coarse")
def test_it_plans_with_friction_and_with_the_motor_s_gain():
    """Half of the torque from half of the gain is worth as much as a motor of half the torque; friction costs."""
    usual = start_value(optimum())
    assert start_value(optimum(friction=0.3)) < usual - 3
    weak, half = optimum(torque_gain=0.5, max_torque=2.0), optimum(max_torque=1.0)
    starts = np.array([[3.0, 0.0], [1.0, -2.0], [0.2, 0.1]])
    more = 0.001 * (1 - 0.25) * 200 * 4  # what the larger commands cost at most
    assert (np.abs(weak.returns(starts) - half.returns(starts)) < more + 1).all()
