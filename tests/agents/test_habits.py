"""What users of SB3 write works here, or is answered in one line with our words; and the page with all answers."""

import dataclasses
import inspect
import re
from operator import attrgetter
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium.spaces import Box
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.ppo import MlpPolicy

import agents
from agents import A2C, DQN, PPO, REINFORCE, SAC, TD3
from agents.common import habits

PAGE = (Path(__file__).parents[2] / "docs" / "stable-baselines3.md").read_text()
BOTH = {"PPO": PPO, "A2C": A2C, "DQN": DQN, "SAC": SAC, "TD3": TD3}
ENVS = {name: "CartPole-v1" if name in ("PPO", "A2C", "DQN") else "Pendulum-v1" for name in BOTH}
EVERYWHERE = {"env", "seeds", "network", "env_kwargs", "device"}  # arguments of ours that are no hyper-parameters


def keywords(function):
    parameters = list(inspect.signature(function).parameters.values())
    return [parameter.name for parameter in parameters[1:] if parameter.kind is not parameter.VAR_KEYWORD]


def fields(agent):
    return {field.name for field in dataclasses.fields(agent.Config)}


def refusal(kind, call):
    """The one line with which a call is refused."""
    with pytest.raises(kind) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def agent():
    return PPO("CartPole-v1", seeds=[3, 8], num_steps=16, batch_size=16)


@pytest.mark.parametrize("name", BOTH)
def test_every_keyword_of_sb3_is_ours_too_or_has_an_answer(name):
    ours, theirs = BOTH[name], keywords(getattr(sb3, name).__init__)
    answers = {keyword: habits.of_agent(texts, name, fields(ours)) for keyword, texts in habits.CONSTRUCTOR.items()}
    assert {keyword for keyword, text in answers.items() if text} == {*theirs, "n_envs"}
    env = "CartPole-v1" if name == "DQN" else "Pendulum-v1"
    for keyword in theirs:
        if answers[keyword].startswith("the same"):
            assert keyword in fields(ours) | EVERYWHERE
            continue
        assert keyword not in fields(ours) | EVERYWHERE
        assert habits.our_name(answers[keyword]) in {None, "seeds", "network"} | fields(ours)
        line = refusal(ValueError, lambda keyword=keyword: ours(env, seeds=1, **{keyword: 3}))
        assert line == f"{keyword}: here {answers[keyword].replace('`', '').format(value=3)}"


@pytest.mark.parametrize("name", BOTH)
def test_the_answers_to_learn_save_and_load_are_to_the_keywords_of_sb3(name):
    theirs = getattr(sb3, name)
    assert set(keywords(theirs.learn)) == set(habits.LEARN)
    ours = {"path", "env", "device", "kwargs"}
    assert {*keywords(theirs.save), *keywords(theirs.load)} <= set(habits.FILES) | ours
    assert all(callable(getattr(theirs, method, theirs.predict)) for method in habits.METHODS)


def test_all_methods_and_attributes_that_are_answered_are_of_sb3():
    models = [getattr(sb3, name)("MlpPolicy", env, device="cpu") for name, env in ENVS.items()]
    for name in {*habits.METHODS, *habits.ATTRIBUTES} - {"logger"}:  # which is there once it has learned
        assert any(hasattr(model, name) for model in models), name


def test_what_the_answers_name_exists():
    ours = [BOTH[name](env, seeds=2) for name, env in ENVS.items()]
    for text in {**habits.METHODS, **habits.ATTRIBUTES, **habits.LEARN}.values():
        for name in re.findall(r"agent\.(\w+(?:\.\w+)*)", text):
            get = attrgetter(name)
            assert any(succeeds(get, agent) for agent in ours), name


def succeeds(function, *arguments):
    try:
        function(*arguments)
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize("texts", [habits.LEARN, habits.FILES, habits.METHODS, habits.ATTRIBUTES])
def test_the_page_lists_each_answer(texts):
    for name, text in texts.items():
        assert f"\n| `{name}` | {text} |\n" in PAGE


