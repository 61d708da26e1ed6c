"""Ours beside SB3's: what is refused, who is trained, that both are evaluated alike, and the numbers of the table.

S seed, E evaluations.
"""

import csv
import dataclasses
import json
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from agents import AGENTS, PPO
from experiments import __main__ as cli
from experiments import compare
from experiments.common import training
from experiments.common.comparison import Entry, Findings, Row, files, median, pair
from experiments.common.comparison_figures import plot_curves, plot_returns
from experiments.common.flags import UsageError
from experiments.common.parallel import INTERRUPTED, Failure
from experiments.common.race import make_ours
from experiments.common.training import Training
from experiments.compare import Compare, check, measure, plan, train

ROW_KEYS = {
    "library", "agent", "env", "seeds", "steps", "train_seconds", "returns", "iqm", "ci95", "optimum", "regret",
    "threshold", "steps_to_threshold", "seconds_to_threshold",
}  # fmt: skip


@pytest.fixture
def in_this_process(monkeypatch):
    """Four evaluations of each training on two starts, and no processes."""
    monkeypatch.setattr(compare, "EVALUATIONS", 4)
    monkeypatch.setattr(training, "STARTS", 2)
    monkeypatch.setattr(compare, "run_all", lambda work, jobs, *_: {job: work(job, lambda _: None) for job in jobs})


@pytest.mark.parametrize(("command", "words"), [
    (["--steps", "many"], "--steps"),
    (["--frobnicate"], "--frobnicate"),
    (["--agents", "td4"], "--agents: found td4, expected all, or different ones of a2c, dqn, ppo, reinforce, sac, td3"),
    (["--agents", "sac", "sac"], "--agents: found sac sac, expected all, or different ones of"),
    (["--agents", "sac", "all"], "--agents: found sac all, expected all, or different ones of"),
    (["--agents"], "--agents: found none, expected all, or different ones of"),
    (["--steps", "3"], "--steps: found 3, expected at least 25"),
    (["--env", "Nowhere-v0"], "--env: found 'Nowhere-v0', expected an id that Gymnasium knows"),
    (["--env", "CartPole-v1", "--agents", "sac"], "--env: sac cannot train on CartPole-v1"),
    (["--jobs", "0"], "--jobs: found 0"),
    (["--baseline-seeds", "-1"], "--baseline-seeds: found -1"),
    (["--eval-episodes", "0"], "--eval-episodes: found 0, expected at least 1"),
    (["--env", "Taxi-v4", "--agents", "ppo", "--settings", "zoo"], "no ppo settings for Taxi-v4"),
    (["--agents", "reinforce", "--settings", "zoo"], "no reinforce settings for balancier/Pendulum-v0"),
])  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", *command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_small_comparison(tmp_path):
    """Everything that the main job writes, on budgets too small to learn from."""
    command = ["compare", "--agents", "ppo", "--steps", "640", "--seeds", "3", "--seed", "5", "--baseline-seeds", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *command, "--eval-episodes", "4", "--out", str(tmp_path / "run")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "100%" in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    ours, theirs = result["rows"]
    assert ours.keys() == theirs.keys() == ROW_KEYS
    assert (ours["library"], theirs["library"]) == ("balancier", "sb3")
    assert (ours["seeds"], theirs["seeds"], ours["steps"]) == (3, 2, 640)
    assert len(ours["returns"]) == len(ours["steps_to_threshold"]) == 3
    assert isinstance(ours["train_seconds"], float)
    assert len(theirs["train_seconds"]) == 2
    assert ours["regret"] == pytest.approx(ours["optimum"] - ours["iqm"], abs=0.01)
    assert ours["optimum"] == theirs["optimum"]
    assert ours["seconds_to_threshold"] == [None] * 3
    assert [p["agent"] for p in result["pairs"]] == ["ppo"]
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"step", "seed", "metric", "value"}
    assert {row["seed"] for row in rows} == {"5", "6", "7"}
    assert len(rows) == 25 * (3 + 2)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["flags"]["steps"] == 640
    assert "torch" in config["versions"]
    assert len((tmp_path / "run" / "rows.csv").read_text().splitlines()) == 1 + 3 + 2
    for name in "learning_curves", "returns", "profiles", "times":
        assert Image.open(tmp_path / "run" / f"{name}.png").size[0] > 500


