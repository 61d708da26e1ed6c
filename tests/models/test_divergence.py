"""`fit`: a replica that diverges stops alone, and the others stay what they would have been."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from models import MLP, SGD, Adam, RMSprop, fit
from models.finite import DivergenceError, copy_seeds, finite_seeds
from models.layers import BatchNorm2d

X = torch.linspace(-1, 1, 40)[:, None]
DATA = TensorDataset(X, X.sin())
CALM, WILD = [1e-2, 1e-2, 1e-2], [1e-2, 1e30, 1e-2]
OPTIMIZERS = {"adam": Adam, "sgd": SGD, "momentum": partial(SGD, momentum=0.9), "rmsprop": RMSprop}


def network(seeds=3):
    return MLP(1, hidden=(8,), out_features=1, seeds=seeds)


@pytest.mark.parametrize("patience", [None, 9])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_replica_that_diverges_stops_alone(name, patience):
    found, calm = network(), network()
    start = [parameter[1].detach().clone() for parameter in found.parameters()]
    keywords = {"seeds": 3, "epochs": 6, "batch_size": 8, "optimizer": OPTIMIZERS[name]}
    if patience:
        keywords |= {"validation": DATA, "patience": patience}
    expected = fit(calm, DATA, learning_rate=CALM, **keywords)
    with pytest.warns(
        UserWarning, match=r"stopped seed 1 in epoch 0, .* with learning_rate 1e\+30, expected"
    ) as caught:
        history = fit(found, DATA, learning_rate=WILD, **keywords)
    assert len(caught) == 1
    for one, other, before in zip(found.parameters(), calm.parameters(), start, strict=True):
        assert torch.equal(one[[0, 2]], other[[0, 2]])
        assert torch.equal(one[1], before)
    np.testing.assert_array_equal(history.train["loss"][:, [0, 2]], expected.train["loss"][:, [0, 2]])
    assert len(history.train["loss"]) == 6


def test_fit_ends_where_every_replica_has_diverged():
    net = network(2)
    start = [parameter.detach().clone() for parameter in net.parameters()]
    with pytest.raises(DivergenceError, match=r"^stopped seed 5 in epoch 0.*; stopped seed 7 in epoch 0[^\n]*$"):
        fit(net, DATA, seeds=[5, 7], epochs=5, learning_rate=1e30)
    for parameter, before in zip(net.parameters(), start, strict=True):
        assert torch.equal(parameter, before)


class Normalized(nn.Module):
    """Statistics of a batch belong to what was good, too."""

    def __init__(self):
        super().__init__()
        self.norm, self.mlp = BatchNorm2d(1, seeds=2), MLP(1, hidden=(4,), out_features=1, seeds=2)

    def forward(self, x):
        return self.mlp(self.norm(x[..., None, None])[..., 0, 0])


def test_samples_that_are_not_finite_stop_their_replica_alone():
    def spoil(inputs, epoch):
        return inputs.where(inputs < X[39], torch.inf)  # the last sample, which the second replica alone sees

    net, indices = Normalized(), torch.stack([torch.arange(20), torch.arange(20, 40)])
    with pytest.warns(UserWarning, match="stopped seed 1 in epoch 0"):
        fit(net, TensorDataset(X, X.sin()), seeds=2, epochs=3, indices=indices, batch_size=5, augment=spoil)
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())
    assert net.norm.running_mean[1] == 0.0
    assert net.norm.running_mean[0] < -0.1


def test_copies_of_single_replicas_and_of_twins():
    twins = torch.arange(8.0).reshape(4, 2)  # seeds 0 and 1, two times
    twins[3, 0] = torch.nan
    assert finite_seeds([twins, torch.ones(2, 3, 3), torch.ones(2, dtype=torch.int64)], 2).tolist() == [True, False]
    other = torch.zeros(4, 2)
    copy_seeds([twins], [other], torch.tensor([True, False]))
    assert other.tolist() == [[0.0, 1.0], [0.0, 0.0], [4.0, 5.0], [0.0, 0.0]]
