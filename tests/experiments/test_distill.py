"""The lesson on small controllers: its quick form's claims, its pieces, its files, and the flags that it refuses."""

import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.evaluation import evaluate
from envs.formulas import Formula, Formulas, Term, odd_terms
from envs.optimum import optimum
from experiments import distill as lesson

SIN, SPEED, SPEED_COS, COS_SIN = Term(0, 1, 0), Term(0, 0, 1), Term(1, 0, 1), Term(1, 1, 0)


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Distill(quick=True, jobs=1))


class Printed:
    """A controller made of the printed text alone."""

    def __init__(self, text):
        self.terms = text.removeprefix("torque = clip(").removesuffix(", -2, 2)").replace(" - ", " + -").split(" + ")

    def predict(self, obs, *_, deterministic=True):
        known = dict(zip(("cos", "sin", "speed"), obs.astype(float).T, strict=True))
        total = np.zeros(len(obs))
        for text in self.terms:
            number, *factors = text.split(" ")
            powers = [factor.partition("^")[::2] for factor in factors]
            total += float(number) * np.prod([known[name] ** int(power or 1) for name, power in powers], 0)
        return np.clip(total, -2, 2)[:, None], None


def test_a_formula_of_few_numbers_replaces_the_table(findings):
    formula, regret = findings.smallest
    assert len(formula.weight) <= 5
    assert regret < 20
    returns = evaluate(Printed(formula.plain), lesson.PENDULUM, lesson.TEST_STARTS).mean()
    assert findings.optimum - returns == pytest.approx(regret, abs=0.5)


def test_the_students_own_states_and_the_importance_of_samples_help(findings):
    after = {
        (student.kind, student.weighted): lesson.interquartile_mean(findings.regrets(student))
        for student in findings.students
        if lesson.COMPARED.get(student.kind) == student.size
    }
    network, polynomial = after[lesson.NETWORK, True], after[lesson.ODD, True]
    assert network[-1] < 0.1 * network[0]
    assert polynomial[-1] < 20
    assert after[lesson.ODD, False][-1] > 5 * polynomial[-1]
    assert after[lesson.NETWORK, False][-1] > 3 * network[-1]


def test_odd_terms_are_as_good_as_all(findings):
    last = {
        (student.kind, student.size): lesson.interquartile_mean(findings.regrets(student)[-1])
        for student in findings.students
        if student.weighted
    }
    assert last[lesson.ODD, (3,)] < last[lesson.FULL, (3,)] + 5