# Who is trained.


def test_one_start_for_all_and_longest_first():
    jobs = plan(Compare(seeds=4, eval_episodes=7))
    assert {job.settings.starts for job in jobs} == {range(10_000, 10_007)}
    assert [job.cost for job in jobs] == sorted((job.cost for job in jobs), reverse=True)
    assert {job.seeds for job in jobs if job.settings.package == "balancier"} == {(0, 1, 2, 3)}
    assert {job.seeds for job in jobs if job.settings.package == "sb3"} == {(0,), (1,), (2,)}
    with pytest.raises(UsageError, match="--agents"):
        plan(Compare(agents=()))


def test_an_agent_that_sb3_lacks_stands_alone(monkeypatch):
    """Also one that was added to `AGENTS` and to nothing else."""
    monkeypatch.setitem(AGENTS, "mine", type("Mine", (PPO,), {}))
    flags = Compare(agents=("all",), baseline_seeds=1)
    entries = [(job.settings.agent, job.settings.package) for job in plan(flags)]
    assert sorted(name for name, library in entries if library == "balancier") == sorted(AGENTS)
    assert sorted(name for name, library in entries if library == "sb3") == ["a2c", "dqn", "ppo", "sac", "td3"]
    check(flags)


@pytest.mark.parametrize(
    ("agent", "steps", "anneal_steps"), [("ppo", 35_000, 35_000), ("ppo", 40_000, 40_000), ("sac", 5_500, 9_000)]
)
def test_a_short_budget_has_its_own_schedule(agent, steps, anneal_steps):
    made = make_ours(Entry("balancier", agent, "balancier/Pendulum-v0", steps, "own", 1), (0,))
    assert made.config.anneal_steps == anneal_steps


def test_both_have_the_steps_that_ours_need_or_those_that_were_published():
    """--budget full gives SB3 those of its zoo; --steps and --quick give both the same."""

    def steps(agent, **flags):
        jobs = plan(Compare(agents=(agent,), baseline_seeds=1, **flags))
        return tuple(
            next(j.settings.steps for j in jobs if j.settings.package == name) for name in ("balancier", "sb3")
        )

    assert steps("sac") == (5_500, 5_500)
    assert steps("dqn") == (12_000, 12_000)
    assert steps("td3") == (10_000, 20_000)  # SB3's does not learn before step 10,000
    assert steps("ppo") == (35_000, 35_000)
    assert steps("sac", budget="full") == (10_000, 20_000)
    assert steps("td3", budget="full") == (10_000, 20_000)
    assert steps("ppo", budget="full") == (40_000, 100_000)
    assert steps("a2c", budget="full") == (1_000_000, 1_000_000)
    assert steps("dqn", budget="full") == (15_000, 15_000)  # the zoo has no budget for discrete torques
    assert steps("ppo", env="CartPole-v1", budget="full") == (50_000, 100_000)
    assert steps("ppo", env="CartPole-v1", settings="zoo") == (100_000, 100_000)
    assert steps("sac", env="LunarLanderContinuous-v3") == (500_000, 500_000)  # nothing is tuned there
    assert steps("ppo", env="Taxi-v4") == (40_000, 40_000)  # neither is known: the agent's usual budget
    assert steps("ppo", env="MountainCarContinuous-v0") == (20_000, 20_000)
    assert steps("sac", steps=7_000) == (7_000, 7_000)
    assert steps("sac", quick=True) == (4_000, 4_000)


def test_quick_leaves_out_the_slowest_and_has_one_seed_of_sb3s_and_twenty_starts():
    assert Compare().names == ["sac", "ppo", "dqn"]
    assert Compare(quick=True).names == ["ppo", "dqn"]
    assert Compare(quick=True, agents=("sac",)).names == ["sac"]
    (ours, theirs) = plan(Compare(agents=("dqn",), quick=True, seed=3))
    if ours.settings.package == "sb3":
        ours, theirs = theirs, ours
    assert (ours.seeds, theirs.seeds) == (tuple(range(3, 13)), (3,))
    assert ours.settings.env == theirs.settings.env == "balancier/PendulumDiscrete-v0"
    assert ours.settings.steps == theirs.settings.steps == 6_000
    assert len(ours.settings.starts) == len(theirs.settings.starts) == 20
    assert {job.settings.package for job in plan(Compare(agents=("dqn",), baseline_seeds=0))} == {"balancier"}


