"""Environments, numbers and habits of people who did not write this project."""

import copy
import re
from functools import partial
from itertools import count
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple, flatten
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO as SB3PPO

from agents import DQN, PPO, SAC, TD3
from agents.common.cartpole import CartPoleBatch
from agents.common.config import Role
from agents.common.spaces import ActionMap
from agents.evaluation import evaluate
from agents.export import to_module
from agents.sb3 import from_sb3
from envs import datasets
from envs.vector import IndependentVectorEnv
from models import CNN, MLP
from models.streams import stream_seed


class Simple(gym.Env):
    """One number to see, two actions, episodes of five steps."""

    observation_space, action_space = Box(-1, 1, (1,), np.float32), Discrete(2)
    length = 5

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(1, np.float32), 1.0, self.t == self.length, False, self.info()

    def info(self):
        return {}


class Talkative(Simple):
    """Infos whose names and types change from step to step."""

    def info(self):
        return [{"a": 1}, {"a": None}, {"a": "text", "b": np.zeros(3)}, {}, {"a": {"c": 2}}][self.t - 1]


class Endless(Simple):
    length = 10**9


class Legacy(Simple):
    """Seeds NumPy's legacy generator, as many simulators do, which takes numbers below 2**32 alone."""

    def reset(self, *, seed=None, options=None):
        np.random.RandomState(seed)
        return super().reset(seed=seed)


def test_environments_get_seeds_that_a_simulator_takes():
    agent = PPO(Legacy, seeds=2, num_steps=20).learn(40)  # some episodes
    assert agent.metrics["return"].tolist() == [5.0, 5.0]
    starts = [env.seed for env in agent.vec_env.env.envs]
    assert len(set(starts)) == 2


def test_infos_of_any_kind_do_not_stop_a_training():
    agent = PPO(Talkative, seeds=2, num_steps=20).learn(40)
    assert agent.metrics["return"].tolist() == [5.0, 5.0]


def test_a_function_that_returns_one_environment_again_is_refused():
    env = Simple()
    with pytest.raises(ValueError, match="env: found a function that returns the same environment again"):
        PPO(lambda: env, seeds=2)


def test_an_episode_without_end_is_named():
    with pytest.raises(ValueError, match="found an episode of more than 50 steps, expected an end or a time limit"):
        evaluate(PPO(Endless, seeds=1, num_steps=4), Endless, [0], max_steps=50)


@pytest.mark.parametrize("bounds", [(-0.1, 0.1), (0.3, 0.7), (-1e6, 3e-7)])
def test_a_mapped_action_lies_within_the_bounds(bounds):
    space = Box(*bounds, (1,), np.float32)
    action = ActionMap(space)(torch.linspace(-1, 1, 10_001)[:, None]).numpy()
    assert all(space.contains(one) for one in action)
    assert action[0] == space.low


@pytest.mark.parametrize(("agent", "env"), [(PPO, Simple), (DQN, Simple), (SAC, "Pendulum-v1"), (TD3, "Pendulum-v1")])
def test_random_predictions_are_drawn_anew_and_again_from_the_seed(agent, env):
    obs = np.zeros((2, 50, 1 if env is Simple else 3), np.float32)
    more = {"exploration_steps": 1000} if agent is DQN else {}
    first, second = (agent(env, seeds=[3, 11], **more).learn(8) for _ in range(2))
    before = first.get_state()
    draws = [first.predict(obs, deterministic=False)[0] for _ in range(3)]
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[1], draws[2])
    for draw in draws:
        np.testing.assert_array_equal(second.predict(obs, deterministic=False)[0], draw)
    for name, array in first.get_state().items():
        np.testing.assert_array_equal(array, before[name])


def test_numbers_of_numpy_are_numbers():
    rates = np.array([1e-3, 2e-3, 3e-3])
    agent = PPO(Simple, seeds=3, learning_rate=rates, num_steps=np.int64(8), gamma=np.float32(0.5))
    assert agent.config.learning_rate == [1e-3, 2e-3, 3e-3]
    assert (agent.config.num_steps, agent.config.gamma) == (8, 0.5)
    with pytest.raises(ValueError, match="num_steps: found 8.5, expected a whole number of at least 1"):
        PPO(Simple, seeds=1, num_steps=np.float64(8.5))


