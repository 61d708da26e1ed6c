"""Adam, RMSprop and SGD over the seed axis, and the flat view of a network that makes them fast.

S seed, P all parameters of one replica.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def flatten_parameters(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Move parameters (S, ...) into one tensor (S, P) of which they become views, and return it.

    A norm per seed, the update of a target network or a step of Adam is then one operation instead of one per layer.
    """
    parameters = list(parameters)
    flat = torch.cat([parameter.detach().flatten(1) for parameter in parameters], 1)  # (S, P)
    columns = flat.split([parameter[0].numel() for parameter in parameters], 1)
    for parameter, column in zip(parameters, columns, strict=True):
        parameter.data = column.view_as(parameter)
    return flat


def clip_gradient_norm_(gradient: Tensor, max_norm: float) -> None:
    """Scale each seed's gradient (S, P) to a Euclidean norm of at most `max_norm`, as PyTorch does for one network."""
    norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)  # (S, 1)
    gradient.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0))


# Options of PyTorch's fused kernel that are not used here.
PLAIN: dict[str, Any] = {"weight_decay": 0.0, "amsgrad": False, "maximize": False}


class Adam(nn.Module):
    """Adam (arXiv:1412.6980, algorithm 1) for S replicas that share nothing.

    It is a module, so that its moments and step counts are part of an agent's `state_dict`.

    Args:
        parameters: tensors (S, ...). They become views of one flat tensor, `flat` (S, P).
        learning_rate: size of a step, usually 1e-4 to 1e-2; one number, or one for each seed (S,). A higher rate learns
            faster, until the loss jumps or diverges. It may be changed between steps (`learning_rate[:] = ...`).
        betas: share of the old mean of the gradient and of its square that each step keeps, usually 0.9 and 0.99 to
            0.999. Higher values average over more steps.
        eps: added to the root of the mean square, usually 1e-8 to 1e-5. A higher value makes steps smaller where
            gradients are small.
        max_grad_norm: clip each seed's gradient to this Euclidean norm, usually 0.5 to 10; None for no clipping.
    """

    exp_avg: Tensor
    exp_avg_sq: Tensor
    steps: Tensor  # float32, as the fused kernel counts: exact up to 2**24

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float | Sequence[float] | Tensor = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        max_grad_norm: float | None = None,
    ):
        super().__init__()
        self.params = list(parameters)
        self.flat = flatten_parameters(self.params)
        self.learning_rate = torch.as_tensor(learning_rate, dtype=torch.float64).expand(len(self.flat)).tolist()
        self.max_grad_norm = max_grad_norm
        self.options: dict[str, Any] = {"beta1": betas[0], "beta2": betas[1], "eps": eps} | PLAIN
        self.register_buffer("exp_avg", torch.zeros_like(self.flat))
        self.register_buffer("exp_avg_sq", torch.zeros_like(self.flat))
        self.register_buffer("steps", torch.zeros(len(self.flat), dtype=torch.float32, device=self.flat.device))
        self.gradient = torch.empty_like(self.flat)
        state: list[Tensor] = [self.flat, self.gradient, self.exp_avg, self.exp_avg_sq, self.steps]
        self.replicas = list(zip(*(part.unbind(0) for part in state), strict=True))  # views of one replica each

    def step(self, loss: Tensor, active: Sequence[bool] | None = None) -> None:
        """One step down the gradient of each seed's loss (S,); seeds not `active` keep parameters and moments."""
        self.apply_gradient(torch.autograd.grad(loss.sum(), self.params), active)

    def apply_gradient(self, gradient: Sequence[Tensor], active: Sequence[bool] | None = None) -> None:
        """The same step, given the gradients of all parameters; seeds of the same rate share a call of the kernel."""
        torch.cat([part.flatten(1) for part in gradient], 1, out=self.gradient)
        if self.max_grad_norm is not None:
            clip_gradient_norm_(self.gradient, self.max_grad_norm)
        seeds = range(len(self.flat)) if active is None else [seed for seed, flag in enumerate(active) if flag]
        self.steps += 1 if active is None else torch.as_tensor(active, dtype=self.steps.dtype)
        for rate in {self.learning_rate[seed] for seed in seeds}:
            replicas = [self.replicas[seed] for seed in seeds if self.learning_rate[seed] == rate]
            parameter, gradient, exp_avg, exp_avg_sq, steps = (list(part) for part in zip(*replicas, strict=True))
            torch._fused_adam_(parameter, gradient, exp_avg, exp_avg_sq, [], steps, lr=rate, **self.options)


