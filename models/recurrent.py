"""Recurrent networks written out as their equations: Elman, GRU, LSTM, each S replicas of itself.

S seed, B batch, T time steps, I inputs of a step, H hidden units, G gates.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from balancier import SWITCH, check, shown
from models.layers import WIDTH, Linear, uniform_parameter
from models.streams import Seeds, generators

State = tuple[Tensor, ...]  # each (S, B, H)

# From this batch size on, the products of one replica fill the processor: then the seed axis is a loop, and that over
# time is PyTorch's own, which saves a fifth.
LARGE_BATCH = 128


class Recurrent(nn.Module):
    """The part that the three have in common; a subclass adds the equations of one step.

    `input_weight` is (S, I, G H), `hidden_weight` (S, H, G H), each with a bias (S, G H): the transposes of PyTorch's
    `weight_ih_l0` and `weight_hh_l0`, gates in the same order. All are uniform in +-1/sqrt(H), PyTorch's default.

    Args:
        input_size: I.
        hidden_size: H.
        seeds: how many replicas, or their seeds, or one NumPy generator each.
    """

    num_gates: ClassVar[int] = 1
    num_states: ClassVar[int] = 1
    whole: ClassVar[Callable[..., State]]  # PyTorch's function of a whole sequence, of one replica

    def __init__(self, input_size: int, hidden_size: int, *, seeds: Seeds | Sequence[np.random.Generator] = 1):
        super().__init__()
        if not WIDTH.holds(input_size):
            raise ValueError(f"input_size: found {shown(input_size)}, expected a number: it reads vectors, not images")
        check(hidden_size=(hidden_size, WIDTH))
        self.input_size, self.hidden_size, self.out_features = input_size, hidden_size, hidden_size
        streams, bound, width = generators(seeds), hidden_size**-0.5, self.num_gates * hidden_size
        self.input_weight = uniform_parameter(streams, bound, (input_size, width))
        self.hidden_weight = uniform_parameter(streams, bound, (hidden_size, width))
        self.input_bias = uniform_parameter(streams, bound, (width,))
        self.hidden_bias = uniform_parameter(streams, bound, (width,))

    def step(self, x: Tensor, state: State, weight: Tensor, bias: Tensor) -> State:
        """The equations of one step; `x` (S, B, G H) is already W x + b, `weight` and `bias` are those of the state."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Outputs (S, B, T, H) and the last state of sequences (S, B, T, I).

        Args:
            state: before the first step; None for zeros.
            lengths: (S, B), steps of each sequence, if they differ. After a sequence's end the state no longer changes,
                and the outputs repeat it.
        """
        if lengths is not None and lengths.shape != x.shape[:2]:
            raise ValueError(
                f"lengths: found shape {tuple(lengths.shape)}, expected {tuple(x.shape[:2])}, as sequences"
            )
        if state is None:
            state = (x.new_zeros(*x.shape[:2], self.hidden_size),) * self.num_states
        if x.shape[1] < LARGE_BATCH:
            return self.run(x, state, lengths, slice(None))
        if lengths is not None:
            each = [slice(seed, seed + 1) for seed in range(len(x))]
            results = [self.run(x[at], tuple(s[at] for s in state), lengths[at], at) for at in each]
            outputs, states = zip(*results, strict=True)
            return torch.cat(outputs), tuple(torch.cat(parts) for parts in zip(*states, strict=True))
        weights = self.input_weight.mT, self.hidden_weight.mT, self.input_bias, self.hidden_bias
        each = zip(x, zip(*state, strict=True), zip(*weights, strict=True), strict=True)
        outputs, *states = zip(*(self.run_whole(*parts) for parts in each), strict=True)
        return torch.stack(outputs), tuple(map(torch.stack, states))

    def run_whole(self, x: Tensor, state: State, weights: Sequence[Tensor]) -> State:
        """Outputs (B, T, H) and last state of one replica, by PyTorch's own loop."""
        before = [part[None] for part in state]  # it has an axis of layers
        options = True, 1, 0.0, False, False, True  # biases, layers, dropout, training, both ways, batch first
        outputs, *after = self.whole(x, before if len(before) > 1 else before[0], weights, *options)
        return outputs, *(part[0] for part in after)

    def run(self, x: Tensor, state: State, lengths: Tensor | None, seeds: slice) -> tuple[Tensor, State]:
        """The loop over time of some of the replicas."""
        weight, bias = self.hidden_weight[seeds], self.hidden_bias[seeds, None]
        inputs = self.project(x, seeds)
        outputs = []
        for t, x_t in enumerate(inputs.unbind(2)):
            new = self.step(x_t, state, weight, bias)
            if lengths is not None:
                active = (t < lengths)[..., None]  # (S, B, 1)
                new = tuple(torch.where(active, after, before) for after, before in zip(new, state, strict=True))
            state = new
            outputs.append(state[0])
        return torch.stack(outputs, 2), state

    def project(self, x: Tensor, seeds: slice = slice(None)) -> Tensor:
        """The contribution of the inputs to the gates, for all steps in one product: (S, B, T, G H)."""
        return torch.baddbmm(self.input_bias[seeds, None], x.flatten(1, 2), self.input_weight[seeds]).unflatten(
            1, x.shape[1:3]
        )

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, seeds={len(self.input_weight)}"