def test_the_page_lists_the_arguments_of_all_constructors_and_no_others():
    expected = [
        (name, kinds.replace(" ", ", "), text.replace("{value}", name))
        for name, texts in habits.CONSTRUCTOR.items()
        for kinds, text in texts.items()
    ]
    assert re.findall(r"^\| `(\w+)` \| ([A-Z0-9, ]+) \| (.*) \|$", PAGE, flags=re.MULTILINE) == expected


def test_defaults_differ_from_sb3_where_the_page_says_so_alone():
    """All others are SB3's, under either name."""
    differing = {("TD3", "noise_std"), ("DQN", "exploration_steps")}
    for name, ours in BOTH.items():
        defaults = {field.name: field.default for field in dataclasses.fields(ours.Config)}
        for parameter in inspect.signature(getattr(sb3, name).__init__).parameters.values():
            text = habits.of_agent(habits.CONSTRUCTOR.get(parameter.name, {}), name, fields(ours)) or ""
            here = parameter.name if text.startswith("the same") else habits.our_name(text)
            if here in defaults and (name, here) not in differing:
                assert defaults[here] == parameter.default, (name, here)
    assert "`noise_std=0.1` (SB3: 0)" in PAGE


class Own(gym.Env):
    observation_space, action_space = Box(-1, 1, (2,), np.float32), Box(-1, 1, (1,), np.float32)


NEITHER = "expected an id, or a function that makes an environment"


@pytest.mark.parametrize(("env", "line"), [
    (lambda: gym.make("Pendulum-v1"),
     f"env: found TimeLimit, {NEITHER}: lambda: gymnasium.make('Pendulum-v1')"),
    (Own, f"env: found Own, {NEITHER}: lambda: ..., which makes a new one for each seed"),
    (lambda: make_vec_env("CartPole-v1", 4), f"env: found DummyVecEnv with num_envs=4, {NEITHER}, and num_envs=4"),
    (lambda: gym.make_vec("CartPole-v1", 3),
     f"env: found CartPoleVectorEnv with num_envs=3, {NEITHER}, and num_envs=3"),
    (lambda: lambda: DummyVecEnv([lambda: gym.make("CartPole-v1")]),
     f"env: found a function that returns DummyVecEnv with num_envs=1, {NEITHER}, and num_envs=1"),
    (lambda: lambda: None, f"env: found a function that returns NoneType, {NEITHER}"),
    (lambda: [lambda: gym.make("CartPole-v1")], f"env: found list, {NEITHER}"),
])  # fmt: skip
def test_environments_that_an_agent_cannot_make_are_refused(env, line):
    assert refusal(ValueError, lambda: PPO(env(), seeds=2)) == line


@pytest.mark.parametrize(("arguments", "more", "line"), [
    (("MlpPolicy", "CartPole-v1"), {}, "policy: found 'MlpPolicy', expected none: PPO('CartPole-v1', network=...), "),
    (("CnnPolicy", Own), {}, "policy: found 'CnnPolicy', expected none: PPO(env, network=...), where"),
    ((MlpPolicy, "CartPole-v1", 3e-4), {}, "policy: found ActorCriticPolicy, expected none: PPO('CartPole-v1', "),
    (("MlpPolicy",), {"env": "CartPole-v1", "verbose": 1}, "policy: found 'MlpPolicy', expected none: PPO('CartPole"),
    ((), {"policy": "MlpPolicy", "env": "CartPole-v1"}, "policy: here nothing (env comes first, and network makes the"),
    (("CartPole-v1", 10), {}, "PPO: found 2 arguments without names, expected env alone, the others by their names"),
    ((Own, 3), {}, "PPO: found 2 arguments without names, expected env alone, the others by their names"),
    (("CartPole-v1",), {"n_steps": 8, "gamma": 0.9, "ent_coef": 0.1, "seed": 3, "bogus": 1},
     "n_steps: here num_steps; ent_coef: here entropy_weight; seed: here seeds=[3]"),
    (("CartPole-v1",), {"learning_rate": lambda left: 1e-3 * left}, "learning_rate: found <function"),
    (("CartPole-v1",), {"bogus": 1}, "bogus: no hyper-parameter of this agent, which has normalize_obs, "),
    (("CartPole-v1",), {"tau": 0.5}, "tau: no hyper-parameter of this agent, which has normalize_obs, "),
])  # fmt: skip
def test_calls_of_sb3_are_answered(arguments, more, line):
    found = refusal(ValueError, lambda: PPO(*arguments, **more))
    assert found.startswith(line)
    if "learning_rate" in more:
        assert found.endswith("expected a number above 0 (instead of a schedule, anneal_steps lets it fall linearly)")


