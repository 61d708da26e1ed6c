"""A seed whose numbers are no longer finite stops alone, in the last state in which they were.

S seed.
"""

import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.finite import DivergenceError, copy_seeds, finite_seeds
from models.optim import FlatParameters

INTERVAL = 256  # steps of each environment between two copies of the state
# What steps of environments change, not updates.
DATA = "obs", "replay.", "rollout.", "priorities.priority", "reward_scaling.", "encoder.statistics.", "policy.epsilon"
ADVICE = "lower learning_rate, or the scale of rewards (normalize_reward=True)"


def learned(agent: Any) -> list[Tensor]:
    """What updates change: parameters, moments and whatever else has the seed axis in front."""
    flat = [part for part in agent.children() if isinstance(part, FlatParameters)]
    inside = {id(parameter) for part in flat for parameter in part.params}
    tensors = [part.flat for part in flat] + [x.detach() for x in agent.parameters() if id(x) not in inside]
    tensors += [x for name, x in agent.named_buffers() if not name.startswith(DATA)]
    return [x for x in tensors if x.dim() and len(x) % len(agent) == 0]


class Guard:
    """Keeps the last good state of each seed, and gives it back to those that stop.

    After each update the losses are looked at. Every so many steps the whole state is, and then kept if it is finite.
    A seed that has stopped gets its state back after every update.
    """

    def __init__(self, stopped_at: np.ndarray):
        # The step at which each seed stopped, (S,), NaN for those that go on. Whether any has is asked after each
        # update, where NumPy would take longer to find out than all else that the guard does.
        self.stopped_at, self.any_stopped = stopped_at, not np.isnan(stopped_at).all()
        self.good: list[Tensor] = []  # `learned` when it was last finite
        self.losses: Any = None  # those that were looked at
        self.due = 0  # step of each environment at which the state is kept again

    def after_step(self, agent: Any) -> None:
        """To be called after every step; it costs time after an update alone."""
        if agent.losses is self.losses or not agent.losses:
            return
        self.losses = agent.losses
        finite = math.isfinite(sum(sum(loss.tolist()) for loss in agent.losses.values()))
        if not finite or agent.iteration >= self.due or self.any_stopped:
            self.check(agent, keep=agent.iteration >= self.due)

    def check(self, agent: Any, keep: bool = False) -> None:
        """Look at the whole state, keep that of finite seeds if told to, and stop the others.

        Raises DivergenceError if no seed goes on.
        """
        self.inspect(agent, keep)
        if not np.isnan(self.stopped_at).any():
            raise DivergenceError(self.explain(agent, range(len(agent))))

    @torch.no_grad()
    def inspect(self, agent: Any, keep: bool = False) -> None:
        """As `check`, but raises nothing."""
        state, going = learned(agent), torch.from_numpy(np.isnan(self.stopped_at)).to(agent.device)
        finite = finite_seeds([*state, *agent.losses.values()], len(agent)) & going
        if [x.shape for x in self.good] != [x.shape for x in state]:
            self.good = [x.clone() for x in state]
        elif keep:
            copy_seeds(state, self.good, finite)
        if keep:
            self.due = (agent.iteration // INTERVAL + 1) * INTERVAL
        if not finite.all():
            self.stop(agent, state, finite, (going & ~finite).nonzero().flatten().tolist())

    def stop(self, agent: Any, state: list[Tensor], finite: Tensor, new: list[int]) -> None:
        """Give seeds that are not `finite` (S,) their last good state; the `new` ones among them stop now."""
        self.stopped_at[new], self.any_stopped = agent.num_timesteps, True
        copy_seeds(self.good, state, ~finite)
        losses = {name: loss.detach().masked_fill(~finite, torch.nan) for name, loss in agent.losses.items()}
        agent.losses = self.losses = losses
        if agent.obs.is_floating_point():  # it holds the state of a recurrent network, too
            agent.obs[~finite] = agent.obs[~finite].nan_to_num(0.0, 0.0, 0.0)
        if finite.any():
            for seed in new:
                warnings.warn(f"{self.explain(agent, [seed])}; the others go on", stacklevel=5)

    def explain(self, agent: Any, indices: Any) -> str:
        """Which seeds stopped when, and why that may be."""
        seeds = ", ".join(f"seed {agent.seeds[i]} at step {self.stopped_at[i]:.0f}" for i in indices)
        rates = sorted({float(agent.per_seed(agent.config.learning_rate)[i]) for i in indices})
        found = f"numbers that are not finite with learning_rate {', '.join(f'{rate:g}' for rate in rates)}"
        return f"stopped {seeds}, in its last good state: found {found}, expected finite ones; {ADVICE}"