class Elman(Recurrent):
    """h' = tanh(W x + b + U h + c) (Elman 1990, doi:10.1207/s15516709cog1402_1); PyTorch's `nn.RNN`."""

    whole = staticmethod(torch.rnn_tanh)

    def step(self, x: Tensor, state: State, weight: Tensor, bias: Tensor) -> State:
        (h,) = state
        return ((x + torch.baddbmm(bias, h, weight)).tanh(),)


class GRU(Recurrent):
    """Gated recurrent unit (arXiv:1406.1078, with the reset gate inside as in PyTorch's `nn.GRU`).

    r = sigmoid(W_r x + b_r + U_r h + c_r), z likewise, n = tanh(W_n x + b_n + r (U_n h + c_n)), h' = (1 - z) n + z h.
    """

    num_gates = 3
    whole = staticmethod(torch.gru)

    def step(self, x: Tensor, state: State, weight: Tensor, bias: Tensor) -> State:
        (h,) = state
        sizes = [2 * self.hidden_size, self.hidden_size]
        x_rz, x_n = x.split(sizes, -1)
        h_rz, h_n = torch.baddbmm(bias, h, weight).split(sizes, -1)
        r, z = (x_rz + h_rz).sigmoid().chunk(2, -1)
        n = (x_n + r * h_n).tanh()
        return (torch.lerp(n, h, z),)


class LSTM(Recurrent):
    """Long short-term memory (doi:10.1162/neco.1997.9.8.1735, with the forget gate of doi:10.1162/089976600300015015).

    i, f, o = sigmoid(W x + b + U h + c), g = tanh(...), c' = f c + i g, h' = o tanh(c'); the state is (h, c).
    """

    num_gates = 4
    num_states = 2
    whole = staticmethod(torch.lstm)

    def step(self, x: Tensor, state: State, weight: Tensor, bias: Tensor) -> State:
        h, c = state
        i, f, g, o = (x + torch.baddbmm(bias, h, weight)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def gates(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Input, forget and output gates, in [0, 1], each (S, B, T, H), of a state that starts from zeros."""
        before = torch.cat([torch.zeros_like(outputs[:, :, :1]), outputs[:, :, :-1]], 2)
        hidden = torch.baddbmm(self.hidden_bias[:, None], before.flatten(1, 2), self.hidden_weight)
        i, f, _, o = (self.project(x) + hidden.unflatten(1, x.shape[1:3])).chunk(4, -1)
        return i.sigmoid(), f.sigmoid(), o.sigmoid()


RECURRENT: dict[str, type[Recurrent]] = {"elman": Elman, "gru": GRU, "lstm": LSTM}


def check_recurrent(trunk: Any) -> None:
    """Raise ValueError for what is no recurrent network."""
    if not isinstance(trunk, Recurrent):
        raise ValueError(f"trunk: found {shown(trunk)}, expected an Elman, a GRU or an LSTM")


class Readout(nn.Module):
    """A recurrent network and a linear layer on its state: at every step, or only at the last.

    (S, B, T, I) -> (S, B, T, out_features), or -> (S, B, out_features) with `every_step=False`.
    """

    def __init__(
        self,
        trunk: Recurrent,
        out_features: int,
        *,
        every_step: bool = False,
        seeds: Seeds | Sequence[np.random.Generator] = 1,
    ):
        super().__init__()
        check_recurrent(trunk)
        check(every_step=(every_step, SWITCH))
        self.trunk, self.every_step, self.out_features = trunk, every_step, out_features
        self.head = Linear(trunk.out_features, out_features, seeds=seeds)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        outputs, state = self.trunk(x, lengths=lengths)
        return self.head(outputs if self.every_step else state[0])


class RecurrentEncoder(nn.Module):
    """A recurrent network on packed observations, for agents: each holds the state before its step.

    A packed observation has I + 1 + K numbers: the input, the episode-start mark (1 at the first step of an episode,
    else 0), and the state before the step (K = H, or 2 H for an LSTM). A sequence starts from the state in its first
    packed observation, and from zeros at each episode-start mark. The states in its other packed observations are not
    used, because older weights computed them.

    Maps packed observations (S, B, T, I + 1 + K), or those of one step (S, B, I + 1 + K), to the states after them,
    (S, B, T, K) or (S, B, K).
    """

    def __init__(self, trunk: Recurrent):
        super().__init__()
        check_recurrent(trunk)
        self.trunk, self.out_features = trunk, trunk.num_states * trunk.hidden_size

    def forward(self, packed: Tensor) -> Tensor:
        if packed.dim() == 3:
            return self(packed[:, :, None]).squeeze(2)
        x, first, state = packed.split([self.trunk.input_size, 1, self.out_features], -1)
        weight, bias = self.trunk.hidden_weight, self.trunk.hidden_bias[:, None]
        before, after = state[:, :, 0].split(self.trunk.hidden_size, -1), []
        for x_t, first_t in zip(self.trunk.project(x).unbind(2), first.unbind(2), strict=True):
            before = self.trunk.step(x_t, tuple(part * (1 - first_t) for part in before), weight, bias)
            after.append(torch.cat(before, -1))
        return torch.stack(after, 2)

    def pack(self, x: Tensor, first: Tensor | float, state: Tensor) -> Tensor:
        """Packed observations of inputs (..., I), episode-start marks (...) and states (..., K), zeroed by a mark."""
        first = torch.as_tensor(first, dtype=state.dtype).expand(x.shape[:-1])[..., None]
        return torch.cat([x.to(state), first, state * (1 - first)], -1)
