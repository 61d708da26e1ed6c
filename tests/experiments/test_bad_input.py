"""Command lines that have no meaning: one line, exit status 2, nothing begun and nothing written."""

import dataclasses
import importlib
import re
import typing

import pytest

from experiments.common import command, flags, runs
from experiments.common.catalog import EXPERIMENTS

COMMANDS = sorted(EXPERIMENTS)


class BegunError(Exception):
    """A run has passed all checks."""


def begun(*_, **__):
    raise BegunError


def flags_of(name):
    """The dataclass of a command's flags."""
    module = importlib.import_module(f"experiments.{name}")
    if hasattr(module, "LESSON"):
        return module, module.LESSON.flags
    kinds = [kind for kind in vars(module).values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)]
    return module, next(kind for kind in kinds if kind.__name__.lower() == name)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder: refused in one line that it returns, before a run has begun."""
    monkeypatch.chdir(tmp_path)
    for module in (runs, command):
        monkeypatch.setattr(module, "Run", begun)

    def refused(name, *argv):
        module = flags_of(name)[0]
        if hasattr(module, "Run"):
            monkeypatch.setattr(module, "Run", begun)
        before = sorted(tmp_path.rglob("*"))
        assert module.main(list(argv)) == 2
        line = capsys.readouterr().err
        assert line.startswith(f"balancier {name}: ")
        assert line.count("\n") == 1
        assert len(line) < 1000
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return refused


def flags_with(name, kind):
    """The flags of a command whose type mentions this kind, as they are typed."""
    hints = typing.get_type_hints(flags_of(name)[1], include_extras=True)
    named = {"hyperparameters": "--set"}
    return [named.get(field, flags.flag_name(field)) for field, hint in hints.items()
            if re.search(kind, str(hint)) and "Positional" not in str(hint)]  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_no_flag_of_any_command_takes_nothing(name, run):
    for flag in flags_with(name, "int|float|str|Path|Literal"):
        for value in ("", " ", "None", "a\nb", "\0", "x" * 5000):
            assert f"{flag}: found" in run(name, flag, value)
        assert f"{flag}: found ''" in run(name, f"{flag}=")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_number_of_every_command_is_checked(name, run):
    for flag in flags_with(name, r"\bint\b"):
        for value in ("nan", "inf", "x", "1.5", "1e3", "-1", "9" * 30):
            if (name, flag, value) not in {("watch", "--replica", "-1"), ("watch", "--replica", "9" * 30)}:
                assert flag in run(name, flag, value)
    for flag in flags_with(name, r"\bfloat\b"):
        for value in ("nan", "inf", "x", "-1"):
            assert flag in run(name, flag, value)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_name_in_a_path_has_at_most_255_bytes(name, run):
    for flag in flags_with(name, "Path"):
        assert f"{flag}: found a name of 256 bytes, expected at most 255" in run(name, flag, "é" * 128)


@pytest.mark.parametrize("env", [
    ":", "math:", ":CartPole-v1", "CartPole", "CartPole-v9", "nowhere:X-v0", "math.py:X-v0", "math:X-v0", "a b",
    "x" * 300, "CartPole-v1,Pendulum-v1", "__main__:X-v0",
])  # fmt: skip
@pytest.mark.parametrize("name", ["train", "compare", "sweep"])
def test_an_environment_has_an_id_that_is_known(name, env, run):
    assert "--env: found" in run(name, "--env", env)


@pytest.mark.parametrize("texts", [
    "size", "=3", "size=", "1=2", "length=a", "length=-1", "length=nan", "length=1e300", "nokey=1", "num_torques=1",
    "max_episode_steps=0", "max_episode_steps=True", "max_episode_steps=1.5", "render_mode=human", "length=1 length=2",
    "length=[1,2", "x=__import__('os')", "observation=x",
])  # fmt: skip
def test_keywords_of_an_environment_are_its_own(texts, run):
    assert re.match("balancier train: --env(-kwargs)?: ", run("train", "--env-kwargs", *texts.split(" ")))


@pytest.mark.parametrize("texts", [
    "gamma", "gamma=", "=1", "gamma=2", "gamma=nan", "gamma=none", "gamma=0.9,0.9", "gama=0.9", "batch_size=0",
    "batch_size=1.5", "batch_size=True", "normalize_obs=no", "learning_rate=0", "learning_rate=1e400", "num_envs=0",
    "num_envs=1000000000", "buffer_size=9007199254740991", "gamma=0.9 gamma=0.8", "seeds=3",
])  # fmt: skip
def test_hyper_parameters_are_the_agents(texts, run):
    assert run("train", "--set", *texts.split(" ")).startswith("balancier train: --set: ")


def test_a_number_of_processes_in_the_environment_is_one(monkeypatch):
    for text in ("many", "-1", "1.5", "9" * 30):
        monkeypatch.setenv(flags.JOBS, text)
        with pytest.raises(flags.UsageError, match=f"^{flags.JOBS}: found .*, expected a whole number from 1 to 1024"):
            flags.ParallelFlags().processes  # noqa: B018
    monkeypatch.setenv(flags.JOBS, "3")
    assert flags.ParallelFlags().processes == 3