def test_an_agent_that_sb3_does_not_have_answers_for_its_own_hyper_parameters():
    line = refusal(ValueError, lambda: REINFORCE("CartPole-v1", n_steps=8, batch_size=4, vf_coef=1.0))
    assert line == "n_steps: here num_steps; vf_coef: here value_weight"
    line = refusal(ValueError, lambda: REINFORCE("CartPole-v1", batch_size=4))
    assert line.startswith("batch_size: no hyper-parameter of this agent")

    class Mine(DQN):
        pass

    assert refusal(ValueError, lambda: Mine("CartPole-v1", n_steps=3)) == "n_steps: here n_step"


@pytest.mark.parametrize(("callback", "line"), [
    (lambda: EvalCallback(gym.make("CartPole-v1")),
     "found EvalCallback, expected a function of the agent (to evaluate: agents.evaluation.evaluate(agent, env,"),
    (lambda: CheckpointCallback(5, "."), "found CheckpointCallback, expected a function of the agent (to save: agent."),
    (lambda: StopTrainingOnMaxEpisodes(3), "found StopTrainingOnMaxEpisodes, expected a function of the agent"),
    (lambda: [CheckpointCallback(5, ".")], "found a list of 1, expected one function that calls them"),
    (lambda: EvalCallback, "found EvalCallback, expected a function of the agent (to evaluate"),
    (lambda: lambda first, second: True, "found a function of (first, second), expected a function of the agent"),
    (lambda: lambda: True, "found a function of (), expected a function of the agent"),
    (lambda: "eval", "found str, expected a function of the agent"),
])  # fmt: skip
def test_callbacks_that_learn_cannot_call_are_refused_before_the_first_step(callback, line, agent):
    steps = agent.num_timesteps
    assert refusal(ValueError, lambda: agent.learn(10, callback=callback())).startswith(f"callback: {line}")
    assert agent.num_timesteps == steps


def test_keywords_of_learn_are_answered(agent):
    line = refusal(ValueError, lambda: agent.learn(10, progress_bar=True, reset_num_timesteps=False))
    assert line.startswith("progress_bar: here nothing (learn's callback can show agent.num_timesteps); reset_num_")
    with pytest.raises(TypeError, match=r"learn\(\) got an unexpected keyword argument 'steps'"):
        agent.learn(10, steps=3)


def test_learn_returns_the_agent_and_calls_any_function_of_it():
    agent, seen = PPO("CartPole-v1", seeds=1, num_steps=16), []
    assert agent.learn(4, callback=seen.append) is agent
    assert seen == [agent] * 4
    assert agent.learn(total_timesteps=4.0, callback=lambda agent, more=1: None).num_timesteps == 8


OBS = np.array([0.1, -0.2, 0.05, 0.3], np.float32)


