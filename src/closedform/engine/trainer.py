"""Training in compiled code: many steps in one call, everything in the engine's layout until it is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from closedform.engine.context import SCALARS
from closedform.engine.passes import Mode
from closedform.engine.session import Job, Session, aligned, signed
from closedform.engine.updates import Rule, Scalar

if TYPE_CHECKING:
    from closedform.engine.compiled import CompiledEngine
    from closedform.training.loop import Task, Updates
    from closedform.training.optimisers import SGD, Adam, Optimizer

Array = NDArray[np.float32]
Numbers = NDArray[np.int64]

_MODE = Mode("loss", True)
_MOMENTS = {Rule.MOMENTUM: 1, Rule.NESTEROV: 1, Rule.ADAM: 2, Rule.ADAMW: 2}
_CALL = 0.03  # seconds that a call shall last
_KEPT = 1.0  # seconds of training that would have to be done once more where a loss is no finite number
_MOST_STEPS = 4096
_LOGGED = 1 << 22  # entries of the outputs that a call leaves behind
_GROWTH = 8  # times as many steps as in the call before


class CompiledTrainer:
    """Makes a training's updates with compiled code.

    Parameters
    ----------
    engine
        Of the network.
    task
        What is trained, on what, and how.
    """

    def __init__(self, engine: CompiledEngine, task: Task):
        self.engine, self.task = engine, task
        self.rule, self.scalars = native(task.optimizer)
        batch = min(task.batch_size, len(task.examples))
        engine.check_memory(_MODE, batch, _MOMENTS.get(self.rule, 0))
        count = engine.architecture.parameter_count
        self.jobs = self._jobs()
        self.code = next(iter(self.jobs.values())).session.code
        self.parameters, self.gradients = aligned(count), aligned(count)
        self.state = task.optimizer.initial_state(count, np.float32)
        if self.rule is not Rule.NONE:
            self.state = {name: aligned(count) for name in self.state if name != "step"}
        self.begun = task.clock.updates
        self.steps = 0
        self._make_room(1, max(self.jobs))
        self.x = np.require(task.examples.x, np.float32, ["C", "A"])
        self.targets = np.require(task.examples.targets, np.float32, ["C", "A"])
        for job in self.jobs.values():
            job.set(
                x=self.x,
                targets=self.targets,
                parameters=self.parameters,
                gradients=self.gradients,
                optimiser=int(self.rule),
                seed=signed(task.seed),
                **self._moments(),
            )
        self.log: list[tuple[Job, Numbers, int]] = []
        self.changing = [self.parameters, *self._moments().values()]
        if self.rule is Rule.NONE:
            self.changing = []  # its update is made here, after a look at the loss
        self.kept = [aligned(len(array)) for array in self.changing]
        self.kept_at, self.kept_updates = 0.0, self.begun
        self.is_running = False
        self.is_ahead = False  # of the network's own parameters
        self.version = -1
        task.parameters.source = self.write

    def _jobs(self) -> dict[int, Job]:
        """By the number of examples in a step: all of a batch, and what is left at the end of an epoch."""
        examples = len(self.task.examples)
        batch = min(self.task.batch_size, examples)
        whole = self.engine.session(_MODE, batch)
        jobs = {batch: whole.job()}
        if rest := examples % batch:
            if whole.code is self.engine.code_for(_MODE, rest):
                # it works in a part of what the larger batch works in
                jobs[rest] = Session(whole.code, rest, whole.threads, larger=whole).job()
            else:
                jobs[rest] = self.engine.session(_MODE, rest).job()
        return jobs

    def _moments(self) -> dict[str, Array]:
        if self.rule is Rule.NONE:
            return {}
        return dict(zip(("first_moment", "second_moment"), self.state.values(), strict=False))

    def _make_room(self, steps: int, batch: int) -> None:
        """Room for what so many steps leave behind."""
        shape = self.engine.architecture.output_shape
        self.outputs = np.zeros((steps * batch, *shape), np.float32)
        self.losses = np.zeros(steps * batch, np.float32)
        self.rows = np.zeros((steps, SCALARS), np.float32)

    # ---- updates

    def advance(self, order: Numbers) -> Updates:
        """Make some updates, at least one, from the first of these examples.

        The update of a loss that is no finite number is not made, nor are those behind it: the code makes
        them all the same, and then what was before is worked out once more.
        """
        from closedform.training.loop import Updates

        task = self.task
        batch = min(task.batch_size, len(order))
        job = self.jobs[batch]
        steps = self._steps(job, batch, len(order) // batch)
        chosen = np.ascontiguousarray(order[: steps * batch])
        with self.engine.training:
            self._take()
            self._keep()
            self._run(job, chosen, steps)
            self.log.append((job, chosen, steps))
            units = job.session.batch
            losses = self.losses[: steps * units].reshape(steps, units).mean(1, dtype=np.float64)
            finite = np.isfinite(losses)
            if not finite.all():
                self._go_back(int(finite.argmin()))
            elif self.rule is Rule.NONE:
                task.optimizer.update(self.parameters, self.gradients, self.state)
            if task.parameters.is_watched:
                self.write()
        right = task.loss.correct(self.outputs[: steps * batch], task.examples.y[chosen])
        return Updates(losses.tolist(), steps * batch, right)

    def _steps(self, job: Job, batch: int, most: int) -> int:
        """How many steps the next call makes."""
        if self.rule is Rule.NONE or self.engine.mixes or not self.task.clock.updates:
            return 1
        pace = job.session.pace
        entries = batch * math.prod(self.engine.architecture.output_shape)
        wanted = min(int(_CALL / pace.seconds(1)), _MOST_STEPS, _LOGGED // entries, _GROWTH * self.steps)
        self.steps = max(1, wanted)
        return min(self.steps, most)

    def _run(self, job: Job, chosen: Numbers, steps: int) -> None:
        updates = self.task.clock.updates
        if len(chosen) > len(self.losses) or steps > len(self.rows):
            self._make_room(steps, len(chosen) // steps)
        with np.errstate(over="ignore"):
            self.scalars(self.rows[:steps], updates - self.begun)
        job.set(outputs=self.outputs, losses=self.losses, scalars=self.rows, first_step=updates)
        if self.engine.mixes:
            job.set(x=self.x[chosen], targets=self.targets[chosen])
        else:
            job.set(order=chosen)
        self.is_ahead = self.is_running = True
        try:
            with job.session.lock:
                job.run(steps)
        finally:
            self.is_running = False
            self.task.clock.updates = self._updates()

    def _keep(self) -> None:
        """Keep what is needed to go back, now and then, and from then on what was done since."""
        now = monotonic()
        if self.log and self.changing and now - self.kept_at < _KEPT:
            return
        for mine, kept in zip(self.changing, self.kept, strict=True):
            kept[...] = mine
        self.kept_updates, self.kept_at = self.task.clock.updates, now
        self.log.clear()

    def _go_back(self, steps: int) -> None:
        """Leave everything as it was when so many steps of the last call were made."""
        *before, (job, chosen, made) = self.log
        for each in self.jobs.values():
            each.forget()
        self.task.clock.updates = self.kept_updates
        for mine, kept in zip(self.changing, self.kept, strict=True):
            mine[...] = kept
        for each, examples, count in [*before, (job, chosen[: len(chosen) * steps // made], steps)]:
            if count:
                self._run(each, examples, count)

    def _updates(self) -> int:
        # counts only grow, so what a job did not get to begin is never the largest
        return max(self.task.clock.updates, *(job.steps_made for job in self.jobs.values()))

    # ---- the network's own parameters

    def _take(self) -> None:
        """Take over what may have been written into the network's parameters since the last call."""
        version = self.task.parameters.version()
        if version != self.version:
            if self.is_ahead:
                self.write()
                return
            self.engine.pack(self.code, self.engine.by_key(self.task.parameters.memory), self.parameters)
            self.version = version
            self.log.clear()

    def write(self) -> None:
        """Write the parameters back into the network, those of the last finished step."""
        with self.engine.training:
            if self.is_running or not self.is_ahead:
                return
            parameters = self.task.parameters
            self.engine.unpack(self.code, self.parameters, self.engine.by_key(parameters.memory))
            self.version = parameters.written()
            self.is_ahead = False

    def is_finite(self) -> bool:
        """Whether every parameter is a finite number."""
        ends = (self.parameters.min(initial=0), self.parameters.max(initial=0))  # no array of answers
        return bool(np.isfinite(ends).all())

    def finish(self) -> None:
        """Leave the network as the last finished step made it."""
        try:
            self._leave()
        except BaseException:
            self._leave()  # a second interrupt does not leave it half written
            raise

    def _leave(self) -> None:
        self.task.clock.updates = self._updates()
        self.write()
        self.task.parameters.source = None


