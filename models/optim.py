"""Adam, RMSprop and SGD over the seed axis, and the flat view of a network that makes them fast.

S seed, P all parameters of one replica.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from balancier import Bound, check, number, optional, shown

Parameters = Iterable[nn.Parameter]
Rates = float | Sequence[float] | Tensor  # one, or one a seed


def flatten_parameters(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Move parameters (S, ...) into one tensor (S, P) of which they become views, and return it."""
    kinds = {(parameter.shape[:1], parameter.dtype, parameter.dim() > 1) for parameter in parameters}
    # PyTorch says of all memory of a GPU that it is shared.
    if len(kinds) != 1 or parameters[0].dim() < 2 or (parameters[0].is_cpu and parameters[0].is_shared()):
        raise refusal(parameters)
    flat = torch.cat([parameter.detach().flatten(1) for parameter in parameters], 1)  # (S, P)
    for parameter, column in zip(parameters, flat.split([x[0].numel() for x in parameters], 1), strict=True):
        parameter.data = column.view_as(parameter)
    return flat


def refusal(parameters: Sequence[nn.Parameter]) -> ValueError:
    """Why parameters cannot be views of one tensor."""
    if parameters and parameters[0].is_cpu and parameters[0].is_shared():
        return ValueError("parameters: found shared memory, expected share_memory() to be called after the optimizer")
    kinds = ", ".join(sorted({f"{tuple(x.shape)} of {x.dtype}" for x in parameters})) or "none"
    return ValueError(f"parameters: found {kinds}, expected some that learn, (S, n, ...) each and of one type")


class FlatParameters(nn.Module):
    """Parameters (S, ...) as views of one tensor, `flat` (S, P).

    A norm per seed, the update of a target network or a step of Adam is then one operation instead of one per layer.
    The parameters are what counts. A copy, a cast or new `data` parts them from the tensor; `flat` notices that, and
    takes their values.

    Raises:
        ValueError: for no parameters, for some of different types or numbers of seeds, or for shared memory.
    """

    moments: Sequence[str] = ()  # names of buffers (S, P)

    def __init__(self, parameters: Parameters):
        super().__init__()
        self.params = list(parameters) if isinstance(parameters, Iterable) else []
        if not all(isinstance(parameter, Tensor) for parameter in self.params):
            raise ValueError(
                f"parameters: found {shown(parameters)}, expected those of a network, network.parameters()"
            )
        self.tensor = flatten_parameters(self.params)
        self.views = [parameter.data for parameter in self.params]  # where the parameters are

    @property
    def flat(self) -> Tensor:
        linked = list(map(Tensor.data_ptr, self.params)) == list(map(Tensor.data_ptr, self.views))
        return self.tensor if linked else self.relink()

    def places(self) -> list[Any]:
        """Where the parameters are, and what else decides which operations a step is made of."""
        return list(map(Tensor.data_ptr, self.params))

    def link(self) -> None:
        """Take other views that a step needs."""

    def relink(self) -> Tensor:
        """Make the parameters views of the tensor again, with their values; it takes their type."""
        values = flatten_parameters(self.params)
        if self.tensor.dtype == values.dtype:  # in the old place, which replicas of the network share
            self.tensor.copy_(values)
            columns = self.tensor.split([parameter[0].numel() for parameter in self.params], 1)
            for parameter, column in zip(self.params, columns, strict=True):
                parameter.data = column.view_as(parameter)
        else:
            self.tensor = values
        for name in self.moments:
            setattr(self, name, getattr(self, name).to(values.dtype))
        self.views = [parameter.data for parameter in self.params]
        self.link()
        return self.tensor

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.flat  # noqa: B018  makes it anew if need be
        self.link()  # the buffers may be others now
        return self

    def _load_from_state_dict(self, *arguments):
        super()._load_from_state_dict(*arguments)
        self.link()  # `assign=True` replaces buffers


