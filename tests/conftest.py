"""One thread a test: the networks are small, and every test computes what it computes alone."""

import os

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ["BALANCIER_LANG"] = "en"  # whatever the language of the system

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)  # fixtures of a module come before those of a test

# The first example of a test pays for what is loaded then; how long that takes says nothing.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def float64():
    """Numbers precise enough to tell rounding from a mistake."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(autouse=True)
def _same_numbers_every_time():
    torch.manual_seed(0)
