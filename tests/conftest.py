"""Settings and fixtures of all tests."""

from types import ModuleType

import pytest
from hypothesis import settings
from oracles import require_jax, require_torch

# no deadline: compiling and importing make first examples slow; the same examples on every run
settings.register_profile("closedform", deadline=None, derandomize=True)
settings.load_profile("closedform")


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, or a skip that says what to install."""
    return require_torch()


@pytest.fixture(scope="session")
def jax() -> ModuleType:
    """JAX with float64, or a skip that says what to install."""
    return require_jax()
