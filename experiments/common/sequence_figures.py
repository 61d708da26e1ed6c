"""The figures that the two lessons on sequences share: error against angles, against parameters, against training.

S seed, P points of a curve.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from balancier import _
from experiments.common import plotting
from experiments.common.sequences import FLAT, GROUP, best_recurrent, flat_over_best
from models.recurrent import RECURRENT

Curves = Mapping[str, tuple[Sequence[float], np.ndarray]]  # network -> x and errors (P, S)
Cases = Mapping[str, dict[str, np.ndarray]]  # sequences of the test -> network -> errors (S,)


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Color and marker of each network."""
    styles = [(plotting.PURPLE, "^"), (plotting.GREEN, "D"), (plotting.YELLOW, "v")]
    flat = [(plotting.BLUE, "o"), (plotting.SKY, "s"), (plotting.GRAY, "P")]
    return dict(zip(RECURRENT, styles, strict=True)) | dict(
        zip((name for name in names if name not in RECURRENT), flat, strict=False)
    )


def line_of(name: str) -> str:
    """Solid for a recurrent network, dashed for a flat one."""
    return "-" if name in RECURRENT else "--"


def draw_curves(panel: Axes, curves: Curves, marked: bool = True) -> None:
    """The mean over the seeds of each network's errors, and their range."""
    for name, (color, marker) in looks(curves).items():
        x, errors = curves[name]
        style = {"marker": marker, "markersize": 7} if marked else {}
        plotting.mean_band(panel, x, errors, name, color, linestyle=line_of(name), **style)


def cases(shortest: int, trained: int, longer: int) -> tuple[str, str, str]:
    """What sequences of equal, unequal and longer lengths are called."""
    return (
        _("{count} angles", count=trained),
        _("{least} to {most} angles", least=shortest, most=trained),
        _("{count} angles", count=longer),
    )


def lengths_title(errors: dict[str, np.ndarray], longer: int, trained: int, unit: str) -> str:
    """Whether the flat network or the best recurrent one of its size is better (S,) on longer sequences."""
    best = best_recurrent(errors)
    flat, recurrent = errors[FLAT].mean(), errors[best].mean()
    return _(
        "From {longer} angles (training had {trained}), {winner} wins among networks of one size: {best}\n"
        "errs by {recurrent:.3f} {unit}, and mlp, which reads the last {trained} alone, by {flat:.3f} {unit}",
        longer=longer,
        trained=trained,
        winner=best if recurrent < flat else FLAT,
        best=best,
        recurrent=recurrent,
        flat=flat,
        unit=unit,
    )


def plot_lengths(title: str, panels: Mapping[str, Curves], trained: int) -> tuple[Figure, list[Axes]]:
    """Error against the number of angles seen, a panel for each quantity; gray where training had no such lengths."""
    figure, axes = plotting.slide(title, len(panels))
    for panel, (quantity, curves) in zip(axes, panels.items(), strict=True):
        draw_curves(panel, curves)
        panel.axvspan(trained, max(curves[FLAT][0]), color=plotting.GRAY, alpha=0.12)
        panel.set_xlabel(_("angles seen (gray: longer than in training)"))
        log_error_axis(panel, quantity)
    return figure, axes


def plot_networks(cases: Cases, parameters: dict[str, int], quantity: str, unit: str, shipped: bool) -> Figure:
    """Error against the number of parameters, a panel for each kind of test sequences."""
    least = {case: min(errors, key=lambda name: errors[name].mean()) for case, errors in cases.items()}
    words = [
        _("{name} from {case} ({error:.3f} {unit})", name=name, case=case, error=cases[case][name].mean(), unit=unit)
        for case, name in least.items()
    ]
    title = _("Least {quantity}: {best},\n{others}", quantity=quantity, best=words[0], others=", ".join(words[1:]))
    figure, panels = plotting.slide(title, len(cases), sharey=True)
    for panel, (case, errors) in zip(panels, cases.items(), strict=True):
        for name, (color, marker) in looks(parameters).items():
            at = [parameters[name]] * len(errors[name])
            panel.plot(at, errors[name], marker, color=color, markersize=12, label=name)
        panel.set(xscale="log", xlabel=_("parameters, thousands"), xlim=(8e3, 1.5 * max(parameters.values())))
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
        log_error_axis(panel, f"{quantity}, {unit} (RMS)" if panel is panels[0] else "")
        best, ratio = best_recurrent(errors), flat_over_best(errors)
        panel.set_title(_("{case}: error of mlp\n{ratio:.2f} times that of {best}", case=case, ratio=ratio, best=best))
    legend_below(figure, shipped)
    return figure


