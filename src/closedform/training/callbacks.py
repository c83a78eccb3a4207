"""What may watch a training and end it: callbacks with Keras's names, hooks and meaning."""

from __future__ import annotations

import csv
import inspect
import io
import math
import operator
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from closedform.errors import FileError, SettingError

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
        """Say which network is trained."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Say how it is trained."""
        self.params = params

    @property
    def sees_batches(self) -> bool:
        """Whether it is to be called around every batch."""
        return any(
            getattr(type(self), hook) is not getattr(Callback, hook)
            for hook in ("on_train_batch_begin", "on_train_batch_end")
        )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """The training begins, or goes on where `load_state` has been called before."""

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

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain values and arrays by name."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave; called before `on_train_begin`."""


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
        self.min_delta = abs(_finite(self, "min_delta", min_delta))
        is_more = mode == "max" or (mode == "auto" and monitor.endswith(("accuracy", "acc", "auc", "f1")))
        self.monitor_op: Callable[[float, float], bool] = operator.gt if is_more else operator.lt
        self.worst = -math.inf if is_more else math.inf

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
        self.patience = _whole(self, "patience", patience)
        self.start_from_epoch = _whole(self, "start_from_epoch", start_from_epoch)
        self.verbose = verbose
        self.baseline = None if baseline is None else _finite(self, "baseline", baseline)
        self.restore_best_weights = _flag(self, "restore_best_weights", restore_best_weights)
        self._is_going_on = False
        self._begin()

    def _begin(self) -> None:
        self.wait, self.stopped_epoch, self.best_epoch = 0, 0, 0
        self.best = self.worst
        self.best_weights: NDArray[np.float32] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        if not self._is_going_on:
            self._begin()
        self._is_going_on = False

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

    def state(self) -> dict[str, Any]:
        """The best figure and its parameters, and how long ago that was."""
        found: dict[str, Any] = {
            "wait": self.wait,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
        }
        return found if self.best_weights is None else {**found, "best_weights": self.best_weights}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._is_going_on = True
        self.wait, self.best = int(state["wait"]), float(state["best"])
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
        Whether only a model that is better than all before is saved.
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
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = _flag(self, "save_best_only", save_best_only)
        self.best = self.worst
        self._is_going_on = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        if not self._is_going_on:
            self.best = self.worst
        self._is_going_on = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save the model, whole or not at all."""
        if self.save_best_only:
            current = self.current(logs)
            if not self.is_better(current, self.best):
                return
            self.best = current
        try:
            path = self.filepath.format(**{**(logs or {}), "epoch": epoch + 1})
        except (KeyError, IndexError, ValueError) as error:
            raise SettingError(
                f"ModelCheckpoint: filepath {self.filepath!r} cannot be filled in ({error}): it may hold "
                f"{{epoch}}, {', '.join(f'{{{key}}}' for key in logs or {})}"
            ) from None
        self.model.save(path)
        if self.verbose:
            print(f"epoch {epoch + 1}: the model is saved in {path}")

    def state(self) -> dict[str, Any]:
        """The best figure."""
        return {"best": self.best}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self.best, self._is_going_on = float(state["best"]), True


class CSVLogger(Callback):
    """Writes a row of figures for each epoch.

    Parameters
    ----------
    filename : path
        Of the file.
    separator : str
        Between two figures.
    append : bool
        Whether a file that is there is gone on with.
    """

    def __init__(self, filename: PathLike, separator: str = ",", append: bool = False):
        if not isinstance(separator, str) or len(separator) != 1:
            raise SettingError(f"CSVLogger: separator must be one character, got {separator!r}")
        self.filename, self.separator = os.fspath(filename), separator
        self.append = _flag(self, "append", append)
        self.keys: list[str] | None = None
        self._kept: int | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin the file, or go on with it."""
        if self._kept is not None:
            self._shorten(self._kept)
        elif not self.append:
            self.keys = None
            self._write("", "w")
        self._kept = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add a row."""
        logs = logs or {}
        if self.keys is None:
            self.keys = self._keys_there() or sorted(logs)
            if not self._size():
                self._write(self._row(["epoch", *self.keys]), "a")
        self._write(self._row([epoch, *(logs.get(key, "NA") for key in self.keys)]), "a")

    def state(self) -> dict[str, Any]:
        """How long the file is, and which figures are in it."""
        return {"bytes": self._size(), "keys": self.keys}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave; rows that were written after it are taken away."""
        self._kept = int(state["bytes"])
        self.keys = None if state["keys"] is None else [str(key) for key in state["keys"]]

    def _keys_there(self) -> list[str] | None:
        if not self._size():
            return None
        with open(self.filename, encoding="utf-8", newline="") as file:
            return next(csv.reader(file, delimiter=self.separator))[1:]

    def _row(self, values: list[Any]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerow(values)
        return text.getvalue()

    def _size(self) -> int:
        return os.path.getsize(self.filename) if os.path.exists(self.filename) else 0

    def _shorten(self, size: int) -> None:
        try:
            if self._size() > size:
                os.truncate(self.filename, size)
            elif self._size() < size:
                self.keys = None  # it was taken away meanwhile: it begins anew
        except OSError as error:
            raise self._failed(error) from None

    def _write(self, text: str, mode: str) -> None:
        try:
            folder = os.path.dirname(self.filename)
            if folder:
                os.makedirs(folder, exist_ok=True)
            with open(self.filename, mode, encoding="utf-8", newline="") as file:
                file.write(text)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> FileError:
        return FileError(f"{self.filename}: cannot be written: {error.strerror or error}")


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
        self.factor = _finite(self, "factor", factor)
        if not 0 <= self.factor < 1:
            raise SettingError(f"ReduceLROnPlateau: factor must be from 0 to below 1, got {factor!r}")
        self.patience = _whole(self, "patience", patience)
        self.cooldown = _whole(self, "cooldown", cooldown)
        self.min_lr = _finite(self, "min_lr", min_lr)
        self.verbose = verbose
        self._is_going_on = False
        self._begin()

    def _begin(self) -> None:
        self.best, self.wait, self.cooldown_counter = self.worst, 0, 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier training."""
        if not self._is_going_on:
            self._begin()
        self._is_going_on = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch's figure with the best one."""
        current = self.current(logs)
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
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

    def state(self) -> dict[str, Any]:
        """The best figure and how long ago that was."""
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._is_going_on = True
        self.best, self.wait = float(state["best"]), int(state["wait"])
        self.cooldown_counter = int(state["cooldown_counter"])


class TerminateOnNaN(Callback):
    """Ends the training, without an error, when a loss is infinite or no number."""

    takes_nan = True


CALLBACKS: dict[str, type[Callback]] = {
    kind.__name__: kind
    for kind in (EarlyStopping, ModelCheckpoint, CSVLogger, ReduceLROnPlateau, TerminateOnNaN)
}


def callback_from_dict(values: Any, where: str = "") -> Callback:
    """A callback from plain values, as in ``{"type": "EarlyStopping", "patience": 3}``.

    Parameters
    ----------
    values
        The type, and the constructor's words.
    where
        What messages begin with.

    Raises
    ------
    SettingError
        For an unknown type or word, with the nearest known one, and for settings that make no sense.
    """
    from closedform.architecture import nearest

    begin = f"{where}: " if where else ""
    if not isinstance(values, Mapping) or "type" not in values:
        raise SettingError(f'{begin}expected a callback, as in {{type = "EarlyStopping"}}, got {values!r}')
    name = values["type"]
    if not isinstance(name, str) or name not in CALLBACKS:
        raise SettingError(f"{begin}{name!r} is no callback; {nearest(str(name), CALLBACKS)}")
    kind = CALLBACKS[name]
    words = {word: value for word, value in values.items() if word != "type"}
    parameters = {} if kind is TerminateOnNaN else dict(inspect.signature(kind).parameters)
    for word in words:
        if word not in parameters:
            raise SettingError(f"{begin}{name}: unknown key {word!r}; {nearest(str(word), parameters)}")
    missing = [word for word, p in parameters.items() if p.default is p.empty and word not in words]
    if missing:
        raise SettingError(f"{begin}{name} needs {', '.join(missing)}")
    try:
        return kind(**words)
    except SettingError as error:
        raise SettingError(f"{begin}{error}") from None


def _whole(callback: Callback, word: str, value: object) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or int(value) < 0:  # type: ignore[call-overload]
        raise SettingError(f"{type(callback).__name__}: {word} must be a whole number from 0, got {value!r}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def _finite(callback: Callback, word: str, value: object) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)):  # type: ignore[arg-type]
        raise SettingError(f"{type(callback).__name__}: {word} must be a finite number, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def _flag(callback: Callback, word: str, value: object) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise SettingError(f"{type(callback).__name__}: {word} must be True or False, got {value!r}")
    return bool(value)