def test_ours_and_sb3s_are_evaluated_by_the_same_callback(in_this_process):
    """After the first step at or beyond each quarter of 80 steps, which both count over all their 16 or 8 envs."""
    jobs = plan(Compare(agents=("ppo",), env="CartPole-v1", steps=80, seeds=2, baseline_seeds=1, eval_episodes=3))
    for job in jobs:
        done: list[float] = []
        trained = train(job, done.append)
        steps = {"balancier": [32, 48, 64, 80], "sb3": [24, 40, 64, 80]}[job.settings.package]
        assert trained.steps.tolist() == steps
        assert trained.curve.shape == (4, len(job.seeds))
        assert trained.test_returns.shape == (len(job.seeds), 3)
        assert 0 < trained.seconds[0] < trained.seconds[-1] <= trained.train_seconds
        np.testing.assert_allclose(done, np.diff(steps, prepend=0) / 80 * job.cost)


def test_an_environment_that_nothing_is_tuned_for(in_this_process):
    flags = Compare(agents=("ppo", "reinforce"), env="Acrobot-v1", steps=40, seeds=2, baseline_seeds=1, eval_episodes=1)
    check(flags)
    findings = measure(flags)
    rows = [(row.entry.agent, row.entry.package, row.seeds) for row in findings.rows]
    assert rows == [("ppo", "balancier", [0, 1]), ("ppo", "sb3", [0]), ("reinforce", "balancier", [0, 1])]
    assert all(row.entry.threshold == -100 and row.optimum is None for row in findings.rows)
    values = compare.result(findings)["rows"]
    assert all(row.keys() == ROW_KEYS and row["regret"] is None for row in values)
    assert compare.table(findings).row_count == 3
    steps = [(step, name) for step, name, _, _ in compare.metrics(findings)]
    assert steps[-1] == (40, "balancier/reinforce/return")
    assert [pair["agent"] for pair in findings.pairs] == ["ppo"]


@pytest.mark.parametrize(("agent", "env", "words"), [
    ("td3", "Taxi-v4", "--env: td3 cannot train on Taxi-v4"),
    ("ppo", "tests.experiments.test_compare:Tuples-v0", "found observation space Tuple"),
])  # fmt: skip
def test_what_either_library_cannot_train_on_is_refused_before_the_first_step(agent, env, words):
    with pytest.raises(UsageError) as info:
        check(Compare(agents=(agent,), env=env))
    assert words in str(info.value)
    assert "\n" not in str(info.value)


def test_what_sb3_alone_cannot_train_on_is_refused_too(monkeypatch):
    monkeypatch.setattr(compare, "make_ours", lambda entry, seeds: None)
    with pytest.raises(
        UsageError, match="--env: SB3's td3 cannot train on Taxi-v4 .*--baseline-seeds 0 leaves SB3 out"
    ):
        check(Compare(agents=("td3",), env="Taxi-v4"))
    check(Compare(agents=("td3",), env="Taxi-v4", baseline_seeds=0))


class Tuples(gym.Env):
    """Observations in a tuple, which neither library takes."""

    observation_space = gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Discrete(2)])
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return (0, 0), {}

    def step(self, action):
        return (0, 0), 0.0, False, False, {}


