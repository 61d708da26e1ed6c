"""The lesson on pendulums of unknown length and mass: its claims in the short form, its pieces, its training, files."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents import PPO
from agents.evaluation import TEST_SEED, evaluate
from envs.adaptation import ADAPTATION, from_unit, to_unit
from experiments import adapt
from experiments.common import adapting
from experiments.common.adapting import STEPS, Explorer, Identifier, Told, features, pendulums, play
from experiments.common.runs import plain
from experiments.common.statistics import interquartile_mean
from models.streams import stream_seed


@pytest.fixture(scope="module")
def findings():
    return adapt.measure(adapt.Adapt(quick=True, jobs=1))


@pytest.fixture(scope="module")
def agent():
    """Two agents that know, and have learned nothing."""
    return PPO(ADAPTATION, seeds=2, env_kwargs={"shows": "parameters"})


# Claims


def test_knowing_is_worth_something_and_the_estimate_brings_most_of_it_back(findings):
    result = adapt.result(findings)
    assert result["gap_ci95"][0] > 0
    assert result["closed"]["told"] >= 0.8
    assert result["closed"]["told"] > result["closed"]["fixed"]
    assert result["closed"]["told"] > result["closed"]["memory"]
    iqm = {name: row["iqm"] for name, row in result["agents"].items()}
    assert result["gap"] == pytest.approx(iqm["knows"] - iqm["neither"])
    assert result["closed"]["told"] == pytest.approx((iqm["told"] - iqm["neither"]) / result["gap"])


def test_the_estimates_come_near_the_truth(findings):
    first, second, last = findings.error[[0, 20, STEPS]]
    np.testing.assert_allclose(first, findings.pendulums.std(0), rtol=0.05)  # it knows nothing
    assert (second < 0.7 * first).all()
    assert (last < 0.6 * first).all()


def test_every_figure_has_a_caption(findings):
    assert list(adapt.figures(findings)) == list(adapt.PAGE.captions)


# Pieces


def test_what_the_network_gets_of_a_step():
    before, after = torch.tensor([0.6, 0.8, 4.0]), torch.tensor([0.5, 0.9, 4.25])
    expected = torch.tensor([0.6, 0.8, 0.5, -0.5, 0.25])
    torch.testing.assert_close(features(before, torch.tensor(-1.0), after), expected)


def test_estimates_step_by_step_are_those_of_whole_episodes(agent):
    identifier = Identifier(4, seeds=[0, 1])
    model = Told(agent, identifier)
    episodes = play(model, range(3))
    whole, state = identifier.running(episodes), None
    np.testing.assert_array_equal(whole[:, :, 0], 1.0)
    told = []
    agent_alone = Recorder(told)
    for t in range(5):
        _action, state = Told(agent_alone, identifier).predict(episodes.obs[:, :, t], state)
        state = (state[0], torch.from_numpy(episodes.torque[:, :, t]), state[2])
    np.testing.assert_allclose(np.stack(told, 2), to_unit(whole[:, :, :5]), atol=1e-5)


class Recorder:
    """An agent of two replicas that keeps what it is told."""

    def __init__(self, told):
        self.told = told

    def __len__(self):
        return 2

    def predict(self, obs, deterministic):
        self.told.append(obs[..., 3:].numpy().copy())
        return np.zeros((*obs.shape[:2], 1), np.float32), None


def test_a_new_episode_begins_without_memory():
    told, generator = [], np.random.default_rng(0)
    model = Told(Recorder(told), Identifier(4, seeds=[0, 1]))
    obs = generator.normal(size=(4, 2, 3, 3)).astype(np.float32)
    begun = np.zeros((2, 3), np.bool_)
    _action, state = model.predict(obs[0])
    begun[0, 1] = True
    _action, state = model.predict(obs[1], state, begun)
    _action, state = model.predict(obs[2], state, np.zeros((2, 3), np.bool_))
    assert (told[0] == 0).all()
    assert (told[1][0, 1] == 0).all()
    assert (told[1][1] != 0).all()
    fresh = Told(Recorder(afterwards := []), model.identifier)
    _action, alone = fresh.predict(obs[1])
    fresh.predict(obs[2], alone)
    np.testing.assert_allclose(told[2][0, 1], afterwards[1][0, 1], atol=1e-6)
    assert np.abs(told[2][1] - afterwards[1][1]).max() > 1e-4


def test_the_truth_as_an_estimate_is_the_agent_that_knows(agent):
    """A network that always says 0 stands for the pendulum in the middle of the ranges."""
    identifier = Identifier(4, seeds=[0, 1])
    for parameter in identifier.parameters():
        torch.nn.init.zeros_(parameter)
    obs = play(agent, [1, 2], "parameters").obs[:, :, 0]
    middle = np.concatenate([obs[..., :3], np.zeros((2, 2, 2), np.float32)], -1)
    action, _state = Told(agent, identifier).predict(obs[..., :3])
    np.testing.assert_array_equal(action, agent.predict(middle, deterministic=True)[0])


def test_episodes_have_the_returns_of_the_usual_evaluation(agent):
    starts = range(TEST_SEED, TEST_SEED + 4)
    episodes = play(agent, starts, "parameters")
    assert episodes.obs.shape == (2, 4, STEPS + 1, 5)
    np.testing.assert_allclose(
        episodes.returns, evaluate(agent, ADAPTATION, starts, {"shows": "parameters"}), rtol=1e-6
    )
    np.testing.assert_allclose(to_unit(pendulums(starts)), episodes.obs[0, :, 7, 3:], atol=1e-6)
    np.testing.assert_allclose(np.cos(episodes.angle), episodes.obs[..., 0], atol=1e-6)


def test_exploring_is_the_agent_with_some_random_torques_and_wrong_values(agent):
    explorer = Explorer(agent, 400)
    assert explorer.is_wrong.mean() == pytest.approx(0.5, abs=0.05)
    assert explorer.random.mean() == pytest.approx(0.25, abs=0.02)
    obs = np.tile(np.array([1, 0, 0, 1, -1], np.float32), (2, 400, 1))
    actions = np.stack([explorer.predict(obs, step)[0][..., 0] for step in range(2 * adapting.HOLD)], -1)
    random = explorer.random[..., :2].repeat(adapting.HOLD, -1)
    known = agent.predict(obs, deterministic=True)[0]  # (2, 400, 1)
    true = ~explorer.is_wrong & ~random
    np.testing.assert_allclose(actions[true], np.broadcast_to(known, actions.shape)[true], atol=1e-6)
    wrong = explorer.is_wrong & ~random
    assert np.abs(actions - known)[wrong].mean() > 1e-4
    held = actions[..., : adapting.HOLD][random[..., 0]]
    np.testing.assert_array_equal(held, held[:, :1].repeat(adapting.HOLD, 1))
    assert np.ptp(held[:, 0]) > 3.5  # from -2 to 2 N m
    again = Explorer(PPO(ADAPTATION, seeds=[1], env_kwargs={"shows": "parameters"}), 400)
    np.testing.assert_array_equal(again.wrong[0], explorer.wrong[1])  # each seed has its own numbers


def test_kinds_of_pendulums():
    known = np.array([[0.6, 0.6], [0.6, 1.4], [1.4, 0.6], [1.4, 1.4]])
    masks = {kind: adapt.chosen(kind, known).tolist() for kind in adapt.KINDS}
    assert masks["any"] == [True] * 4
    assert masks["short and heavy"] == [False, True, False, False]
    assert masks["long and light"] == [False, False, True, False]
    assert np.sum(list(masks.values()), 0).tolist() == [2] * 4  # of any kind, and of one other


def test_the_interval_of_a_difference():
    high, low = np.full((8, 1), 5.0), np.full((8, 1), 3.0)
    assert adapt.interval(lambda a, b: a - b, high, low) == (2, 2, 2)
    spread = np.random.default_rng(0).normal(size=(10, 1))
    value, least, most = adapt.interval(lambda a, b: a - b, 5 + spread, 0 * spread)
    assert value == pytest.approx(5 + interquartile_mean(spread[:, 0]))
    assert 0.5 < (most - least) / (2 * 1.96 * np.std(spread) / 10**0.5) < 2
    pair = np.concatenate([5 + spread, 4 + spread], 1)  # two numbers of the same seeds differ by 1 in every draw
    np.testing.assert_allclose(adapt.interval(lambda a, b: a - b, pair), 1)


def test_the_kind_is_chosen_on_validation_pendulums(findings):
    """Test returns have no say; the surest gap has, not the largest."""
    trained = {
        name: replace(part, reward={k: 0 * v for k, v in part.reward.items()})
        for name, part in findings.trained.items()
    }
    assert replace(findings, trained=trained).kind == findings.kind
    known = findings.validation_pendulums
    sure, wild, trained_alone = (
        adapt.chosen(kind, known) for kind in ("long and light", "short and heavy", "long and heavy")
    )
    seeds = len(findings.returns["knows"])
    knows = np.zeros((seeds, len(known)))
    knows[:, sure], knows[:, trained_alone] = 10.0, 300.0
    knows[:, wild] = 200.0 * np.linspace(-1, 1.5, seeds)[:, None]
    fixed = np.where(trained_alone, 300.0, 0.0) + 0 * knows  # there a fixed answer does as well
    trained = dict(findings.trained)
    trained["neither"] = replace(trained["neither"], validation={"neither": 0 * knows})
    trained["knows"] = replace(trained["knows"], validation={"knows": knows, "fixed": fixed})
    assert replace(findings, trained=trained).kind == "long and light"


# Training


def test_a_network_learns_from_its_own_agent(agent, monkeypatch):
    """The length, in short episodes that it has seen; the mass is learned later."""
    for name, value in (("STEPS", 40), ("EPOCHS", 100)):
        monkeypatch.setattr(adapting, name, value)
    done = []
    identifier = adapting.identify(agent, 16, 32, done.append)
    assert sum(done) == pytest.approx(1)
    starts = np.array([[stream_seed(seed, adapting.ROLE, 1, i) for i in range(32)] for seed in (0, 1)], np.uint64)
    episodes = play(Explorer(agent, 32), starts, "parameters")
    truth = from_unit(episodes.obs[:, :, 0, 3:])
    error = identifier.running(episodes)[:, :, -1] - truth  # (S, n, 2)
    assert (np.sqrt((error**2).mean(1)) < 0.6 * truth.std(1))[:, 0].all()


@pytest.mark.slow
def test_the_files_of_a_run(tmp_path):
    flags = "--seeds", "2", "--steps", "2000", "--pendulums", "64", "--tests", "60", "--hidden", "8", "--jobs", "1"
    assert adapt.main([*flags, "--out", str(tmp_path / "run"), "--keep", str(tmp_path / "kept")]) == 0
    names = {"gap.png", "where.png", "estimate.png", "episode.png", "result.json", "metrics.csv", "index.html"}
    assert {path.name for path in (tmp_path / "run").iterdir()} >= names
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert set(result["agents"]) == {"neither", "fixed", "memory", "told", "knows"}
    assert (tmp_path / "kept" / "adapt_identifier.safetensors").exists()


def test_results_are_plain_numbers(findings):
    json.dumps(plain(adapt.result(findings)))
    assert pickle.loads(pickle.dumps(adapt.plan(findings.flags)[0])).seeds == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--steps", "10"], "--steps: found 10, expected at least 1000"),
        (["--pendulums", "3"], "--pendulums: found 3, expected at least 32"),
        (["--tests", "5"], "--tests: found 5, expected at least 50"),
        (["--quick", "--hidden", "8"], "--hidden: found 8 with --quick, expected 32"),
        (["--quick", "--keep", "x"], "--keep: found x with --quick, expected a run that trains"),
        (["--quick", "--steps", "5000"], "--steps: found 5000 with --quick, which trains nothing, expected 200000"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert adapt.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
