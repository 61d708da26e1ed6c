"""What people of PyTorch do with networks and optimizers: all of the zoo, each operation, before and after learning."""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils.data import TensorDataset

from models import (
    CNN,
    GRU,
    LSTM,
    MLP,
    SGD,
    Adam,
    CategoricalPolicy,
    DeterministicPolicy,
    Elman,
    EpsilonGreedyPolicy,
    FastCNN,
    GaussianPolicy,
    Polynomial,
    Readout,
    RecurrentEncoder,
    RMSprop,
    SquashedGaussianPolicy,
    Value,
    fit,
    replica,
    squared_error,
)
from models.streams import Noise

SEEDS = [3, 11]


def readout(kind, seeds):
    return Readout(kind(2, 4, seeds=seeds), 3, seeds=seeds)


NETWORKS = {
    "polynomial": (partial(Polynomial, 3), (1,)),
    "mlp": (partial(MLP, 4, (6,), 3), (4,)),
    "elman": (partial(readout, Elman), (5, 2)),
    "gru": (partial(readout, GRU), (5, 2)),
    "lstm": (partial(readout, LSTM), (5, 2)),
    "cnn": (partial(CNN, (3, 8, 8), 3, channels=(4,), hidden=5), (3, 8, 8)),
    "fast": (partial(FastCNN, 3, widths=(4, 6, 5)), (3, 32, 32)),
    "value": (lambda seeds: Value(MLP(4, (6,), seeds=seeds), 3, seeds=seeds), (4,)),
    "encoder": (lambda seeds: RecurrentEncoder(GRU(2, 4, seeds=seeds)), (5, 2 + 1 + 4)),
}
HEADS = {
    "categorical": lambda trunk: CategoricalPolicy(trunk, [2, 3], seeds=SEEDS),
    "epsilon": lambda trunk: EpsilonGreedyPolicy(trunk, 3, dueling=True, seeds=SEEDS),
    "deterministic": lambda trunk: DeterministicPolicy(trunk, 2, 0.1, seeds=SEEDS),
    "gaussian": lambda trunk: GaussianPolicy(trunk, 2, seeds=SEEDS),
    "squashed": lambda trunk: SquashedGaussianPolicy(trunk, 2, seeds=SEEDS),
}


def make(name, learned):
    """A network in evaluation mode, an input (S, B, ...), and data for `fit`; after some steps if it has learned."""
    build, shape = NETWORKS[name]
    network = build(seeds=SEEDS).eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, *shape, generator=generator)
    data = TensorDataset(x, torch.rand(network(x.expand(2, *x.shape)).shape[1:], generator=generator))
    if learned:
        train(network, data)
    return network.eval(), x.expand(2, *x.shape), data


def train(network, data, epochs=2):
    return fit(network, data, seeds=2, epochs=epochs, batch_size=4, learning_rate=0.01).train["loss"]


def saved_whole(x):
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def through_safetensors(network, folder):
    save_file(network.state_dict(), folder / "file")
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        parameter.data.zero_()
    other.load_state_dict(load_file(folder / "file"))
    return other


def loaded(network, assign):
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        parameter.data.zero_()
    other.load_state_dict(torch.load(file, weights_only=True), assign=assign)
    return other


def from_vector(network):
    other = copy.deepcopy(network)
    vector_to_parameters(parameters_to_vector(network.parameters()).detach().clone(), other.parameters())
    return other


COPIES = {
    "deepcopy": lambda network, _: copy.deepcopy(network),
    "pickle": lambda network, _: pickle.loads(pickle.dumps(network)),
    "torch.save": lambda network, _: saved_whole(network),
    "state_dict": lambda network, _: loaded(network, False),
    "assign": lambda network, _: loaded(network, True),
    "safetensors": through_safetensors,
    "vector": lambda network, _: from_vector(network),
    "double and float": lambda network, _: copy.deepcopy(network).double().float(),
}