def test_the_files_of_a_run(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "LESSON", replace(lesson.LESSON, measure=lambda flags: findings))
    assert lesson.main(["--quick", "--out", str(tmp_path)]) == 0
    names = {"sizes.png", "rounds.png", "formula.png", "config.json", "result.json", "metrics.csv"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["formula"] == findings.smallest[0].plain
    assert result["formula"] in (tmp_path / "index.html").read_text()
    assert result["formula_regret"] == pytest.approx(findings.smallest[1], rel=1e-6)
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + len(findings.students) * 6 * 3  # rounds, seeds
    assert len(findings.students) == 6 + 2 + 5  # sizes, those without importance, numbers of terms


def test_every_figure_has_a_caption(findings):
    assert list(lesson.figures(findings)) == list(lesson.PAGE.captions)


def test_the_title_says_so_where_no_formula_is_good_enough(findings):
    strict = replace(findings, flags=replace(findings.flags, below=0.5))
    title = lesson.plot_sizes(strict).get_suptitle()
    assert title.startswith("No formula of up to 5 terms has a regret below 0.5")
    assert strict.smallest[1] == findings.formula_regret[findings.regret_of_choice.argmin()]


def test_the_smallest_is_the_first_below_the_limit():
    assert lesson.smallest(np.array([90.0, 15.0, 18.0, 9.0]), 20) == 1
    assert lesson.smallest(np.array([90.0, 25.0, 28.0]), 20) == 1


def test_labels_are_the_optimums_torques_and_what_they_are_worth():
    generator = np.random.default_rng(0)
    angle, speed = generator.uniform(-3, 3, (2, 4, 5))
    obs = np.stack([np.cos(angle), np.sin(angle), speed], -1)
    torque, importance = lesson.label(obs)
    expected, _ = optimum().predict(obs.reshape(-1, 3))
    np.testing.assert_allclose(torque.reshape(-1, 1), expected, rtol=1e-6)
    assert importance.shape == (4, 5)
    assert (importance > 0).all()
    at_rest, falling = lesson.label(np.array([[1.0, 0.0, 0.0], [np.cos(0.35), np.sin(0.35), 0.0]]))[1]
    assert falling > 10 * at_rest  # at the top a wrong torque is soon put right; later the pendulum falls


def test_dagger_adds_the_students_own_states():
    """The states of a round are those of the student before it; the first ones are the optimum's."""
    begin, seen = [lesson.starts([4, 7], number, 3) for number in range(3)], []
    weights = iter(np.array([[[-9.0, -2.0], [-5.0, -1.0]]]) * np.array([1.0, 0.5, 0.2])[:, None, None])

    def regress(obs, torque, importance):
        seen.append(obs)
        np.testing.assert_array_equal(lesson.label(obs), (torque, importance))
        return Formulas((SIN, SPEED), next(weights))

    students = list(lesson.dagger(regress, begin))
    assert [obs.shape for obs in seen] == [(2, 600 * count, 3) for count in (1, 2, 3)]
    best = lesson.visited(lesson.best_torque, begin[0]).reshape(2, 600, 3)
    np.testing.assert_allclose(seen[2][:, :600], best)
    for number in (1, 2):
        own = lesson.visited(students[number - 1].torque, begin[number]).reshape(2, 600, 3)
        np.testing.assert_allclose(seen[2][:, 600 * number : 600 * (number + 1)], own)


def test_the_search_chooses_by_the_return_with_rounded_coefficients(monkeypatch):
    monkeypatch.setattr(lesson, "TERM_STARTS", lesson.TERM_STARTS[:10])
    found = lesson.search(
        [lesson.starts([0], number, 10)[0].reshape(5, 2, 2) for number in range(2)], lambda part: None
    )
    assert [len(formula.terms) for formula in found.formulas] == [1, 2, 3, 4, 5]
    for formula, returns in zip(found.formulas, found.returns, strict=True):
        assert set(formula.terms) <= set(odd_terms(3))
        assert all(weight == float(f"{weight:.2g}") for weight in formula.weight)
        own = evaluate(formula, lesson.PENDULUM, lesson.TERM_STARTS).mean()
        assert own == pytest.approx(returns, abs=1e-6)


def test_states_follow_the_environment():
    env, formula = gym.make(lesson.PENDULUM), Formula((SIN, SPEED), np.array([-1.0, 0.5]))
    obs, _ = env.reset(seed=3)
    path = lesson.visited(formula.torque, env.unwrapped.state)
    for expected in path[:50]:
        np.testing.assert_allclose(obs, expected, rtol=1e-4, atol=1e-4)
        obs = env.step(formula.predict(obs)[0])[0]


def test_networks_learn_the_torques_of_their_own_seed():
    """Seed by seed another torque; the second sample, which is wrong, has no importance."""
    obs = np.tile(np.array([[1.0, 0.0, 0.5]]), (2, 64, 1))
    torque = np.array([[1.0], [-0.5]]) * np.ones(64)
    torque[:, 1::2], importance = 2.0, np.tile([1.0, 0.0], (2, 32))
    networks = lesson.Networks((4,), True, 200, [0, 1])
    learned = networks.regress(obs, torque, importance).torque(obs[:, :1])
    np.testing.assert_allclose(learned, [[1.0], [-0.5]], atol=0.02)
    action, state = networks.predict(obs)
    assert (len(networks), action.shape, state) == (2, (2, 64, 1), None)
    plain = lesson.Networks((4,), False, 200, [0, 1]).regress(obs, torque, importance).torque(obs[:, :1])
    np.testing.assert_allclose(plain, [[1.5], [0.75]], atol=0.05)


def test_the_error_of_networks_by_hand():
    output = torch.tensor([[[0.0], [50.0]]])  # torques 0 and 2
    target = torch.tensor([[[1.0, 3.0], [-2.0, 0.5]]])
    assert lesson.weighted_error(output, target).tolist() == pytest.approx([(3 * 1 + 0.5 * 16) / 2])


@pytest.mark.parametrize(("flags", "words"), [
    (["--rounds", "-1"], "--rounds: found -1, expected at least 0"),
    (["--episodes", "0"], "--episodes: found 0, expected at least 1"),
    (["--epochs", "0"], "--epochs: found 0, expected at least 1"),
    (["--below", "0"], "--below: found 0.0, expected a number above 0"),
    (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
])  # fmt: skip
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
