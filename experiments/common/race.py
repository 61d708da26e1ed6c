"""An agent of one library, ours or Stable-Baselines3's (SB3's): made, trained, and timed until it has learned its task.

S seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents import Agent
from experiments.common.baselines import NormalizedModel, make_baseline, zoo_for_ours, zoo_settings
from experiments.common.comparison import Entry
from experiments.common.hyperparams import setting, tuned
from experiments.common.statistics import first_crossing
from experiments.common.training import EvaluationCallback, make

EVALUATIONS = 40  # of each training


def make_ours(entry: Entry, seeds: Sequence[int]) -> Agent:
    """An agent of ours; UsageError if it cannot be made.

    If its learning rate falls over the whole run, it does so over a shorter one, too, as SB3's schedules do.
    """
    zoo, chosen = entry.settings == "zoo", setting(entry.agent, entry.env)
    keywords = zoo_for_ours(entry.agent, entry.env, entry.steps) if zoo else tuned(entry.agent, entry.env)
    if not zoo and entry.steps == chosen.solved_steps and keywords["anneal_steps"] == chosen.steps:
        keywords |= {"anneal_steps": entry.steps}
    return make(entry.agent, entry.env, seeds, keywords)


def learn(entry: Entry, seeds: Sequence[int], callback: Callable[[Any, int], bool]) -> Any:
    """Train the agent of an entry: ours with all the seeds, SB3's with the first; what can be tested.

    `callback(model, steps)` is called after every step; the training ends where it returns False.
    """
    if entry.package == "balancier":
        return make_ours(entry, seeds).learn(entry.steps, lambda agent: callback(agent, agent.num_timesteps))
    model = make_baseline(entry.agent, entry.env, seeds[0])
    tested = NormalizedModel(model)
    model.learn(entry.steps, callback=lambda *_: callback(tested, model.num_timesteps))
    return tested


@dataclass(frozen=True)
class Race:
    """How soon an agent had learned: processor seconds and steps of each seed, infinite where it never had."""

    seconds: np.ndarray  # (S,); ours train together, so these are seconds of all seeds
    steps: np.ndarray  # (S,)


def race(agent: str, env: str, package: Any, seeds: Sequence[int]) -> Race:
    """Train until nine of ten seeds are at the threshold in three evaluations in a row, or the budget is used up.

    The budget of ours is the tuned one; SB3's is that of its zoo, with the zoo's settings. SB3 trains seed by seed.
    ValueError for an environment that has no threshold.
    """
    steps = setting(agent, env).steps
    if package == "sb3":
        steps = zoo_settings(agent, env)[1].get("n_timesteps", steps)
    entry = Entry(package, agent, env, steps, "own", 0)
    if entry.threshold is None:
        raise ValueError(f"env: found {env}, which has no threshold, expected one that has")
    groups = [seeds] if package == "balancier" else [(seed,) for seed in seeds]
    seconds, counts = [], []
    for group in groups:
        callback = EvaluationCallback(env, steps, evaluations=EVALUATIONS, threshold=entry.threshold)
        learn(entry, group, callback)
        index = first_crossing(np.array(callback.curve), entry.threshold)  # -1: never
        seconds += np.append(callback.seconds, np.inf)[index].tolist()
        counts += np.append(callback.steps, np.inf)[index].tolist()
    return Race(np.array(seconds), np.array(counts))
