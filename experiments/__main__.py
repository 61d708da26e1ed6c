"""`balancier`: the list of experiments, and the way into each of them."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence

# name -> (section of the course, description); one line an experiment
EXPERIMENTS = {
    "polynomial": ("3.1", "least squares, gradient descent and its largest rate, over- and underfitting"),
    "autodiff": ("3.2", "three ways to compute a gradient, and gradient descent in local minima"),
    "mlp": ("3.3", "the parts of a multilayer perceptron; widths, rates, minibatches, activations"),
    "vector_regression": ("3.b", "two outputs from two inputs, down to the noise floor"),
    "titanic": ("3.4", "who survived, predicted from class, sex and fare, over random splits"),
    "identify": ("4.1", "length and mass of a pendulum from its angles, by networks and by physics"),
    "forecast": ("4.1", "the future of a pendulum from its past"),
    "convolution": ("5.1", "convolution by hand and learned; its few parameters, and its answer to shifts"),
    "cifar": ("5.3", "ten classes of small pictures, by the network of the course or a fast one"),
    "q_learning": ("6.1", "value iteration, tabular Q-learning and DQN on one pendulum, beside the optimum"),
    "policy_gradient": ("6.1", "REINFORCE, its baseline, A2C and PPO as one family; the noise in their gradients"),
    "sweep": ("6.1", "a grid of hyper-parameters as replicas of one run"),
    "ablation": ("6.1", "DQN's refinements, one switch at a time and together: the return that each one adds"),
    "compare": ("6.1", "our agents and Stable-Baselines3 side by side: learning, returns, time"),
    "results": ("6.1", "the table of results: agents in all environments they were tuned for, beside SB3's zoo"),
    "train": ("6.1", "train one agent, all its seeds at once, and keep it"),
    "watch": ("6.1", "see a trained agent act, in a window or as a GIF"),
    "export": ("6.1", "the best seed of a trained agent, as one checkpoint and as an ONNX file"),
    "bench": ("6.1", "steps per second of the pendulum, and what an update costs for 1 to 64 seeds"),
}
RENAMED = {"population": "sweep", "worlds": "results"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `balancier NAME ...`; without a name, list the experiments."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or [""]
    if name in EXPERIMENTS:
        return importlib.import_module(f"experiments.{name}").main(rest)
    if name in RENAMED:
        print(f"balancier: found {name!r}, expected its new name: balancier {RENAMED[name]}", file=sys.stderr)
        return 2
    if name in ("", "-h", "--help"):
        show()
        return 0
    print(f"balancier: found {name!r}, expected one of {', '.join(EXPERIMENTS)}", file=sys.stderr)
    return 2


def show() -> None:
    """Print the experiments by section of the course."""
    from rich.console import Console
    from rich.table import Table

    table = Table("section", "command", "description", title="Balancier: experiments by section of the course")
    for name, (section, description) in sorted(EXPERIMENTS.items(), key=lambda item: item[1][0]):
        table.add_row(section, f"balancier {name}", description)
    Console().print(table)
    print("balancier NAME --help shows the flags of one of them.")


if __name__ == "__main__":
    sys.exit(main())
