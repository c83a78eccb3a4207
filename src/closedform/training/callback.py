"""What every callback is, with Keras's hooks, and what those have in common that follow a figure."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from closedform.errors import SettingError

Logs = Mapping[str, float]
PathLike = str | os.PathLike[str]


class Callback:
    """Called at the beginning and the end of a training, of each epoch and of each batch.

    Attributes
    ----------
    model
        The network that is trained; ``model.stop_training = True`` ends the training after the batch or
        epoch.
    params
        ``{"epochs": ..., "steps": ..., "verbose": ...}``.

    Notes
    -----
    Where a hook around a batch is overridden, `fit` makes one update at a time.
    """

    model: Any = None
    params: Mapping[str, Any] = {}
    takes_nan: ClassVar[bool] = False  # whether a loss that is no number ends the training without an error
    moves_rate: ClassVar[bool] = False  # whether it sets the learning rate

    def set_model(self, model: Any) -> None:
        """Say which network is trained, at the beginning of every training."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Say how it is trained."""
        self.params = params

    @property
    def sees_batches(self) -> bool:
        """Whether it is to be called around every batch."""
        return any(
            getattr(getattr(self, hook), "__func__", None) is not getattr(Callback, hook)
            for hook in ("on_train_batch_begin", "on_train_batch_end")
        )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """The training begins, or goes on where `load_state` was called before."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """The training has ended."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch begins; they are counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """An epoch has ended; `logs` holds its figures and the learning rate."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """A batch of the epoch begins; they are counted from 0."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """A batch has ended; `logs` holds its loss."""

    def settings(self) -> dict[str, Any]:
        """What decides how the training goes, plain values by name: with others it does not go on."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain values and arrays by name."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave; called between `set_model` and `on_train_begin`."""


class Monitor(Callback):
    """A callback that follows one figure.

    Parameters
    ----------
    monitor : str
        The figure's name, as in the history.
    mode : str
        "min" where less is better, "max" where more is, "auto": more for what ends in accuracy.
    min_delta : float
        What must be gained to count, from 0.

    Attributes
    ----------
    best
        The best figure so far.

    Raises
    ------
    SettingError
        For another mode, and for a figure that the training does not have, when its first epoch ends.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0):
        kind = type(self).__name__
        if not isinstance(monitor, str):
            raise SettingError(f"{kind}: monitor must name a figure, as in 'val_loss', got {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise SettingError(f"{kind}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor, self.mode = monitor, mode
        self.min_delta = abs(finite(self, "min_delta", min_delta))
        is_more = mode == "max" or (mode == "auto" and monitor.endswith(("accuracy", "acc", "auc", "f1")))
        self.monitor_op: Callable[[float, float], bool] = operator.gt if is_more else operator.lt
        self.worst = -math.inf if is_more else math.inf
        self.best = self.worst

    def reset(self) -> None:
        """Forget an earlier training."""
        self.best = self.worst

    def set_model(self, model: Any) -> None:
        """Say which network is trained, and forget an earlier training."""
        super().set_model(model)
        self.reset()

    def current(self, logs: Logs | None) -> float:
        """The figure of the epoch that ends."""
        logs = logs or {}
        if self.monitor not in logs:
            mend = ": pass validation_data" if self.monitor.startswith("val_") else ""
            raise SettingError(
                f"{type(self).__name__}: the training has no figure {self.monitor!r}, only "
                f"{', '.join(logs)}{mend}"
            )
        return logs[self.monitor]

    def is_better(self, value: float, than: float) -> bool:
        """Whether a figure is better than another by more than `min_delta`."""
        gain = self.min_delta if self.monitor_op is operator.gt else -self.min_delta
        return self.monitor_op(value - gain, than)

    def settings(self) -> dict[str, Any]:
        """The figure that is followed, and what counts as better."""
        mode = "max" if self.monitor_op is operator.gt else "min"
        return {"monitor": self.monitor, "mode": mode, "min_delta": self.min_delta}

    def state(self) -> dict[str, Any]:
        """The best figure so far."""
        return {"best": self.best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self.best = float(state["best"])


def whole(callback: Callback, word: str, value: object) -> int:
    """A setting that must be a whole number from 0."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
        raise SettingError(f"{type(callback).__name__}: {word} must be a whole number from 0, got {value!r}")
    return int(value)


def finite(callback: Callback, word: str, value: object) -> float:
    """A setting that must be a finite number."""
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SettingError(f"{type(callback).__name__}: {word} must be a finite number, got {value!r:.60}")
    return number


def flag(callback: Callback, word: str, value: object) -> bool:
    """A setting that must be True or False."""
    if not isinstance(value, bool | np.bool_):
        raise SettingError(f"{type(callback).__name__}: {word} must be True or False, got {value!r}")
    return bool(value)


def path(callback: Callback, word: str, value: object) -> str:
    """A setting that must be the path of a file."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise SettingError(f"{type(callback).__name__}: {word} must be the path of a file, got {value!r}")
    return str(os.fspath(value))
