"""The training loop: batches in a seeded order, one update each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.layers import Loss
from closedform.random import permutation
from closedform.training.history import History
from closedform.training.interrupts import Interrupted, Interrupts
from closedform.training.progress import Progress
from closedform.training.task import Engine, Examples, Task, Trainer

if TYPE_CHECKING:
    from closedform.parameters import Parameters
    from closedform.training.callbacks import Callback
    from closedform.training.keeper import Keeper

Array = NDArray[Any]

_EVALUATION_BATCH = 256


@dataclass
class Course:
    """How far a training is: what a checkpoint keeps besides parameters and the optimiser's averages.

    Attributes
    ----------
    epoch
        How many epochs are done.
    done
        How many examples of the next one.
    total, right
        The sum of their losses, and how many were classified right.
    seconds
        How long that took.
    history
        The figures of the epochs that are done.
    is_begun, is_in_batch
        Whether callbacks were told that this epoch begins, and its next batch.
    is_stopped
        Whether a callback ended the training before its last epoch.
    is_finished
        Whether nothing is left to be done.
    """

    history: History
    epoch: int = 0
    done: int = 0
    total: float = 0.0
    right: int = 0
    seconds: float = 0.0
    is_begun: bool = False
    is_in_batch: bool = False
    is_stopped: bool = False
    is_finished: bool = False


class Training:
    """A training from its first step, or from where it was left, to its end.

    Parameters
    ----------
    engine, trainer, task
        What computes, what makes the updates, and what is trained on what.
    validation
        Examples that are evaluated after each epoch.
    epochs, steps
        How often all examples are used, and how many updates are made at most.
    progress
        What shows how it goes.
    callbacks
        With Keras's hooks.
    keeper
        What writes the checkpoints.
    """

    def __init__(
        self,
        engine: Engine,
        trainer: Trainer,
        task: Task,
        validation: Examples | None,
        *,
        epochs: int,
        steps: int,
        progress: Progress,
        callbacks: Sequence[Callback] = (),
        model: Any = None,
        keeper: Keeper | None = None,
    ):
        self.engine, self.trainer, self.task, self.validation = engine, trainer, task, validation
        self.epochs, self.steps, self.progress = epochs, steps, progress
        self.callbacks, self.model, self.keeper = callbacks, model, keeper
        self.course = Course(History())
        self.started = 0.0  # when the epoch would have begun, had it never been left
        self.count = len(task.examples)
        self.batches = -(-self.count // task.batch_size)
        self.interrupts = Interrupts(trainer.stop, is_wanted=keeper is not None)
        # hooks around a batch see the network as that batch leaves it
        self.goes_one_by_one = any(callback.sees_batches for callback in callbacks)

    def run(self) -> History:
        """Train in place; the last, shorter batch of an epoch is used too.

        Raises
        ------
        DataError
            Where the loss or a parameter is infinite or no number; the parameters are left as the last update
            made them.
        Interrupted
            Where it was interrupted, and what was done is saved.
        FileError
            Where a checkpoint cannot be read or written, or another training keeps its own in the folder.
        """
        with nullcontext() if self.keeper is None else self.keeper.alone():
            if self.keeper is not None:
                self.keeper.begin(self)
            if not self.course.is_finished:
                self._train()
        return self.course.history

    def _train(self) -> None:
        course = self.course
        with self.interrupts, self.progress:
            self._call("on_train_begin")
            # an epoch that was stopped in its middle is brought to its end
            while course.epoch < self.epochs and (course.is_begun or not course.is_stopped):
                self._epoch()
            self._synchronise()
            self._call("on_train_end", self._last_logs())
            course.is_finished = True
            self._save()
            self._leave_if_wanted(is_saved=True)

    def _epoch(self) -> None:
        task, course, clock = self.task, self.course, self.task.clock
        self.started = time.perf_counter() - course.seconds
        self.progress.begin_epoch(course.epoch, self.epochs, self.batches)
        if not course.is_begun:
            self._call("on_epoch_begin", course.epoch)
            course.is_begun = True
        elif course.done:
            self.progress.batch(math.nan, self._steps_done())
        order = permutation(task.seed, clock.epochs, self.count)
        while course.done < self.count and self._steps_left() and not course.is_stopped:
            self._advance(order)
            self._look_around()
        figures = self._figures()
        self._check_finite()
        clock.epochs += 1
        seconds = time.perf_counter() - self.started
        course.history.append(figures, seconds)
        self.progress.end_epoch(course.epoch, figures, seconds)
        self._synchronise()
        self._call("on_epoch_end", course.epoch, {**figures, "learning_rate": task.rates.last(clock.updates)})
        course.epoch += 1
        course.done, course.total, course.right, course.seconds, course.is_begun = 0, 0.0, 0, 0.0, False
        course.is_stopped |= self._is_stopping()
        if course.epoch < self.epochs and not course.is_stopped:
            self._save()
            self._leave_if_wanted(is_saved=True)

    def _advance(self, order: NDArray[np.int64]) -> None:
        course, clock = self.course, self.task.clock
        before = clock.updates
        batch = self._steps_done()
        if self.goes_one_by_one and not course.is_in_batch:
            self._call("on_train_batch_begin", batch)
            course.is_in_batch = True
        updates = self.trainer.advance(order[course.done :], self._most())
        if not updates.losses:
            return
        each = updates.examples // len(updates.losses)
        for number, loss in enumerate(updates.losses):
            if not math.isfinite(loss):
                first = course.done + number * each
                self._lose(loss, before + number, order[first : first + each])
                return
            # one after the other, so that the sum does not depend on how many updates came together
            course.total += loss * each
        self.progress.batch(updates.losses[-1], len(updates.losses))
        course.right += updates.correct or 0
        course.done += updates.examples
        if self.goes_one_by_one:
            self._synchronise()
            course.is_in_batch = False
            self._call("on_train_batch_end", batch, {"loss": updates.losses[-1]})
            course.is_stopped |= self._is_stopping()

    def _most(self) -> int:
        return 1 if self.goes_one_by_one else self._steps_left()

    def _steps_left(self) -> int:
        return self.steps - (self.task.clock.updates - self.task.rates.begun)

    def _steps_done(self) -> int:
        return -(-self.course.done // self.task.batch_size)

    def _look_around(self) -> None:
        """Save now and then, and leave where that is wanted."""
        self._leave_if_wanted()
        if self.keeper is not None and self.keeper.is_due() and self.trainer.is_finite():
            self._save()

    def _leave_if_wanted(self, *, is_saved: bool = False) -> None:
        if self.interrupts.came:
            if not is_saved and self.trainer.is_finite():
                self._save()
            kept = None if self.keeper is None else self.keeper.last
            raise Interrupted(self.course.epoch, self._steps_done(), self.batches, kept)

    def _figures(self) -> dict[str, float]:
        course, task = self.course, self.task
        seen = course.done or 1
        figures = {"loss": course.total / seen}
        if task.loss.classifies:
            figures["accuracy"] = course.right / seen
        if self.validation is not None and self.trainer.is_finite():
            found = evaluate(
                self.engine, task.loss, task.parameters, self.validation, between=self._leave_if_wanted
            )
            if not np.isfinite(found["loss"]):
                if not self._takes_nan:
                    self._diverge(f"the validation loss is {found['loss']}")
                self._stop()
            figures |= {f"val_{key}": value for key, value in found.items()}
        if task.rates.changes:
            rates = course.history.history.setdefault("learning_rate", [])
            rates += [task.rates.initial] * (course.epoch - len(rates))  # before anybody changed it
            figures["learning_rate"] = task.rates.last(task.clock.updates)
        return figures

    # ---- callbacks and checkpoints

    def _call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def _is_stopping(self) -> bool:
        return self.model is not None and self.model.stop_training

    def _synchronise(self) -> None:
        """Bring the network's own parameters up to date, so that callbacks may read and write them."""
        self.task.parameters.changes()

    def _last_logs(self) -> dict[str, float]:
        return {key: values[-1] for key, values in self.course.history.history.items() if values}

    def _save(self) -> None:
        if self.keeper is not None:
            if self.course.is_begun:
                self.course.seconds = time.perf_counter() - self.started
            self.keeper.save(self)

    # ---- what is lost

    @property
    def _takes_nan(self) -> bool:
        return any(callback.takes_nan for callback in self.callbacks)

    def _stop(self) -> None:
        self.course.is_stopped = True
        if self.model is not None:
            self.model.stop_training = True

    def _lose(self, loss: float, updates: int, chosen: Array) -> None:
        """A loss is no finite number: stop, or say why."""
        if self._takes_nan:
            self.course.total = math.nan
            self._stop()
            return
        from closedform.training.divergence import hopeless, place

        if updates == 0:
            raise hopeless(loss, self.task.examples.feed.take(chosen), self.task.parameters)
        self._diverge(f"the loss is {loss}", place(self.engine.architecture, self.task, chosen))

    def _check_finite(self) -> None:
        if not self.trainer.is_finite():
            if self._takes_nan:
                self._stop()
                return
            first = next(key for key, array in self.task.parameters.items() if not np.isfinite(array).all())
            self._diverge("a parameter is not finite", first)

    def _diverge(self, sign: str, where: str = "") -> None:
        from closedform.training.divergence import diverged

        kept = None if self.keeper is None else self.keeper.last
        raise diverged(sign, where, self.task, self.course.epoch, kept)


def evaluate(
    engine: Engine,
    loss: Loss,
    parameters: Parameters,
    examples: Examples,
    *,
    between: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """The mean loss over the examples, and the accuracy where the loss classifies.

    Parameters
    ----------
    between
        Called after each part of them; what it raises ends the evaluation.
    """
    total, right = 0.0, 0
    for start, x in examples.feed.parts(_EVALUATION_BATCH):
        part = slice(start, start + len(x))
        output = engine.outputs(x, parameters)
        total += engine.loss_value(output, examples.targets[part]) * len(output)
        right += loss.correct(output, examples.y[part]) or 0
        between()
    figures = {"loss": total / len(examples)}
    if loss.classifies:
        figures["accuracy"] = right / len(examples)
    return figures
