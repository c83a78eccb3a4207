"""What `Network.fit` is asked for: checked, and put together to a training."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from closedform.data.feed import Feed
from closedform.errors import SettingError, ShapeError
from closedform.training import progress
from closedform.training.fingerprint import fingerprint
from closedform.training.history import History
from closedform.training.keeper import Keeper
from closedform.training.loop import Training
from closedform.training.optimisers import SGD, Optimizer
from closedform.training.rates import Rates
from closedform.training.task import Clock, Examples, Task
from closedform.training.weighting import example_weights, smoothed

if TYPE_CHECKING:
    from closedform.data.augment import Augmentation
    from closedform.network import Network
    from closedform.training.callbacks import Callback
    from closedform.training.schedules import Schedule


@dataclass
class Fit:
    """The settings of one call of `Network.fit`, under its words.

    Raises
    ------
    SettingError
        For what is no such setting.
    """

    epochs: int
    steps: int | None
    batch_size: int
    optimizer: Optimizer | None
    verbose: int
    schedule: Schedule | None
    callbacks: Sequence[Callback]
    class_weight: Mapping[int, float] | None
    sample_weight: Any
    label_smoothing: float
    clip_norm: float | None
    standardize: bool
    augment: Augmentation | None
    checkpoint: str | os.PathLike[str] | None
    checkpoint_seconds: float
    resume: bool
    rule: Optimizer = field(init=False)
    reporter: progress.Progress = field(init=False)

    def __post_init__(self) -> None:
        self.rule = SGD(0.01) if self.optimizer is None else self.optimizer
        _check("optimizer", self.rule, Optimizer, "an optimiser, as in cf.SGD(0.1)")
        if self.schedule is not None:
            from closedform.training.schedules import Schedule

            _check("schedule", self.schedule, Schedule, "a schedule, as in cf.OneCycle()")
        if self.augment is not None:
            from closedform.data.augment import Augmentation

            _check("augment", self.augment, Augmentation, "as in cf.Augmentation(shift=2, flip=True)")
        self._check_callbacks()
        if self.clip_norm is not None:
            self.clip_norm = _positive("clip_norm", self.clip_norm)
        for word in ("standardize", "resume"):
            value = getattr(self, word)
            if not isinstance(value, bool | np.bool_):
                raise SettingError(f"{word} must be True or False, got {value!r}")
        if self.resume and self.checkpoint is None:
            raise SettingError("resume=True needs the folder of the checkpoints: pass checkpoint=...")
        seconds = self.checkpoint_seconds
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not float(seconds) >= 0:
            raise SettingError(f"checkpoint_seconds must be a number from 0, got {seconds!r}")
        self.reporter = progress.progress(self.verbose)

    def _check_callbacks(self) -> None:
        if not isinstance(self.callbacks, Sequence) or isinstance(self.callbacks, str):
            raise SettingError(
                f"callbacks must be a list, as in [cf.EarlyStopping()], got {self.callbacks!r:.60}"
            )
        if self.callbacks:
            from closedform.training.callbacks import Callback

            for callback in self.callbacks:
                _check("each of callbacks", callback, Callback, "a callback, as in cf.EarlyStopping()")

    def examples(self, network: Network, x: Any, y: Any) -> Examples:
        """The examples to train on; the network's standardization is set from them where that is wanted."""
        loss = network._loss()
        raw = Feed(x, network.input_shape, augmentation=self.augment)
        if not len(raw):
            raise ShapeError("x holds no examples: its first axis is 0 long")
        if self.augment is not None:
            self.augment.check(network.input_shape)
        targets = network._targets(y, len(raw))
        raw.check_finite()
        if self.standardize and network.standardization is None:
            from closedform.data.standardize import Standardization

            network.standardization = Standardization.of(raw.raw)
        if network.standardization is None:
            feed = raw
            feed.seed = network.seed
        else:
            feed = Feed(raw.raw, network.input_shape, network.standardization, self.augment, network.seed)
        labels = np.asarray(y)
        classes = max(2, network.output_shape[0]) if loss.classifies else 0
        weights = example_weights(labels, classes, self.class_weight, self.sample_weight)
        return Examples(feed, labels, smoothed(targets, self.label_smoothing, loss), weights)

    def run(self, network: Network, examples: Examples, validation: Examples | None) -> History:
        """Train the network."""
        network._clock = clock = network._clock or Clock()
        epoch_steps = -(-len(examples) // self.batch_size)
        if self.steps is not None:
            self.epochs = -(-self.steps // epoch_steps)
        steps = self.epochs * epoch_steps if self.steps is None else self.steps
        task = Task(
            network.parameters,
            network._loss(),
            examples,
            self.batch_size,
            self.rule,
            network.seed,
            clock,
            Rates(
                self.rule.learning_rate,
                self.schedule,
                epoch_steps,
                max(1, steps),
                clock.updates,
                any(callback.moves_rate for callback in self.callbacks),
            ),
            self.clip_norm,
            is_watched=validation is not None,
        )
        for callback in self.callbacks:
            callback.set_model(network)
            callback.set_params({"epochs": self.epochs, "steps": epoch_steps, "verbose": self.verbose})
        network.stop_training = False
        trainer = network._runner.run(lambda engine: engine.trainer(task))
        network._rates = task.rates
        try:
            return Training(
                network._runner.engine,
                trainer,
                task,
                validation,
                epochs=self.epochs,
                steps=steps,
                progress=self.reporter,
                callbacks=self.callbacks,
                model=network,
                keeper=self._keeper(network, examples, validation),
            ).run()
        finally:
            trainer.finish()

    def _keeper(self, network: Network, examples: Examples, validation: Examples | None) -> Keeper | None:
        if self.checkpoint is None:
            return None
        standardization = network.standardization
        settings = {
            "network": network.architecture.to_dict(),
            "seed": network.seed,
            "engine": network.engine,
            "data": fingerprint(examples),
            "validation": None if validation is None else fingerprint(validation),
            "epochs": self.epochs,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "optimizer": repr(self.rule),
            "schedule": None if self.schedule is None else repr(self.schedule),
            "clip_norm": self.clip_norm,
            "standardization": None if standardization is None else standardization.to_dict(),
            "augment": None if self.augment is None else repr(self.augment),
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
            "callback_settings": [callback.settings() for callback in self.callbacks],
        }
        return Keeper(Path(self.checkpoint), float(self.checkpoint_seconds), bool(self.resume), settings)


def _check(word: str, value: object, kind: type, expected: str) -> None:
    if not isinstance(value, kind):
        got = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
        raise SettingError(f"{word} must be {expected}, got {got}")


def _positive(word: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise SettingError(f"{word} must be a number above 0, got {value!r}")
    return float(value)