def clip_gradient_norm_(gradient: Tensor, max_norm: float) -> None:
    """Scale each seed's gradient (S, P) to a Euclidean norm of at most `max_norm`, as PyTorch does for one network."""
    gradient.mul_((max_norm / (torch.linalg.vector_norm(gradient, dim=1, keepdim=True) + 1e-6)).clamp_(max=1.0))


SHARE, NOT_NEGATIVE, POSITIVE = number(0, 1), number(0), number(0, above=True)
OPTIONAL_NORM = optional(POSITIVE)
RATES = Bound(
    lambda x: all(map(NOT_NEGATIVE.holds, x if isinstance(x, list) else [x])), "a number of at least 0, or one a seed"
)
BETAS = Bound(
    lambda x: isinstance(x, list | tuple) and len(x) == 2 and all(SHARE.holds(beta) and beta < 1 for beta in x),
    "two numbers from 0 to below 1",
)


def check_rates(learning_rate: Any) -> Tensor:
    """Learning rates as float64; ValueError for what are no numbers of at least 0. At 0 nothing is learned."""
    rates = learning_rate.tolist() if isinstance(learning_rate, np.ndarray | Tensor) else learning_rate
    rates = list(rates) if isinstance(rates, list | tuple) else [rates]
    check(learning_rate=(rates if len(rates) != 1 else rates[0], RATES))
    return torch.tensor([float(rate) for rate in rates], dtype=torch.float64, device="cpu")