def plot_training(panels: Mapping[str, Curves], angles: int, unit: str) -> tuple[Figure, list[Axes]]:
    """Error against the processor seconds of training, a panel for each quantity; the title is about the first."""
    first = next(iter(panels.values()))
    at_end = {name: errors[-1] for name, (__, errors) in first.items()}
    best = best_recurrent(at_end)
    title = _(
        "From {angles} angles, mlp errs by {flat:.3f} {unit} after {flat_time:.0f} s of training.\n"
        "{best}, the best recurrent network of its size, errs by {other:.3f} {unit} after {other_time:.0f} s",
        angles=angles,
        flat=at_end[FLAT].mean(),
        unit=unit,
        flat_time=first[FLAT][0][-1],
        best=best,
        other=at_end[best].mean(),
        other_time=first[best][0][-1],
    )
    figure, axes = plotting.slide(title, len(panels))
    for panel, (quantity, curves) in zip(axes, panels.items(), strict=True):
        draw_curves(panel, curves)
        panel.set(xscale="log", xlabel=_("training, processor seconds for one seed"))
        log_error_axis(panel, quantity)
    return figure, axes


def plot_memory(gradients: dict[str, dict[str, np.ndarray]], gates: np.ndarray, angles: np.ndarray) -> Figure:
    """How far back the gradients of Elman network and LSTM reach, and the LSTM's gates on some angles.

    Args:
        gradients: network -> "before" and "after" training -> norm at each group (G,).
        gates: input, forget and output gate (3, groups, hidden).
        angles: what the gates were read on.
    """
    ratios = {name: norms["before"][0] / norms["before"][-1] for name, norms in gradients.items()}
    title = _(
        "The gradient vanishes: before training, the first input of an Elman network counts\n"
        "{elman:.0e} of what the last counts, that of an LSTM {lstm:.0e}",
        **ratios,
    )
    figure, panels = plotting.slide(title, 2)
    for name, norms in gradients.items():
        before, after = _("{name}, before training", name=name), _("{name}, after training", name=name)
        for when, style, label in (("before", ":", before), ("after", "-", after)):
            norm, color = norms[when], looks(())[name][0]
            panels[0].plot(GROUP * np.arange(1, len(norm) + 1), norm / norm[-1], style, color=color, label=label)
    panels[0].set(yscale="log", xlabel=_("angle number"), ylabel=_("gradient / gradient at the last input"))
    names, colors = (_("input gate"), _("forget gate"), _("output gate")), (plotting.BLUE, "black", plotting.SKY)
    for gate, name, color in zip(gates, names, colors, strict=True):
        panels[1].plot(GROUP * np.arange(1, len(gate) + 1), np.median(gate, 1), color=color, label=name)
    swing = panels[1].twinx()
    swing.plot(np.arange(1, len(angles) + 1), angles, color=plotting.GRAY, linewidth=1.5, linestyle="--")
    swing.spines["right"].set_visible(True)
    swing.set_ylabel(_("angle, rad (dashed)"))
    swing.grid(visible=False)
    panels[1].set(xlabel=_("angle number"), ylabel=_("gate: 0 shut, 1 open (median)"), ylim=(0, 1))
    panels[1].set_title(_("trained: the forget gate keeps {share:.0%} a step", share=np.median(gates[1])))
    for panel in panels:
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure


def legend_below(
    figure: Figure, shipped: bool, origin: str = _("networks that come with the package: one seed")
) -> None:
    """The legend of the first axes below all; its title says the origin of networks that come with the package."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = len(labels) if len(labels) < 7 else 4
    figure.legend(handles, labels, loc="outside lower center", title=origin if shipped else None, ncols=columns)


def log_error_axis(axes: Axes, label: str) -> None:
    """A logarithmic axis of errors with plain numbers at 1, 2, 3 and 5 times each power of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(label)
