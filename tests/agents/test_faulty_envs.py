"""Environments that return or raise what they must not, and environments that keep something between episodes."""

import copy
import re
import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

import agents
from agents import A2C, DQN, PPO, REINFORCE, SAC, TD3
from models import GRU

FAULTY = {"index": 0, "step": 0, "fault": None}  # the environment that fails at this step of all its steps, and how
REPLAY = {"learning_starts": 8, "batch_size": 4, "train_every": 1, "buffer_size": 200}


class Honest(gym.Env):
    """Depends on its seed and actions alone, in episodes of 7 steps; one of them may be told to fail, once."""

    observation_space, action_space = Box(-9, 9, (2,), np.float32), Discrete(3)
    made = 0  # environments so far

    def __init__(self, numbers=False):
        self.index, self.steps = Honest.made, 0
        Honest.made += 1
        if numbers:
            self.action_space = Box(-2, 2, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.x = 0, self.np_random.uniform(-1, 1, 2).astype(np.float32)
        obs = self.x.copy()
        fault = self.fault("reset")
        return fault(obs) if fault else (obs, {})

    def step(self, action):
        self.steps += 1
        self.t += 1
        self.x += np.float32(0.1) * np.float32(action) + self.np_random.uniform(-0.1, 0.1, 2).astype(np.float32)
        self.x = self.x.clip(-9, 9)
        fault = self.fault("step")
        result = self.x.copy(), float(self.x.sum()), self.t == 7, False, {}
        return fault(result) if fault else result

    def fault(self, where):
        if FAULTY["fault"] is None or (self.index, self.steps, FAULTY["where"]) != (
            FAULTY["index"],
            FAULTY["step"],
            where,
        ):
            return None
        fault = FAULTY["fault"]
        FAULTY["fault"] = None  # it is transient
        return fault


def replaced(position, value):
    """A step that returns something else at one place."""
    return lambda result: (*result[:position], value, *result[position + 1 :])


def raising(error):
    def fault(_):
        raise error

    return fault


class Unprintable(Exception):
    pass


OBS = "expected one of Box(-9.0, 9.0, (2,), float32)"
FAULTS = {
    "reward NaN": ("step", replaced(1, np.nan), "found reward nan", "expected a finite number"),
    "reward infinite": ("step", replaced(1, -np.inf), "found reward -inf", "expected a finite number"),
    "reward beyond float32": ("step", replaced(1, 1e39),
        "found reward 1e+39", "expected a finite number from -1e+30 to"),
    "reward of two": ("step", replaced(1, [1, 2]), "found reward [1, 2]", "expected a finite number"),
    "reward ragged": ("step", replaced(1, [[1], [1, 2]]), "found reward [[1], [1, 2]]", "expected a finite number"),
    "reward text": ("step", replaced(1, "1"), "found reward '1'", "expected a finite number"),
    "reward complex": ("step", replaced(1, 1j), "found reward 1j", "expected a finite number"),
    "observation NaN": ("step", replaced(0, np.float32([0, np.nan])), "found observation array([ 0., nan]", "finite"),
    "observation infinite": ("step", replaced(0, np.float32([0, np.inf])),
        "found observation array([ 0., inf]", "finite"),
    "observation beyond float32": ("step", replaced(0, np.array([0, 1e300])),
        "found observation array([ 0., inf]", "finite"),
    "observation too long": ("step", replaced(0, np.zeros(3)), "found observation array([0., 0., 0.])", OBS),
    "observation None": ("step", replaced(0, None), "found observation None", OBS),
    "observation text": ("step", replaced(0, np.array(["a", "b"])), "found observation array(['a', 'b']", OBS),
    "observation complex": ("step", replaced(0, np.array([1j, 2])), "found observation array([0.+1.j, 2.+0.j])", OBS),
    "observation ragged": ("step", replaced(0, [[1], 2]), "found observation [[1], 2]", OBS),
    "observation of objects": ("step", replaced(0, np.array([None, 1])), "found observation array([None, 1]", OBS),
    "terminated None": ("step", replaced(2, None), "found terminated None", "expected True or False"),
    "terminated text": ("step", replaced(2, "False"), "found terminated 'False'", "expected True or False"),
    "terminated number": ("step", replaced(2, 2), "found terminated 2", "expected True or False"),
    "truncated NaN": ("step", replaced(3, np.nan), "found truncated nan", "expected True or False"),
    "truncated of two": ("step", replaced(3, np.array([True, False])),
        "found truncated array([ True, False])", "True or False"),
    "four values": ("step", lambda result: result[:4],
        "found another interface (a tuple of 4 from step)", "step five values"),
    "six values": ("step", lambda result: (*result, 1),
        "found another interface (a tuple of 6 from step)", "step five"),
    "None": ("step", lambda result: None, "found another interface (a NoneType from step)", "step five values"),
    "ValueError": ("step", raising(ValueError("not enough values to unpack")),
        "found ValueError: not enough", "no error"),
    "ZeroDivisionError": ("step", raising(ZeroDivisionError("division\nby zero")),
        "ZeroDivisionError: division by zero", "no"),
    "error of its own": ("step", raising(Unprintable()), "found Unprintable:", "expected no error"),
    "MemoryError": ("step", raising(MemoryError()), "found MemoryError:", "expected no error"),
    "gym.error": ("step", raising(gym.error.ResetNeeded("reset first")), "found ResetNeeded: reset first", "no error"),
    "interrupt": ("step", raising(KeyboardInterrupt()), None, None),
    "reset raises": ("reset", raising(OSError("no connection")), "found OSError: no connection", "expected no error"),
    "reset NaN": ("reset", lambda obs: (obs * np.nan, {}), "found observation array([nan, nan]", "finite numbers"),
    "reset alone": ("reset", lambda obs: obs, "found another interface (ndarray from reset)", "gives (obs, info)"),
    "reset interrupt": ("reset", raising(KeyboardInterrupt()), None, None),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_fault_is_left():
    Honest.made, FAULTY["fault"] = 0, None
    yield
    FAULTY["fault"] = None


def same(found, expected, but=()):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        if name not in but:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def fail(agent, name, steps, more=0):
    """Let environment 1 of the second seed fail after `steps` steps; the message, and the state of the step before."""
    where, fault, *_ = FAULTS[name]
    FAULTY.update(index=3, step=steps, where=where, fault=fault)
    states = [agent.get_state()]
    expected = KeyboardInterrupt if "interrupt" in name else agents.EnvError
    with pytest.raises(expected) as caught:
        agent.learn(100, lambda agent: states.append(copy.deepcopy(agent.get_state())))
    return caught.value, states[-1]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_changes_nothing(name, tmp_path):
    make = partial(A2C, Honest, seeds=[4, 8], num_envs=2, num_steps=4, normalize_obs=True, normalize_reward=True)
    whole = make().learn(80)
    Honest.made = 0
    agent, (where, _, found, expected) = make().learn(16), FAULTS[name]
    steps = 21 if where == "reset" else 18  # the third episode ends with its step 21
    error, before = fail(agent, name, steps)
    if found is not None:
        message = str(error)
        assert "\n" not in message
        episode = f"in step {0 if where == 'reset' else 4} of the episode from reset(seed="
        for part in (f"env 1 of seed 8 after {2 * (steps - 1)} steps: found", found, episode, expected):
            assert part in message, message
        if "raises" in name or "Error" in name:
            assert type(error.__cause__).__name__ in message
    assert agent.num_timesteps == 2 * (steps - 1)
    same(agent.get_state(), before)
    # What is saved then goes on, as does the agent itself, as if nothing had been.
    agent.save(tmp_path / "agent")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for again in (agent, A2C.load(tmp_path / "agent", env=Honest)):
            same(again.learn(80 - again.num_timesteps).get_state(), whole.get_state())


AGENTS = {
    "ppo": (PPO, {"num_steps": 4, "num_epochs": 1, "batch_size": 4}),
    "ppo recurrent": (PPO, {"num_steps": 4, "num_epochs": 1, "network": partial(GRU, hidden_size=3)}),
    "reinforce": (REINFORCE, {"num_steps": 14}),
    "dqn": (DQN, REPLAY | {"prioritized": True, "n_step": 2}),
    "sac": (SAC, REPLAY),
    "td3": (TD3, REPLAY | {"noise_every": 2}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_goes_on_after_a_fault(name, tmp_path):
    kind, more = AGENTS[name]
    env = partial(Honest, numbers=kind in (SAC, TD3))
    whole = kind(env, seeds=[4, 8], num_envs=2, **more).learn(80)
    Honest.made = 0
    agent = kind(env, seeds=[4, 8], num_envs=2, **more).learn(16)
    error, before = fail(agent, "reward NaN", 18)
    assert str(error).startswith("env 1 of seed 8 after 34 steps: found reward nan in step 4 of the episode")
    same(agent.get_state(), before, but=["policy.epsilon"])  # which belongs to the step that failed
    agent.save(tmp_path / "agent")
    for again in (copy.deepcopy(agent), agent, kind.load(tmp_path / "agent", env=env)):
        same(again.learn(80 - again.num_timesteps).get_state(), whole.get_state())
    extracted = agent.extract(1).learn(4)
    assert np.isfinite(extracted.metrics["return"]).all()


class Level(Honest):
    """Rewards grow from episode to episode, which no observation shows."""

    level = 0

    def reset(self, *, seed=None, options=None):
        self.level += 1
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, self.level * reward, *rest


class Statistics(Honest):
    """Observations less their mean so far."""

    count, mean = 0, np.zeros(2)

    def less_mean(self, obs):
        self.count += 1
        self.mean = self.mean + (obs - self.mean) / self.count
        return (obs - self.mean).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return self.less_mean(obs), info

    def step(self, action):
        obs, *rest = super().step(action)
        return self.less_mean(obs), *rest


class GlobalGenerator(Honest):
    def step(self, action):
        obs, *rest = super().step(action)
        return obs + np.random.normal(size=2).astype(np.float32), *rest  # noqa: NPY002


class OwnGenerator(Honest):
    """Its generator is made once; `reset(seed=...)` does not seed it."""

    def __init__(self):
        super().__init__()
        self.generator = np.random.default_rng(0)

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward + self.generator.normal(), *rest


class RefusesTwice(Honest):
    """Raises in every further environment that comes to its third step: a simulator that runs once."""

    def step(self, action):
        if self.t == 2 and self.index > 0 and Honest.made > 2:
            raise OSError("one at a time")
        return super().step(action)


class ChangesActions(Honest):
    def __init__(self):
        super().__init__(numbers=True)

    def step(self, action):
        obs, *rest = super().step(action)
        action[:] = 7.0
        return obs, *rest


class WithState(Statistics):
    """Its state can be read and set, random numbers too."""

    def get_state(self):
        return {"t": self.t, "x": self.x, "count": self.count, "mean": self.mean,
                "rng": self.np_random.bit_generator.state}  # fmt: skip

    def set_state(self, state):
        self.t, self.x, self.count, self.mean = state["t"], state["x"].copy(), state["count"], state["mean"]
        self.np_random.bit_generator.state = state["rng"]


class OddState(WithState):
    """Has methods of these names that mean something else, or whose state no file can hold."""

    def get_state(self):
        return {1: self}


@pytest.mark.parametrize("steps", [16, 21, 0])  # within an episode, at its start, before the first
@pytest.mark.parametrize("env", [Level, Statistics, GlobalGenerator, OwnGenerator])
def test_what_outlasts_episodes_is_said_at_save_and_at_load(env, steps, tmp_path):
    agent = A2C(env, seeds=2, num_steps=4, normalize_reward=True).learn(steps)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    if steps == 0:  # all is as it was when the environment was made
        agent.save(tmp_path / "agent")
    else:
        with pytest.warns(UserWarning, match="env: found an environment that keeps something .* expected .*") as caught:
            agent.save(tmp_path / "agent")
        assert len(caught) == 1
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent.save(tmp_path / "agent")  # it was said
    if steps == 0:
        return
    with pytest.warns(UserWarning, match=r"it keeps something .*; 2 of 2 environments begin a new episode") as caught:
        loaded = A2C.load(tmp_path / "agent", env=env)
    assert len(caught) == 1
    assert str(caught[0].message).count("\n") == 0
    now, then = loaded.get_state(), agent.get_state()
    np.testing.assert_array_equal(now["vec_env.episodes"], then["vec_env.episodes"] + 1)
    np.testing.assert_array_equal(now["vec_env.lengths"], 0)
    np.testing.assert_array_equal(now["vec_env.returns"], 0.0)
    np.testing.assert_array_equal(now["reward_scaling.discounted"], 0.0)
    np.testing.assert_array_equal(now["rollout.numbers"][:, (steps - 1) % 4, -1], 1.0)  # cut off, as by a time limit
    for seed, single in enumerate(loaded.vec_env.env.envs):
        np.testing.assert_array_equal(
            now["obs"][seed, 0], single.env.x if env is not Statistics else now["obs"][seed, 0]
        )
    loaded.learn(20)
    assert np.isfinite(loaded.metrics["loss"]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded.save(tmp_path / "again")  # was said when it was loaded


def test_the_return_of_an_episode_is_compared_too(tmp_path):
    """Within the first episode nothing is known of others, and the observations are the same."""
    agent = A2C(Level, seeds=2, num_steps=4).learn(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent.save(tmp_path / "agent")
    with pytest.warns(UserWarning, match="another observation or return after the same actions, .* 2 of 2"):
        A2C.load(tmp_path / "agent", env=Level)


@pytest.mark.parametrize("steps", [0, 3, 16, 21])
@pytest.mark.parametrize("env", [Honest, ChangesActions, WithState])
def test_what_can_be_brought_back_resumes_to_the_bit(env, steps, tmp_path):
    kind, more = (SAC, REPLAY) if env is ChangesActions else (A2C, {"num_steps": 4, "num_envs": 2})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = kind(env, seeds=2, **more).learn(60)
        agent = kind(env, seeds=2, **more).learn(steps)
        agent.save(tmp_path / "agent")
        for again in (kind.load(tmp_path / "agent", env=env), copy.deepcopy(agent), agent):
            same(again.learn(60 - again.num_timesteps).get_state(), whole.get_state())
        if env is WithState:
            extracted, expected = agent.extract(1).learn(20).get_state(), agent.learn(20).get_state()
            np.testing.assert_allclose(extracted["obs"][0], expected["obs"][1], rtol=1e-4)


def test_an_environment_that_cannot_act_its_episode_out_begins_a_new_one(tmp_path):
    agent = A2C(RefusesTwice, seeds=2, num_steps=4).learn(6)
    Honest.made = 5
    with pytest.warns(UserWarning, match="env: found an environment that keeps something|one at a time"):
        agent.save(tmp_path / "agent")
    with pytest.warns(UserWarning, match="2 of 2 environments begin a new episode"):
        A2C.load(tmp_path / "agent", env=RefusesTwice).learn(2)


def test_a_state_that_no_file_holds_is_replayed(tmp_path):
    agent = A2C(OddState, seeds=2, num_steps=4).learn(16)
    with pytest.warns(UserWarning, match="keeps something from episode to episode"):
        agent.save(tmp_path / "agent")


def test_a_fault_in_an_environment_with_memory_is_no_silent_other_run():
    agent = A2C(Statistics, seeds=[4, 8], num_envs=2, num_steps=4).learn(16)
    fail(agent, "reward NaN", 18)
    with pytest.warns(UserWarning, match=r"another observation or return .*; 4 of 4 environments begin a new episode"):
        agent.learn(8)


class Indices(Honest):
    observation_space = MultiDiscrete([3, 4], start=[0, -1])

    def step(self, action):
        _, *rest = super().step(action)
        return np.array([self.t % 3, self.t - 1 if self.t < 6 else -1]), *rest

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([0, -1]), {}


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_an_index_outside_of_its_space_is_a_fault(kind):
    agent = kind(Indices, seeds=2, **({"num_steps": 4} if kind is PPO else REPLAY))
    with pytest.raises(
        agents.EnvError, match=re.escape("env 0 of seed 0 after 3 steps: found observation array([1, 3])")
    ):
        agent.learn(10)
    assert agent.num_timesteps == 3


def test_a_fault_at_the_first_reset_is_named():
    def make():
        FAULTY.update(index=1, step=0, where="reset", fault=lambda obs: (obs * np.inf, {}))
        return Honest()

    with pytest.raises(agents.EnvError, match=r"env 1 of seed 3 after 0 steps: found observation array\(\[.*inf"):
        A2C(make, seeds=[3], num_envs=2)


class Huge(Honest):
    """Numbers of float64, some of which are too large for float32."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    scale = 1e300

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0].astype(np.float64), {}

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return (obs.astype(np.float64) * self.scale if self.t == 3 else obs.astype(np.float64)), reward, *rest


def test_a_number_beyond_the_precision_of_the_agent_is_a_fault(float64):
    assert np.isfinite(A2C(Huge, seeds=2, num_steps=4).learn(8).get_state()["obs"]).all()  # not beyond float64
    torch.set_default_dtype(torch.float32)
    agent = A2C(Huge, seeds=2, num_steps=4)
    with pytest.raises(
        agents.EnvError, match=r"after 2 steps: found observation array\(\[.*e\+.*finite numbers of float32"
    ):
        agent.learn(8)


class Rich(Honest):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs * 1e30, np.sign(reward) * 9e29, *rest


def test_statistics_of_the_largest_numbers_are_finite():
    agent = PPO(Rich, seeds=2, num_steps=8, normalize_obs=True, normalize_reward=True).learn(200)
    for name, array in agent.get_state().items():
        if name != "vec_env.finished":
            assert np.isfinite(array).all(), name
    assert "diverged" not in agent.metrics