class Optimizer(FlatParameters):
    """What the three share. They are modules, so that moments and step counts are part of an agent's `state_dict`.

    Raises:
        ValueError: as `FlatParameters`; or for learning rates that are neither one nor one a seed.
    """

    def __init__(self, parameters: Parameters, learning_rate: Rates, max_grad_norm: float | None = None):
        super().__init__(parameters)
        check(max_grad_norm=(max_grad_norm, OPTIONAL_NORM))
        rates, count = check_rates(learning_rate), len(self.tensor)
        if len(rates) not in (1, count):
            raise ValueError(f"learning_rate: found {len(rates)} numbers, expected one, or {count} (one a seed)")
        self.rates, self.max_grad_norm = rates.repeat(count // len(rates)), max_grad_norm  # (S,)
        for name in self.moments:
            self.register_buffer(name, torch.zeros_like(self.tensor))

    @property
    def learning_rate(self) -> np.ndarray:
        """Of each seed, (S,), float64. It may be changed in place between steps, or set as a whole."""
        return self.rates.numpy()  # they stay on the CPU

    @learning_rate.setter
    def learning_rate(self, rates: Rates) -> None:
        self.learning_rate[:] = rates

    def places(self) -> list[Any]:
        rates = self.rates.tolist()
        # Seeds of the same rate share an operation.
        return [*super().places(), self.max_grad_norm, *map(rates.index, rates)]

    def step(self, loss: Tensor, active: Sequence[bool] | None = None) -> None:
        """One step down the gradient of each seed's loss (S,); seeds not `active` keep parameters and moments."""
        raise NotImplementedError


# Options of PyTorch's fused kernel that are not used here.
PLAIN: dict[str, Any] = {"weight_decay": 0.0, "amsgrad": False, "maximize": False}


class Adam(Optimizer):
    """Adam (arXiv:1412.6980, algorithm 1) for S replicas that share nothing.

    Args:
        parameters: tensors (S, ...), which become views of one tensor, `flat` (S, P).
        learning_rate: size of a step, usually 1e-4 to 1e-2; one number, or one for each seed (S,). A higher rate learns
            faster, until the loss jumps or diverges. It may be changed between steps (`learning_rate[:] = ...`).
        betas: share of the old mean of the gradient and of its square that each step keeps, usually 0.9 and 0.99 to
            0.999. Higher values average over more steps.
        eps: added to the root of the mean square, usually 1e-8 to 1e-5. A higher value makes steps smaller where
            gradients are small.
        max_grad_norm: clip each seed's gradient to this Euclidean norm, usually 0.5 to 10; None for no clipping.
    """

    moments = "exp_avg", "exp_avg_sq"
    exp_avg: Tensor
    exp_avg_sq: Tensor
    steps: Tensor  # float32, as the fused kernel counts: exact up to 2**24

    def __init__(
        self, parameters: Parameters, learning_rate: Rates = 1e-3, *, betas=(0.9, 0.999), eps=1e-8, max_grad_norm=None
    ):
        super().__init__(parameters, learning_rate, max_grad_norm)
        check(betas=(betas, BETAS), eps=(eps, NOT_NEGATIVE))
        self.options: dict[str, Any] = {"beta1": betas[0], "beta2": betas[1], "eps": eps} | PLAIN
        self.register_buffer("steps", self.tensor.new_zeros(len(self.tensor), dtype=torch.float32))
        self.link()

    def link(self) -> None:
        self.gradient = torch.empty_like(self.tensor)
        state = [self.tensor, self.gradient, self.exp_avg, self.exp_avg_sq, self.steps]
        self.replicas = list(zip(*(part.unbind(0) for part in state), strict=True))  # views of one replica each

    def step(self, loss: Tensor, active: Sequence[bool] | None = None) -> None:
        self.apply_gradient(torch.autograd.grad(loss.sum(), self.params), active)

    def apply_gradient(self, gradient: Sequence[Tensor], active: Sequence[bool] | None = None) -> None:
        """One step, given the gradients of all parameters; seeds of the same rate share a call of the kernel."""
        seeds, rates = [s for s in range(len(self.flat)) if active is None or active[s]], self.rates.tolist()
        torch.cat([part.flatten(1) for part in gradient], 1, out=self.gradient)
        if self.max_grad_norm is not None:
            clip_gradient_norm_(self.gradient, self.max_grad_norm)
        self.steps += 1 if active is None else torch.as_tensor(active, dtype=self.steps.dtype, device=self.steps.device)
        for rate in {rates[seed] for seed in seeds}:
            *state, steps = map(list, zip(*(self.replicas[s] for s in seeds if rates[s] == rate), strict=True))
            # The rate is a tensor, so that a recorded step reads it anew; on the CPU, as PyTorch takes it everywhere.
            torch._fused_adam_(*state, [], steps, lr=self.rates[rates.index(rate)], **self.options)  # type: ignore
        # The mean of a weight without a gradient, such as that of a ReLU which is never active, falls by beta1 at each
        # step, until it is subnormal. A processor takes ten times as long with such numbers. Float32: 0 from 5e-31 on.
        torch.hardshrink(self.exp_avg, min(torch.finfo(self.exp_avg.dtype).tiny ** 0.8, 1e-20), out=self.exp_avg)


class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov's momentum for S replicas that share nothing, as `torch.optim.SGD`.

    Args:
        parameters: tensors (S, ...), which become views of one tensor, `flat` (S, P).
        learning_rate: size of a step, usually 1e-3 to 1; one number, or one for each seed (S,). A higher rate learns
            faster, until the loss jumps or diverges. It may be changed between steps.
        momentum: share of the last step's velocity that is kept, usually 0.8 to 0.95; 0 for plain gradient descent. A
            higher share makes longer steps in directions that stay the same.
        weight_decay: multiple of the parameters that is added to their gradient, usually 0 to 1e-3. A higher value
            keeps the weights smaller.
        factors: one factor of the learning rate for each parameter, without effect on its decay; None for 1.
    """

    moments = ("velocity",)
    velocity: Tensor

    def __init__(
        self,
        parameters: Parameters,
        learning_rate: Rates,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        factors: Sequence[float] | None = None,
    ):
        super().__init__(parameters, learning_rate)
        check(momentum=(momentum, NOT_NEGATIVE), weight_decay=(weight_decay, NOT_NEGATIVE))
        self.momentum, self.weight_decay = momentum, weight_decay
        sizes = [param[0].numel() for param in self.params]
        if factors is not None and (len(factors) != len(sizes) or not all(map(POSITIVE.holds, factors))):
            raise ValueError(f"factors: found {shown(factors)}, expected {len(sizes)} numbers, one for each parameter")
        columns = [self.tensor.new_full((n,), f) for n, f in zip(sizes, factors or [], strict=False)]
        self.factors: Tensor | None = torch.cat(columns) if columns else None  # (P,)

    def step(self, loss: Tensor, active: Sequence[bool] | None = None) -> None:
        flat = self.flat
        gradient = torch.cat([part.flatten(1) for part in torch.autograd.grad(loss.sum(), self.params)], 1)  # (S, P)
        rate: Any = self.rates.to(flat)[:, None]
        if len(set(self.rates.tolist())) == 1:
            rate = float(self.rates[0])
        factors = None if self.factors is None else self.factors.to(flat)
        if self.weight_decay:
            decay = flat if factors is None else flat / factors  # without effect of the factors below
            gradient.add_(decay, alpha=self.weight_decay)
        if self.momentum:
            velocity = self.momentum * self.velocity + gradient
            if active is not None:
                velocity = torch.where(self._column(active), velocity, self.velocity)
            self.velocity.copy_(velocity)
            gradient.add_(velocity, alpha=self.momentum)
        move = rate * (gradient if factors is None else factors * gradient)
        flat.sub_(move if active is None else torch.where(self._column(active), move, 0.0))

    def _column(self, active: Sequence[bool]) -> Tensor:
        return torch.as_tensor(active, device=self.tensor.device)[:, None]


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6e) for S replicas that share nothing, as `torch.optim.RMSprop`.

        v <- alpha v + (1 - alpha) g^2,  parameter <- parameter - learning_rate g / (sqrt(v) + eps)

    v starts at 0, as in SB3's A2C: the first steps are up to 1 / sqrt(1 - alpha) learning rates long.

    Args:
        parameters: tensors (S, ...), which become views of one tensor, `flat` (S, P).
        learning_rate: size of a step, usually 1e-4 to 1e-2; one number, or one for each seed (S,). A higher rate learns
            faster, until the loss jumps or diverges. It may be changed between steps.
        alpha: share of the old mean square that each step keeps, usually 0.9 to 0.99. A higher share averages over more
            steps.
        eps: added to the root of the mean square, usually 1e-8 to 1e-3. A higher value makes steps smaller where
            gradients are small.
        max_grad_norm: clip each seed's gradient to this Euclidean norm, usually 0.5 to 10; None for no clipping.
    """

    moments = ("exp_avg_sq",)
    exp_avg_sq: Tensor

    def __init__(
        self, parameters: Parameters, learning_rate: Rates, *, alpha=0.99, eps=1e-5, max_grad_norm: float | None = None
    ):
        super().__init__(parameters, learning_rate, max_grad_norm)
        check(alpha=(alpha, SHARE), eps=(eps, NOT_NEGATIVE))
        self.alpha, self.eps = alpha, eps

    def step(self, loss: Tensor, active: Sequence[bool] | None = None) -> None:
        gradient = torch.cat([part.flatten(1) for part in torch.autograd.grad(loss.sum(), self.params)], 1)  # (S, P)
        if self.max_grad_norm is not None:
            clip_gradient_norm_(gradient, self.max_grad_norm)
        flat, moving = self.flat, 1.0 if active is None else torch.as_tensor(active).to(gradient)[:, None]
        self.exp_avg_sq.lerp_(gradient**2, (1 - self.alpha) * moving)
        rate = moving * self.rates.to(gradient)[:, None]
        flat.sub_(rate * gradient / self.exp_avg_sq.sqrt().add_(self.eps))


def joint_step(loss: Tensor, *optimizers: Adam) -> None:
    """One step of several optimizers down the gradient of one loss, whose graph is walked once."""
    gradient = iter(torch.autograd.grad(loss.sum(), [param for optimizer in optimizers for param in optimizer.params]))
    for optimizer in optimizers:
        optimizer.apply_gradient([next(gradient) for _ in optimizer.params])
