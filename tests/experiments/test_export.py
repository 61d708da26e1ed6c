import json
import sys

import numpy as np
import pytest

import agents
from agents.evaluation import TEST_SEED, evaluate
from agents.export import OnnxModel
from experiments.common.hyperparams import tuned
from experiments.common.runs import CHECKPOINTS
from experiments.export import main

ENV = "envs:balancier/Pendulum-v0"


@pytest.fixture
def run(tmp_path):
    agents.PPO(ENV, seeds=[3, 11, 12], **tuned("ppo", ENV)).learn(4_000).save(tmp_path / "run" / CHECKPOINTS[0])
    return tmp_path / "run"


def test_the_best_seed_is_exported(run, capsys):
    assert main([str(run), "--episodes", "5"]) == 0
    output, result = capsys.readouterr().out, json.loads((run / "export" / "result.json").read_text())
    assert "about" in output.splitlines()[0]
    trained = agents.load(run / CHECKPOINTS[0])
    returns = evaluate(trained, ENV, range(TEST_SEED, TEST_SEED + 5)).mean(1)
    np.testing.assert_allclose(result["returns"], returns, atol=1e-3)
    assert not np.allclose(result["returns_to_choose"], returns)
    best = int(np.argmax(result["returns_to_choose"]))
    assert result["chosen"] == trained.seeds[best]
    (line,) = [line for line in output.splitlines() if "selected" in line]
    assert line.split()[1] == str(result["chosen"])
    obs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    expected = trained[best].predict(obs)[0]
    loaded, onnx = agents.load(run / "export" / "replica.safetensors"), OnnxModel(run / "export" / "policy.onnx")
    np.testing.assert_array_equal(loaded[0].predict(obs)[0], expected)
    np.testing.assert_allclose(onnx.predict(obs)[0], expected, atol=1e-5)
    assert result["return_of_onnx"] == pytest.approx(returns[best], rel=1e-3)


def test_without_the_packages_the_flag_is_named_and_the_rest_still_works(run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main([str(run)]) == 2
    error = capsys.readouterr().err
    assert "found no package onnxscript" in error
    assert "--skip-onnx" in error
    assert error.count("\n") == 1
    assert not (run / "export").exists()
    assert main([str(run / CHECKPOINTS[0]), "--episodes", "2", "--skip-onnx", "--out", str(run / "mine")]) == 0
    assert {path.name for path in (run / "mine").iterdir()} == {"replica.safetensors", "result.json"}
    assert json.loads((run / "mine" / "result.json").read_text())["return_of_onnx"] is None


@pytest.mark.parametrize(("command", "words"), [
    (["nowhere"], "run: found no checkpoint at nowhere"),
    (["--episodes", "0"], "--episodes: found 0, expected at least 1"),
    (["--seed", "-1"], "--seed: found -1, expected at least 0"),
    (["--out", "taken"], "--out: found the file taken"),
])  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
