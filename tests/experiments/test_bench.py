import json

import pytest

from agents import AGENTS
from experiments import bench
from experiments.bench import Bench, Findings, steps_to_time
from experiments.common.hyperparams import tuned
from experiments.common.training import default_env


def test_whole_rollouts_or_updates_are_timed():
    steps = {}
    for name, agent in AGENTS.items():
        env = default_env(name)
        steps[name] = steps_to_time(agent(env, seeds=1, **tuned(name, env)))
    assert steps["ppo"] == (1024, 1024)  # 16 environments, 64 steps each
    assert steps["a2c"] == (512, 1024)
    assert steps["reinforce"] == (1600, 1600)
    assert steps["sac"] == (450, 200)  # updates begin after 400 steps
    assert steps["dqn"] == (250, 200)


def test_a_small_benchmark(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SIZES", (1, 4096))
    monkeypatch.setattr(bench, "SYNC_SIZES", (1,))
    monkeypatch.setattr(bench, "AGENTS", {"a2c": AGENTS["a2c"]})
    assert bench.main(["--seeds", "2", "--budget", "0.01", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    speeds = result["steps_per_second"]
    assert speeds["balancier"].keys() == {"1", "4096"}
    assert result["ratio_at_4096"] == pytest.approx(speeds["balancier"]["4096"] / speeds["sync"]["1"], rel=1e-5)
    assert result["milliseconds_per_1000_steps"]["a2c"].keys() == {"1", "2"}
    assert "processor" in result["machine"]
    assert {path.name for path in tmp_path.glob("*.png")} == {"stepping.png", "seeds.png"}


def test_tables_and_curves_by_hand():
    findings = Findings({"balancier": {1: 50.0, 4: 200.0}, "sync": {1: 40.0}}, {"sac": {1: 10.0, 2: 15.0}})
    stepping, seeds = bench.figures(findings).values()
    assert [list(line.get_ydata()) for line in stepping.axes[0].lines] == [[50, 200], [40]]
    assert list(seeds.axes[0].lines[0].get_ydata()) == [1, 1.5]
    assert bench.table(findings).row_count == 2
    assert Bench().seeds == 64


@pytest.mark.parametrize(("flags", "words"), [
    (["--budget", "0"], "--budget: found 0.0, expected a number above 0"),
    (["--seeds", "0"], "--seeds: found 0, expected at least 1"),
])  # fmt: skip
def test_bad_flags_are_refused(flags, words, capsys):
    assert bench.main(flags) == 2
    assert words in capsys.readouterr().err
