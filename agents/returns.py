"""Returns and advantages of whole rollouts.

S seed, T steps of the rollout, N environments of one seed.
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
    """Generalised advantage estimation (arXiv:1506.02438, eq. 16); all (S, T, N), gamma and lambda (S, 1, 1) too.

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