@pytest.mark.parametrize("shape", [(12, 8, 3), (8, 8, 1), (8, 8, 6)])
def test_images_with_the_channels_last_are_transposed(shape):
    last, first = CNN(shape, channels=(4, 4), seeds=2), CNN((shape[2], *shape[:2]), channels=(4, 4), seeds=2)
    image = torch.rand(2, 5, *shape)
    torch.testing.assert_close(last(image), first(image.movedim(-1, 2)))
    torch.testing.assert_close(last(image.flatten(2)), last(image))


@pytest.mark.parametrize("shape", [(3, 12, 8), (1, 8, 8), (4, 8, 3), (8, 8, 12), (3, 9, 3)])
def test_other_images_are_seen_as_they_are(shape):
    channels = shape[2] if shape == (4, 8, 3) else shape[0]  # 4 x 8 with three channels
    assert CNN(shape, channels=(4,)).convolutions[0].weight.shape[2] == channels


def test_an_agent_sees_images_with_the_channels_last():
    space, network = Box(0, 255, (8, 6, 3), np.uint8), partial(CNN, channels=(4,), hidden=8)
    agent = PPO(partial(AnySpace, space, Discrete(2)), seeds=2, network=network, num_steps=8).learn(16)
    image = np.zeros((8, 6, 3), np.uint8)
    image[..., 1] = 255  # one channel
    first = CNN((3, 8, 6), channels=(4,), hidden=8, seeds=2)
    first.load_state_dict(agent.encoder.cnn.state_dict())
    seen = agent.encoder(torch.from_numpy(image).flatten().expand(2, 1, -1))
    torch.testing.assert_close(seen, first(torch.from_numpy(image).movedim(-1, 0).expand(2, 1, 3, 8, 6)))


class Lacking(Simple):
    def __init__(self):
        raise gym.error.DependencyNotInstalled("its simulator is not installed")


def test_a_package_that_is_missing_is_named():
    gym.register("wild/Lacking-v0", Lacking)
    for env, name in ("wild/Lacking-v0", "wild/Lacking-v0"), (Lacking, "an environment"):
        with pytest.raises(ValueError, match=f"env: found no package that {name} needs .its simulator is not"):
            PPO(env, seeds=1)


@pytest.mark.parametrize("policy", [datasets.idle, datasets.random])
@pytest.mark.parametrize("space", [
    Discrete(3, start=5), MultiDiscrete([3, 4], start=[2, -7]), Box(0.5, 2.0, (2,), np.float32), Box(-1.0, 1.0, (1,)),
])  # fmt: skip
def test_policies_of_data_sets_act_within_any_space(space, policy):
    act = policy(space, 50)
    assert all(space.contains(action) for t in range(5) for action in act(np.zeros((50, 1)), t))


@pytest.mark.parametrize("more", [{"activation_fn": torch.nn.ELU}, {"net_arch": {"pi": [8], "vf": [16]}}])
def test_networks_that_ours_have_not_are_refused(more, tmp_path):
    SB3PPO("MlpPolicy", "CartPole-v1", policy_kwargs=more, device="cpu").save(tmp_path / "model.zip")
    with pytest.raises(ValueError, match="expected ReLU, Tanh or Sigmoid and equal networks"):
        from_sb3(tmp_path / "model.zip", "CartPole-v1")


def test_sigmoid_is_an_activation_that_both_have(tmp_path):
    more = {"activation_fn": torch.nn.Sigmoid}
    model = SB3PPO("MlpPolicy", "CartPole-v1", policy_kwargs=more, device="cpu")
    model.save(tmp_path / "model.zip")
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    ours = from_sb3(tmp_path / "model.zip", "CartPole-v1")[0].predict(obs)[0]
    np.testing.assert_array_equal(ours, model.predict(obs, deterministic=True)[0])


def test_the_state_of_a_pendulum_can_be_read_and_set():
    ours, theirs = (gym.make(name).unwrapped for name in ("envs:balancier/Pendulum-v0", "Pendulum-v1"))
    assert ours.state is None
    for env in (ours, theirs):
        env.reset(seed=0)
    np.testing.assert_allclose(ours.state, theirs.state)
    ours.state = theirs.state = np.array([0.1, -0.2])
    np.testing.assert_allclose(*(env.step(np.array([0.5]))[0] for env in (ours, theirs)), atol=1e-6)


