"""What a user gives that cannot be: one line that names it, says what was found and what was expected, at once."""

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers the ids
from envs import datasets, sources
from envs.grid import pendulum_grid
from envs.pendulum import PendulumVectorEnv
from envs.prediction import PredictionEnv

NAN, INF = float("nan"), float("inf")
NAMES = "Pendulum", "PendulumDiscrete", "Curve", "Sequence", "Recall", "Frames"


def one(name, **keywords):
    return gym.make(f"balancier/{name}-v0", disable_env_checker=True, **keywords).unwrapped


def batch(name, **keywords):
    return gym.make_vec(f"balancier/{name}-v0", 3, vectorization_mode="vector_entry_point", **keywords)


def refused(name, call):
    with pytest.raises(ValueError, match=f"^{name}: ") as error:
        call()
    line = str(error.value)
    assert "\n" not in line
    assert "found" in line
    assert "expected" in line


@pytest.mark.parametrize("make", [one, batch])
@pytest.mark.parametrize("name", NAMES)
def test_reset_and_step_refuse_what_cannot_be(name, make):
    env = make(name)
    options = ["a", [], 3, True, {"bogus": 1}, {1: 2}, {"": 1}, {"seed": 3}, {"noise": 1}, {"length": 2}, {None: 1}, ""]
    for wrong in options + [{"reset_mask": mask} for mask in (3, "abc", [[1], [1, 2]], np.zeros(3, bool))]:
        refused("options", lambda wrong=wrong: env.reset(options=wrong))
    for wrong in [-1, 1.5, "a", True, NAN, 2**64, 10**400, {}, 1j, np.float32(2), [1, 2], *([[1]] * (make is one))]:
        refused("seed", lambda wrong=wrong: env.reset(seed=wrong))
    state = env.reset(seed=np.int64(3), options={})[0]
    for wrong in [NAN, None, "a", [NAN], [INF], [[1], [1, 2]], 99, 1j, [1j], {}, np.zeros((9, 9)), [None],
                  np.full((3, 1), NAN), np.zeros((3, 1), complex), np.zeros(3, bool)]:  # fmt: skip
        refused("action", lambda wrong=wrong: env.step(wrong))
    np.testing.assert_array_equal(env.reset(seed=3)[0], state)


@pytest.mark.parametrize("make", [one, batch])
def test_starts_of_the_pendulum_are_finite(make):
    env = make("Pendulum")
    for name in ("x_init", "y_init"):
        for wrong in (-1, "a", NAN, INF, 1e300, None, True, [1], np.ones(2)):
            refused("options", lambda name=name, wrong=wrong: env.reset(options={name: wrong}))
    for wrong in (None, "a", [1], [NAN, 0], [1, 2, 3], [[1], [2, 3]], [1e300, 0], 1j, ["a", "b"]):
        refused("options", lambda wrong=wrong: env.reset(options={"state": wrong}))


NO_NUMBER = (-1, NAN, INF, "a", None, True, [], [1], [1, 2, 3], [2, 1], [1, NAN], 1j, np.ones(3), 1e300, 10**400, {})
NUMBERS = ("length", "mass", "gravity", "damping", "friction", "max_torque", "max_speed", "dt", "torque_gain",
           "delay", "angle_noise", "speed_noise")  # fmt: skip
