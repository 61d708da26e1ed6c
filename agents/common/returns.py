"""Returns and advantages, from transitions that carry their discount: gamma, or 0 where the task ended.

S seed, T steps of a rollout, N environments of one seed, B minibatch, L steps of a sequence.
"""

import torch
from torch import Tensor


def gae(reward: Tensor, discount: Tensor, done: Tensor, value: Tensor, next_value: Tensor, decay: Tensor | float):
    """Generalized advantage estimation (arXiv:1506.02438, eq. 16), (S, T, N); all arguments likewise.

        delta_t = r_t + discount_t V(s_{t+1}) - V(s_t)
        A_t = delta_t + lambda discount_t A_{t+1}

    A time limit stops the sum (`done`), but the state that it cut off still has its value: only a discount of 0, where
    the task ended, takes V(s_{t+1}) out. `next_value` is the value of where the action led, not of a reset frame.
    `decay` is lambda, a number or (S, 1, 1).
    """
    delta = reward + discount * next_value - value
    factor = decay * discount * (1 - done)
    advantages, factors = delta.unbind(1), factor.unbind(1)
    for t in reversed(range(len(advantages) - 1)):
        advantages[t].addcmul_(factors[t], advantages[t + 1])
    return delta


def n_step_return(reward: Tensor, discount: Tensor, done: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards of up to n steps and the discount of the state after them (arXiv:1710.02298, "multi-step learning").

        R = r_1 + d_1 r_2 + d_1 d_2 r_3 + ...,  D = d_1 d_2 ... d_k,  k = n, or fewer where the episode ends before

    All (S, B, L, n). Returns R and D (S, B, L), and k - 1, the index of the last step that counts. A time limit ends
    the sum, but the state after it still counts: D is 0 only where the task ended.
    """
    ones = torch.ones_like(done[..., :1])
    counts = torch.cat([ones, (1 - done[..., :-1]).cumprod(-1)], -1)  # 1 up to the end of the episode
    before = torch.cat([ones, discount[..., :-1]], -1).cumprod(-1)
    last = counts.sum(-1).long() - 1  # (S, B, L)
    total = (before * discount).gather(-1, last[..., None]).squeeze(-1)
    return (counts * before * reward).sum(-1), total, last
