"""A run that is saved and loaded is bit for bit the one that never stopped: every agent, every switch, any step."""

import dataclasses
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agents
from agents import A2C, AGENTS, DQN, PPO, REINFORCE, SAC, TD3
from models import CNN, GRU, LSTM, MLP, Elman

SMALL = partial(MLP, hidden=(8,))
OFF_POLICY = {"learning_starts": 20, "batch_size": 8, "buffer_size": 60, "num_envs": 2}  # a buffer that goes round
ON_POLICY = {"num_steps": 8, "num_envs": 2}
SETTINGS = {
    DQN: OFF_POLICY | {"train_every": 2, "target_every": 3, "exploration_steps": 80},
    SAC: OFF_POLICY,
    TD3: OFF_POLICY | {"policy_delay": 3},  # the policy's loss is older than the critics'
    PPO: ON_POLICY | {"num_epochs": 2, "batch_size": 6},
    A2C: ON_POLICY,
    REINFORCE: ON_POLICY,
}
PIXELS = {"env_kwargs": {"observation": "pixels", "size": 16, "max_episode_steps": 15}}
SWITCHES = {
    "plain": {},
    "one rate a seed, which falls": {"learning_rate": [1e-3, 1e-2], "anneal_steps": 90},
    "normalized": {"normalize_obs": True, "normalize_reward": True},
    "recurrent": {"network": partial(GRU, hidden_size=4), "sequence_length": 4},
    "cnn": PIXELS | {"network": partial(CNN, channels=(2,), hidden=4)},
    "foreign": {"env": "foreign"},
}
OF_REPLAY = {
    "n-step": {"n_step": 3},
    "noise held": {"noise_every": 3},
    "two updates": {"num_updates": 2, "train_every": 3},
    "recurrent n-step": {"network": partial(LSTM, hidden_size=4), "sequence_length": 4, "n_step": 3},
}
OF_DQN = {name: {name: True} for name in ("double", "dueling", "prioritized")} | {
    "all": {"double": True, "dueling": True, "prioritized": True, "normalize_obs": True} | OF_REPLAY["n-step"],
    "recurrent and prioritized": SWITCHES["recurrent"] | {"prioritized": True},
}
CASES = {
    f"{kind.__name__}, {name}": (kind, more)
    for kind in SETTINGS
    for name, more in (
        SWITCHES
        | (OF_REPLAY if kind in (DQN, SAC, TD3) else {})
        | (OF_DQN if kind is DQN else {})
        | ({"a baseline": {"baseline": True}} if kind is REINFORCE else {})
        | ({"lambda": {"gae_lambda": [0.5, 0.9]}} if kind in (PPO, A2C) else {})
    ).items()
}


