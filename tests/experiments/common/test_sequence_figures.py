"""Titles of the figures that the lessons on sequences share: the numbers are those of the figure."""

import numpy as np
import pytest

from experiments.common import sequence_figures
from experiments.common.sequences import best_recurrent, flat_over_best, network_sizes

ERRORS = {"elman": [0.4, 0.6], "gru": [0.2, 0.4], "lstm": [0.3, 0.5], "mlp": [0.5, 0.7], "mlp_900": [0.1, 0.1]}
ERRORS = {name: np.array(error) for name, error in ERRORS.items()}


def test_the_flat_network_is_compared_with_the_best_recurrent_one():
    assert best_recurrent(ERRORS) == "gru"
    assert flat_over_best(ERRORS) == pytest.approx(2.0)


def test_the_networks_have_as_many_parameters_as_the_gru_and_larger_ones_say_how_many():
    sizes = network_sizes(16, 4, 2, [(30, 30)])
    assert list(sizes) == ["elman", "gru", "lstm", "mlp", "mlp_1862"]  # (28 + 1) 30 + (30 + 1) 30 + (30 + 1) 2
    assert sizes["gru"] == (16,)


def test_the_title_names_the_best_network_of_each_case():
    cases = {"10 angles": ERRORS, "20 angles": ERRORS | {"lstm": np.array([0.0, 0.1])}}
    figure = sequence_figures.plot_networks(cases, dict.fromkeys(ERRORS, 900), "error", "m", shipped=False)
    assert figure.get_suptitle() == "Least error: mlp_900 from 10 angles (0.100 m),\nlstm from 20 angles (0.050 m)"
    first, second = (panel.get_title() for panel in figure.axes)
    assert first == "10 angles: error of mlp\n2.00 times that of gru"
    assert second == "20 angles: error of mlp\n12.00 times that of lstm"


def test_the_title_says_who_wins_on_longer_sequences():
    title = "From 20 angles (training had 10), {} wins among networks of one size: gru\n"
    title += "errs by 0.300 m, and mlp, which reads the last 10 alone, by {} m"
    assert sequence_figures.lengths_title(ERRORS, 20, 10, "m") == title.format("gru", "0.600")
    better = ERRORS | {"mlp": np.array([0.2, 0.2])}
    assert sequence_figures.lengths_title(better, 20, 10, "m") == title.format("mlp", "0.200")


def test_the_title_of_the_training_is_about_its_end():
    curves = {name: ([1.0, 7.0], np.stack([error + 1, error])) for name, error in ERRORS.items()}
    figure, panels = sequence_figures.plot_training({"error, m": curves, "error, kg": curves}, 10, "m")
    title = "From 10 angles, mlp errs by 0.600 m after 7 s of training.\n"
    assert figure.get_suptitle() == title + "gru, the best recurrent network of its size, errs by 0.300 m after 7 s"
    assert [panel.get_ylabel() for panel in panels] == ["error, m", "error, kg"]