PARAMETERS: dict = {name: (*NO_NUMBER, "12", b"ab", [True, 2]) for name in NUMBERS}
PARAMETERS["length"] += (0, 1e-300)
PARAMETERS["delay"] += (5.1, (0, 5.1))  # more than a hundred steps
PARAMETERS |= {
    "inertia": ("x", None, 3, []),
    "integrator": ("x", None, {}),
    "observation": ("x", None, 3, []),
    "num_torques": (1, 0, -1, 1.5, "5", True, NAN, 10**12),
    "size": (3, "a", 1.5),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_pendulum_names_the_keyword_that_cannot_be(name):
    for wrong in PARAMETERS[name]:
        for make in (one, batch):
            refused(name, lambda make=make, wrong=wrong: make("Pendulum", **{name: wrong}))


@pytest.mark.parametrize(("name", "keyword", "values"), [
    ("Pendulum", "max_episode_steps", (0, -2, 1.5, "a", True, NAN)),
    ("Pendulum", "autoreset_mode", ("x", 3, True)),
    ("Curve", "noise", (-1, NAN, INF, "a", None, True, [1], 1j)),
    ("Sequence", "num_steps", (0, -1, 1.5, "a", None, True, 10**9)),
    ("Recall", "delay", (0, -1, 1.5, "a", None, True, 10**9)),
    ("Recall", "cues", (1, 0, 1.5, "a", None, True, 10**9)),
    ("Frames", "size", (3, "a", 1.5, True, 1000)),
])  # fmt: skip
def test_a_batch_names_the_keyword_that_cannot_be(name, keyword, values):
    for wrong in values:
        refused(keyword, lambda wrong=wrong: batch(name, **{keyword: wrong}))
        if name == "Pendulum":
            continue
        refused(keyword, lambda wrong=wrong: one(name, **{keyword: wrong}))


def test_the_largest_parameters_keep_a_pendulum_finite():
    for integrator in ("euler", "rk4"):
        extreme = {"gravity": 1e6, "damping": 1e6, "max_torque": 1e6, "max_speed": 1e6, "dt": 1e6}
        env = one("Pendulum", length=1e-6, mass=1e-6, integrator=integrator, **extreme)
        env.reset(seed=1)
        for _ in range(200):
            obs, reward, *_ = env.step(np.full(1, 1e6, np.float32))
            assert np.isfinite(obs).all()
            assert np.isfinite(reward)


X, Y = np.zeros((4, 2), np.float32), np.arange(4)
SERIES, IMAGES = np.zeros((2, 5)), np.zeros((4, 3, 8, 8), np.uint8)
BOX, PENDULUM = gym.spaces.Box(-1, 1, (1,)), "balancier/Pendulum-v0"
CALLS = {
    "num_envs": [lambda n=n: PendulumVectorEnv(n) for n in (0, -1, 1.5, "3", True, None, 10**12)],
    "source": [lambda s=s: PredictionEnv(s) for s in ("x", 3, None, [], {})],
    "x": [lambda x=x: sources.points(x, Y) for x in ([1, 2], None, X * NAN, X * 1j, np.array(["a"] * 4), np.array(3.0))]
    + [lambda x=x: datasets.datasets(x, X) for x in ("a", None, X * NAN, X * 1j, np.array([["a"]] * 4), np.zeros(4))],
    "y": [lambda y=y: sources.points(X, y) for y in (Y * NAN, X * NAN, Y - 2, Y * 1.0, None)],
    "x, y": [lambda: datasets.datasets(X, X[:3])],
    "x and y": [lambda: sources.points(X, Y[:3]), lambda: sources.points(X[:0], Y[:0])],
    "labels": [lambda y=y: sources.frames(IMAGES, y) for y in (Y * 1.0, [0, 1, 2, 3], X)],
    "num_angles": [lambda n=n: pendulum_grid(n, 2, 2) for n in (1, 2.5, "a", True, 10**9)],
    "num_torques": [lambda n=n: pendulum_grid(2, 2, n) for n in (1, NAN, None)],
    "pendulum": [lambda: pendulum_grid(2, 2, 2, "x")],
    "num_episodes": [lambda n=n: datasets.roll_out(PENDULUM, n, 5) for n in (0, 1.5, "a", True)],
    "num_steps": [lambda n=n: datasets.roll_out(PENDULUM, 2, n) for n in (0, -1, 1.5, "5", 500, 10**18)]
    + [lambda n=n: datasets.swings(2, n) for n in (0, "a", 10**12)],
    "policy": [lambda p=p: datasets.roll_out(PENDULUM, 2, 5, p) for p in ("random", 3)],
    "env_id": [lambda e=e: datasets.roll_out(e, 2, 5) for e in ("", "Nope-v0", None)],
    "seed": [lambda s=s: datasets.random(BOX, 2, s) for s in ("a", -1, 1.5)]
    + [lambda s=s: datasets.swings(2, 3, seed=s) for s in ("a", -1)]
    + [lambda s=s: datasets.split(10, 0.5, s) for s in ("a", -1)],
    "space": [lambda: datasets.random(3, 2), lambda: datasets.idle(None, 2)],
    "steps_per_turn": [lambda t=t: datasets.sinusoidal(BOX, 2, 0, t) for t in ((0, 0), (10, 5), "ab", (NAN, 5))],
    "count": [lambda n=n: datasets.swings(n, 5) for n in (0, -1, 1.5, 10**15)]
    + [lambda n=n: datasets.split(n, 0.5) for n in (0, 1.5, "a")],
    "series": [lambda s=s: datasets.windows(s, 2) for s in (np.zeros(5), [1, 2, 3], None)],
    "length": [lambda n=n: datasets.windows(SERIES, n) for n in (0, 9, 1.5, "a")],
    "stride": [lambda n=n: datasets.windows(SERIES, 2, n) for n in (0, -1, 1.5)],
    "validation": [lambda v=v: datasets.split(10, v) for v in (0.0, 1.0, -0.1, NAN, INF, "a", None)],
    "normalize": [lambda: datasets.datasets(X, X, normalize="no")],
}


@pytest.mark.parametrize("name", CALLS)
def test_sources_and_data_sets_name_the_argument_that_cannot_be(name):
    for call in CALLS[name]:
        refused(name, call)
