"""Prioritized replay (arXiv:1511.05952).

S seed, N environments of one seed, B minibatch, C capacity.
"""

import torch
from torch import Tensor, nn


class Priorities(nn.Module):
    """How likely each transition of a ring is drawn: its last error to a power (arXiv:1511.05952, section 3.3).

    Cumulative sums instead of a tree: over some ten thousand transitions of all seeds they cost less than one update.
    """

    priority: Tensor  # (S, C), 0 where no stretch can begin
    largest: Tensor  # (S, 1)

    def __init__(self, seeds: int, capacity: int, exponent: float):
        super().__init__()
        self.exponent = exponent
        self.register_buffer("priority", torch.zeros(seeds, capacity))
        self.register_buffer("largest", torch.ones(seeds, 1))

    def add(self, t: int, num_envs: int, length: int) -> None:
        """N transitions follow the first t: the stretches of `length` steps that end with them can now be drawn."""
        capacity = self.priority.shape[1]
        new = torch.arange(t, t + num_envs)
        self.priority[:, new % capacity] = 0.0
        begin = new - (length - 1) * num_envs
        if begin[0] >= 0:
            self.priority[:, begin % capacity] = self.largest

    def draw(self, t: int, noise: Tensor, importance: float) -> tuple[Tensor, Tensor]:
        """First rows (S, B) of stretches among the first t transitions, and their weights in the loss (eq. 1 and 3.4).

        `noise` (S, B) is uniform in [0, 1).
        """
        priority = self.priority[:, :t]
        sums = priority.double().cumsum(1)  # (S, min(t, C))
        total = sums[:, -1:]
        row = torch.searchsorted(sums, noise * total, right=True).clamp_(max=sums.shape[1] - 1)
        count = (priority > 0).sum(1, keepdim=True)
        weight = (count * priority.gather(1, row) / total).pow(-importance)
        return row, (weight / weight.amax(1, keepdim=True)).to(self.priority)

    def update(self, row: Tensor, error: Tensor) -> None:
        """New errors (S, B) of the stretches that begin at `row`."""
        priority = (error + 1e-6) ** self.exponent
        self.largest = torch.maximum(self.largest, priority.amax(1, keepdim=True))
        self.priority.scatter_(1, row, priority)