@pytest.mark.parametrize("obs", [OBS, list(OBS), tuple(OBS), torch.tensor(OBS, requires_grad=True), OBS.astype(float)])
def test_one_observation_in_any_form_gives_an_array_as_in_sb3(obs, agent):
    model = sb3.PPO("MlpPolicy", "CartPole-v1", device="cpu")
    action, expected = agent[0].predict(obs)[0], model.predict(OBS)[0]
    for one in (action, expected):
        assert isinstance(one, np.ndarray)
        assert (one.shape, one.dtype) == ((), np.int64)
    batch = agent[0].predict(np.stack([OBS] * 3))[0]
    assert batch.shape == model.predict(np.stack([OBS] * 3))[0].shape == (3,)
    assert (batch == action).all()


@pytest.mark.parametrize(("obs", "line"), [
    ((OBS, {}), "obs: found the tuple (obs, info), expected obs alone (mixing Gym API and SB3's)"),
    ({"a": OBS}, "obs: found a dict that is no array of numbers, expected one"),
    (None, "obs: found a NoneType that is no array of numbers, expected one"),
    ("obs", "obs: found a str that is no array of numbers, expected one"),
    ([[1, 2], [3]], "obs: found a list that is no array of numbers, expected one"),
    (OBS[:3], "obs: found shape (3,), expected (4,) or (n, 4)"),
    (np.zeros((2, 3, 4)), "obs: found shape (2, 3, 4), expected (4,) or (n, 4)"),
    (OBS[:, None], "obs: found shape (4, 1), expected (4,) or (n, 4)"),
])  # fmt: skip
def test_what_is_no_observation_is_refused(obs, line, agent):
    assert refusal(ValueError, lambda: agent[0].predict(obs)) == line
    if "shape" not in line:
        assert refusal(ValueError, lambda: agent.predict(obs)) == line


def test_observations_of_all_seeds_are_asked_for_by_their_shape(agent):
    line = refusal(ValueError, lambda: agent.predict(OBS))
    assert line == "obs: found shape (4,), expected (2, n, 4) (agent[i].predict takes those of one seed)"
    assert agent.predict(np.zeros((2, 5, 4)).tolist())[0].shape == (2, 5)


def test_states_of_the_wrong_size_are_refused():
    replica = PPO("CartPole-v1", seeds=1, num_steps=16, network=lambda *_, **k: agents.common.agent.models.MLP(4, **k))[
        0
    ]
    line = refusal(ValueError, lambda: replica.predict(OBS, state=np.zeros(3)))
    assert line == "state: found 3 numbers, expected 0 for each of 1 observations"
    line = refusal(ValueError, lambda: replica.predict(OBS, episode_start=[True, False]))
    assert line == "episode_start: found 2 numbers, expected 1 for each of 1 observations"


def test_numbers_that_are_no_bytes_are_refused_where_the_environment_has_bytes():
    class Camera(gym.Env):
        observation_space, action_space = Box(0, 255, (1, 4, 4), np.uint8), Box(-1, 1, (1,), np.float32)

        def reset(self, *, seed=None, options=None):
            return np.zeros((1, 4, 4), np.uint8), {}

    replica = PPO(Camera, seeds=1, num_steps=16)[0]
    image = np.random.default_rng(0).integers(256, size=(1, 4, 4), dtype=np.uint8)
    image[0, 0, :2] = 0, 255
    np.testing.assert_array_equal(replica.predict(image)[0], replica.predict(image.astype(np.float32))[0])
    for wrong in (image / 255, image.astype(int) - 1, image.astype(int) + 1, np.full((1, 4, 4), np.nan)):
        line = refusal(ValueError, lambda wrong=wrong: replica.predict(wrong))
        assert line == f"obs: found numbers of {wrong.dtype} that are no bytes, expected uint8"


@pytest.mark.parametrize("name", habits.METHODS | habits.ATTRIBUTES)
def test_methods_and_attributes_of_sb3_are_answered(name, agent):
    line = f"{name}: here {(habits.METHODS | habits.ATTRIBUTES)[name]}"
    assert refusal(AttributeError, lambda: getattr(agent[0], name)) == line
    if name != "env":  # an id here
        assert refusal(AttributeError, lambda: getattr(agent, name)) == line
        assert not hasattr(agent, name)


