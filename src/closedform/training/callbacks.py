"""What may watch a training and end it: callbacks with Keras's names and meaning."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import SettingError
from closedform.training.callback import Callback, Logs, Monitor, PathLike, finite, flag, path, whole
from closedform.training.csv_logger import CSVLogger
from closedform.training.named import made

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "ModelCheckpoint",
    "Monitor",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "callback_from_dict",
]


class EarlyStopping(Monitor):
    """Ends the training when a figure has stopped to improve.

    Parameters
    ----------
    monitor, min_delta, mode
        As for `Monitor`.
    patience : int
        How many epochs without a gain are borne.
    verbose : int
        1 prints what it does.
    baseline : float, optional
        What the figure must reach at all.
    restore_best_weights : bool
        Whether the network gets the parameters of its best epoch in the end.
    start_from_epoch : int
        The first epoch that is looked at.

    Attributes
    ----------
    best, best_epoch, stopped_epoch
        The best figure, its epoch, and the epoch in which the training ended; 0 where it did not end early.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = whole(self, "patience", patience)
        self.start_from_epoch = whole(self, "start_from_epoch", start_from_epoch)
        self.verbose = verbose
        self.baseline = None if baseline is None else finite(self, "baseline", baseline)
        self.restore_best_weights = flag(self, "restore_best_weights", restore_best_weights)
        self.reset()

    def reset(self) -> None:
        """Forget an earlier training."""
        super().reset()
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self.best_weights: NDArray[np.float32] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch's figure with the best one."""
        current = self.current(logs)
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.is_better(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self._keep(epoch)
            if self.baseline is None or self.is_better(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Give the network its best parameters, where that is wanted."""
        if self.stopped_epoch and self.verbose:
            print(f"epoch {self.stopped_epoch + 1}: stopped early")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"the parameters of the best epoch, {self.best_epoch + 1}, are restored")
            self.model.parameters.memory[...] = self.best_weights
            self.model.parameters.written()

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        self.best_weights = self.model.parameters.memory.copy()

    def settings(self) -> dict[str, Any]:
        """All but what it prints."""
        return {
            **super().settings(),
            "patience": self.patience,
            "baseline": self.baseline,
            "restore_best_weights": self.restore_best_weights,
            "start_from_epoch": self.start_from_epoch,
        }

    def state(self) -> dict[str, Any]:
        """The best figure and its parameters, and how long ago that was."""
        found: dict[str, Any] = {
            **super().state(),
            "wait": self.wait,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
        }
        return found if self.best_weights is None else {**found, "best_weights": self.best_weights}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        super().load_state(state)
        self.wait = int(state["wait"])
        self.best_epoch, self.stopped_epoch = int(state["best_epoch"]), int(state["stopped_epoch"])
        weights = state.get("best_weights")
        self.best_weights = None if weights is None else np.array(weights, np.float32)


class ModelCheckpoint(Monitor):
    """Saves the model at the end of each epoch.

    Parameters
    ----------
    filepath : path
        Where; ``{epoch:02d}`` and figures such as ``{val_loss:.2f}`` may stand in it.
    monitor, mode
        As for `Monitor`.
    verbose : int
        1 prints what it does.
    save_best_only : bool
        Whether only a model that is better than all before is saved, those of earlier trainings included.
    """

    def __init__(
        self,
        filepath: PathLike,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: str = "auto",
    ):
        super().__init__(monitor, mode)
        self.filepath = path(self, "filepath", filepath)
        self.verbose = verbose
        self.save_best_only = flag(self, "save_best_only", save_best_only)
        try:
            list(string.Formatter().parse(self.filepath))
        except ValueError as error:
            raise self._unfilled(error, "epoch") from None

    def reset(self) -> None:
        """Forget nothing: the file of an earlier training may hold what is better."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save the model, whole or not at all."""
        if self.save_best_only:
            current = self.current(logs)
            if not self.is_better(current, self.best):
                return
            self.best = current
        figures = {**(logs or {}), "epoch": epoch + 1}
        try:
            place = self.filepath.format(**figures)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise self._unfilled(error, "epoch", *(logs or {})) from None
        self.model.save(place)
        if self.verbose:
            print(f"epoch {epoch + 1}: the model is saved in {place}")

    def settings(self) -> dict[str, Any]:
        """None: what is saved decides nothing."""
        return {}

    def _unfilled(self, error: Exception, *figures: str) -> SettingError:
        return SettingError(
            f"ModelCheckpoint: filepath {self.filepath!r} cannot be filled in ({error}): it may hold "
            f"{', '.join(f'{{{key}}}' for key in figures)}"
        )


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when a figure has stopped to improve.

    Parameters
    ----------
    monitor, mode, min_delta
        As for `Monitor`.
    factor : float
        What the rate is multiplied with, from 0 to below 1.
    patience : int
        How many epochs without a gain are borne.
    verbose : int
        1 prints what it does.
    cooldown : int
        How many epochs are waited after the rate was lowered.
    min_lr : float
        What the rate is not lowered below.
    """

    moves_rate = True

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.factor = finite(self, "factor", factor)
        if not 0 <= self.factor < 1:
            raise SettingError(f"ReduceLROnPlateau: factor must be from 0 to below 1, got {factor!r}")
        self.patience = whole(self, "patience", patience)
        self.cooldown = whole(self, "cooldown", cooldown)
        self.min_lr = finite(self, "min_lr", min_lr)
        if self.min_lr < 0:
            raise SettingError(f"ReduceLROnPlateau: min_lr must be from 0, got {min_lr!r}")
        self.verbose = verbose
        self.reset()

    def reset(self) -> None:
        """Forget an earlier training."""
        super().reset()
        self.wait, self.cooldown_counter = 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch's figure with the best one."""
        current = self.current(logs)
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
        if self.is_better(current, self.best):
            self.best, self.wait = current, 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._lower(epoch)

    def _lower(self, epoch: int) -> None:
        old = self.model.learning_rate
        if old <= self.min_lr:
            return
        self.model.learning_rate = max(old * self.factor, self.min_lr)
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose:
            print(f"epoch {epoch + 1}: the learning rate is lowered to {self.model.learning_rate:g}")

    def settings(self) -> dict[str, Any]:
        """All but what it prints."""
        return {
            **super().settings(),
            "factor": self.factor,
            "patience": self.patience,
            "cooldown": self.cooldown,
            "min_lr": self.min_lr,
        }

    def state(self) -> dict[str, Any]:
        """The best figure and how long ago that was."""
        return {**super().state(), "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        super().load_state(state)
        self.wait = int(state["wait"])
        self.cooldown_counter = int(state["cooldown_counter"])


class TerminateOnNaN(Callback):
    """Ends the training, without an error, when a loss is infinite or no number."""

    takes_nan = True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Stop after an epoch whose loss is no finite number."""
        if not math.isfinite((logs or {}).get("loss", 0.0)):
            self.model.stop_training = True


CALLBACKS: dict[str, type[Callback]] = {
    kind.__name__: kind
    for kind in (EarlyStopping, ModelCheckpoint, CSVLogger, ReduceLROnPlateau, TerminateOnNaN)
}


def callback_from_dict(values: Any, where: str = "") -> Callback:
    """A callback from ``{"type": "EarlyStopping", "patience": 3}``; `where` begins messages.

    Raises
    ------
    SettingError
        For an unknown type or word, with the nearest known one, and for settings that make no sense.
    """
    return made(CALLBACKS, values, "callback", where)
