"""The network zoo over the seed axis: S replicas of a network are one module."""

import balancier

balancier.check_packages()

from models.fitting import History, cross_entropy, fit, squared_error
from models.heads import (
    CategoricalPolicy,
    DeterministicPolicy,
    EpsilonGreedyPolicy,
    GaussianPolicy,
    Policy,
    SquashedGaussianPolicy,
    Value,
)
from models.layers import BatchNorm2d, Conv2d, Linear, replica
from models.networks import CNN, MLP, FastCNN, Polynomial
from models.optim import SGD, Adam, RMSprop, joint_step
from models.recurrent import GRU, LSTM, Elman, Readout, Recurrent, RecurrentEncoder
from models.streams import resolve_seeds

__all__ = [
    "CNN",
    "GRU",
    "LSTM",
    "MLP",
    "SGD",
    "Adam",
    "BatchNorm2d",
    "CategoricalPolicy",
    "Conv2d",
    "DeterministicPolicy",
    "Elman",
    "EpsilonGreedyPolicy",
    "FastCNN",
    "GaussianPolicy",
    "History",
    "Linear",
    "Policy",
    "Polynomial",
    "RMSprop",
    "Readout",
    "Recurrent",
    "RecurrentEncoder",
    "SquashedGaussianPolicy",
    "Value",
    "cross_entropy",
    "fit",
    "joint_step",
    "replica",
    "resolve_seeds",
    "squared_error",
]