def native(optimizer: Optimizer) -> tuple[Rule, Callable[[Array, int], None]]:
    """The rule by which compiled code updates, and what writes its numbers for some steps.

    For an optimiser that compiled code does not know the rule is NONE, and the gradients are left.
    """
    from closedform.training.optimisers import SGD, Adam, AdamW

    if type(optimizer) is SGD:
        if not optimizer.momentum:
            return Rule.SGD, _Sgd(optimizer)
        return (Rule.NESTEROV if optimizer.nesterov else Rule.MOMENTUM), _Sgd(optimizer)
    if type(optimizer) is Adam:
        return Rule.ADAM, _Adam(optimizer, optimizer.weight_decay)
    if type(optimizer) is AdamW:
        return Rule.ADAMW, _Adam(optimizer, 1 - optimizer.learning_rate * optimizer.weight_decay)
    return Rule.NONE, lambda rows, first: None


class _Sgd:
    def __init__(self, optimizer: SGD):
        self.optimizer = optimizer

    def __call__(self, rows: Array, first: int) -> None:
        """Write the numbers of some steps; `first` steps were made before them."""
        rows[:, Scalar.RATE] = -self.optimizer.learning_rate
        rows[:, Scalar.DECAY] = self.optimizer.weight_decay
        rows[:, Scalar.MOMENTUM] = self.optimizer.momentum
        rows[:, Scalar.FIRST] = 0
        if not first:
            rows[0, Scalar.FIRST] = 1


class _Adam:
    def __init__(self, optimizer: Adam, decay: float):
        self.optimizer, self.decay = optimizer, decay

    def __call__(self, rows: Array, first: int) -> None:
        """Write the numbers of some steps; `first` steps were made before them."""
        one, two = self.optimizer.betas
        step = np.arange(first + 1, first + len(rows) + 1, dtype=np.float64)
        rows[:, Scalar.RATE] = -(self.optimizer.learning_rate / (1 - one**step))
        rows[:, Scalar.DECAY] = self.decay
        rows[:, Scalar.MOMENTUM] = 1 - one
        rows[:, Scalar.FIRST] = 1 - (1 - one)
        rows[:, Scalar.KEEP] = two
        rows[:, Scalar.MIX] = 1 - two
        rows[:, Scalar.ROOT] = np.sqrt(1 - two**step)
        rows[:, Scalar.EPS] = self.optimizer.eps
