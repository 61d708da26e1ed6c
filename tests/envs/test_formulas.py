"""Controllers that are one line: their terms, their regression, and what they answer to."""

import numpy as np
import pytest

from envs.formulas import Formula, Formulas, Term, all_terms, fit_torques, odd_terms, products

SIN, COS_SPEED, SPEED = Term(0, 1, 0), Term(1, 0, 1), Term(0, 0, 1)


def observe(angle, speed):
    return np.stack([np.cos(angle), np.sin(angle), speed], -1)


def test_terms_are_counted_by_hand():
    assert set(all_terms(1)) == {Term(0, 0, 0), Term(1, 0, 0), SIN, SPEED}
    assert set(odd_terms(1)) == {SIN, SPEED}
    assert set(odd_terms(2)) == {SIN, SPEED, Term(1, 1, 0), COS_SPEED}
    assert [len(all_terms(degree)) for degree in range(6)] == [1, 4, 9, 16, 25, 36]
    assert [len(odd_terms(degree)) for degree in range(6)] == [0, 2, 4, 8, 12, 18]


def test_no_term_is_a_sum_of_others():
    """With sin^2 among them, the terms of degree 4 would have dependent columns."""
    generator = np.random.default_rng(0)
    obs = observe(generator.uniform(-np.pi, np.pi, 400), generator.uniform(-1, 1, 400))
    assert np.linalg.matrix_rank(products(obs, all_terms(4))) == 25


def test_products_by_hand():
    obs = np.array([[0.6, 0.8, 2.0], [1.0, 0.0, -3.0]])
    expected = [[0.8, 1.2, 0.6**2 * 0.8 * 8], [0.0, -3.0, 0.0]]
    np.testing.assert_allclose(products(obs, [SIN, COS_SPEED, Term(2, 1, 3)]), expected)


def test_odd_terms_change_their_sign_in_the_mirror():
    angle, speed = np.linspace(-3, 3, 7), np.linspace(2, -1, 7)
    x, mirrored = (products(observe(sign * angle, sign * speed), all_terms(3)) for sign in (1, -1))
    changed = np.array([term in odd_terms(3) for term in all_terms(3)])
    np.testing.assert_allclose(mirrored[:, changed], -x[:, changed], atol=1e-12)
    np.testing.assert_allclose(mirrored[:, ~changed], x[:, ~changed], atol=1e-12)


def test_a_formula_acts_like_an_agent():
    formula = Formula((SIN, SPEED), np.array([-1.0, 0.5]))
    action, state = formula.predict(np.array([0.6, 0.8, 1.0]))
    assert (action.shape, state) == ((1,), None)
    assert action == pytest.approx([-0.3])
    several, _ = formula.predict(np.array([[0.6, 0.8, 1.0], [1.0, 0.0, 8.0], [1.0, 0.0, -8.0]]))
    np.testing.assert_allclose(several, [[-0.3], [2.0], [-2.0]], rtol=1e-6)
    for obs in (np.zeros(2), np.zeros((3, 4)), 1.0):
        with pytest.raises(ValueError, match=r"obs: found shape .*, expected \(n, 3\)"):
            formula.predict(obs)


def test_formulas_side_by_side_are_those_alone():
    weight, generator = np.array([[-1.0, 0.5], [0.2, 0.1]]), np.random.default_rng(0)
    obs = generator.uniform(-1, 1, (2, 5, 3))
    both = Formulas((SIN, SPEED), weight)
    assert len(both) == 2
    for index in range(2):
        alone = Formula((SIN, SPEED), weight[index]).torque(obs[index])
        np.testing.assert_allclose(both.torque(obs)[index], alone)


def test_a_formula_in_words():
    formula = Formula((SIN, COS_SPEED, Term(2, 0, 3)), np.array([-9.0, 0.25, -0.01]))
    assert formula.plain == "torque = clip(-9 sin + 0.25 speed cos - 0.01 speed^3 cos^2, -2, 2)"
    assert r"-9\,\sin\theta + 0.25\,\omega\,\cos\theta - 0.01\,\omega^3\,\cos^2\theta" in formula.mathtext
    assert Formula((Term(0, 0, 0),), np.array([1.5]), 3.0).plain == "torque = clip(1.5, -3, 3)"


def test_the_regression_finds_weights_behind_the_limit():
    """Nine of ten torques are clipped; plain least squares finds weights that are far too small."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2_000, 3))
    weight = np.array([10.0, -6.0, 3.0])
    torque = np.clip(x @ weight, -2, 2)
    assert (np.abs(torque) == 2).mean() > 0.8
    np.testing.assert_allclose(fit_torques(x, torque), weight, rtol=1e-4)
    plain = np.linalg.lstsq(x, torque, rcond=None)[0]
    assert np.abs(plain).max() < 2


def test_without_limit_the_regression_is_least_squares():
    generator = np.random.default_rng(0)
    x, torque = generator.standard_normal((500, 4)) * [1, 10, 100, 1000], generator.uniform(-1, 1, 500)
    np.testing.assert_allclose(fit_torques(x, torque), np.linalg.lstsq(x, torque, rcond=None)[0], rtol=1e-5)


def test_important_samples_decide():
    """Two torques at the same state: the weight is their mean, weighted by their importance."""
    x, torque = np.ones((2, 1)), np.array([1.0, 0.0])
    assert fit_torques(x, torque) == pytest.approx([0.5])
    assert fit_torques(x, torque, np.array([3.0, 1.0])) == pytest.approx([0.75])
    assert fit_torques(x, torque, np.array([300.0, 100.0])) == pytest.approx([0.75])


def test_terms_that_are_sums_of_others_have_a_solution():
    x = np.random.default_rng(0).standard_normal((50, 2))
    weight = fit_torques(np.column_stack([x, x.sum(1)]), x @ [0.3, 0.2])
    np.testing.assert_allclose(np.column_stack([x, x.sum(1)]) @ weight, x @ [0.3, 0.2], atol=1e-5)