class SGD(nn.Module):
    """Stochastic gradient descent with Nesterov's momentum for S replicas that share nothing, as `torch.optim.SGD`.

    Args:
        parameters: tensors (S, ...). They become views of one flat tensor, `flat` (S, P).
        learning_rate: size of a step, usually 1e-3 to 1; one number, or one for each seed (S,). A higher rate learns
            faster, until the loss jumps or diverges. It may be changed between steps.
        momentum: share of the last step's velocity that is kept, usually 0.8 to 0.95; 0 for plain gradient descent. A
            higher share makes longer steps in directions that stay the same.
        weight_decay: multiple of the parameters that is added to their gradient, usually 0 to 1e-3. A higher value
            keeps the weights smaller.
        factors: one factor of the learning rate for each parameter, without effect on its decay; None for 1.
    """

    velocity: Tensor

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float | Sequence[float] | Tensor,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        factors: Sequence[float] | None = None,
    ):
        super().__init__()
        self.params = list(parameters)
        self.flat = flatten_parameters(self.params)
        self.learning_rate = torch.as_tensor(learning_rate, dtype=torch.float64).expand(len(self.flat)).tolist()
        self.momentum, self.weight_decay = momentum, weight_decay
        factors = [1.0] * len(self.params) if factors is None else factors
        columns = [self.flat.new_full((param[0].numel(),), f) for param, f in zip(self.params, factors, strict=True)]
        self.factors = torch.cat(columns)  # (P,)
        self.register_buffer("velocity", torch.zeros_like(self.flat))

    def step(self, loss: Tensor, active: Sequence[bool] | None = None) -> None:
        """One step down the gradient of each seed's loss (S,); seeds not `active` keep parameters and velocity."""
        gradient = torch.cat([part.flatten(1) for part in torch.autograd.grad(loss.sum(), self.params)], 1)  # (S, P)
        rate = torch.tensor(self.learning_rate, dtype=self.flat.dtype, device=self.flat.device)[:, None]
        if self.weight_decay:
            gradient.addcdiv_(self.flat, self.factors, value=self.weight_decay)
        if self.momentum:
            velocity = self.momentum * self.velocity + gradient
            if active is not None:
                velocity = torch.where(self._column(active), velocity, self.velocity)
            self.velocity.copy_(velocity)
            gradient.add_(velocity, alpha=self.momentum)
        move = rate * self.factors * gradient
        self.flat.sub_(move if active is None else torch.where(self._column(active), move, 0.0))

    def _column(self, active: Sequence[bool]) -> Tensor:
        return torch.as_tensor(active, device=self.flat.device)[:, None]


class RMSprop(nn.Module):
    """RMSprop (Hinton 2012, lecture 6e) for S replicas that share nothing, as `torch.optim.RMSprop`.

        v <- alpha v + (1 - alpha) g^2,  parameter <- parameter - learning_rate g / (sqrt(v) + eps)

    v starts at 0, as in SB3's A2C: the first steps are up to 1 / sqrt(1 - alpha) learning rates long.

    Args:
        parameters: tensors (S, ...). They become views of one flat tensor, `flat` (S, P).
        learning_rate: size of a step, usually 1e-4 to 1e-2; one number, or one for each seed (S,). A higher rate learns
            faster, until the loss jumps or diverges. It may be changed between steps.
        alpha: share of the old mean square that each step keeps, usually 0.9 to 0.99. A higher share averages over more
            steps.
        eps: added to the root of the mean square, usually 1e-8 to 1e-3. A higher value makes steps smaller where
            gradients are small.
        max_grad_norm: clip each seed's gradient to this Euclidean norm, usually 0.5 to 10; None for no clipping.
    """

    exp_avg_sq: Tensor

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float | Sequence[float] | Tensor,
        *,
        alpha: float = 0.99,
        eps: float = 1e-5,
        max_grad_norm: float | None = None,
    ):
        super().__init__()
        self.params = list(parameters)
        self.flat = flatten_parameters(self.params)
        self.learning_rate = torch.as_tensor(learning_rate, dtype=torch.float64).expand(len(self.flat)).tolist()
        self.alpha, self.eps, self.max_grad_norm = alpha, eps, max_grad_norm
        self.register_buffer("exp_avg_sq", torch.zeros_like(self.flat))

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of each seed's loss (S,)."""
        gradient = torch.cat([part.flatten(1) for part in torch.autograd.grad(loss.sum(), self.params)], 1)  # (S, P)
        if self.max_grad_norm is not None:
            clip_gradient_norm_(gradient, self.max_grad_norm)
        self.exp_avg_sq.mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
        rate = torch.tensor(self.learning_rate, dtype=self.flat.dtype, device=self.flat.device)[:, None]
        self.flat.sub_(rate * gradient / self.exp_avg_sq.sqrt().add_(self.eps))


def joint_step(loss: Tensor, *optimizers: Adam) -> None:
    """One step of several optimizers down the gradient of one loss, whose graph is walked once."""
    gradient = list(torch.autograd.grad(loss.sum(), [param for optimizer in optimizers for param in optimizer.params]))
    for optimizer in optimizers:
        count = len(optimizer.params)
        optimizer.apply_gradient(gradient[:count])
        del gradient[:count]
