"""Length and mass of a pendulum from its angles (4.1, problem 1): networks, a least-squares fit, and what is possible.

A hanging, damped pendulum swings freely; 100 angles, one every 0.05 s, are measured with 0.01 rad of noise. A flat MLP
sees them all at once; Elman, GRU and LSTM read them one by one and answer after every step. Beside them: scipy's
least-squares fit of the physics, and the limit, the posterior mean, which no estimator can beat in the mean square.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from envs import datasets
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.estimators import HIGH, LOW, NOISE, PRIOR_STD, cramer_rao, least_squares_fit, posterior
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import duration, run_parallel
from experiments.common.runs import Run, console
from models import LSTM, MLP, Adam, Readout, fit, replica
from models.fitting import triangle
from models.recurrent import RECURRENT

STEPS = 100
SHORTEST = 20  # steps of the shortest sequence where lengths differ
MIDDLE, HALF = (HIGH + LOW)[:2] / 2, (HIGH - LOW)[:2] / 2  # what networks estimate lies in [-1, 1]
TARGETS = ("length", "mass")
UNITS = ("m", "kg")
LOOKS = {
    "mlp": (plotting.BLUE, "o"),
    "mlp, any length": (plotting.SKY, "s"),
    "elman": (plotting.PURPLE, "^"),
    "gru": (plotting.GREEN, "D"),
    "lstm": (plotting.YELLOW, "v"),
}
# name -> (pendulums, epochs, batch size, learning rate, seconds of one seed)
BUDGETS = {
    "mlp": (200_000, 17, 512, 2e-3, 50),
    "mlp, any length": (100_000, 16, 512, 2e-3, 25),
    "elman": (16_000, 8, 128, 2e-3, 16),
    "gru": (16_000, 8, 128, 4e-3, 40),
    "lstm": (16_000, 8, 128, 4e-3, 50),
}


@dataclass(frozen=True)
class Identify(Flags):
    """Length and mass of a pendulum from its angles, by networks and by physics."""

    seeds: int = 2
    """How many seeds (independent replicas) to train."""
    pendulums: int = 200_000
    """Simulated pendulums that the MLP trains on; the recurrent networks take a tenth."""
    hidden: int = 64
    """Units of the recurrent networks."""
    tests: int = 2_000
    """Fresh pendulums to be judged on."""
    limit_tests: int = 200
    """Those of them that are fitted by least squares and whose posterior is computed."""
    jobs: int | None = None
    """Processes side by side, each on one thread (default: the number of cores)."""


class AnyLength(nn.Module):
    """An MLP for sequences of unequal lengths: what is missing is zero, and a mask says so."""

    def __init__(self, num_steps: int, hidden: Sequence[int], out_features: int, *, seeds: Any):
        super().__init__()
        self.mlp = MLP(2 * num_steps, hidden, out_features, seeds=seeds)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        seen = (torch.arange(x.shape[-1]) < lengths[..., None]).to(x.dtype)  # (S, B, T)
        return self.mlp(torch.cat([x * seen, seen], -1))


@dataclass(frozen=True)
class Task:
    """One network to train."""

    name: str
    seeds: tuple[int, ...]
    hidden: int
    share: float  # of the pendulums and epochs in BUDGETS
    tests: int
    damping: float = 0.2

    @property
    def cost(self) -> float:
        """Forecast in processor seconds."""
        return BUDGETS[self.name][-1] * self.share**2 * (0.5 + 0.5 * len(self.seeds))


@dataclass(frozen=True)
class Trained:
    """What came of it: root mean square errors of length and mass, and where they come from."""

    parameters: int
    seconds: float  # of all seeds
    full: np.ndarray  # (S, 2), all 100 steps seen
    unequal: np.ndarray | None  # (S, 2), lengths drawn anew for each pendulum; None for what needs all steps
    by_length: dict[int, np.ndarray]  # steps seen -> (S, 2)
    estimate: np.ndarray  # (S, n, 2), all 100 steps seen
    gradient: dict[str, np.ndarray]  # "before" and "after" training: (T,), norm of d loss / d x_t
    gates: np.ndarray | None  # (3, T, hidden), of an LSTM on the widest swing: input, forget, output


def data_of(count: int, seed: int, damping: float) -> tuple[Tensor, Tensor]:
    """Angles (count, T) without noise, and length and mass (count, 2) in units of the prior's half range."""
    angles, drawn = datasets.swings(count, STEPS, seed=seed, damping=damping)
    target = (np.stack([drawn[name] for name in TARGETS], 1) - MIDDLE) / HALF
    return _tensor(angles), _tensor(target)


