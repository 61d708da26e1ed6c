import json

import numpy as np
import pytest

from agents import AGENTS
from experiments import bench
from experiments.bench import Bench, Findings, compared
from experiments.common.hyperparams import tuned
from experiments.common.race import Race, race
from experiments.common.speed import BareLoop, memory_of_a_seed, native, recurrent_cost, steps_to_time, variants
from experiments.common.training import default_env


def test_whole_rollouts_or_updates_are_timed():
    steps = {}
    for name, agent in AGENTS.items():
        env = default_env(name)
        steps[name] = steps_to_time(agent(env, seeds=1, **tuned(name, env)))
    assert steps["ppo"] == (1024, 1024)  # 16 environments, 64 steps each
    assert steps["a2c"] == (512, 1024)
    assert steps["reinforce"] == (1600, 1600)
    assert steps["sac"] == (600, 200)  # updates begin after 400 steps; four environments
    for name, changes in ((name, variants(name)) for name in bench.VARIED):
        env = default_env(name)
        for change in changes.values():
            AGENTS[name](env, seeds=1, **(tuned(name, env) | change))


def test_the_bare_loop_is_the_pendulum():
    batch, loop = native(50), BareLoop(50)
    batch.reset(seed=3)
    loop.reset(seed=0)
    loop.angle[:], loop.speed[:] = batch.unwrapped.state.T
    for actions in np.random.default_rng(0).uniform(-3, 3, (40, 50, 1)).astype(np.float32):
        obs, rewards, *_ = batch.step(actions)
        bare_obs, bare_rewards = loop.step(actions)
        np.testing.assert_allclose(bare_obs, obs, atol=1e-5)
        np.testing.assert_allclose(bare_rewards, rewards, rtol=1e-5)


def test_memory_is_counted_by_hand():
    sizes = memory_of_a_seed()
    env = "balancier/Pendulum-v0"
    capacity = tuned("sac", env)["buffer_size"]
    assert sizes["SAC, replay"] == pytest.approx(capacity * (3 + 3 + 4) * 4 / 1e6)
    assert sizes["DQN on pixels, replay"] > 20 * sizes["SAC, replay"]


def test_ten_grus_cost_more_than_one():
    ours, theirs = recurrent_cost(8, 10, 0.0)
    assert ours > theirs > 0


def test_a_race_ends_at_the_threshold(monkeypatch):
    """Nine of ten seeds of ours, each seed of SB3's; what never gets there takes for ever."""
    monkeypatch.setattr("experiments.common.race.setting", lambda agent, env: tuned_steps)
    monkeypatch.setattr("experiments.common.comparison.THRESHOLDS", {"balancier/Pendulum-v0": -1e9})
    tuned_steps = type("Setting", (), {"steps": 20_000, "solved_steps": 0})
    ours = race("ppo", "balancier/Pendulum-v0", "balancier", range(2))
    assert ours.steps.tolist() == [512, 512]  # the first evaluation of forty, rounded up to whole steps of 16
    assert (ours.seconds > 0).all()
    with pytest.raises(ValueError, match=r"^env: found Pendulum-v1, which has no threshold"):
        race("ppo", "Pendulum-v1", "balancier", (0,))
    monkeypatch.setattr("experiments.common.comparison.THRESHOLDS", {"balancier/Pendulum-v0": 1.0})
    tuned_steps.steps = 80
    never = race("a2c", "balancier/Pendulum-v0", "balancier", (0,))
    assert np.isinf([never.steps, never.seconds]).all()


def test_nine_of_ten_against_the_median():
    ours = Race(np.arange(10.0), np.arange(10.0) * 100)
    row = compared(ours, Race(np.array([30.0, 10.0, 20.0]), np.array([3.0, 1.0, 2.0])))
    assert row == {"steps": 800, "seconds": 8, "SB3's steps": 2, "SB3's seconds": 20, "ratio": 0.4}
    never = compared(ours, Race(np.array([30.0, np.inf, np.inf]), np.array([3.0, np.inf, np.inf])))
    assert np.isnan(never["ratio"])


def test_a_small_benchmark_and_another_against_it(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "SIZES", (1, 4096))
    monkeypatch.setattr(bench, "SYNC_SIZES", (1,))
    monkeypatch.setattr(bench, "AGENTS", {"a2c": AGENTS["a2c"]})
    saved = tmp_path / "before.json"
    flags = ["--seeds", "2", "--budget", "0.01", "--out", str(tmp_path / "a")]
    flags += ["--tables", "stepping", "seeds", "memory"]
    assert bench.main([*flags, "--save", str(saved)]) == 0
    result = json.loads((tmp_path / "a" / "result.json").read_text())
    speeds = result["steps_per_second"]
    assert speeds["balancier"].keys() == speeds["bare"].keys() == {"1", "4096"}
    assert result["ratio_at_4096"] == pytest.approx(speeds["balancier"]["4096"] / speeds["sync"]["1"], rel=1e-5)
    assert result["milliseconds_per_1000_steps"]["a2c"].keys() == {"1", "2"}
    assert result["memory"]["megabytes"]["SAC, replay"] > 1
    assert "processor" in result["machine"]
    assert {path.name for path in (tmp_path / "a").glob("*.png")} == {"stepping.png", "seeds.png"}

    numbers = json.loads(saved.read_text())
    numbers["memory"]["megabytes"]["SAC, replay"] /= 2
    numbers["stepping"] = {}
    saved.write_text(json.dumps(numbers))
    flags = ["--tables", "memory", "--out", str(tmp_path / "b"), "--against", str(saved)]
    assert bench.main(flags) == 0
    costs = json.loads((tmp_path / "b" / "result.json").read_text())["against"]
    assert costs.pop("memory: megabytes, SAC, replay") == 2
    assert set(costs.values()) == {1}


def test_tables_and_curves_by_hand():
    findings = Findings(
        {"balancier": {"1": 50.0, "4": 200.0}, "bare": {"1": 60.0, "4": 220.0}, "sync": {"1": 40.0}},
        {"sac": {"1": 10.0, "2": 15.0}},
        threshold={"sac on Pendulum-v0": compared(Race(np.ones(1), np.ones(1)), Race(np.full(1, np.inf), np.ones(1)))},
        before={"stepping": {"balancier": {"1": 100.0}}, "seeds": {"sac": {"2": 10.0}}},
    )
    stepping, seeds, _ = bench.figures(findings).values()
    assert [list(line.get_ydata()) for line in stepping.axes[0].lines] == [[60, 220], [50, 200], [40]]
    assert list(seeds.axes[0].lines[0].get_ydata()) == [1, 1.5]
    assert bench.table(findings).row_count == 4
    assert [cost for *_, cost in findings.changes()] == [2, 1.5]  # half the speed, and half more time
    assert Bench().seeds == 64
    assert set(bench.PAGE.captions) == set(bench.figures(findings))


@pytest.mark.parametrize(("flags", "words"), [
    (["--budget", "0"], "--budget: found 0.0, expected a number above 0"),
    (["--seeds", "0"], "--seeds: found 0, expected at least 1"),
    (["--against", "pyproject.toml"], "--against: found pyproject.toml, which holds no numbers of a benchmark"),
    (["--save", "nowhere/else.json"], "--save: found no folder"),
    (["--tables"], "--tables: found none, expected some of stepping"),
])  # fmt: skip
def test_bad_flags_are_refused(flags, words, capsys):
    assert bench.main(flags) == 2
    assert words in capsys.readouterr().err
