"""Whatever a file says: loading imports and runs nothing, takes no memory that is not needed, and names the fault."""

import copy
import json
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import agents
from agents import DQN, PPO, SAC
from agents.common import checkpoint, loading
from agents.common.checkpoint import CheckpointError
from agents.evaluation import evaluate, select_best
from models import CNN, GRU, MLP

HOME = Path(__file__).parents[3]
SMALL = {"seeds": [3, 11], "network": partial(MLP, hidden=(8, 4))}
MAKERS = {
    "ppo": lambda: PPO("CartPole-v1", num_steps=8, **SMALL).learn(24),
    "dqn": lambda: DQN("CartPole-v1", buffer_size=50, learning_starts=8, batch_size=4, num_envs=2, **SMALL).learn(24),
    "sac": lambda: SAC("Pendulum-v1", buffer_size=50, learning_starts=8, batch_size=4, **SMALL).learn(24),
    "gru": lambda: PPO("CartPole-v1", num_steps=8, seeds=2, network=partial(GRU, hidden_size=5)).learn(8),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The parts of a checkpoint of each kind."""
    folder = tmp_path_factory.mktemp("saved")
    for name, make in MAKERS.items():
        make().save(folder / name)
    PPO("CartPole-v1", num_steps=8, **SMALL).save(folder / "policy", policy_only=True)
    return {path.name: checkpoint.load(path) for path in folder.iterdir()}


def forged(path, parts, change):
    """A file with a right digest, whatever `change(arrays, meta)` makes of the parts."""
    arrays, meta = copy.deepcopy(parts)
    change(arrays, meta)
    checkpoint.save(path, arrays, meta)
    return path


def one_line(path, words, kind=ValueError, load=agents.load):
    with pytest.raises(kind, match=words) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


# Nothing is imported.

WORLD = """
import gymnasium as gym
from pathlib import Path
Path("executed").touch()
gym.register(id="My-v0", entry_point=ENTRY, max_episode_steps=20)
class Mine(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 3).astype("f"), {}
    def step(self, action):
        return self.np_random.uniform(-1, 1, 3).astype("f"), 1.0, False, False, {}
"""
ENTRIES = {"its own class": '"myworld:Mine"', "a class of Gymnasium's": '"gymnasium.envs.classic_control:CartPoleEnv"'}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A module of one's own in the current folder, which makes a file whenever it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(entry):
        Path("myworld.py").write_text(WORLD.replace("ENTRY", entry))

    yield write
    forget()


def forget():
    sys.modules.pop("myworld", None)
    gym.registry.pop("My-v0", None)
    Path("executed").unlink(missing_ok=True)


@pytest.mark.parametrize("policy_only", [False, True])
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_module_is_imported_only_by_who_names_it(entry, policy_only, world):
    world(ENTRIES[entry])
    agent = PPO("myworld:My-v0", num_steps=8, seeds=1).learn(8)
    agent.save("agent", policy_only=policy_only)
    assert checkpoint.load("agent")[1]["env"] == "myworld:My-v0"
    assert agents.load("agent").env == "myworld:My-v0"  # its module is imported
    forget()
    for load in agents.load, PPO.load:
        line = one_line("agent", "found the environment myworld:My-v0, which nothing has registered yet", load=load)
        assert line.endswith(
            "expected `import myworld` first, or env='myworld:My-v0' (on the command line --env myworld:My-v0)"
        )
    assert "myworld" not in sys.modules
    assert not Path("executed").exists()
    loaded = agents.load("agent", env="myworld:My-v0")
    assert Path("executed").exists()
    np.testing.assert_array_equal(
        loaded.get_state()["policy.logits.head.weight"], agent.get_state()["policy.logits.head.weight"]
    )


@pytest.mark.parametrize("entry", ENTRIES)
def test_nothing_is_imported_after_loading_either_and_the_id_stays(entry, world):
    world(ENTRIES[entry])
    PPO("myworld:My-v0", num_steps=8, seeds=2).learn(8).save("agent")
    kept = sys.modules["myworld"]
    Path("executed").unlink()
    loaded = agents.load("agent")
    for agent in (loaded, copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded)), loaded.extract(1)):
        agent.learn(8)
        evaluate(agent, agent.env, range(2), max_steps=30)
        select_best(agent, range(2))
        agent.save("again")
        assert (agent.env, checkpoint.load("again")[1]["env"]) == ("myworld:My-v0", "myworld:My-v0")
    assert not Path("executed").exists()
    assert sys.modules["myworld"] is kept


def test_an_environment_that_is_registered_needs_no_import(world):
    """Somebody else registered the id, under the module's class, or a bare id."""
    world(ENTRIES["its own class"])
    PPO("myworld:My-v0", num_steps=8, seeds=1).save("agent")
    PPO("My-v0", num_steps=8, seeds=1).save("bare")
    meta = checkpoint.load("bare")[1]
    assert (meta["env"], meta["env_module"]) == ("My-v0", "myworld")
    forget()
    one_line("bare", r"found the environment My-v0, .* expected `import myworld` first, or env='myworld:My-v0'")
    gym.register(id="My-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
    one_line("agent", "which nothing has registered yet")  # it is another's
    gym.registry.pop("My-v0")
    gym.register(id="My-v0", entry_point="myworld:Mine", max_episode_steps=20)
    assert agents.load("bare").env == "My-v0"
    assert agents.load("agent").env == "myworld:My-v0"


@pytest.mark.parametrize("env", [
    "payload:CartPole-v1", "antigravity:CartPole-v1", "payload:Id-v0", "pay load.x:Id", ":", "payload:", "Nowhere-v0",
    "a:payload:CartPole-v1", "../payload:CartPole-v1", "__main__:Nowhere-v0", "CartPole", "gymnasium.utils.play:Pong",
    "envs:payload", "envs.payload:CartPole-v1", "payload:balancier/Pendulum-v0",
])  # fmt: skip
def test_a_forged_id_runs_nothing(env, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("payload.py").write_text("open('executed', 'w')")
    path = forged(tmp_path / "agent", saved["ppo"], lambda arrays, meta: meta.update(env=env, env_module="payload"))
    before = set(sys.modules)
    one_line(path, "found the environment .*, which nothing has registered yet")
    assert not Path("executed").exists()
    assert {name for name in set(sys.modules) - before if not name.startswith("envs")} == set()


def test_our_environments_are_known_without_an_import(tmp_path):
    """A bare id of ours, by a process that has imported agents alone."""
    code = "import sys, agents, envs; agents.PPO('balancier/Pendulum-v0', seeds=1, num_steps=8).save(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path / "agent"], check=True, cwd=HOME)
    assert checkpoint.load(tmp_path / "agent")[1]["env"] == "balancier/Pendulum-v0"
    code = "import sys, agents; print(agents.load(sys.argv[1]).env)"
    command = [sys.executable, "-c", code, str(tmp_path / "agent")]
    assert subprocess.run(command, check=True, cwd=HOME, capture_output=True, text=True).stdout.split() == [
        "balancier/Pendulum-v0"
    ]


# What the caller gives must be what the file has.


class Wide(gym.Env):
    observation_space, action_space = gym.spaces.Box(-2, 2, (4,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(4, np.float32), {}


class Many(Wide):
    observation_space, action_space = gym.make("CartPole-v1").observation_space, gym.spaces.Discrete(3)


@pytest.mark.parametrize(("given", "words"), [
    ({"env": "Acrobot-v1"}, "^env: found Acrobot-v1, expected CartPole-v1, the environment of .*agent$"),
    ({"env": "nowhere:Acrobot-v1"}, "^env: found nowhere:Acrobot-v1, expected CartPole-v1"),
    ({"env": ""}, "^env: found , expected CartPole-v1"),
    ({"env": 3}, "^env: found int, expected an id, or a function"),
    ({"env": Wide}, "^env: found of a function with the observation space .*low.*, expected .*, that of CartPole"),
    ({"env": partial(gym.make, "CartPole-v1")}, "^env: found a function, expected CartPole-v1, the environment of"),
    ({"env": Many}, r"^env: found of a function with the action space .'choices': .3.., expected .'choices': .2.."),
    ({"network": partial(MLP, hidden=(8, 5))}, r"^network: found MLP\(hidden=\[8, 5\]\), expected MLP\(hidden=.8, 4"),
    ({"network": partial(MLP, hidden=(8, 4), activation="tanh")}, "^network: found MLP.*tanh.*, expected MLP"),
    ({"network": partial(GRU, hidden_size=8)}, "^network: found GRU.hidden_size=8., expected MLP"),
    ({"network": partial(CNN, channels=(8,))}, "^network: found CNN"),
    ({"network": lambda n, seeds: MLP(n, (8, 5), seeds=seeds)}, r"agent: .*: found shape .*, expected \(2, "),
    ({"network": lambda n, seeds: MLP(n, (8,), seeds=seeds)}, "agent: .*found an unknown array"),
])  # fmt: skip
def test_another_environment_or_network_is_one_line(given, words, saved, tmp_path):
    path = forged(tmp_path / "agent", saved["ppo"], lambda arrays, meta: None)
    with pytest.raises(ValueError, match=words) as error:
        agents.load(path, **given)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value) or given == {"env": 3}


def test_the_same_environment_and_network_in_other_words_are_accepted(saved, tmp_path):
    path = forged(tmp_path / "agent", saved["ppo"], lambda arrays, meta: None)
    for given in (
        {"env": "CartPole-v1"}, {"env": "gymnasium:CartPole-v1"},
        {"network": partial(MLP, hidden=[8, 4], activation="relu")},
    ):  # fmt: skip
        assert agents.load(path, **given).num_timesteps == 24


# What a file says.


def drop(name):
    return lambda arrays, meta: meta.pop(name)


def put(name, value):
    return lambda arrays, meta: meta.update({name: value})


def config(name, value):
    return lambda arrays, meta: meta["config"].update({name: value})


def network(**keywords):
    return lambda arrays, meta: meta["network"]["keywords"].update(keywords)


NEEDED = ("agent", "env", "env_kwargs", "seeds", "network", "config", "dtype", "num_timesteps")
FAULTS = {
    **{f"no {name}": ("ppo", drop(name), f"found no '{name}', expected ") for name in NEEDED},
    **{f"{name}: {value!r}": ("ppo", put(name, value), f"{name}: found .*, expected ") for name in NEEDED
       for value in (1.5, True, [], "", "two\nlines", {"a": 1}, float("nan"), -1)
       if not (name in ("env_kwargs", "config") and isinstance(value, dict))},
    "a config of nothing known": ("ppo", put("config", {"a": 1}), "config: found 'a', expected none but those of PPO"),
    "env_kwargs that it has not": ("ppo", put("env_kwargs", {"a": 1}), "agent: TypeError: .*'a'"),
    "an array that is none": ("ppo", put("env_kwargs", {"a": {"__array__": [1], "dtype": "O"}}), "env_kwargs: found"),
    "a wide text": ("ppo", put("env_kwargs", {"a": {"__array__": ["a"], "dtype": "<U99999999"}}), "env_kwargs: found"),
    "no type": ("ppo", put("env_kwargs", {"a": {"__array__": [1]}}), "env_kwargs: KeyError"),
    "a later field": ("ppo", put("epoch", 1), "found the field 'epoch', expected none but agent"),
    "a later hyper-parameter": ("ppo", config("epoch", 1), "config: found 'epoch', expected none but those of PPO"),
    "a later format": ("ppo", put("format", 3), "found checkpoint format '3', expected 2 or 1"),
    "no format": ("ppo", put("format", None), "found checkpoint format 'None'"),
    "a format that is none": ("ppo", put("format", True), "found checkpoint format 'True'"),
    "format 1 without all": ("dqn", lambda arrays, meta: (put("format", 1)(arrays, meta), meta.pop("config")),
                             "found a file of format 1 without what that holds .*config"),
    "another agent": ("ppo", put("agent", "SAC"), "agent: "),
    "an unknown agent": ("ppo", put("agent", "__class__"), "agent: found '__class__', expected one of A2C, DQN"),
    "in lower case": ("ppo", put("agent", "ppo"), "agent: found 'ppo', expected one of"),
    "an unknown network": ("ppo", put("network", {"name": "Evil", "keywords": {}}), "network: found 'Evil', expected"),
    "a function": ("ppo", put("network", {"name": "fit", "keywords": {}}), "network: found 'fit', expected a network"),
    "a module": ("ppo", put("network", {"name": "streams", "keywords": {}}), "network: found 'streams', expected"),
    "a network without a name": ("ppo", put("network", {"keywords": {}}), "network: found .*, expected null, or"),
    "unknown keywords": ("ppo", network(odd=1), "agent: .*odd"),
    "another activation": ("ppo", network(activation="eval"), "activation: found 'eval', expected one of relu"),
    "widths of text": ("ppo", network(hidden="ab"), "agent: "),
    "widths that are none": ("ppo", network(hidden=[8, None]), "agent: "),
    "another default type": ("ppo", put("dtype", "torch.float64"), "found numbers of torch.float64, exp"),
    "NaN as a number": ("ppo", config("gamma", float("nan")), "gamma: found nan, expected a number from 0 to 1"),
    "a text as a number": ("ppo", config("learning_rate", "fast"), "learning_rate: found 'fast', expected"),
    "too many numbers": ("ppo", config("learning_rate", [1e-3] * 3), "learning_rate: found 3 numbers, expected one"),
    "a switch": ("ppo", config("normalize_obs", 1), "normalize_obs: found 1, expected True or False"),
    # Sizes that would take memory.
    "many environments": ("ppo", config("num_envs", 10**9), "num_envs: found 1000000000, expected 1, as its"),
    "many steps": ("ppo", config("num_steps", 10**9), "num_steps: found 1000000000, expected 8, as its array 'rollout"),
    "many seeds": ("ppo", put("seeds", list(range(100_000))), "seeds: found 100000, expected 2, as its array"),
    "a number of seeds": ("ppo", put("seeds", 10**9), "seeds: found 1000000000, expected a list"),
    "many seeds of a policy": ("policy", put("seeds", list(range(10_000))), "seeds: found 10000, expected 2"),
    "wide": ("ppo", network(hidden=[10**9, 4]), "network: hidden: found .*, expected widths of at most "),
    "wide, but not too wide": ("ppo", network(hidden=[64, 64]), "network: hidden: found .*, expected "),
    "wide policy": ("policy", network(hidden=[10**6, 10**6]), "network: hidden: found .*, expected widths of at most "),
    "many layers": ("ppo", network(hidden=[1] * 100_000), "network: hidden: found .*, expected widths of at most "),
    "a large state": ("gru", network(hidden_size=10**6), "network: hidden_size: found 1000000, expected widths"),
    "a large buffer": ("dqn", config("buffer_size", 10**13), "buffer_size: found 10000000000000, expected fewer"),
    "a long sequence": ("gru", config("sequence_length", 10**12), "sequence_length: found 1000000000000"),
    "steps that it has not": ("dqn", lambda arrays, meta: (put("num_timesteps", 48)(arrays, meta),
                              arrays.update(num_timesteps=np.array(48))), "replay.*: found shape .*24.*, expected"),
    "steps of other numbers": ("dqn", put("num_timesteps", 22), "num_timesteps: found 22, expected 24, as its array"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_says_what_cannot_be_is_one_line(fault, saved, tmp_path):
    name, change, words = FAULTS[fault]
    one_line(forged(tmp_path / "agent", saved[name], change), words)


@pytest.mark.parametrize(
    "fault", ["many environments", "many steps", "wide", "many seeds", "a large buffer", "a large state"]
)
def test_sizes_that_a_file_makes_up_take_no_memory(fault, saved, tmp_path):
    resource = pytest.importorskip("resource")
    name, change, words = FAULTS[fault]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one_line(forged(tmp_path / "agent", saved[name], change), words)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_file_of_the_second_format_before_it_had_spaces_and_notes_is_loaded(saved, tmp_path):
    """They named the package of the environment's class instead of the module that was given."""
    new = {"env_module", "spaces", "policy_only", "notes"}

    def older(arrays, meta):
        for name in new:
            meta.pop(name)
        for name in [name for name in arrays if name.startswith("losses.")]:
            del arrays[name]

    loaded = agents.load(forged(tmp_path / "agent", saved["ppo"], older))
    other = agents.load(forged(tmp_path / "same", saved["ppo"], lambda arrays, meta: None))
    for agent in loaded, other:
        agent.learn(16)
    for name, array in other.get_state().items():
        np.testing.assert_array_equal(loaded.get_state()[name], array)


def test_an_adapter_that_imports_what_its_keywords_name_is_not_made(saved, tmp_path):
    def change(arrays, meta):
        meta.update(env="GymV21Environment-v0", env_kwargs={"env_id": "payload:Id-v0"})

    one_line(forged(tmp_path / "agent", saved["ppo"], change), "found the environment GymV21Environment-v0, which")


def test_learning_goes_on_in_another_environment_as_the_pages_say():
    """What docs/stable-baselines3.md says instead of SB3's set_env."""
    agent = PPO("CartPole-v1", num_steps=8, **SMALL).learn(24)
    other = PPO(partial(gym.make, "CartPole-v1"), num_steps=8, **SMALL)
    other.load_state_dict(agent.state_dict())
    obs = np.ones((2, 3, 4), np.float32)
    np.testing.assert_array_equal(other.predict(obs)[0], agent.predict(obs)[0])
    other.learn(16)


def test_a_field_that_an_older_version_had_not_has_its_default(saved, tmp_path):
    path = forged(tmp_path / "agent", saved["ppo"], lambda arrays, meta: meta["config"].pop("gae_lambda"))
    with pytest.warns(UserWarning, match="agent: config: found no 'gae_lambda', which is taken as 0.95"):
        assert agents.load(path).config.gae_lambda == 0.95


@pytest.mark.parametrize("kind", ["ppo", "dqn", "policy"])
def test_every_array_is_needed_in_its_shape_and_type_and_no_other(kind, saved, tmp_path):
    arrays = saved[kind][0]
    for name, array in arrays.items():
        if name.startswith("losses.") or (name == "vec_env.actions" and not array.size):
            continue
        changes = {
            "missing": lambda arrays, meta, name=name: arrays.pop(name),
            "longer": lambda arrays, meta, name=name: arrays.update({name: np.stack([arrays[name]] * 2)}),
            "typed": lambda arrays, meta, name=name: arrays.update({name: arrays[name].astype(np.complex64)}),
        }
        for change in changes.values():
            line = one_line(forged(tmp_path / "agent", saved[kind], change), ".")
            assert name in line or "cannot be read" in line, (name, line)
            assert "expected" in line
    path = forged(tmp_path / "agent", saved[kind], lambda arrays, meta: arrays.update(diverged=np.zeros(3)))
    one_line(path, r"diverged: found shape \(3,\), expected \(2,\)")
    path = forged(tmp_path / "agent", saved[kind], lambda arrays, meta: arrays.update(more=np.zeros(3)))
    one_line(path, "state: found an unknown array 'more', expected that of an agent made alike")


@pytest.mark.parametrize("make", [
    lambda header: b"{" * 500, lambda header: b"[]", lambda header: b'"text"', lambda header: b"{}",
    lambda header: b"[" * 100_000 + b"]" * 100_000,
    lambda header: json.dumps({"__metadata__": {"balancier": "{"}}).encode(),
    lambda header: json.dumps({"__metadata__": {"balancier": "[" * 100_000 + "]" * 100_000}}).encode(),
    lambda header: json.dumps({"__metadata__": {"balancier": "[1]"}}).encode(),
    lambda header: json.dumps({"__metadata__": {"balancier": "3"}}).encode(),
    lambda header: json.dumps({"__metadata__": 3}).encode(),
    lambda header: b"\xff\xfe" + header,
])  # fmt: skip
def test_a_header_that_nobody_saved_is_one_line(make, saved, tmp_path):
    """With a right digest."""
    key = b'"sha256":"' + b"0" * 64
    header = make(b"") + b" " + key + b'"'
    content = len(header).to_bytes(8, "little") + header
    digest = checkpoint.hashlib.sha256(content).hexdigest().encode()
    (tmp_path / "agent").write_bytes(content.replace(b"0" * 64, digest, 1))
    one_line(tmp_path / "agent", "agent: found ", CheckpointError)


def test_lengths_that_are_none_are_one_line(saved, tmp_path):
    forged(tmp_path / "agent", saved["ppo"], lambda arrays, meta: None)
    content = (tmp_path / "agent").read_bytes()
    for length in (0, 7, 2**40, 2**63, 2**64 - 1):
        (tmp_path / "agent").write_bytes(length.to_bytes(8, "little") + content[8:])
        one_line(tmp_path / "agent", "agent: ", CheckpointError)


def test_what_is_no_file_is_one_line(tmp_path):
    one_line(tmp_path, "found a folder, expected the file of a checkpoint", CheckpointError)
    one_line(os.devnull, "found a pipe or a device, expected the file of a checkpoint", CheckpointError)


def test_what_diverged_is_loaded_with_a_warning(saved, tmp_path):
    """The other seeds are as good as before."""

    def change(arrays, meta):
        arrays["policy.logits.head.weight"][1, 0, 0] = np.nan

    path = forged(tmp_path / "agent", saved["ppo"], change)
    with pytest.warns(UserWarning, match=r"agent: found NaN or infinity in policy.logits.head.weight of seed 11, exp"):
        loaded = agents.load(path)
    obs = np.zeros((2, 1, 4), np.float32)
    forged(tmp_path / "sound", saved["ppo"], lambda arrays, meta: None)
    np.testing.assert_array_equal(loaded.predict(obs)[0][0], agents.load(tmp_path / "sound").predict(obs)[0][0])


def test_describing_and_restoring_a_space_is_the_same_after_json():
    for space in (gym.spaces.Box(-np.inf, 3, (2,)), gym.spaces.Discrete(3, start=1), gym.spaces.MultiDiscrete([2, 3]),
                  gym.spaces.MultiBinary((2, 3)), gym.spaces.Box(0, 255, (40, 40, 3), np.uint8)):  # fmt: skip
        described = loading.describe_space(space)
        assert json.loads(json.dumps(described)) == described