def measured(angles: Tensor, seed: int) -> Tensor:
    """The angles as an instrument gives them."""
    return angles + NOISE * _tensor(np.random.default_rng([seed, 1]).standard_normal(angles.shape))


def _tensor(x: np.ndarray) -> Tensor:
    return torch.tensor(x, dtype=torch.get_default_dtype())


def build(task: Task) -> nn.Module:
    if task.name == "mlp":
        return MLP(STEPS, (256, 256, 256), 2, seeds=task.seeds)
    if task.name == "mlp, any length":
        return AnyLength(STEPS, (256, 256, 256), 2, seeds=task.seeds)
    trunk = RECURRENT[task.name](1, task.hidden, seeds=task.seeds)
    return Readout(trunk, 2, every_step=True, seeds=[seed + 1000 for seed in task.seeds])


def steps_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of the answers after each step, later ones counting more, (S,)."""
    error = (output - target[:, :, None]).square().mean(-1)  # (S, B, T)
    weight = torch.linspace(0, 1, error.shape[-1]) ** 2
    return (error * (weight / weight.sum())).sum(-1).mean(1)


def flat_loss(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean((1, 2))


def train(task: Task, report: Callable[[float], None]) -> Trained:
    """Train one network with all its seeds and judge it, in a process of its own."""
    count, epochs, batch_size, learning_rate, _ = BUDGETS[task.name]
    count, epochs = round(count * task.share), max(2, round(epochs * task.share))
    recurrent, any_length = task.name in RECURRENT, task.name == "mlp, any length"
    angles, target = data_of(count, task.seeds[0] + 1, task.damping)
    tests, truth = data_of(task.tests, TEST_SEED, task.damping)
    seen = measured(tests, TEST_SEED)
    network = build(task)
    generator = torch.Generator().manual_seed(task.seeds[0])
    lengths = torch.from_numpy(np.random.default_rng(task.seeds[0]).integers(SHORTEST, STEPS + 1, count))

    def noisy(x: Tensor, epoch: float) -> Tensor:
        x = x + NOISE * torch.randn(x.shape, generator=generator)  # new noise for every minibatch
        return x[..., None] if recurrent else x

    gradient = {"before": gradient_norm(network, seen[:200], truth[:200])} if recurrent else {}
    history = fit(
        network,
        TensorDataset(angles, lengths, target) if any_length else TensorDataset(angles, target),
        steps_loss if recurrent else flat_loss,
        seeds=task.seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=partial(Adam, max_grad_norm=1.0) if recurrent else Adam,
        schedule=triangle(epochs, 0.1),
        augment=noisy,
        callback=lambda *_: report(task.cost / epochs),
    )
    if recurrent:
        gradient["after"] = gradient_norm(network, seen[:200], truth[:200])
    by_length, estimate = errors_by_length(task, network, seen, truth)
    cut = torch.from_numpy(np.random.default_rng(TEST_SEED).integers(SHORTEST, STEPS + 1, task.tests))
    unequal = None if task.name == "mlp" else rmse(estimates(task, network, seen, cut), truth)
    gates = None
    if isinstance(network, Readout) and isinstance(network.trunk, LSTM):
        with torch.no_grad():
            x = seen[seen[:, 0].abs().argmax()][None, :, None].expand(len(task.seeds), -1, -1, -1)
            gates = np.stack([gate[0, 0].numpy() for gate in network.trunk.gates(x, network.trunk(x)[0])])
    parameters = sum(parameter[0].numel() for parameter in network.parameters())
    full = by_length[STEPS]
    return Trained(parameters, history.seconds, full, unequal, by_length, estimate, gradient, gates)


TEST_SEED = 10_000  # seed of the pendulums that are judged; training takes the first seeds


def rmse(estimate: Tensor, truth: Tensor) -> np.ndarray:
    """Of length and mass in their units, (S, 2)."""
    return (estimate - truth).square().mean(1).sqrt().numpy() * HALF


def estimates(task: Task, network: nn.Module, seen: Tensor, lengths: Tensor) -> Tensor:
    """What each seed says after the first `lengths` (n,) steps of sequences (n, T); (S, n, 2)."""
    seeds = len(task.seeds)
    with torch.no_grad():
        x = seen.expand(seeds, -1, -1)
        if task.name == "mlp":
            return network(x)
        if task.name == "mlp, any length":
            return network(x, lengths.expand(seeds, -1))
        return network(x[..., None])[:, torch.arange(len(seen)), lengths - 1]


def errors_by_length(task: Task, network: nn.Module, seen: Tensor, truth: Tensor) -> tuple[dict, np.ndarray]:
    """Errors after 10, 20, ... steps, and the estimates (S, n, 2) after all."""
    found, last = {}, np.zeros(0)
    for steps in [STEPS] if task.name == "mlp" else range(10, STEPS + 1, 10):
        estimate = estimates(task, network, seen, torch.full((len(seen),), steps))
        found[steps] = rmse(estimate, truth)
        last = estimate.numpy() * HALF + MIDDLE
    return found, last


def gradient_norm(network: nn.Module, seen: Tensor, truth: Tensor) -> np.ndarray:
    """How much the last answer of the first seed depends on the input of each step: norm of d loss / d x_t, (T,)."""
    one = replica(network, 0)
    x = seen[None, ..., None].clone().requires_grad_()
    loss = flat_loss(one(x)[:, :, -1], truth[None])
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return gradient[0, ..., 0].norm(dim=0).numpy()


def plan(flags: Identify) -> list[Task]:
    for name, least in (("pendulums", 1_000), ("hidden", 1), ("tests", 10), ("limit_tests", 2)):
        if getattr(flags, name) < least:
            raise UsageError(f"--{name.replace('_', '-')}: found {getattr(flags, name)}, expected at least {least}")
    if flags.limit_tests > flags.tests:
        raise UsageError(f"--limit-tests: found {flags.limit_tests}, expected at most --tests, {flags.tests}")
    if flags.jobs is not None and flags.jobs < 1:
        raise UsageError(f"--jobs: found {flags.jobs}, expected at least 1")
    share = (0.3 if flags.quick else 1.0) * flags.pendulums / 200_000
    tasks = [Task(name, tuple(flags.all_seeds), flags.hidden, share, flags.tests) for name in BUDGETS]
    return sorted(tasks, key=lambda task: -task.cost)


def identify(flags: Identify) -> None:
    tasks = plan(flags)
    jobs = flags.jobs or os.cpu_count() or 1
    undamped = Task("mlp, any length", tuple(flags.all_seeds), flags.hidden, 0.25 * tasks[0].share, flags.tests, 0.0)
    cost = sum(task.cost for task in tasks) + undamped.cost
    limit_tests = min(flags.limit_tests, 40) if flags.quick else flags.limit_tests
    run = Run("identify", flags)
    console.print(f"identify: about {duration(cost / jobs + 10 + limit_tests / 6)}, {jobs} processes", highlight=False)
    *results, blind = run_parallel(train, [*tasks, undamped], jobs, cost, "training")
    trained = {task.name: result for task, result in zip(tasks, results, strict=True)}
    trained = {name: trained[name] for name in BUDGETS}

    console.print(f"fitting {limit_tests} pendulums by least squares, and their posteriors", highlight=False)
    tests, target = data_of(flags.tests, TEST_SEED, 0.2)
    truth = target.numpy() * HALF + MIDDLE
    observed = measured(tests, TEST_SEED).numpy().astype(np.float64)[:limit_tests]
    fits = least_squares_fit(observed)
    mean, std, draws = posterior(observed, fits)
    limit = np.sqrt((std**2).mean(0))
    fit_error = np.sqrt(((fits[:, :2] - truth[:limit_tests]) ** 2).mean(0))
    mean_error = np.sqrt(((mean - truth[:limit_tests]) ** 2).mean(0))
    angles, drawn = datasets.swings(2_000, STEPS, seed=TEST_SEED + 1)
    unknown = np.stack([drawn["length"], drawn["mass"], angles[:, 0], drawn["speed"]], 1)
    bound = cramer_rao(unknown, STEPS)  # (T, 2)

    for name, result in trained.items():
        for index, what in enumerate(TARGETS):
            run.log(STEPS, f"{name}/rmse_{what}", result.full[:, index])
    # Whether a network comes near the limit is asked of the very pendulums that the limit was computed for.
    same = {
        n: np.sqrt(((r.estimate[:, :limit_tests] - truth[:limit_tests]) ** 2).mean((0, 1))) for n, r in trained.items()
    }
    times_limit = {name: error / limit for name, error in same.items()}
    run.figure(draw_networks(trained, limit, fit_error, times_limit), "networks")
    run.figure(draw_lengths(trained, bound), "lengths")
    run.figure(draw_memory(trained, measured(tests, TEST_SEED).numpy()), "memory")
    run.figure(draw_estimates(trained, truth, fits), "estimates")
    result = {
        "rmse": {name: named(result.full.mean(0)) for name, result in trained.items()},
        "rmse_unequal_lengths": {n: named(r.unequal.mean(0)) for n, r in trained.items() if r.unequal is not None},
        "limit": named(limit),
        "times_limit": {name: named(ratio) for name, ratio in times_limit.items()},
        "posterior_mean": named(mean_error),
        "least_squares": named(fit_error),
        "cramer_rao": named(bound[-1]),
        "prior": named(PRIOR_STD[:2]),
        "undamped": named(blind.full.mean(0)),
        "effective_draws": round(float(draws.min()), 1),
        "parameters": {name: result.parameters for name, result in trained.items()},
        "train_seconds": {name: round(result.seconds, 1) for name, result in trained.items()},
    }
    run.finish(result)
    table = table_of(trained, result)
    console.print(
        f"Undamped and unforced, mass cannot be seen: error {result['undamped']['mass']:.3f} kg, "
        f"the prior's standard deviation {result['prior']['mass']:.3f} kg.",
        highlight=False,
    )
    run.close(table, "balancier forecast, which predicts the same pendulums")


def named(values: np.ndarray) -> dict[Literal["length", "mass"] | str, float]:
    return {name: round(float(value), 5) for name, value in zip(TARGETS, values, strict=True)}


def table_of(trained: dict[str, Trained], result: dict[str, Any]) -> Table:
    table = Table(
        "estimator", "parameters", "seconds", "length, m", "x limit", "mass, kg", "x limit", "unequal lengths"
    )
    limit = result["limit"]

    def row(name: str, parameters: str, seconds: str, error: dict[str, float], unequal: str) -> None:
        times = result["times_limit"].get(name) or {what: error[what] / limit[what] for what in TARGETS}
        ratios = [f"{times[what]:.2f}" for what in TARGETS]
        table.add_row(
            name, parameters, seconds, f"{error['length']:.4f}", ratios[0], f"{error['mass']:.3f}", ratios[1], unequal
        )

    for name, each in trained.items():
        unequal = result["rmse_unequal_lengths"].get(name)
        told = "-" if unequal is None else f"{unequal['length']:.3f} m, {unequal['mass']:.3f} kg"
        row(name, f"{each.parameters:,}", f"{each.seconds:.0f}", result["rmse"][name], told)
    row("least squares", "4", "", result["least_squares"], "-")
    row("limit (posterior mean)", "", "", limit, "-")
    row("prior (knows nothing)", "", "", result["prior"], "-")
    return table


def draw_networks(
    trained: dict[str, Trained], limit: np.ndarray, fit_error: np.ndarray, times_limit: dict[str, np.ndarray]
) -> Any:
    """Error against training time; the number of parameters beside each network's name."""
    figure, panels = plotting.new(2, width=7.5, height=5.5)
    for index, panel in enumerate(panels):
        for name, result in trained.items():
            color, marker = LOOKS[name]
            error = result.full[:, index]
            seconds = result.seconds / len(error)
            label = f"{name} ({result.parameters:,})"
            panel.plot([seconds] * len(error), error, marker, color=color, markersize=11, label=label)
        levels = (
            ("prior", PRIOR_STD[index], ":"),
            ("least squares", fit_error[index], "-."),
            ("limit", limit[index], "--"),
        )
        for name, level, style in levels:
            panel.axhline(level, color="black", linestyle=style, linewidth=1.8, label=name)
        panel.set(xscale="log", yscale="log", xlabel="training, processor seconds per seed")
        panel.set_ylabel(f"error of the {TARGETS[index]}, {UNITS[index]} (RMS)")
        best = min(trained, key=lambda name: trained[name].full[:, index].mean())
        panel.set_title(f"{TARGETS[index]}: {best} is best, {times_limit[best][index]:.1f} times the limit")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def draw_lengths(trained: dict[str, Trained], bound: np.ndarray) -> Any:
    """Error against the number of angles seen, above the Cramer-Rao bound."""
    figure, panels = plotting.new(2, width=7.5, height=5.5)
    for index, panel in enumerate(panels):
        for name, result in trained.items():
            color, marker = LOOKS[name]
            lengths = list(result.by_length)
            errors = np.stack([error[:, index] for error in result.by_length.values()])  # (lengths, S)
            style = {"marker": marker, "markersize": 9, "color": color}
            panel.plot(lengths, errors.mean(1), label=f"{name}, all steps only" if name == "mlp" else name, **style)
        steps = np.arange(5, STEPS + 1)
        panel.plot(steps, bound[steps - 1, index], "k--", label="Cramer-Rao")
        panel.axhline(PRIOR_STD[index], color="black", linestyle=":", label="prior")
        panel.set(
            yscale="log", xlabel="angles seen (0.05 s each)", title=f"{TARGETS[index]} from sequences of any length"
        )
        panel.set_ylabel(f"error of the {TARGETS[index]}, {UNITS[index]} (RMS)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def draw_memory(trained: dict[str, Trained], angles: np.ndarray) -> Any:
    """How far back each recurrent network can look, and what the LSTM's gates do during a swing."""
    figure, panels = plotting.new(2, width=7.5, height=5.5)
    for name in ("elman", "lstm"):
        for when, style in (("before", ":"), ("after", "-")):
            norm = trained[name].gradient[when]
            panels[0].plot(norm, style, color=LOOKS[name][0], label=f"{name}, {when} training")
    panels[0].set(yscale="log", xlabel="step t", ylabel="norm of d loss / d x_t")
    early = trained["elman"].gradient["before"]
    panels[0].set_title(f"gradient: half way back, Elman's is {early[STEPS // 2] / early[-1]:.0e} at first")
    panels[0].legend()
    gates = trained["lstm"].gates
    assert gates is not None
    for gate, name, color in zip(gates, ("input", "forget", "output"), plotting.COLORS, strict=False):
        low, middle, high = np.quantile(gate, [0.1, 0.5, 0.9], 1)
        plotting.band(panels[1], range(STEPS), low, middle, high, f"{name} gate", color)
    swing = panels[1].twinx()
    swing.plot(angles[np.abs(angles[:, 0]).argmax()], color=plotting.GRAY, linewidth=1.5, linestyle="--")
    swing.set_ylabel("angle, rad")
    swing.grid(visible=False)
    panels[1].set(xlabel="step t", ylabel="openness: median, 10 to 90 % of units", ylim=(0, 1))
    panels[1].set_title("LSTM gates over one swing (dashed)")
    panels[1].legend(loc="lower right", ncols=3)
    return figure


def draw_estimates(trained: dict[str, Trained], truth: np.ndarray, fits: np.ndarray) -> Any:
    """Estimates against truth: the best network and the least-squares fit."""
    best = min(trained, key=lambda name: (trained[name].full.mean(0) / PRIOR_STD[:2]).sum())
    figure, panels = plotting.new(2, width=6.5, height=5.8)
    for index, panel in enumerate(panels):
        panel.plot(
            LOW[index : index + 1].tolist() + HIGH[index : index + 1].tolist(), [LOW[index], HIGH[index]], "k-", lw=1
        )
        panel.plot(truth[:500, index], trained[best].estimate[0, :500, index], ".", color=plotting.BLUE, label=best)
        panel.plot(truth[: len(fits), index], fits[:, index], "x", color=plotting.ORANGE, label="least squares")
        panel.set(
            xlabel=f"true {TARGETS[index]}, {UNITS[index]}", ylabel=f"estimate, {UNITS[index]}", title=TARGETS[index]
        )
    panels[0].legend()
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("identify", Identify, identify, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