class Corridor(gym.Env):
    """An environment of a user's own module: three steps of reward -1."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.place += 1
        return np.full(1, self.place / 3, np.float32), -1.0, self.place == 3, False, {}


gym.register("Tuples-v0", Tuples)
gym.register("MyEnv-v0", Corridor)


def test_an_environment_of_a_module_of_ones_own(in_this_process):
    """Its id names the module; both libraries find it, and have their defaults."""
    env = "tests.experiments.test_compare:MyEnv-v0"
    flags = Compare(agents=("ppo",), env=env, steps=40, seeds=2, baseline_seeds=1, eval_episodes=2)
    check(flags)
    findings = measure(flags)
    assert [row.returns.tolist() for row in findings.rows] == [[-3.0, -3.0], [-3.0]]
    (note,) = compare.notes(findings)
    assert note.startswith("ppo on MyEnv-v0: SB3 has its defaults, because the zoo has no settings here.")


def test_a_training_that_fails_is_shown_and_ends_no_other(in_this_process, monkeypatch):
    """Nor is it counted: the table says how many of the seeds are in the row, and why not all."""

    def run_all(work, jobs, *_):
        done = {job: work(job, lambda _: None) for job in jobs}
        return {
            job: Failure("ValueError: NaN") if "SB3" in job.name and job.seeds == (1,) else done[job] for job in jobs
        }

    monkeypatch.setattr(compare, "run_all", run_all)
    flags = Compare(agents=("ppo",), env="CartPole-v1", steps=40, seeds=2, baseline_seeds=3, eval_episodes=1)
    findings = measure(flags)
    assert [row.seeds for row in findings.rows] == [[0, 1], [0, 2]]
    assert list(compare.table(findings).columns[2].cells) == ["2", "2 of 3"]
    assert compare.notes(findings)[-1] == "ppo, SB3's, seed 1: in no row, because it did not finish (ValueError: NaN)."
    assert not findings.interrupted
    monkeypatch.setattr(compare, "run_all", lambda work, jobs, *_: dict.fromkeys(jobs, Failure("ValueError: NaN")))
    with pytest.raises(RuntimeError, match="ppo, SB3's: ValueError: NaN; ppo, ours: ValueError: NaN"):
        measure(flags)
    monkeypatch.setattr(compare, "run_all", lambda work, jobs, *_: dict.fromkeys(jobs, Failure(INTERRUPTED)))
    with pytest.raises(KeyboardInterrupt):  # though the optimum may be done
        measure(flags)


def test_an_interrupted_run_keeps_its_finished_rows(in_this_process, monkeypatch, tmp_path, capsys):
    def run_all(work, jobs, *_):
        return {job: Failure(INTERRUPTED) if "SB3" in job.name else work(job, lambda _: None) for job in jobs}

    monkeypatch.setattr(compare, "run_all", run_all)
    command = ["compare", "--agents", "ppo", "--env", "CartPole-v1", "--steps", "40", "--eval-episodes", "1"]
    assert cli.main([*command, "--seeds", "2", "--baseline-seeds", "1", "--out", str(tmp_path)]) == 130
    result = json.loads((tmp_path / "result.json").read_text())
    assert [row["library"] for row in result["rows"]] == ["balancier"]
    assert result["notes"][-1] == "ppo, SB3's, seed 0: in no row, because it did not finish (interrupted)."
    assert "did not finish" in capsys.readouterr().out


def test_the_notes_say_what_sb3_has_and_ours_have_not():
    def settings(agent, env, steps):
        return compare.settings_in_words(Entry("sb3", agent, env, steps, "own", 1))

    of_zoo = "SB3 has its zoo's settings of Pendulum-v1, made for 20,000 steps"
    assert settings("sac", "balancier/Pendulum-v0", 20_000) == f"{of_zoo} as here"
    assert settings("sac", "Pendulum-v1", 5_000) == f"{of_zoo}; here it has 5,000"
    late = f"{of_zoo}; here it has 10,000, and it does not learn before step 10,000"
    assert settings("td3", "Pendulum-v1", 10_000) == late
    borrowed = "SB3 has the settings of Acrobot-v1, the nearest environment of its zoo, and as many steps as ours"
    assert settings("dqn", "balancier/PendulumDiscrete-v0", 10_000) == borrowed
    assert settings("td3", "Taxi-v4", 9).endswith("because the zoo has no settings here, and the zoo's noise")
    zoo = Entry("balancier", "ppo", "balancier/Pendulum-v0", 100_000, "zoo", 2)
    (row_of_zoo,) = [Row(zoo, OURS.trainings, None)]
    assert compare.notes(Findings([row_of_zoo])) == [
        "ppo on Pendulum-v0: no seeds of SB3's.",
        "ppo on Pendulum-v0: ours have the zoo's settings without use_sde, sde_sample_freq.",
    ]


def test_the_table_says_who_has_the_higher_return():
    ten, three = np.arange(10.0), np.arange(3.0)

    def rows(ours, theirs):
        made = []
        for library, returns in (("balancier", ours), ("sb3", theirs)):
            parts = [([i], 1.0, [[value]] * 4) for i, value in enumerate(returns)]
            made.append(row(library, parts))
        return made

    for ours, theirs, word, text in (
        (ten + 5, three, "balancier", "Ours have the higher return (P(ours higher) 1.00, p 0.007)"),
        (ten, three + 20, "sb3", "SB3 has the higher return (P(ours higher) 0.00, p 0.007)"),
        (ten, three + 3, "undecided", "The seeds do not decide who has the higher return (P(ours higher) 0.55, p 0."),
        (ten, three[:1], "undecided", "One seed does not decide who has the higher return"),
    ):
        made = rows(ours, theirs)
        assert pair(*made)["higher_return"] == word
        assert text in compare.notes(Findings(made))[0]
        assert text[:20] in str(compare.table(Findings(made)).caption)


# The numbers, worked out by hand.


def row(library, parts):
    """A row of trainings that were evaluated at 10, 20, 30, 40: (seeds, seconds, curve (4, S)) of each."""
    entry = Entry(library, "sac", "balancier/Pendulum-v0", 40, "own", 2)
    steps, trainings = np.array([10, 20, 30, 40]), {}
    for seeds, seconds, values in parts:
        curve = np.array(values, float)
        trainings[tuple(seeds)] = Training(steps, seconds * steps / 40, curve, curve[-1:].T.repeat(2, 1), seconds)
    return Row(entry, trainings, np.array([-120.0, -140.0]))


OURS = row("balancier", [([0, 1], 8.0, [[-300, -150], [-150, -150], [-150, -150], [-150, -250]])])
THEIRS = row("sb3", [([0], 20.0, [[-300], [-300], [-150], [-140]])])


def test_thresholds_and_pairs_by_hand():
    assert OURS.to_threshold("steps") == [20, 10]
    assert OURS.to_threshold("seconds") == [4.0, 2.0]
    assert THEIRS.to_threshold("steps") == [None]
    assert OURS.result()["regret"] == pytest.approx(-130 - -200)
    numbers = pair(OURS, THEIRS)
    assert np.isnan(numbers.pop("p_value"))  # one seed decides nothing
    assert numbers == {
        "agent": "sac", "speedup": 5.0, "probability_of_improvement": 0.0, "higher_return": "undecided",
    }  # fmt: skip


def test_the_speed_up_is_that_of_a_step():
    """Half the seconds for a quarter of the steps is half the speed."""
    slow = Row(dataclasses.replace(THEIRS.entry, steps=80), {(0,): THEIRS.trainings[(0,)]}, None)
    assert pair(OURS, slow)["speedup"] == 2.5  # 20 s / 80 steps over 4 s / 40 steps


def test_every_seed_is_drawn_and_none_is_rounded_away():
    """Ours are at the threshold when nine of ten seeds are: of 20 seeds the 18th, of 3 the last."""
    for count, height in ((20, 18.0), (10, 9.0), (3, 3.0)):
        parts = [([i], 4.0 * (i + 1), [[-100]] * 4) for i in range(count)]  # at the threshold after i + 1 seconds
        figure = compare.figures(Findings([row("balancier", parts)]))["times"]
        (bar,) = figure.axes[1].patches
        assert bar.get_height() == height
        assert sorted(figure.axes[1].lines[0].get_ydata()) == list(range(1, count + 1))
    curves = plot_curves(Findings([OURS, THEIRS]), ["sac"]).axes[0]
    assert sum(line.get_linewidth() < 1 for line in curves.lines) == 3  # two seeds of ours, one of SB3's
    dots = [line for line in plot_returns(Findings([OURS, THEIRS]), ["sac"]).axes[0].lines if line.get_marker() == "o"]
    assert [len(line.get_ydata()) for line in dots] == [2, 1]


def test_a_seed_that_diverged_shows():
    broken = row("balancier", [([0, 1, 2], 1.0, [[-1, -2, np.nan]] * 4)])
    findings = Findings([broken, THEIRS])
    cells = [next(iter(column.cells)) for column in compare.table(findings).columns]
    assert cells[5:8] == ["nan [nan, nan]", "nan", "nan"]
    assert findings.pairs[0]["higher_return"] == "undecided"
    for figure in compare.figures(findings).values():
        figure.draw_without_rendering()


def test_a_row_of_several_trainings_by_hand():
    two = row("sb3", [([0], 20.0, [[-300], [-300], [-150], [-140]]), ([1], 10.0, [[-150], [-150], [-150], [-130]])])
    assert two.seeds == [0, 1]
    assert two.returns.tolist() == [-140, -130]
    assert two.to_threshold("seconds") == [None, 2.5]
    assert two.result()["train_seconds"] == [20.0, 10.0]
    assert two.seconds_per_seed == 15.0
    assert OURS.result()["train_seconds"] == 8.0
    assert OURS.seconds_per_seed == 4.0
    steps, seconds, curve = two.curves
    assert steps.tolist() == [10, 20, 30, 40]
    assert seconds.tolist() == [3.75, 7.5, 11.25, 15.0]
    assert curve[0].tolist() == [-300, -150]


def test_the_median_counts_never_above_every_number():
    assert median([None, 1.0, 3.0]) == 3.0
    assert median([None, None, 3.0]) is None
    assert median([2.0, 4.0]) == 3.0


def test_the_csv_files_by_hand():
    """Ours end at -150 and -250, SB3's one seed at -140: a seed of ours is never better."""
    written = files(Findings([OURS, THEIRS]))
    rows = [line.split(",") for line in written["rows.csv"].splitlines()]
    assert rows[0][:7] == ["agent", "library", "env", "seed", "return", "steps_to_threshold", "seconds_to_threshold"]
    assert [row[1] for row in rows[1:]] == ["balancier", "balancier", "sb3"]
    assert [float(row[4]) for row in rows[1:]] == [-150, -250, -140]
    assert [row[5] for row in rows[1:]] == ["20", "10", ""]
    profile = list(csv.DictReader(written["profiles.csv"].splitlines()))
    assert len(profile) == 2 * 101
    ours = {float(point["threshold"]): float(point["share"]) for point in profile if point["library"] == "balancier"}
    assert (ours[-250.0], ours[-140.0]) == (1.0, 0.0)
    assert {share for threshold, share in ours.items() if -250 < threshold <= -150} == {0.5}
    (pair,) = csv.DictReader(written["improvement.csv"].splitlines())
    assert (pair["agent"], pair["probability_of_improvement"]) == ("sac", "0.0")
    alone = files(Findings([OURS]))
    assert alone["improvement.csv"] == "agent,speedup,probability_of_improvement,p_value,higher_return\n"


