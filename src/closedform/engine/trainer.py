"""Training in compiled code: many steps in one call, everything in the engine's layout until it is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from closedform.engine.clipping import cut
from closedform.engine.compiled import Unsupported
from closedform.engine.context import SCALARS
from closedform.engine.passes import Mode
from closedform.engine.session import Job, Session, aligned, signed
from closedform.engine.updates import Rule, Scalar

if TYPE_CHECKING:
    from closedform.engine.compiled import CompiledEngine
    from closedform.training.optimisers import SGD, Adam, Optimizer
    from closedform.training.task import Task, Updates

Array = NDArray[np.float32]
Numbers = NDArray[np.int64]
Rates = NDArray[np.float64]

_MODE = Mode("loss", True)
_MOMENTS = {Rule.MOMENTUM: 1, Rule.NESTEROV: 1, Rule.ADAM: 2, Rule.ADAMW: 2}
_CALL = 0.03  # seconds that a call shall last
_KEPT = 1.0  # seconds of training that would have to be done once more where a loss is no finite number
_MOST_STEPS = 4096
_LOGGED = 1 << 22  # entries of the outputs that a call leaves behind
_TAKEN = 1 << 22  # entries of inputs that are converted for a call
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
        # the length of the whole gradient is known only after the step
        self.rule, self.scalars = native(task.optimizer) if task.clip_norm is None else _BY_HAND
        batch = min(task.batch_size, len(task.examples))
        engine.check_memory(_MODE, batch, _MOMENTS.get(self.rule, 0))
        count = engine.architecture.parameter_count
        self.jobs = self._jobs()
        self.code = next(iter(self.jobs.values())).session.code
        self.parameters, self.gradients = aligned(count), aligned(count)
        self.optimiser = task.optimizer.initial_state(count, np.float32)
        if self.rule is not Rule.NONE:
            self.optimiser = {name: aligned(count) for name in self.optimiser if name != "step"}
        self.begun = task.clock.updates
        self.steps = 0
        self._make_room(1, max(self.jobs))
        feed = task.examples.feed
        self.x = None if feed.plain is None else np.require(feed.plain, np.float32, ["C", "A"])
        self.targets = np.require(task.examples.targets, np.float32, ["C", "A"])
        for job in self.jobs.values():
            if self.x is not None:
                job.set(x=self.x)
            if task.examples.weights is not None:
                job.set(weights=aligned(len(job.session.weights)))
            job.set(
                targets=self.targets,
                parameters=self.parameters,
                gradients=self.gradients,
                optimiser=int(self.rule),
                seed=signed(task.seed),
                **self._moments(),
            )
        self.log: list[_Call] = []
        self.current: Job | None = None
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
        if self.engine.mixes and self.task.examples.weights is not None:
            raise Unsupported("the loss of a network that mixes its examples is one for all of them")
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
        return dict(zip(("first_moment", "second_moment"), self.optimiser.values(), strict=False))

    def _make_room(self, steps: int, batch: int) -> None:
        """Room for what so many steps leave behind."""
        shape = self.engine.architecture.output_shape
        self.outputs = np.zeros((steps * batch, *shape), np.float32)
        self.losses = np.zeros(steps * batch, np.float32)
        self.rows = np.zeros((steps, SCALARS), np.float32)

    # ---- updates

    def advance(self, order: Numbers, most: int | None = None) -> Updates:
        """Make some updates, at least one, from the first of these examples.

        The update of a loss that is no finite number is not made, nor are those behind it: the code makes
        them all the same, and then what was before is worked out once more.
        """
        from closedform.training.task import Updates

        task = self.task
        batch = min(task.batch_size, len(order))
        job = self.jobs[batch]
        steps = self._steps(job, batch, min(len(order) // batch, most or _MOST_STEPS))
        chosen = np.ascontiguousarray(order[: steps * batch])
        with self.engine.training:
            self._take()
            self._keep()
            call = _Call(job, chosen, steps, task.clock.epochs, task.rates.of(task.clock.updates, steps))
            steps = self._run(call)
            call = call.first(steps)
            self.log.append(call)
            units = job.session.batch
            losses = self._losses(call, units)
            finite = np.isfinite(losses)
            if not finite.all():
                self._go_back(int(finite.argmin()))
            elif self.rule is Rule.NONE and steps:
                self._update(float(call.rates[0]))
            if task.parameters.is_watched:
                self.write()
        chosen = call.chosen
        right = task.loss.correct(self.outputs[: len(chosen)], task.examples.y[chosen]) if steps else None
        return Updates(losses.tolist(), len(chosen), right)

    def stop(self) -> None:
        """Make `advance` come back soon, without the step that is under way."""
        if self.current is not None:
            self.current.stop[0] = 1

    def _steps(self, job: Job, batch: int, most: int) -> int:
        """How many steps the next call makes."""
        one_by_one = self.rule is Rule.NONE or self.engine.mixes or self.task.examples.weights is not None
        if one_by_one or not self.task.clock.updates:
            return 1
        pace = job.session.pace
        entries = batch * math.prod(self.engine.architecture.output_shape)
        wanted = min(int(_CALL / pace.seconds(1)), _MOST_STEPS, _LOGGED // entries, _GROWTH * self.steps)
        if self.x is None:
            wanted = min(wanted, _TAKEN // (batch * math.prod(self.engine.architecture.input_shape)))
        self.steps = max(1, wanted)
        return min(self.steps, most)

    def _losses(self, call: _Call, units: int) -> NDArray[np.float64]:
        """The loss of each step."""
        losses: NDArray[Any] = self.losses[: call.steps * units].reshape(call.steps, units)
        weights = self.task.examples.weights
        if weights is None or not call.steps:
            means: NDArray[np.float64] = losses.mean(1, dtype=np.float64)
            return means
        means = (losses * weights[call.chosen].astype(np.float64)).mean(1)
        return means

    def _update(self, rate: float) -> None:
        """The update that compiled code has left to be made."""
        task = self.task
        if task.clip_norm is not None:
            cut(self.gradients, task.clip_norm)
        task.optimizer.update(self.parameters, self.gradients, self.optimiser, rate)

    def _run(self, call: _Call) -> int:
        """Make the steps; how many of them were finished."""
        job, chosen, steps = call.job, call.chosen, call.steps
        updates, examples = self.task.clock.updates, self.task.examples
        if len(chosen) > len(self.losses) or steps > len(self.rows):
            self._make_room(steps, len(chosen) // steps)
        with np.errstate(over="ignore"):
            self.scalars(self.rows[:steps], updates - self.begun, call.rates)
        job.set(outputs=self.outputs, losses=self.losses, scalars=self.rows, first_step=updates)
        if examples.weights is not None:
            own = job.held("weights")
            own[: len(chosen)] = examples.weights[chosen] * (np.float32(1) / np.float32(len(chosen)))
        if self.x is not None and not self.engine.mixes:
            job.set(order=chosen)
        else:
            x = examples.feed.take(chosen, call.epoch) if self.x is None else self.x[chosen]
            job.set(x=np.require(x, np.float32, ["C", "A"]), targets=self.targets[chosen])
            if not self.engine.mixes:
                job.set(order=np.arange(len(chosen)))
        self.is_ahead = self.is_running = True
        self.current = job
        try:
            with job.session.lock:
                return job.run(steps)
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
        *before, last = self.log
        for job in self.jobs.values():
            job.forget()
        self.task.clock.updates = self.kept_updates
        for mine, kept in zip(self.changing, self.kept, strict=True):
            mine[...] = kept
        for call in [*before, last.first(steps)]:
            if call.steps:
                self._run(call)

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

    def state(self) -> dict[str, Array]:
        """What the optimiser remembers: `step`, and flat arrays in the order of the network's parameters."""
        found: dict[str, Array] = {"step": np.array(self.task.clock.updates - self.begun)}
        for name, array in self._averages().items():
            found[name] = np.empty_like(array)
            self.engine.unpack(self.code, array, self.engine.by_key(found[name]))
        return found

    def restore(self, state: dict[str, Array]) -> None:
        """Go on with what `state` gave, and with the network's parameters as they are now."""
        for name, array in self._averages().items():
            self.engine.pack(self.code, self.engine.by_key(state[name]), array)
        step = int(state["step"])
        if "step" in self.optimiser:
            self.optimiser["step"][...] = step
        self.begun = self.task.clock.updates - step
        self.is_ahead, self.version = False, -1
        self.log.clear()

    def _averages(self) -> dict[str, Array]:
        return {name: array for name, array in self.optimiser.items() if name != "step"}

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


