"""The compiled engine: a network's passes and whole training steps as machine code.

A network is planned and compiled once for each thing that is asked of it (its output; its gradients; the
pullback of its output) and the same code serves every batch size.  What is compiled is kept on disk.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from closedform.architecture import Architecture
from closedform.engine.building import Code, Layout, build, layout_of
from closedform.engine.jit import Target, host
from closedform.engine.lanes import layers_together
from closedform.engine.memory import check_memory, need
from closedform.engine.network_pass import LossPass
from closedform.engine.passes import Mode, mixing_layers
from closedform.engine.session import Forward, Memory, Session, aligned, shards_of, signed
from closedform.engine.threads import thread_count
from closedform.errors import ClosedformError
from closedform.layers import Dropout, Layer

if TYPE_CHECKING:
    from closedform.engine.trainer import CompiledTrainer
    from closedform.training.task import Task

__all__ = [
    "Code",
    "CompiledEngine",
    "Layout",
    "Memory",
    "Session",
    "Unsupported",
    "aligned",
    "build",
    "can_run",
    "layout_of",
    "shards_of",
]

Array = NDArray[np.float32]

_SHARED = 8_000_000  # multiply-adds from which threads work on one image together
_MOST = 4096  # images whose outputs are worked out in one call
_MOST_MIXED = 256  # the same where they are mixed, as the reference engine has it
_MOST_CODES = 16  # of a network that has its own for every batch size
_UNCHECKED = 1 << 26  # bytes that are taken without asking whether they are there
_KEPT = {"none": 8, "loss": 4, "given": 4}  # batch sizes whose memory is kept
_OUTPUT = Mode("none")


class Unsupported(Exception):
    """A network that the compiled engine cannot run; the reference engine can."""


class Store(Protocol):
    """Where a network keeps its parameters."""

    @property
    def memory(self) -> Array:
        """All of them in one flat array."""

    def changes(self) -> int:
        """A number that has grown where anything may have been written since the last call."""


class Packed:
    """Parameters in the engine's layout, and which state of the network's own they are."""

    def __init__(self, layout: Layout, count: int):
        self.layout = layout
        self.array = aligned(count)
        self.source: Store | None = None
        self.version = -1


def can_run(architecture: Architecture) -> bool:
    """Whether no layer draws in a way of its own."""
    return all(type(layer).draw in (Layer.draw, Dropout.draw) for layer in architecture.layers)


class CompiledEngine:
    """Runs an architecture by machine code made for it, in float32.

    Parameters
    ----------
    architecture
        The network.
    threads
        How many threads may be used; None for CLOSEDFORM_THREADS, or for as many cores as there are.

    Raises
    ------
    MissingError
        Where llvmlite is not installed.
    """

    name = "compiled"

    def __init__(self, architecture: Architecture, threads: int | None = None):
        self.architecture = architecture
        self.threads = thread_count(threads)
        self.target: Target = host()
        self._losses = LossPass(architecture)
        self._draws = any(isinstance(layer, Dropout) for layer in architecture.layers)
        self.mixes = bool(mixing_layers(architecture))
        self._most = _MOST_MIXED if self.mixes else _MOST
        self._codes: dict[tuple[Mode, int, int], Code] = {}
        self._begin()
        _everyone.add(self)

    def _begin(self) -> None:
        self._sessions: dict[tuple[Mode, int], Session] = {}
        self._forwards: dict[int, tuple[Forward, Packed]] = {}
        self._packed: dict[str, Packed] = {}
        self._lock = threading.RLock()
        self.training = threading.RLock()

    # ---- code, memory, parameters

    def code(self, mode: Mode, together: int = 0, unit: int = 1) -> Code:
        """The code for a mode, made at the first call.

        Parameters
        ----------
        mode
            What is computed.
        together, unit
            How many leading layers put images across the lanes, and how many images are one unit of work.

        Raises
        ------
        Unsupported
            Where it cannot be made.
        """
        with self._lock:
            key = mode, together, unit
            if key not in self._codes:
                if self.mixes and len(self._codes) >= _MOST_CODES:
                    del self._codes[next(iter(self._codes))]
                try:
                    self._codes[key] = build(self.architecture, mode, self.target, together, unit)
                except (ClosedformError, MemoryError):
                    raise
                except Exception as error:
                    raise Unsupported(f"{type(error).__name__}: {error}") from error
            return self._codes[key]

    def code_for(self, mode: Mode, batch: int) -> Code:
        """The code for a batch size: most serve many, but layers that mix images want their own."""
        if self.mixes:
            return self.code(mode, 0, batch)
        return self.code(mode, layers_together(self.architecture, batch, self.target.lanes))

    def session(self, mode: Mode, batch: int) -> Session:
        """Code with memory for a batch size; that of a few batch sizes is kept."""
        with self._lock:
            key = mode, batch
            session = self._sessions.pop(key, None)
            if session is None:
                same = [other for other in self._sessions if other[0].source == mode.source]
                for old in same[: max(0, len(same) - _KEPT[mode.source] + 1)]:
                    del self._sessions[old]
                    if mode == _OUTPUT:
                        self._forwards.pop(old[1], None)
                session = self._fresh_session(mode, batch)
            self._sessions[key] = session  # the last one used is the last to go
            return session

    def _fresh_session(self, mode: Mode, batch: int) -> Session:
        self.check_memory(mode, batch)
        code, threads = self.code_for(mode, batch), self.threads
        if self.mixes:
            return Session(code, 1, threads)
        if mode.source != "none":
            return Session(code, batch, threads)
        groups = -(-batch // code.layout.together)
        # few images that are much work are shared between threads, each of them
        if groups >= threads or code.layout.terms * batch < _SHARED:
            threads = min(threads, groups)
        return Session(code, batch, threads, images=-(-batch // min(threads, groups)))

    def check_memory(self, mode: Mode, batch: int, moments: int | None = None) -> None:
        """Refuse a batch that there is no memory for, before any of it is taken.

        Parameters
        ----------
        mode, batch
            What is to be run.
        moments
            How many numbers an optimiser remembers for each parameter; None where nothing is trained.

        Raises
        ------
        SettingError
            With the numbers.
        """
        layout = self.code_for(mode, batch).layout
        units = 1 if self.mixes else batch
        shards = 0 if mode.source == "none" else shards_of(units, layout.together)
        count = self.architecture.parameter_count
        needed = need(layout, units, min(self.threads, units), shards, count, moments)
        if needed.total > _UNCHECKED and (mode, batch) not in self._sessions:
            what = "a pass" if moments is None else "a training step"
            check_memory(needed.total, f"{what} at batch {batch:,}", needed)

    def packed(self, code: Code, parameters: Store) -> Packed:
        """A network's parameters in the engine's layout, packed anew where they may have changed."""
        layout = code.layout
        key = repr(layout.parameters)
        with self._lock:
            found = self._packed.get(key)
            if found is None:
                found = self._packed[key] = Packed(layout, self.architecture.parameter_count)
        self._refresh(found, parameters)
        return found

    def _refresh(self, packed: Packed, parameters: Store) -> None:
        version = parameters.changes()
        if packed.version == version and packed.source is parameters:
            return
        with self._lock:
            self.pack(packed, self.by_key(parameters.memory), packed.array)
            packed.version, packed.source = version, parameters

    def by_key(self, flat: Array) -> dict[str, Array]:
        """Views of a flat array, by key and in their public shapes."""
        found, start = {}, 0
        for parameter in self.architecture.parameters:
            found[parameter.key] = flat[start : start + parameter.size].reshape(parameter.shape)
            start += parameter.size
        return found

    def pack(self, code: Code | Packed, parameters: Mapping[str, Array], out: Array) -> None:
        """Put parameters, by key and in their public shapes, into the engine's layout."""
        for view, public in self._pairs(code.layout, parameters, out):
            view[...] = public

    def unpack(self, code: Code | Packed, flat: Array, into: Mapping[str, Array]) -> None:
        """Write parameters, or gradients, in the engine's layout back into their public shapes."""
        for view, public in self._pairs(code.layout, into, flat):
            public[...] = view

    def _pairs(self, layout: Layout, public: Mapping[str, Array], flat: Array) -> list[tuple[Array, Array]]:
        found = []
        for key, (start, shape, order) in layout.parameters.items():
            values = public[key].reshape(shape).transpose(order)
            found.append((flat[start : start + values.size].reshape(values.shape), values))
        return found

    # ---- what a network asks for

    def outputs(self, x: Array, parameters: Store) -> Array:
        """The output of the last layer in inference mode.

        Parameters
        ----------
        x
            Inputs (N, ...), float32, of the architecture's shape.
        parameters
            The network's.
        """
        count = len(x)
        found = self._forwards.get(count)
        if found is None:
            if not 0 < count <= self._most:
                return self._in_parts(x, parameters)
            found = self._forward(count, parameters)
        forward, packed = found
        self._refresh(packed, parameters)
        with forward.session.lock:
            return forward.outputs(x)

    def _forward(self, count: int, parameters: Store) -> tuple[Forward, Packed]:
        session = self.session(_OUTPUT, count)
        packed = self.packed(session.code, parameters)
        shapes = (count, *self.architecture.input_shape), (count, *self.architecture.output_shape)
        self._forwards[count] = found = Forward(session, packed.array, *shapes), packed
        return found

    def _in_parts(self, x: Array, parameters: Store) -> Array:
        result = np.empty((len(x), *self.architecture.output_shape), np.float32)
        for start in range(0, len(x), self._most):
            part = slice(start, start + self._most)
            result[part] = self.outputs(x[part], parameters)
        return result

    def _dropped(self, x: Array, parameters: Store, seed: int, step: int) -> Array:
        """The output in training mode; what is dropped depends on an image's place in the one batch."""
        result = np.empty((len(x), *self.architecture.output_shape), np.float32)
        session = self.session(Mode("none", True), len(x))
        packed = self.packed(session.code, parameters)
        with session.lock:
            job = session.own_job()
            job.set(x=_whole(x), outputs=result, parameters=packed.array, seed=signed(seed), first_step=step)
            job.run()
            job.let_go()
        return result

    def apply(
        self, x: Array, parameters: Store, *, training: bool = False, seed: int = 0, step: int = 0
    ) -> tuple[Array, Callable[[Array], tuple[Array, dict[str, Array]]]]:
        """The output, and its pullback, which goes on with x and the parameters as they are now."""
        x = np.array(x, np.float32, order="C")
        drops = training and self._draws
        y = self._dropped(x, parameters, seed, step) if drops else self.outputs(x, parameters)
        then = parameters.memory.copy()

        def pullback(dy: Array) -> tuple[Array, dict[str, Array]]:
            session = self.session(Mode("given", drops, True), len(x))
            packed = aligned(len(then))
            self.pack(session.code, self.by_key(then), packed)
            dx = np.empty_like(x)
            gradients = self._gradients(
                session, x=x, dy=_whole(dy), dx=dx, parameters=packed, seed=signed(seed), first_step=step
            )
            return dx, gradients

        return y, pullback

    def gradients(
        self,
        x: Array,
        targets: Array,
        parameters: Store,
        *,
        seed: int = 0,
        step: int = 0,
        wrt_input: bool = False,
    ) -> tuple[float, dict[str, Array], Array | None]:
        """The mean loss of a batch in training mode, its gradient in every parameter, and in x if wanted."""
        session = self.session(Mode("loss", True, wrt_input), len(x))
        losses = np.empty(session.batch, np.float32)
        dx = np.empty(x.shape, np.float32) if wrt_input else None
        gradients = self._gradients(
            session,
            x=_whole(x),
            targets=_whole(targets),
            losses=losses,
            parameters=self.packed(session.code, parameters).array,
            seed=signed(seed),
            first_step=step,
            **({} if dx is None else {"dx": dx}),
        )
        return float(losses.mean(dtype=np.float64)), gradients, dx

    def _gradients(self, session: Session, **arrays: Any) -> dict[str, Array]:
        packed = aligned(self.architecture.parameter_count)
        outputs = np.empty((len(arrays["x"]), *self.architecture.output_shape), np.float32)
        with session.lock:
            job = session.own_job()
            job.set(outputs=outputs, gradients=packed, optimiser=0, **arrays)
            job.run()
            job.let_go()
        gradients = self.by_key(np.empty_like(packed))
        self.unpack(session.code, packed, gradients)
        return gradients

    def loss_value(self, output: Array, targets: Array) -> float:
        """The mean loss of a batch."""
        return self._losses.value(output, targets)

    def activate(self, output: Array) -> Array:
        """The probabilities of the loss's own activation, or the output itself."""
        return self._losses.activate(output)

    def trainer(self, task: Task) -> CompiledTrainer:
        """What makes a training's updates.

        Raises
        ------
        Unsupported
            Where the network cannot be compiled, also for its outputs alone.
        """
        from closedform.engine.trainer import CompiledTrainer

        if task.is_watched:
            self.code_for(_OUTPUT, 1)
        return CompiledTrainer(self, task)


def _whole(array: Array) -> Array:
    """The array as the code reads it: in row order, without gaps."""
    return np.require(array, np.float32, ["C", "A"])


def _after_fork() -> None:
    # locks may be held, and memory be worked in, by threads that the child does not have
    for engine in list(_everyone):
        engine._begin()


_everyone: weakref.WeakSet[CompiledEngine] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
