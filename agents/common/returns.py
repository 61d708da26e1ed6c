"""Returns and advantages of whole rollouts.

S seed, T steps of the rollout, N environments of one seed, B minibatch, L steps of a sequence.
"""

import torch
from torch import Tensor


def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    done: Tensor,
    gamma: Tensor | float,
    gae_lambda: Tensor | float,
) -> Tensor:
    """Generalized advantage estimation (arXiv:1506.02438, eq. 16); all (S, T, N), gamma and lambda (S, 1, 1) too.

        delta_t = r_t + gamma V(s_{t+1}) - V(s_t)
        A_t = delta_t + gamma lambda A_{t+1}

    A time limit ends the sum but not the world: `terminated` (0 or 1) alone takes V(s_{t+1}) out, `done` (terminated
    or truncated) stops the recursion. `next_value` is the value of what the action led to, not of a reset frame.
    """
    delta = reward + gamma * next_value * (1 - terminated) - value
    decay = gamma * gae_lambda * (1 - done)
    advantage = torch.empty_like(delta)
    running = torch.zeros_like(delta[:, 0])
    for t in reversed(range(delta.shape[1])):
        running = delta[:, t] + decay[:, t] * running
        advantage[:, t] = running
    return advantage


def n_step_return(reward: Tensor, terminated: Tensor, done: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards of up to n steps, and what their successor's value counts (arXiv:1710.02298, "multi-step learning").

        R = r_1 + gamma r_2 + ... + gamma^(k-1) r_k,  k = n, or fewer where the episode ends before

    All (S, B, L, n), gamma (S, 1, 1). Returns R (S, B, L); gamma^k, or 0 where the world ended; and k - 1, the index of
    the last step that counts. A time limit ends the sum, but its successor still counts.
    """
    powers = gamma[..., None] ** torch.arange(reward.shape[-1], dtype=reward.dtype)  # (S, 1, 1, n)
    before = torch.cat([torch.ones_like(done[..., :1]), (1 - done[..., :-1]).cumprod(-1)], -1)  # 1 until the end
    last = before.sum(-1).long() - 1  # (S, B, L)
    ended = terminated.gather(-1, last[..., None]).squeeze(-1)
    return (powers * before * reward).sum(-1), gamma ** (last + 1) * (1 - ended), last
