"""Sweeps that a file describes: what is refused, which settings there are, and what a run writes."""

import csv
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from agents.common import checkpoint
from experiments import sweep
from experiments.common import sweep_file, sweep_jobs
from experiments.common.parallel import Job
from experiments.common.sweep_file import keywords_of, read
from experiments.common.sweep_jobs import Row, Trial, limits_of
from experiments.common.training import Training

LEAST = """agents = ["ppo"]
envs = ["CartPole-v1"]
steps = 600
seeds = 3
seed_block = 2
eval_episodes = 2
[grid]
learning_rate = [1e-3, 3e-3]
"""
RUN = LEAST.replace("[grid]", "evaluations = 2\n[grid]")
RANDOM = "[random]\nnum_samples = 3\n"


def plan_of(folder, text):
    path = folder / "a.toml"
    path.write_text(text)
    return read(path)


@pytest.mark.parametrize(("old", "new", "line"), [
    ("learning_rate", "learning_rte", "line 8: grid.learning_rte: found no such field of ppo, expected learning_rate"),
    ("steps = 600", 'steps = "600"', "line 3: steps: found '600', expected a whole number of at least 1"),
    ("steps = 600", "steps = true", "line 3: steps: found True, expected a whole number of at least 1"),
    ("seeds = 3", "sedes = 3", "line 4: sedes: found no such field, expected seeds or seed"),
    ("seeds = 3", "seeds = 3\nseeds = 4", "line 5: found what is no TOML (Cannot overwrite a value)"),
    ("[grid]", "[gird]", "line 7: gird: found no such field, expected grid"),
    ("[grid]", "[grid", "line 7: found what is no TOML"),
    ("[1e-3, 3e-3]", "[]", "line 8: grid.learning_rate: found an empty list, expected the values to try"),
    ("[1e-3, 3e-3]", "1e-3", "line 8: grid.learning_rate: found 0.001, expected a list of values to try"),
    ("[1e-3, 3e-3]", '["high"]', "line 8: grid.learning_rate: found 'high', expected a number above 0"),
    ("[1e-3, 3e-3]", "[1e-3, 1e-3]", "line 8: grid.learning_rate: found [0.001, 0.001], expected different values"),
    ("learning_rate = [1e-3, 3e-3]", "", "line 7: grid: found no field, expected at least one"),
    ("[grid]\nlearning_rate = [1e-3, 3e-3]", "", "grid: found none, expected one of the tables [grid], [random], [opt"),
    ("[grid]", "[random]", "line 7: random.num_samples: found none, expected how many settings to try"),
    ("[grid]", RANDOM + "gamma = { low = 0.9, high = 2 }", "line 9: random.gamma: found 2, expected a number from 0"),
    ("[grid]", RANDOM + "gamma = { low = 0.9 }", "line 9: random.gamma: found {'low': 0.9}, expected low and high"),
    ("[grid]", "[settings]\ngamma = 2\n[grid]", "line 8: settings.gamma: found 2, expected a number from 0 to 1"),
    ("[grid]", "[settings]\nlearning_rate = 1\n[grid]", "line 10: grid.learning_rate: found in [settings], too"),
    ("[grid]", "[grid]\nenv.size = [3]", "line 8: grid.env.size: CartPole-v1 with size = 3 cannot be made"),
    ("[grid]", '[grid]\nnetwork = ["gru"]\nhidden = [[32]]', "line 9: grid.hidden: found it with the network gru"),
    ('["ppo"]', '["pro"]', "line 1: agents: found 'pro', expected one of a2c"),
    ('["ppo"]', '["sac"]', "line 1: agents: sac cannot train on CartPole-v1"),
    ("CartPole-v1", "CartPole-v9", "line 2: envs: found 'CartPole-v9', expected an id"),
])  # fmt: skip
def test_what_is_no_sweep_is_refused_in_one_line_with_its_place(old, new, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(LEAST.replace(old, new))
    assert sweep.main(["a.toml"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    comma = ", " if line.startswith("line") else ": "
    assert error.startswith(f"balancier sweep: a.toml{comma}{line}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


@pytest.mark.parametrize(("arguments", "line"), [
    (["b.toml"], "b.toml: found no file to read (No such file or directory), expected a sweep in TOML"),
    (["a.toml", "--seeds", "3"], "--seeds: found 3 with a.toml, expected it in the file"),
    (["a.toml", "--gamma", "0.9", "0.99"], "--gamma: found 0.9 0.99 with a.toml, expected it in the file"),
])  # fmt: skip
def test_what_a_file_does_not_go_with(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(LEAST)
    assert sweep.main(arguments) == 2
    assert capsys.readouterr().err == f"balancier sweep: {line}\n"


def test_the_settings_of_a_grid_and_of_a_random_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_file, "MOST_MADE", 2)
    more = "env.max_episode_steps = [100, 200]\nhidden = [[32], [16, 16]]\nbatch_size = [64.0]"
    grid = plan_of(tmp_path, LEAST + more)
    settings = grid.settings()
    assert len(settings) == grid.count == 8
    assert settings[1] == {"learning_rate": 1e-3, "env.max_episode_steps": 100, "hidden": [16, 16], "batch_size": 64}
    assert grid.blocks == [(0, 1), (2,)]
    network, keywords = keywords_of(grid, "ppo", "CartPole-v1", settings[-1])
    assert (network, keywords["learning_rate"], keywords["env_kwargs"]) == ("mlp", 3e-3, {"max_episode_steps": 200})
    assert keywords["network"].keywords["hidden"] == [16, 16]
    fields = "gamma = [0.9, 0.99]\nlearning_rate = { low = 1e-4, high = 1e-2, log = true }\n"
    fields += "num_epochs = { low = 2, high = 4 }"
    text = LEAST.partition("[grid]")[0] + RANDOM.replace("3", "400") + fields
    sample = plan_of(tmp_path, text).settings()
    assert sample == plan_of(tmp_path, text).settings()
    assert sample != plan_of(tmp_path, text.replace("400", "400\nsampling_seed = 1")).settings()
    assert {setting["num_epochs"] for setting in sample} == {2, 3, 4}
    rates = np.array([setting["learning_rate"] for setting in sample])
    assert 1e-4 <= rates.min() <= rates.max() <= 1e-2
    assert (rates < 1e-3).mean() == pytest.approx(0.5, abs=0.08)  # evenly in the logarithm
    assert np.mean([setting["gamma"] == 0.9 for setting in sample]) == pytest.approx(0.5, abs=0.08)


class Text(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.words, self.links = "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.words += f" {data}"


def numbers_of(content):
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return [number for part in content for number in numbers_of(part)]
    return [content] if isinstance(content, int | float) and not isinstance(content, bool) else []


def shows_all_numbers(page, result):
    words = set(re.findall(r"[^\s,;()\[\]]+", Text(page).words))
    missing = [number for number in numbers_of(result) if json.dumps(number) not in words]
    assert numbers_of(result)
    assert not missing


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "a.toml").write_text(RUN)
    assert sweep.main([str(folder / "a.toml"), "--jobs", "1", "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_sweep_writes_rows_and_a_page_with_every_number(run):
    result = json.loads((run / "result.json").read_text())
    rows = result["rows"]
    assert [(row["agent"], row["env"], row["settings"], row["seeds"]) for row in rows] == [
        ("ppo", "CartPole-v1", {"learning_rate": rate}, [0, 1, 2]) for rate in (1e-3, 3e-3)
    ]
    assert rows[0]["returns"] != rows[1]["returns"]
    assert all(len(row["returns"]) == 3 and row["ci95"][0] <= row["iqm"] <= row["ci95"][1] for row in rows)
    assert result["failures"] == []
    page = (run / "index.html").read_text()
    shows_all_numbers(page, result)
    with pytest.raises(AssertionError):
        shows_all_numbers(page, {"other": 123.456})
    links = [link for link in Text(page).links if not link.startswith("data:")]
    assert {"result.json", "rows.csv", "sensitivity.png", "parts/ppo-cartpole-v1-0001-2-2.safetensors"} <= set(links)
    assert all((run / link).is_file() for link in links)
    names = {"intervals", "profiles", "efficiency", "sensitivity", "improvement"}
    assert {path.stem for path in run.glob("*.png")} == names == set(sweep.sweep_report.CAPTIONS)
    table = list(csv.DictReader((run / "rows.csv").open()))
    assert [float(row["return"]) for row in table] == rows[0]["returns"] + rows[1]["returns"]
    shares = [row for row in csv.DictReader((run / "profiles.csv").open()) if row["row"] == "0"]
    assert float(shares[0]["share"]) == 1.0  # all seeds are at or above the worst of all
    assert (run / "sweep.toml").read_text() == RUN


CHROMIUM = shutil.which("chromium")
HEADLESS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
HEADLESS += " --disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=5000 --dump-dom"


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_browser_without_a_network_opens_the_page(run, tmp_path):
    command = [str(CHROMIUM), *HEADLESS.split(), f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", (run / "index.html").resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    shows_all_numbers(done.stdout, json.loads((run / "result.json").read_text()))


def test_a_run_goes_on_with_its_own_file(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "run")
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / "parts" / "ppo-cartpole-v1-0000-2-2.safetensors").unlink()
    Path("b.toml").write_text(LEAST.replace("seeds = 3", "seeds = 2"))
    assert sweep.main(["b.toml", "--resume", "run"]) == 2
    assert "b.toml: found another sweep than that of the run" in capsys.readouterr().err
    assert sweep.main(["--resume", "run", "--jobs", "1"]) == 0
    assert "3 of 4 parts are done already" in capsys.readouterr().out
    first, second = (json.loads((path / "result.json").read_text()) for path in (run, tmp_path / "run"))
    assert first["rows"] == second["rows"]


@pytest.mark.slow
def test_a_job_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    """A job that was stopped in its middle, and is tried again, gives what it would have given."""
    plan = plan_of(tmp_path, LEAST.replace("steps = 600", "steps = 2000"))
    monkeypatch.setattr(sweep_jobs, "SAVE_SECONDS", 0.0)
    trial = Trial(0, "ppo", "CartPole-v1", plan.settings()[0])
    parts = sweep_jobs.PARTS.set(tmp_path)
    job = sweep_jobs.jobs_of(plan, trial, ())[0]
    sweep_jobs.PARTS.reset(parts)
    whole = sweep_jobs.train(job, lambda amount: None)
    assert not list(tmp_path.glob("*unfinished*"))
    told = []

    def stop(amount):
        told.append(amount)
        if len(told) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_jobs.train(job, stop)
    (left,) = tmp_path.glob("*unfinished*")
    assert len(checkpoint.load(left)[1]["notes"]["steps"]) == 11
    rest = []
    again = sweep_jobs.train(job, rest.append)
    assert len(rest) == 20 - 11
    assert again.curve.tobytes() == whole.curve.tobytes()
    assert again.test_returns.tobytes() == whole.test_returns.tobytes()


def training(curve):
    curve = np.array(curve, float)[:, None]
    return Training(np.arange(1, len(curve) + 1) * 100, np.ones(len(curve)), curve, curve[-1:], 1.0)


def test_trials_are_pruned_below_the_median(tmp_path):
    curves = [[1, 2, 3], [2, 4, 6], [3, 6, 9], [4, 8, 12], [0, 0]]
    rows = [Row(Trial(i, "ppo", "x", {}), {(0,): training(curve)}, 300, None) for i, curve in enumerate(curves)]
    assert [row.pruned for row in rows] == [False] * 4 + [True]
    assert limits_of(rows) == (2.5, 5.0, 7.5)
    assert limits_of(rows[1:]) == ()  # too few are complete
    plan = plan_of(tmp_path, LEAST)
    block = sweep_jobs.Block(plan, "ppo", "CartPole-v1", {}, (0.0, 600.0), None)
    pruned = sweep_jobs.train(Job("a", (0, 1), 1.0, block), lambda amount: None)
    assert len(pruned.steps) < 20
    assert pruned.test_returns.shape == (2, 2)


def test_optuna_finds_the_same_however_many_trials_run_at_a_time(tmp_path, monkeypatch):
    """Its trials come in rounds; what it asks for next does not depend on which of them ends first."""
    pytest.importorskip("optuna")
    text = LEAST.partition("[grid]")[0] + "[optuna]\nnum_trials = 6\ntrials_at_once = 2\n"
    plan = plan_of(tmp_path, text + "learning_rate = { low = 1e-4, high = 1e-1, log = true }\nhidden = [[8], [16]]")

    def run_all(work, jobs, processes, kinds):
        values = {job: -abs(np.log10(job.settings.setting["learning_rate"]) + 2) for job in jobs}  # best at 0.01
        return {job: training([values[job]] * 3) for job in (jobs if processes == 1 else reversed(jobs))}

    monkeypatch.setattr(sweep_jobs, "run_all", run_all)
    first, second = ([row.result() for row in sweep_jobs.measure(plan, processes).rows] for processes in (1, 2))
    assert [row["settings"] for row in first] == [row["settings"] for row in second]
    assert len({row["settings"]["learning_rate"] for row in first}) == 6
    assert {tuple(row["settings"]["hidden"]) for row in first} == {(8,), (16,)}


def test_without_optuna_one_line_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    (tmp_path / "a.toml").write_text(LEAST.replace("[grid]", "[optuna]\nnum_trials = 2"))
    assert sweep.main([str(tmp_path / "a.toml")]) == 2
    assert "python -m pip install 'balancier[optuna]'" in capsys.readouterr().err