class AnySpace(Simple):
    """Observations that the environment's seed draws from any space; an action outside of its space is an error."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = copy.deepcopy(observation_space), action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        _, *rest = super().step(action)
        return self.observation_space.sample(), *rest


@pytest.mark.parametrize("space", [
    Discrete(5), Discrete(3, start=-1), MultiDiscrete([2, 3], start=[4, -1]), MultiDiscrete([[2, 3], [4, 2]]),
    MultiBinary([2, 3]), Box(-2, 2, (), np.float32), Box(-9, 9, (2, 2), np.int16), Box(0, 1, (3,), np.bool_),
])  # fmt: skip
def test_observations_are_flattened_as_gymnasium_does_it(space):
    agent = DQN(partial(AnySpace, space, Discrete(2)), seeds=2, learning_starts=2, train_every=1).learn(12)
    env = AnySpace(space, Discrete(2))
    obs = [env.reset(seed=agent.vec_env.env_seeds[0] % 2**32)[0], *(env.step(0)[0] for _ in range(5))]
    expected = np.stack([flatten(space, one) for one in obs])
    np.testing.assert_array_equal(agent.replay.obs[0, :5].numpy(), expected[:5])
    np.testing.assert_array_equal(agent.replay.next_obs[0, :5].numpy(), expected[1:])
    action, _ = agent[0].predict(obs[0])
    assert (type(action), action.shape, action.dtype) == (np.ndarray, (), np.int64)
    batch = np.stack(obs)
    np.testing.assert_array_equal(agent[1].predict(batch)[0], agent.predict(np.stack([batch, batch]))[0][1])
    np.testing.assert_array_equal(agent[1].predict(batch)[0], to_module(agent[1])(torch.from_numpy(batch)).numpy())


def test_an_observation_that_its_space_has_not_is_refused():
    agent = PPO(partial(AnySpace, Discrete(3, start=1), Discrete(2)), seeds=1, num_steps=4)
    with pytest.raises(ValueError, match=r"obs: found 4, expected a value of Discrete\(3, start=1\)"):
        agent[0].predict(np.array([4]))


WHOLE = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize("space", [
    MultiBinary(3), MultiBinary([2, 2]), MultiDiscrete([[2, 3], [4, 2]]), MultiDiscrete([2, 3], start=[-1, 5]),
    Box(-1, 1, (), np.float32), Box(0.3, 0.7, (2, 2), np.float16), Box(-1e30, 1e30, (2,), np.float32),
    Box(-3e38, 3e38, (2,), np.float32), Box(np.float32([0, -1]), np.float32([0, 2])), Box(0, 1, (3,), np.bool_),
    Box(2**53 + 1, 2**53 + 5, (2,), np.int64),
    *(Box(np.iinfo(kind).min, np.iinfo(kind).max, (2,), kind) for kind in WHOLE),
])  # fmt: skip
def test_actions_lie_within_their_space_and_are_of_its_type(space):
    agent = PPO(partial(AnySpace, Box(-1, 1, (2,)), space), seeds=2, num_steps=8, num_epochs=1).learn(24)
    for deterministic in True, False:
        action, _ = agent.predict(np.zeros((2, 50, 2), np.float32), deterministic=deterministic)
        assert (action.shape, action.dtype) == ((2, 50, *space.shape), space.dtype)
        assert all(space.contains(np.asarray(one)) for one in action.reshape(100, *space.shape))
    if isinstance(space, Box):  # the ends of [-1, 1] are the bounds
        bounds = agent.vec_env.to_env(torch.tensor([[-1.0], [1.0]]).expand(2, max(1, space.low.size))).numpy()
        np.testing.assert_allclose(bounds.astype(np.float64), [space.low, space.high], rtol=1e-15)


def test_numbers_are_rounded_to_whole_actions():
    action = ActionMap(Box(-3, 10, (1,), np.int32))(torch.tensor([[-1.0], [-0.93], [-0.91], [0.0], [0.99], [1.0]]))
    assert action.flatten().tolist() == [-3, -3, -2, 4, 10, 10]  # -3 + 13 / 2 = 3.5, to the even number


@pytest.mark.parametrize(("observations", "actions", "message"), [
    (Dict(a=Discrete(2)), Discrete(2), "found observation space Dict.*FlattenObservation"),
    (Tuple([Discrete(2)]), Discrete(2), "found observation space Tuple.*wrappers FlattenObservation makes a Box"),
    (Dict(a=Discrete(2), b=gym.Space()), Discrete(2), "FilterObservation leaves out what are no numbers, then Flatten"),
    (Text(3), Discrete(2), "found observation space Text"),
    (Box(-1, 1, (0,)), Discrete(2), r"found observation space Box.*, expected at least one number"),
    (Discrete(2**40), Discrete(2), "of 1099511627776 values, expected at most 100000"),
    (Discrete(2), Dict(a=Discrete(2)), "found action space Dict"),
    (Discrete(2), Box(-1, 1, (2, 0)), "expected at least one number"),
    (Discrete(2), Box(0, np.inf, (1,)), "expected finite bounds"),
    (Discrete(2), Box(-1e308, 1e308, (1,), np.float64), "expected bounds whose difference is finite"),
])  # fmt: skip
def test_spaces_that_no_agent_knows_are_refused(observations, actions, message):
    with pytest.raises(ValueError, match=f"^env: .*{message}[^\n]*$"):
        PPO(partial(AnySpace, observations, actions), seeds=2)


def test_bytes_that_are_no_image_are_numbers_like_any():
    for space, scale in (Box(0, 255, (1, 2, 2), np.uint8), 255), (Box(0, 255, (4,), np.uint8), 1):
        agent = PPO(partial(AnySpace, space, Discrete(2)), seeds=1, num_steps=4)
        seen = agent.encoder(agent.obs).flatten() * scale
        np.testing.assert_allclose(seen, agent.vec_env.env._observations.flatten(), rtol=1e-6)


class Reused(Simple):
    """One array for all observations, of all environments; the reset overwrites it, too. Actions are changed."""

    shared = np.zeros(1, np.float32)
    action_space = Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.shared[:] = -1
        return self.shared, {}

    def step(self, action):
        _, *rest = super().step(None)
        self.shared[:] = action[0] if abs(action[0]) < 0.9 else self.t  # a replay needs the action as it was
        action[:] = 7
        return self.shared, *rest

    def info(self):
        return {"final_obs": "mine", "_final_obs": None, "episode": {"r": self}}


def test_environments_may_reuse_their_arrays(tmp_path):
    agent = SAC(Reused, seeds=2, num_envs=2, learning_starts=4, batch_size=4).learn(24)
    replay = agent.replay
    action, done = replay.numbers[:, :24, 0], replay.numbers[:, :24, -1] == 1
    seen = torch.where(action.abs() < 0.9, action, torch.arange(24) // 2 % 5 + 1.0)
    assert done.sum() == 2 * 4  # two environments of each seed, two episodes
    torch.testing.assert_close(replay.next_obs[:, :24, 0], seen)
    torch.testing.assert_close(replay.obs[:, 2:24, 0], torch.where(done[:, :22], -1.0, seen[:, :22]))
    agent.save(tmp_path / "agent")
    again = SAC.load(tmp_path / "agent", Reused).learn(6)
    for name, array in agent.learn(6).get_state().items():
        np.testing.assert_array_equal(array, again.get_state()[name], err_msg=name)


class Odd(Simple):
    """What it returns where is given."""

    def __init__(self, **returned):
        self.returned = returned

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        return self.returned.get("start", (self.returned.get("obs", obs), info))

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return self.returned.get("step", (self.returned.get("obs", obs), self.returned.get("reward", reward), *rest))


@pytest.mark.parametrize("returned", [
    {"obs": [1]}, {"obs": np.array([1.0])}, {"obs": (True,)}, {"reward": 1}, {"reward": np.float32(1)},
    {"reward": np.ones((1, 1))}, {"reward": np.array(True)},
])  # fmt: skip
def test_numbers_of_any_type_are_taken(returned):
    agent = PPO(lambda: Odd(**returned), seeds=1, num_steps=12).learn(12)
    assert agent.metrics["return"].tolist() == [5.0]
    assert evaluate(agent, lambda: Odd(**returned), [0]).tolist() == [[5.0]]


ZERO = np.zeros(1, np.float32)


@pytest.mark.parametrize(("returned", "message"), [
    ({"reward": np.nan}, "found reward nan in step 1 of the episode from reset(seed=%), expected a finite number"),
    ({"reward": -np.inf}, "found reward -inf in step 1 of the episode from reset(seed=%), expected a finite number"),
    ({"reward": [1, 2]}, "found reward [1, 2] in step 1 of the episode from reset(seed=%), expected a finite number"),
    ({"reward": None}, "found reward None in step 1 of the episode from reset(seed=%), expected a finite number"),
    ({"obs": ZERO + np.nan}, "found observation array([nan], dtype=float32) in step 0 of the episode from"
                             " reset(seed=%), expected finite numbers"),
    ({"obs": np.zeros(2)}, "found observation array([0., 0.]) in step 0 of the episode from reset(seed=%),"
                           " expected one of Box(-1.0, 1.0, (1,), float32)"),
    ({"obs": None}, "found observation None in step 0 of the episode from reset(seed=%), expected one of Box("),
    ({"start": ZERO}, "expected Gymnasium's: reset(seed=, options=) gives (obs, info); step five values"),
    ({"step": (ZERO, 0.0, False, {})}, "expected Gymnasium's: reset(seed=, options=) gives (obs, info); step five"),
])  # fmt: skip
def test_what_an_environment_must_not_return_is_named(returned, message):
    with pytest.raises(ValueError, match=re.escape(message).replace("%", r"\d+")):
        PPO(lambda: Odd(**returned), seeds=2, num_steps=4).learn(4)


class OldReset(Simple):
    def reset(self):
        return np.zeros(1, np.float32)


def test_old_interfaces_are_refused_before_the_first_step():
    with pytest.raises(ValueError, match="found another interface .*seed.* expected Gymnasium's: reset"):
        PPO(OldReset, seeds=1)
    with pytest.raises(ValueError, match="found a function that returns object, expected an id, or a function"):
        PPO(object, seeds=1)
    with pytest.raises(ValueError, match="found a function that returns SyncVectorEnv with num_envs=1, expected"):
        PPO(lambda: gym.vector.SyncVectorEnv([Simple]), seeds=1)
    gym.register("wild/Batch-v0", vector_entry_point=gym.vector.SyncVectorEnv)
    with pytest.raises(ValueError, match="found wild/Batch-v0, which exists as a batch alone"):
        PPO("wild/Batch-v0", seeds=1)


CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
TIME_AWARE = gym.wrappers.TimeAwareObservation.wrapper_spec()


@pytest.mark.parametrize(("entry_point", "registered", "env_kwargs"), [
    (CARTPOLE, {}, {}),
    (CARTPOLE, {"max_episode_steps": 7}, {}),
    (CARTPOLE, {"max_episode_steps": 500}, {"max_episode_steps": 6}),
    (CARTPOLE, {"max_episode_steps": 500, "kwargs": {"sutton_barto_reward": True}}, {}),
    (CARTPOLE, {"max_episode_steps": 9, "additional_wrappers": (TIME_AWARE,)}, {}),
    ("balancier/PendulumDiscrete-v0", {}, {"max_episode_steps": 6}),
    ("balancier/PendulumDiscrete-v0", {"additional_wrappers": (TIME_AWARE,)}, {}),
])  # fmt: skip
def test_an_id_is_what_gymnasium_makes_of_it(entry_point, registered, env_kwargs):
    if entry_point is not CARTPOLE:
        spec = gym.spec(entry_point)
        entry_point, more = spec.entry_point, ("vector_entry_point", "kwargs", "max_episode_steps")
        registered = {name: getattr(spec, name) for name in more} | registered
    gym.register("CartPole-Wild-v0", entry_point, **registered)
    try:
        agent = PPO("CartPole-Wild-v0", env_kwargs=env_kwargs, seeds=[3], num_steps=60).learn(60)
        seed, env, starts = agent.vec_env.env_seeds[0], gym.make("CartPole-Wild-v0", **env_kwargs), count(1)
        steps = agent.rollout.rollout(1)
        native = isinstance(agent.vec_env.env, IndependentVectorEnv | CartPoleBatch)  # one stream for all episodes
        if isinstance(agent.vec_env.env, gym.vector.SyncVectorEnv):
            seed %= 2**32
        obs, _ = env.reset(seed=seed)
        for t in range(60):
            np.testing.assert_allclose(steps.obs[0, t, 0], obs, atol=1e-6)
            obs, reward, terminated, truncated, _ = env.step(int(steps.action[0, t, 0]))
            np.testing.assert_allclose(steps.next_obs[0, t, 0], obs, atol=1e-6)
            np.testing.assert_allclose(steps.reward[0, t, 0], reward, atol=1e-6)
            assert steps.done[0, t, 0] == (terminated or truncated)
            if terminated or truncated:
                start = stream_seed(seed, next(starts))
                obs, _ = env.reset(seed=None if native else start % 2**32 if seed < 2**32 else start)
    finally:
        del gym.registry["CartPole-Wild-v0"]


KEYWORDS = {"mass": np.float32(2), "shape": (1, (2.5, "a")), "deep": {"list": [True, None], "array": np.arange(3.0)}}


class Configured(Simple):
    def __init__(self, **keywords):
        self.keywords = keywords
        keywords["deep"]["list"].append(1)  # what it is given is its own


def test_keywords_are_loaded_as_they_were_given(tmp_path):
    gym.register("wild/Configured-v0", f"{__name__}:Configured")
    agent = PPO("wild/Configured-v0", env_kwargs=KEYWORDS, seeds=2, num_steps=4)
    agent.save(tmp_path / "agent")
    for found in agent, PPO.load(tmp_path / "agent", env="wild/Configured-v0"):
        seen = found.vec_env.env.envs[1].unwrapped.keywords
        assert (type(seen["mass"]), seen["mass"], seen["shape"]) == (float, 2.0, (1, (2.5, "a")))
        assert seen["deep"]["list"] == [True, None, 1]
        np.testing.assert_array_equal(seen["deep"]["array"], np.arange(3.0))
        assert found.env_kwargs["deep"]["list"] == [True, None]
    assert KEYWORDS["deep"]["list"] == [True, None]


@pytest.mark.parametrize("value", [len, {1: 2}, {1, 2}, Path("a"), Role.ENVS, np.array([None]), 1j])
def test_keywords_that_no_file_holds_are_refused(value):
    with pytest.raises(
        ValueError, match=r"env_kwargs\['deep'\]\[0\]: found .*, expected numbers, .* which a file can hold"
    ):
        PPO("CartPole-v1", env_kwargs={"deep": [value]})


class Remembering(Simple):
    """Its observations count the episodes, which no seed brings back."""

    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.episodes += 1
        super().reset(seed=seed)
        return np.float32([self.episodes / 100]), {}


def test_an_environment_that_cannot_be_brought_back_is_named(tmp_path):
    agent = PPO(Remembering, seeds=2, num_steps=4).learn(10)
    with pytest.warns(UserWarning, match="env: found an environment that keeps something from episode to episode"):
        agent.save(tmp_path / "agent")
    with pytest.warns(UserWarning, match="env: found another observation or return after the same actions"):
        PPO.load(tmp_path / "agent", env=Remembering)
    for wrapper in gym.wrappers.NormalizeObservation, gym.wrappers.NormalizeReward:
        with pytest.raises(
            ValueError, match=f"env: found the wrapper {wrapper.__name__}, .* expected none .normalize_obs"
        ):
            PPO(lambda wrapper=wrapper: gym.wrappers.OrderEnforcing(wrapper(Simple())), seeds=2)


KINDS = [np.bool_, np.int8, np.int64, np.uint8, np.uint16, np.float16, np.float32, np.float64]


@st.composite
def boxes(draw):
    kind, shape = np.dtype(draw(st.sampled_from(KINDS))), draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    if kind.kind == "f":
        limit = float(min(np.finfo(kind).max, 1e30)) / 2
        numbers = st.floats(-limit, limit, allow_subnormal=False).map(lambda x: kind.type(x).item())
    else:
        least, most = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
        numbers = st.integers(int(least), int(most))
    bounds = [sorted((draw(numbers), draw(numbers))) for _ in range(int(np.prod(shape)))]
    low, high = (np.array([pair[i] for pair in bounds], kind).reshape(shape) for i in (0, 1))
    return Box(low, high, shape, kind)


SIZES, STARTS = st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(-5, 5)
DISCRETE = st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 5), STARTS)
MULTI = st.builds(lambda sizes, start: MultiDiscrete(sizes, start=[start] * len(sizes)), SIZES, STARTS)
SPACES = st.one_of(boxes(), DISCRETE, MULTI, st.builds(MultiBinary, SIZES))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SPACES, SPACES)
def test_any_spaces(observations, actions):
    """The environment asserts that each action is in its space."""
    agent_class = DQN if isinstance(actions, Discrete) else SAC if isinstance(actions, Box) else PPO
    more = {"num_steps": 4, "num_epochs": 1} if agent_class is PPO else {"learning_starts": 2, "batch_size": 2}
    env = partial(AnySpace, observations, actions)
    agent = agent_class(env, seeds=2, network=partial(MLP, hidden=(4,)), **more).learn(8)
    obs = np.stack([env().reset(seed=i)[0] for i in range(3)])
    for deterministic in True, False:
        action, _ = agent[1].predict(obs, deterministic=deterministic)
        assert (action.dtype, action.shape) == (actions.dtype, (3, *actions.shape))
        assert all(actions.contains(np.asarray(one)) for one in action)
    copied = copy.deepcopy(agent)
    np.testing.assert_array_equal(copied[1].predict(obs)[0], agent[1].predict(obs)[0])
    expected, found = agent.learn(3).get_state(), copied.learn(3).get_state()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
