"""How many threads NumPy's matrix products use while the reference engine runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from closedform.errors import MissingError


@contextmanager
def blas_threads(count: int | None) -> Iterator[None]:
    """Let NumPy's BLAS use so many threads inside; None changes nothing.

    The limit holds for the whole process while it lasts.  On some processors BLAS adds in another order
    with several threads; with one it always repeats.

    Raises
    ------
    MissingError
        Where threadpoolctl is not installed.
    """
    if count is None:
        yield
        return
    with _controller().limit(limits=count, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _controller() -> Any:
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        raise MissingError(
            "threads= needs threadpoolctl: pip install threadpoolctl, or leave it out"
        ) from None
    return ThreadpoolController()
