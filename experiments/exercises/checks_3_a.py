"""The checks of exercise 3.a."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from balancier import _
from experiments.exercises.checking import Step, Wrong, check_call, check_share, compare, results, to_array

MANY = 20_000


def check_inputs(student: Any) -> None:
    for count in (30, 7, 1):
        call, x = results(student, "make_inputs", count)
        x = to_array(x, _("an array of shape ({count},)", count=count), call)
        compare(call, np.zeros_like(x), np.zeros(count))
    call, x = results(student, "make_inputs", MANY)
    x = to_array(x, "", call)
    outside = x[(x < 0) | (x > 1)]
    if len(outside):
        raise Wrong(_("the number {number:.3f}", number=outside[0]), _("numbers between 0 and 1"), call)
    check_share(call, _("a mean of"), float(x.mean()), 0.5, 0.02)
    check_share(call, _("a standard deviation of"), float(x.std()), 12**-0.5, 0.01)
    if np.abs(np.sort(x) - (np.arange(MANY) + 0.5) / MANY).max() > 0.03:
        raise Wrong(_("more numbers in one part of the interval than in another"), _("uniform numbers"), call)
    if np.array_equal(x, to_array(results(student, "make_inputs", MANY)[1], "", call)):
        raise Wrong(_("the same numbers in two calls"), _("new random numbers in every call"), call)


def check_outputs(student: Any) -> None:
    x = np.array([0.0, 0.1, 0.25, 0.4, 0.7])
    check_call(student, "make_outputs", (x, 0.0), np.sin(2 * np.pi * x))
    many = np.linspace(0, 1, MANY)
    for std in (0.1, 0.35):
        call, y = results(student, "make_outputs", many, std)
        compare(call, np.zeros_like(to_array(y, _("an array"), call)), np.zeros(MANY))
        noise = to_array(y, "", call) - np.sin(2 * np.pi * many)
        check_share(call, _("noise with a standard deviation of"), float(noise.std()), std, 0.04 * std)
        check_share(call, _("noise with a mean of"), float(noise.mean()), 0, 0.06 * std)
        check_share(call, _("noise with a fourth moment over the squared variance of"), tails(noise), 3, 0.4)
        apart = float(np.corrcoef(noise[1:], noise[:-1])[0, 1])
        check_share(call, _("noise with a correlation between neighbors of"), apart, 0, 0.06)
        if np.array_equal(y, results(student, "make_outputs", many, std)[1]):
            raise Wrong(_("the same noise in two calls"), _("new noise in every call"), call)


def tails(noise: np.ndarray) -> float:
    """3 for normal noise, 1.8 for uniform noise."""
    return float((noise**4).mean() / noise.var() ** 2)


def check_draw(student: Any) -> None:
    plt.close("all")
    rng = np.random.default_rng()
    x, y = rng.uniform(0, 1, 23), rng.normal(0, 1, 23)
    call, _result = results(student, "draw", x, y)
    axes = [each for number in plt.get_fignums() for each in plt.figure(number).axes]
    drawn = [each for each in axes if any(shows(artist, x, y) for artist in [*each.lines, *each.collections])]
    if not drawn:
        count = sum(len(each.lines) + len(each.collections) for each in axes)
        expected = _(
            "the {count} points as markers that no line joins: plt.plot with a marker, or plt.scatter", count=23
        )
        raise Wrong(_("{count} curves or clouds, none with these points", count=count), expected, call)
    for name, label in (("x", drawn[0].get_xlabel()), ("y", drawn[0].get_ylabel())):
        if not label.strip():
            raise Wrong(_("no label at the {name} axis", name=name), _("a label at each axis"), call)
    legend = drawn[0].get_legend()
    if legend is None or not any(text.get_text().strip() for text in legend.get_texts()):
        raise Wrong(_("no legend"), _("a legend that names the points (label=..., then plt.legend())"), call)
    plt.close("all")


def shows(artist: Any, x: np.ndarray, y: np.ndarray) -> bool:
    """Whether a line without a line, or a cloud, has exactly these points."""
    if hasattr(artist, "get_offsets"):
        points = np.asarray(artist.get_offsets(), float)
    elif artist.get_marker() in ("None", None, "", " ") or artist.get_linestyle() not in ("None", "", " "):
        return False
    else:
        points = np.asarray(artist.get_xydata(), float)
    wanted = np.stack([x, y], 1)
    if points.shape != wanted.shape:
        return False
    return bool(np.allclose(points[np.lexsort(points.T)], wanted[np.lexsort(wanted.T)]))


STEPS = (
    Step(
        "make_inputs",
        check_inputs,
        _("an array of shape (count,), uniform between 0 and 1"),
        _("np.random.uniform(low, high, count) draws as many numbers as its third argument says."),
    ),
    Step(
        "make_outputs",
        check_outputs,
        _("an array of shape (count,), sin(2 pi x) plus normal noise"),
        _("np.sin and np.pi work on whole arrays; np.random.normal(mean, std, count) gives one noise for each point."),
    ),
    Step(
        "draw",
        check_draw,
        _("a figure with the points as markers, labels at both axes and a legend"),
        _('plt.plot(x, y, "o", label=...) draws markers; plt.xlabel, plt.ylabel and plt.legend do the rest.'),
    ),
)