def test_figures_and_table_of_given_numbers():
    findings = Findings([OURS, THEIRS])
    figures = compare.figures(findings)
    assert list(figures) == ["learning_curves", "returns", "profiles", "times"] == list(compare.PAGE.captions)
    assert all(figure.get_size_inches()[0] <= 2.2 * figure.get_size_inches()[1] for figure in figures.values())
    assert [line.get_ydata()[-1] for line in figures["profiles"].axes[0].lines] == [
        0.0,
        0.0,
    ]  # none is above the highest
    labels = figures["learning_curves"].axes[0].get_legend_handles_labels()[1]
    assert labels == ["Balancier", "Stable-Baselines3", "threshold", "optimum"]
    assert list(compare.table(findings).columns[5].cells) == [
        "-200.0 [-250.0, -150.0]",
        "-140.0",
    ]  # of one, no interval
    assert not any(axes.get_legend() for figure in figures.values() for axes in figure.axes)  # legends are off the data
    for figure in figures.values():
        figure.draw_without_rendering()
    cells = [list(column.cells) for column in compare.table(findings).columns]
    assert [cell[0] for cell in cells][:5] == ["sac", "balancier", "2", "40", "8.0"]
    assert [cell[1] for cell in cells][7:] == ["10.0", "never", "never", ""]
    assert [cell[0] for cell in cells][6:] == ["-250.0", "70.0", "15", "3.0", "5.0"]


def test_no_number_of_the_table_is_cut_off(capsys):
    """In a line of 130 characters, which files and pipes have."""
    parts = [([i], 123.5, [[-1157.94 - 100 * i]] * 4) for i in range(3)]
    wide = row("balancier", parts)
    wide = dataclasses.replace(wide, entry=dataclasses.replace(wide.entry, agent="reinforce", steps=1_000_000))
    Console(width=130).print(compare.table(Findings([wide])))
    printed = capsys.readouterr().out
    assert "…" not in printed
    for word in ("reinforce", "1,000,000", "-1257.9 [-1357.9, -1157.9]", "-1357.9", "threshold", "SB3's cost"):
        assert word in printed