@dataclass(frozen=True)
class _Call:
    """Steps that are made in one call: the job, the examples, how many, in which epoch, and their rates."""

    job: Job
    chosen: Numbers
    steps: int
    epoch: int
    rates: Rates

    def first(self, steps: int) -> _Call:
        """The first so many of them."""
        chosen = self.chosen[: len(self.chosen) * steps // self.steps]
        return _Call(self.job, chosen, steps, self.epoch, self.rates[:steps])


def native(optimizer: Optimizer) -> tuple[Rule, Callable[[Array, int, Rates], None]]:
    """The rule by which compiled code updates, and what writes its numbers for some steps.

    For an optimiser that compiled code does not know the rule is NONE, and the gradients are left.
    """
    from closedform.training.optimisers import SGD, Adam, AdamW

    if type(optimizer) is SGD:
        if not optimizer.momentum:
            return Rule.SGD, _Sgd(optimizer)
        return (Rule.NESTEROV if optimizer.nesterov else Rule.MOMENTUM), _Sgd(optimizer)
    if type(optimizer) is Adam:
        return Rule.ADAM, _Adam(optimizer)
    if type(optimizer) is AdamW:
        return Rule.ADAMW, _Adam(optimizer, decouples=True)
    return _BY_HAND


class _Sgd:
    def __init__(self, optimizer: SGD):
        self.optimizer = optimizer

    def __call__(self, rows: Array, first: int, rates: Rates) -> None:
        """Write the numbers of some steps; `first` steps were made before them."""
        rows[:, Scalar.RATE] = -rates
        rows[:, Scalar.DECAY] = self.optimizer.weight_decay
        rows[:, Scalar.MOMENTUM] = self.optimizer.momentum
        rows[:, Scalar.FIRST] = 0
        if not first:
            rows[0, Scalar.FIRST] = 1


class _Adam:
    def __init__(self, optimizer: Adam, decouples: bool = False):
        self.optimizer, self.decouples = optimizer, decouples

    def __call__(self, rows: Array, first: int, rates: Rates) -> None:
        """Write the numbers of some steps; `first` steps were made before them."""
        one, two = self.optimizer.betas
        decay = self.optimizer.weight_decay
        step = np.arange(first + 1, first + len(rows) + 1, dtype=np.float64)
        rows[:, Scalar.RATE] = -(rates / (1 - one**step))
        rows[:, Scalar.DECAY] = 1 - rates * decay if self.decouples else decay
        rows[:, Scalar.MOMENTUM] = 1 - one
        rows[:, Scalar.FIRST] = 1 - (1 - one)
        rows[:, Scalar.KEEP] = two
        rows[:, Scalar.MIX] = 1 - two
        rows[:, Scalar.ROOT] = np.sqrt(1 - two**step)
        rows[:, Scalar.EPS] = self.optimizer.eps


_BY_HAND: tuple[Rule, Callable[[Array, int, Rates], None]] = Rule.NONE, lambda rows, first, rates: None