class Walk(gym.Env):
    """Someone's environment, without a batch and without a way to read its state: a walk of random length."""

    def __init__(self, discrete=True):
        self.observation_space = gym.spaces.Box(-9, 9, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(3) if discrete else gym.spaces.Box(-1, 3, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1)
        return self.look(), {}

    def step(self, action):
        self.place += 0.3 * (float(np.ravel(action)[0]) - 1) + self.np_random.normal(0, 0.1)
        return self.look(), -(self.place**2), bool(abs(self.place) > 2), bool(self.np_random.uniform() < 0.05), {}

    def look(self):
        return np.array([self.place, self.np_random.normal()], np.float32)


gym.register("WalkDiscrete-v0", Walk)
gym.register("Walk-v0", Walk, kwargs={"discrete": False})


def make(kind, *, env=None, **more):
    discrete = "Discrete" if kind is DQN else ""
    env = f"Walk{discrete}-v0" if env == "foreign" else f"envs:balancier/Pendulum{discrete}-v0"
    keywords = {"env_kwargs": {"max_episode_steps": 15}} if "Walk" not in env else {}
    return kind(env, **(keywords | {"seeds": [3, 11], "network": SMALL} | SETTINGS[kind] | more))


def assert_same(found, expected):
    for one, other in ((found.metrics, expected.metrics), (found.get_state(), expected.get_state())):
        assert one.keys() == other.keys()
        for name, value in other.items():
            np.testing.assert_array_equal(one[name], value, err_msg=name)
            assert one[name].dtype == value.dtype


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_is_the_uninterrupted_one(case, tmp_path):
    """Saved before the first update, right after one, in the middle of rollouts and episodes, and in a full buffer; the
    resumed run replays its updates, or does not."""
    kind, more = CASES[case]
    whole, first = make(kind, **more).learn(100), make(kind, **more)
    assert whole.losses
    assert np.isfinite(whole.metrics["return"]).all()
    for step in (4, 32, 50, 78):
        first.learn(step - first.num_timesteps).save(tmp_path / "run")
        resumed = kind.load(tmp_path / "run")
        resumed.recorded = step % 4 == 0
        assert_same(resumed, first)
        assert_same(resumed.learn(100 - step), whole)
    assert_same(first.learn(22), whole)  # saving changes nothing


# Any configuration: every hyper-parameter has its values here, few and small.

RATE = st.floats(1e-5, 1e-2)
SHARE = st.floats(0, 1)
HYPERPARAMETERS = {
    "learning_rate": RATE, "gamma": SHARE, "gae_lambda": SHARE, "tau": SHARE, "final_epsilon": SHARE,
    "priority_exponent": SHARE, "importance_exponent": SHARE, "entropy_weight": st.floats(0, 0.1),
    "value_weight": SHARE, "max_grad_norm": st.none() | st.floats(0.01, 10), "log_std_init": st.floats(-2, 1),
    "clip_range": st.floats(0.01, 0.5), "noise_std": SHARE, "target_noise_std": SHARE, "target_noise_clip": SHARE,
    "normalize_obs": st.booleans(), "normalize_reward": st.booleans(), "baseline": st.booleans(),
    "double": st.booleans(), "dueling": st.booleans(), "prioritized": st.booleans(),
    "num_envs": st.integers(1, 3), "anneal_steps": st.none() | st.integers(1, 100),
    "sequence_length": st.none() | st.integers(1, 3), "num_steps": st.sampled_from([6, 12]),
    "num_epochs": st.integers(1, 2), "batch_size": st.integers(3, 9), "buffer_size": st.integers(54, 80),
    "learning_starts": st.integers(0, 30), "train_every": st.integers(1, 3), "num_updates": st.integers(1, 2),
    "noise_every": st.integers(1, 3), "n_step": st.integers(1, 3), "policy_delay": st.integers(1, 3),
    "target_every": st.integers(1, 5), "exploration_steps": st.integers(1, 100),
}  # fmt: skip
NETWORKS = st.one_of(
    st.builds(partial, st.just(MLP), hidden=st.lists(st.integers(1, 5), min_size=1, max_size=2).map(tuple),
              activation=st.sampled_from(["relu", "tanh", "sigmoid"])),
    st.builds(partial, st.sampled_from([Elman, GRU, LSTM]), hidden_size=st.integers(1, 4)),
)  # fmt: skip
PICTURES = st.builds(partial, st.just(CNN), channels=st.sampled_from([(1,), (2, 1)]), hidden=st.integers(1, 4))
PENDULUMS = st.fixed_dictionaries(
    {"max_episode_steps": st.integers(1, 20), "observation": st.sampled_from(["state", "angle", "pixels"])},
    optional={"length": st.sampled_from([0.7, (0.5, 2.0)]), "integrator": st.just("rk4")},
)


@st.composite
def configurations(draw):
    """An agent's class, environment and keywords; some hyper-parameters differ from seed to seed."""
    kind = draw(st.sampled_from(list(AGENTS.values())))
    seeds = draw(st.lists(st.integers(0, 2**63), min_size=1, max_size=2, unique=True))
    few = {field.name for field in dataclasses.fields(kind.Config)}
    keywords = draw(st.fixed_dictionaries({}, optional={name: HYPERPARAMETERS[name] for name in few}))
    sizes = ("batch_size", "buffer_size", "learning_starts", "num_steps", "num_epochs")
    keywords |= {name: draw(HYPERPARAMETERS[name]) for name in sizes if name in few}
    for name in ("learning_rate", "gamma"):
        if name in keywords and draw(st.booleans()):
            keywords[name] = [draw(HYPERPARAMETERS[name]) for _ in seeds]
    discrete = kind is DQN or (kind not in (SAC, TD3) and draw(st.booleans()))
    ids = ["CartPole-v1", "WalkDiscrete-v0"] if discrete else ["Walk-v0"]
    env = draw(st.sampled_from([f"envs:balancier/Pendulum{'Discrete' * discrete}-v0", *ids]))
    env_kwargs = draw(PENDULUMS) if "balancier" in env else {}
    if env_kwargs.get("observation") == "pixels":
        env_kwargs |= {"size": 16}
        keywords |= {"network": draw(PICTURES), "normalize_obs": False}
    else:
        keywords |= {"network": draw(NETWORKS)}
    return kind, {"env": env, "env_kwargs": env_kwargs, "seeds": seeds} | keywords


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "run"


def check_any(path, configuration, before, after):
    kind, keywords = configuration
    whole, first = kind(**keywords).learn(before + after), kind(**keywords).learn(before)
    first.save(path)
    resumed = agents.load(path)
    assert (resumed.config, resumed.seeds, resumed.env_kwargs) == (first.config, first.seeds, first.env_kwargs)
    assert_same(resumed, first)
    resumed.learn(whole.num_timesteps - first.num_timesteps)
    assert_same(resumed, whole)


@settings(max_examples=20)
@given(configuration=configurations(), before=st.integers(0, 40), after=st.integers(1, 25))
def test_saving_and_loading_change_nothing_of_any_agent(path, configuration, before, after):
    check_any(path, configuration, before, after)


@pytest.mark.slow
@settings(max_examples=250)
@given(configuration=configurations(), before=st.integers(0, 80), after=st.integers(1, 60))
def test_saving_and_loading_change_nothing_of_many_agents(path, configuration, before, after):
    check_any(path, configuration, before, after)


def test_every_hyper_parameter_has_values_here():
    fields = {field.name for kind in AGENTS.values() for field in dataclasses.fields(kind.Config)}
    assert fields == HYPERPARAMETERS.keys()


@pytest.mark.parametrize("kind", [PPO, SAC])
def test_losses_of_another_shape_are_refused(kind):
    agent = make(kind).learn(40)
    name = next(name for name in agent.get_state() if name.startswith("losses."))
    with pytest.raises(ValueError, match=rf"^{name}: found .*shape \(3,\), expected "):
        agent.set_state(agent.get_state() | {name: np.zeros(3, np.float32)})


def test_a_replica_that_is_taken_out_has_its_own_metrics():
    agent = make(TD3).learn(60)
    for name, value in agent.extract(1).metrics.items():
        np.testing.assert_array_equal(value, agent.metrics[name][1:])
