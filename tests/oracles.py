"""The libraries that results are compared with, imported only by tests that need them."""

from types import ModuleType

import pytest


def require_torch() -> ModuleType:
    """PyTorch, on one thread."""
    torch: ModuleType = pytest.importorskip(
        "torch", reason="install closedform[oracle] to compare with PyTorch"
    )
    torch.set_num_threads(1)
    return torch


def require_jax() -> ModuleType:
    """JAX with float64."""
    jax: ModuleType = pytest.importorskip("jax", reason="install closedform[oracle] to compare with JAX")
    jax.config.update("jax_enable_x64", True)
    return jax
