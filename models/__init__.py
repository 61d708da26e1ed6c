"""The network zoo over the seed axis: S replicas of a network are one module."""

from models.heads import (
    CategoricalPolicy,
    EpsilonGreedyPolicy,
    GaussianPolicy,
    Policy,
    SquashedGaussianPolicy,
    Value,
)
from models.layers import Linear, replica
from models.networks import MLP
from models.optim import Adam
from models.streams import resolve_seeds

__all__ = [
    "MLP",
    "Adam",
    "CategoricalPolicy",
    "EpsilonGreedyPolicy",
    "GaussianPolicy",
    "Linear",
    "Policy",
    "SquashedGaussianPolicy",
    "Value",
    "replica",
    "resolve_seeds",
]
