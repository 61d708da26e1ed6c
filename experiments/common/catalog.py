"""The list of lessons and commands. It imports next to nothing, so that `balancier` answers at once."""

from typing import NamedTuple

from balancier import N_, _


class Entry(NamedTuple):
    section: str  # of the course
    text: str
    seconds: float | None = None  # at the defaults, on two cores; None where it depends on what is asked for
    quick: float | None = None  # with --quick, for those that `balancier course` runs
    cores: int = 1  # that these times are for


# One line an experiment, in the order of the course; `_` translates it where it is shown.
EXPERIMENTS = {
    "polynomial": Entry("3.1, 3.2", N_("least squares, gradient descent, over- and underfitting"), 30, 15),
    "autodiff": Entry("3.2", N_("three ways to compute a gradient, and gradient descent in local minima"), 5, 5),
    "mlp": Entry("3.3", N_("the parts of a multilayer perceptron; widths, rates, minibatches, activations"), 70, 22),
    "vector_regression": Entry("3.b", N_("two outputs from two inputs, down to the noise floor"), 45, 13),
    "titanic": Entry("3.4", N_("who survived, predicted from class, sex and fare, over random splits"), 15, 8),
    "identify": Entry(
        "4.1", N_("length and mass of a pendulum from its angles, by networks and by physics"), 310, 10, 2
    ),
    "forecast": Entry("4.1", N_("the future of a pendulum from its past"), 250, 7, 2),
    "convolution": Entry("5.1, 5.2", N_("convolution by hand and learned; its few parameters, and its shifts"), 75, 20),
    "cifar": Entry("5.3, 6.2", N_("ten classes of small pictures, by the network of the course or a fast one"), 60, 18),
    "q_learning": Entry("6.1", N_("value iteration, tabular Q-learning and DQN on one pendulum"), 75, 25, 2),
    "policy_gradient": Entry(
        "6.1", N_("REINFORCE, its baseline, A2C and PPO; the noise in their gradients"), 120, 18, 2
    ),
    "sweep": Entry("6.1", N_("a grid of hyper-parameters as replicas of one run"), 50, 22),
    "ablation": Entry("6.1", N_("DQN's refinements, one switch at a time and together"), 80, 35, 2),
    "compare": Entry("6.1", N_("our agents and Stable-Baselines3's side by side: learning, returns, time"), 240, 35, 2),
    "control": Entry(
        "6.1", N_("classical controllers, which know the equations, beside agents that learned"), 40, 20, 2
    ),
    "values": Entry(
        "6.1", N_("the values of DQN, PPO and the optimum, as surfaces that form while they learn"), 45, 20, 2
    ),
    "distill": Entry("3, 6.1", N_("the best policy made small, down to a formula of a few numbers"), 60, 25, 2),
    "physics_gradient": Entry(
        "3.2, 6.1", N_("back-propagation through the equations of motion, beside policy gradients"), 120, 30, 2
    ),
    "see": Entry("5.2, 6.1", N_("a CNN reads angle and speed off pixels, and an agent drives from that"), 90, 15, 2),
    "dream": Entry("4.1, 6.1", N_("a learned model of the pendulum, and plans made in it"), 120, 25, 2),
    "adapt": Entry("4.1, 6.1", N_("pendulums of unknown length and mass, identified while they swing up"), 140, 10, 2),
    "robust": Entry("6.1", N_("agents and controllers on pendulums that are not the one they know"), 100, 25, 2),
    "real": Entry(
        "4.1, 6.1", N_("a real pendulum from its recording: its length, its future, and an agent"), 150, 15, 2
    ),
    "train": Entry("1, 6.1", N_("train one agent, all its seeds at once, and keep it"), 40, 20),
    "play": Entry("1, 6.1", N_("swing the pendulum up yourself, beside the optimum and a trained agent")),
    "watch": Entry("1, 6.1", N_("see a trained agent act, in a window or as a GIF")),
    "export": Entry("6.1", N_("the best seed of a trained agent, as one checkpoint and as an ONNX file"), 10),
    "results": Entry("6.1", N_("the table of all agents in all environments they were tuned for"), 2700),
    "bench": Entry(
        "2, 6.1", N_("steps per second; what updates and memory cost; times to the threshold, if asked for"), 150
    ),
    "exercise": Entry(
        N_("3 to 6"), N_("an exercise of the course as a file, with gaps to fill; without an id, their list")
    ),
    "check": Entry(N_("3 to 6"), N_("what is right in the file of an exercise, step by step, with hints"), 10),
    "solution": Entry(N_("3 to 6"), N_("a solution of an exercise, with the answers to its questions")),
    "course": Entry(N_("all"), N_("all lessons in their short form, on one page; which numbers moved"), 600),
    "fetch": Entry(N_("all"), N_("download all data sets, for a room without a network")),
}
LESSONS = [name for name, entry in EXPERIMENTS.items() if entry.quick is not None]
RENAMED = {"population": "sweep", "worlds": "results"}


def duration(seconds: float) -> str:
    """A time in seconds or minutes, as in "about 40 s"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def time_words(name: str) -> str:
    """How long an experiment takes, as --help says it."""
    entry = EXPERIMENTS.get(name)
    if entry is None or entry.seconds is None:
        return ""
    time, quick = duration(entry.seconds), duration(entry.quick or 0)
    if entry.quick:
        return _("Time: about {time} on two cores; with --quick {quick}.", time=time, quick=quick)
    return _("Time: about {time} on two cores.", time=time)