def storages(module):
    return {x.untyped_storage().data_ptr() for x in [*module.parameters(), *module.buffers()]}


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("operation", COPIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_copy_is_equal_shares_nothing_and_learns_as_the_original(name, operation, learned, tmp_path):
    network, x, data = make(name, learned)
    output = network(x)
    other = COPIES[operation](network, tmp_path).eval()
    assert torch.equal(other(x), output)
    assert not storages(other) & storages(network)
    losses = train(other, data)
    assert torch.equal(network.eval()(x), output)  # the original did not move
    assert not torch.equal(other.eval()(x), output)  # the copy did
    assert (train(network, data) == losses).all()
    for mine, theirs in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", NETWORKS)
def test_fit_leaves_parameters_where_they_were(name):
    network, x, data = make(name, learned=False)
    references, shared, parameters = network.state_dict(), replica(network, 1), list(network.parameters())
    places = [parameter.data_ptr() for parameter in parameters]
    train(network, data)
    assert [parameter.data_ptr() for parameter in network.parameters()] == places
    assert all(mine is old for mine, old in zip(network.parameters(), parameters, strict=True))
    for key, value in network.state_dict().items():
        assert torch.equal(references[key], value)
        assert value.is_contiguous()
    torch.testing.assert_close(shared.eval()(x[1:]), network.eval()(x)[1:])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_callback_that_ends_fit_by_an_error_leaves_a_plain_network(name):
    network, _, data = make(name, learned=False)
    with pytest.raises(KeyboardInterrupt):
        fit(network, data, seeds=2, epochs=2, callback=lambda *_: exec("raise KeyboardInterrupt"))
    assert all(parameter.is_contiguous() for parameter in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_double_precision_learns_the_same(name):
    network, _, data = make(name, learned=False)
    double = copy.deepcopy(network).double()
    more = TensorDataset(*(tensor.double() for tensor in data.tensors))
    torch.testing.assert_close(
        torch.tensor(train(double, more)).float(), torch.tensor(train(network, data)), rtol=1e-3, atol=1e-5
    )
    assert {parameter.dtype for parameter in double.parameters()} == {torch.float64}


@pytest.mark.parametrize("name", NETWORKS)
def test_functional_calls_and_their_gradients(name):
    network, x, data = make(name, learned=True)
    parameters = {key: value.detach() for key, value in network.named_parameters() if value.requires_grad}
    target = data.tensors[1].expand(2, *data.tensors[1].shape)

    def loss(parameters, x, target):
        return squared_error(torch.func.functional_call(network, parameters, (x,)), target).sum()

    found = torch.func.grad(loss)(parameters, x, target)
    expected = torch.autograd.grad(
        squared_error(network(x), target).sum(), [p for p in network.parameters() if p.requires_grad]
    )
    for mine, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
    stacked = {key: torch.stack([value, 2 * value]) for key, value in parameters.items()}
    both = torch.func.vmap(lambda p: torch.func.functional_call(network, p, (x,)))(stacked)
    torch.testing.assert_close(both[0], network(x))
    doubled = {key: 2 * value for key, value in parameters.items()}
    torch.testing.assert_close(both[1], torch.func.functional_call(network, doubled, (x,)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_heads_and_distributions_are_copied(head):
    policy = HEADS[head](MLP(4, (6,), seeds=SEEDS))
    obs, noise = torch.randn(2, 5, 4), policy.noise(SEEDS, (0,), (5,))
    before = policy(obs)
    for copied in (copy.deepcopy(policy), pickle.loads(pickle.dumps(policy)), saved_whole(policy)):
        assert torch.equal(copied(obs).sample(noise), before.sample(noise))
        assert not storages(copied) & storages(policy)
    with torch.no_grad():
        distribution = policy(obs)
    for copied in (copy.deepcopy(distribution), pickle.loads(pickle.dumps(distribution)), saved_whole(distribution)):
        assert torch.equal(copied.mode, before.mode)
    stream = Noise(policy.noise, SEEDS, (1,), (5,))
    numbers = stream(70)
    for copied in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert torch.equal(copied(70), numbers)
        assert torch.equal(copied(3), stream(3))


# Optimizers: the parameters are what counts.

OPTIMIZERS = {
    "adam": partial(Adam, learning_rate=0.01, max_grad_norm=0.5),
    "grid": partial(Adam, learning_rate=[0.01, 0.02]),
    "sgd": partial(SGD, learning_rate=0.01, momentum=0.9, weight_decay=0.1),
    "rmsprop": partial(RMSprop, learning_rate=0.01, max_grad_norm=0.5),
}
X = torch.linspace(-1, 1, 24).reshape(1, -1, 1).expand(2, -1, -1)


def step(network, optimizer, count=3, **more):
    for _ in range(count):
        x = X.to(network.out.weight.dtype)
        optimizer.step(squared_error(network(x), x**2), **more)


def values(network, optimizer):
    return [x.clone() for x in [*network.state_dict().values(), *optimizer.state_dict().values()]]


def both(name):
    network = MLP(1, (8,), 1, seeds=SEEDS)
    optimizer = OPTIMIZERS[name](network.parameters())
    step(network, optimizer)
    return network, optimizer


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), saved_whole])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_network_copied_with_its_optimizer_goes_on_alike_and_alone(name, way):
    network, optimizer = both(name)
    other, its_optimizer = way((network, optimizer))
    before = values(network, optimizer)
    step(other, its_optimizer)
    assert all(map(torch.equal, values(network, optimizer), before))
    step(network, optimizer)
    assert all(map(torch.equal, values(network, optimizer), values(other, its_optimizer)))
    assert not any(map(torch.equal, values(network, optimizer)[:4], before[:4]))


PARTINGS = {
    "new data": lambda network: [setattr(p, "data", p.data.clone()) for p in network.parameters()],
    "a vector": lambda network: vector_to_parameters(
        parameters_to_vector([p.contiguous() for p in network.parameters()]).detach(), network.parameters()
    ),
    "there and back": lambda network: network.double().float(),
    "another optimizer": lambda network: Adam(network.parameters(), 0.0),
    "share_memory": lambda network: network.share_memory(),
    "zero_grad": lambda network: network.zero_grad(),
    "its own values": lambda network: network.load_state_dict(copy.deepcopy(network.state_dict())),
}


@pytest.mark.parametrize("parting", PARTINGS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_whatever_happens_to_the_network(name, parting):
    """As if nothing had happened, and replicas of the network, which share its memory before, still do."""
    (network, optimizer), (other, undisturbed) = both(name), both(name)
    first = replica(network, 0)
    PARTINGS[parting](network)
    for active in (None, [True, False]):
        step(network, optimizer, active=active)
        step(other, undisturbed, active=active)
    assert all(map(torch.equal, values(network, optimizer), values(other, undisturbed)))
    assert torch.equal(first(X[:1]), network(X)[:1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_new_values_of_the_network_are_taken(name):
    network, optimizer = both(name)
    zeros = {key: torch.zeros_like(value) for key, value in network.state_dict().items()}
    network.load_state_dict(zeros)
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()  # no longer a view
    assert optimizer.flat.abs().sum() == 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_cast_network_learns_in_its_new_type(name):
    network, optimizer = both(name)
    other, exact = copy.deepcopy((network, optimizer))
    network.double()
    step(network, optimizer, active=[True, True])
    step(other, exact)
    assert optimizer.flat.dtype == torch.float64
    for mine, theirs in zip(values(network, optimizer), values(other, exact), strict=True):
        torch.testing.assert_close(mine.double(), theirs.double(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("assign", [False, True])
def test_the_state_of_an_optimizer_goes_into_another(name, assign):
    network, optimizer = both(name)
    other = copy.deepcopy(network)
    new = OPTIMIZERS[name](other.parameters())
    new.load_state_dict(copy.deepcopy(optimizer.state_dict()), assign=assign)
    step(network, optimizer)
    step(other, new)
    assert all(map(torch.equal, values(network, optimizer), values(other, new)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_cannot_reach_its_parameters_is_an_error(name):
    network, optimizer = both(name)
    network.load_state_dict(copy.deepcopy(network.state_dict()), assign=True)  # other parameters
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        step(network, optimizer)
    network, optimizer = both(name)
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        step(copy.deepcopy(network), optimizer)
    with pytest.raises(RuntimeError, match="does not require grad"):
        step(network.requires_grad_(False), optimizer)


@pytest.mark.parametrize(("parameters", "words"), [
    ([], "found none, expected some that learn"),
    (list(nn.Linear(3, 4).parameters()), r"found \(4, 3\) of torch.float32, \(4,\) of .* \(S, n"),
    ([nn.Parameter(torch.zeros(2, 1)), nn.Parameter(torch.zeros(3, 1))], r"found \(2, 1\) of .*, \(3, 1\) of"),
    ([nn.Parameter(torch.zeros(2, 1)), nn.Parameter(torch.zeros(2, 1).double())], "found .* of torch.float64, ex"),
    (list(MLP(1, (2,), seeds=2).share_memory().parameters()), "found shared memory, expected share_memory"),
])  # fmt: skip
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_parameters_that_cannot_be_trained_are_refused(name, parameters, words):
    with pytest.raises(ValueError, match=f"^parameters: {words}"):
        OPTIMIZERS[name](parameters)


@pytest.mark.parametrize("rates", [[0.1] * 3, [], torch.ones(2, 2)])
def test_as_many_rates_as_seeds(rates):
    with pytest.raises(ValueError, match=r"^learning_rate: found .*, expected .*one a seed"):
        Adam(MLP(1, (2,), seeds=2).parameters(), rates)


def test_an_optimizer_of_pytorch_trains_a_network_of_ours():
    network, other = MLP(1, (8,), 1, seeds=SEEDS), MLP(1, (8,), 1, seeds=SEEDS)
    theirs, ours = torch.optim.Adam(network.parameters(), 0.01), Adam(other.parameters(), 0.01)
    for _ in range(5):
        theirs.zero_grad()
        squared_error(network(X), X**2).sum().backward()
        theirs.step()
    step(other, ours, 5)
    for mine, expected in zip(other.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, expected)
