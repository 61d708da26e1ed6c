"""Prioritized replay (arXiv:1511.05952).

S seed, N environments of one seed, B minibatch, L steps of a sequence, C capacity.
"""

import numpy as np
import torch
from torch import Tensor, nn


class Priorities(nn.Module):
    """How likely each transition of a ring is sampled: its last error to a power (section 3.3).

    Cumulative sums instead of a tree: over some ten thousand transitions of all seeds they cost less than one update.

    Args:
        exponent: alpha of eq. 1; 0 samples uniformly.
        importance: beta of section 3.4; 1 undoes the bias of the sampling in full.
    """

    priority: Tensor  # (S, C), 0 where no sequence can begin
    largest: Tensor  # (S, 1)

    def __init__(self, seeds: int, capacity: int, exponent: float, importance: float):
        super().__init__()
        self.exponent, self.importance = exponent, importance
        zeros = np.zeros((seeds, capacity), str(torch.get_default_dtype()).removeprefix("torch."))
        zeros = torch.from_numpy(zeros).to(torch.get_default_device())  # takes memory as it fills, as the buffer does
        self.register_buffer("priority", zeros)
        self.register_buffer("largest", torch.ones(seeds, 1))

    def add(self, t: int, num_envs: int, length: int) -> None:
        """N transitions follow the first t: the sequences of `length` steps that end with them can now be sampled."""
        capacity = self.priority.shape[1]
        new = torch.arange(t, t + num_envs)
        self.priority[:, new % capacity] = 0.0
        begin = new - (length - 1) * num_envs
        if begin[0] >= 0:
            self.priority[:, begin % capacity] = self.largest

    def sample(self, t: int, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """First indices (S, B) of sequences among the first t transitions, and their weights in the loss (eq. 1, 3.4).

        `uniforms` (S, B) lie in [0, 1).
        """
        priority = self.priority[:, :t]
        sums = priority.double().cumsum(1)  # (S, min(t, C))
        total = sums[:, -1:]
        index = torch.searchsorted(sums, uniforms * total, right=True).clamp_(max=sums.shape[1] - 1)
        count = (priority > 0).sum(1, keepdim=True)
        weight = (count * priority.gather(1, index) / total).pow(-self.importance)
        return index, (weight / weight.amax(1, keepdim=True)).to(self.priority)

    def update(self, index: Tensor, error: Tensor) -> None:
        """New errors of the sequences that begin at `index` (S, B): (S, B L), step after step."""
        error = error.unflatten(1, (index.shape[1], -1)).mean(2)
        priority = (error + 1e-6) ** self.exponent
        torch.maximum(self.largest, priority.amax(1, keepdim=True), out=self.largest)
        self.priority.scatter_(1, index, priority)