@pytest.mark.parametrize("name", BOTH)
def test_every_attribute_of_sb3_is_there_or_answered(name):
    """Of a model that has learned, but for what SB3 alone needs within."""
    env = ENVS[name]
    small = {"n_steps": 8, "batch_size": 8} if name == "PPO" else {}
    model = getattr(sb3, name)("MlpPolicy", env, device="cpu", **small).learn(8)
    ours = BOTH[name](env, seeds=2)
    for attribute in {part for part in dir(model) if not part.startswith("_")}:
        within = "batch_norm" in attribute or attribute in ("policy_aliases", "action_noise", "critic")
        if within or hasattr(ours, attribute):
            continue
        line = refusal(AttributeError, lambda attribute=attribute: getattr(ours, attribute))
        if "sde" in attribute and name in ("DQN", "TD3"):  # not among their arguments
            assert line == f"'{name}' object has no attribute '{attribute}'"
            continue
        assert line.startswith(f"{attribute}: here ")
        if attribute != "seed":
            assert refusal(AttributeError, lambda attribute=attribute: getattr(ours[0], attribute)) == line
        for path in re.findall(r"agent\.(\w+(?:\.\w+)*)", line.partition("nothing")[0]):
            attrgetter(path)(ours)


def test_hyper_parameters_of_sb3_are_found_in_the_config(agent):
    for name, line in (
        ("n_steps", "n_steps: here agent.config.num_steps"),
        ("batch_size", "batch_size: here agent.config.batch_size"),
        ("policy_kwargs", "policy_kwargs: here agent.network"),
        ("seed", "seed: here agent.seeds"),
        ("target_kl", "target_kl: here nothing (all `num_epochs` are run, as with SB3's None)".replace("`", "")),
        ("buffer_size", "'PPO' object has no attribute 'buffer_size'"),
        ("bogus", "'PPO' object has no attribute 'bogus'"),
    ):
        assert refusal(AttributeError, lambda name=name: getattr(agent, name)) == line
    agent.verbose = 1  # whoever sets one has it
    assert agent.verbose == 1


def test_a_module_of_ones_own_may_have_such_a_name():
    class Mine(DQN):
        def build(self):
            super().build()
            self.actor = torch.nn.Linear(1, 1)

    assert isinstance(Mine("CartPole-v1", seeds=1).actor, torch.nn.Linear)


def test_attributes_of_one_seed_are_answered(agent):
    line = refusal(AttributeError, lambda: agent[0].learn(10))
    assert line == "learn: found one seed, which only predicts, expected agent.learn, or that of agent.extract(i)"
    assert refusal(AttributeError, lambda: agent[0].n_envs) == "n_envs: here agent.config.num_envs"
    assert refusal(AttributeError, lambda: agent[0].bogus) == "'Replica' object has no attribute 'bogus'"
    assert not hasattr(agent[0], "__array__")
    assert (agent.observation_space, agent.action_space) == (agent[0].observation_space, agent[0].action_space)


def test_keywords_of_save_and_load_are_answered(agent, tmp_path):
    path = tmp_path / "agent"
    assert refusal(ValueError, lambda: agent.save(path, exclude=["env"])).startswith(
        "exclude: here nothing (a file holds"
    )
    assert not path.exists()
    agent.save(path)
    assert PPO.load(path, env="CartPole-v1").num_timesteps == agent.num_timesteps
    for load in (PPO.load, agents.load):
        assert load(path, device="cpu").device == torch.device("cpu")
        line = refusal(ValueError, lambda load=load: load(path, env=gym.make("CartPole-v1")))
        assert line == f"env: found TimeLimit, {NEITHER}: lambda: gymnasium.make('CartPole-v1')"


def test_a_file_of_sb3_is_named(tmp_path):
    sb3.PPO("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "model.zip")
    with pytest.raises(agents.CheckpointError, match=r"expected one of save \(agents.sb3.from_sb3 reads SB3's files\)"):
        PPO.load(tmp_path / "model.zip")
