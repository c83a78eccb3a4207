"""Running compiled code: the memory that it works in, its context, and who calls it.

Memory and context are made once for a batch size; a job writes numbers into the context and calls the code.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from closedform.engine.program import SLOTS, Word
from closedform.engine.threads import shared

Array = NDArray[np.float32]
Numbers = NDArray[np.int64]

_MOST_SHARDS = 16
_SHARD_IMAGES = 4
# seconds: how long a call may keep the thread that asks for it from serving an interrupt, and the longest
# step for which one thread and all of them are timed against each other
_BRIEF = 0.06
_RACED = 0.003
_TERMS = 2e9  # multiply-adds that a thread does in a second, at least as long as nothing has been timed
_SLIGHT = 300_000  # multiply-adds that are done before a second thread is awake
_WORDS = {word.name.lower(): int(word) for word in Word}
_STEPS, _THREADS, _SLOTS = int(Word.STEPS), int(Word.THREADS), int(Word.SLOTS)
_DONE, _FIRST = int(Word.DONE), int(Word.FIRST_STEP)
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


class Sizes(Protocol):
    """What a plan says of its memory; elements of float32, those of a block and a batch for each image."""

    images: int
    together: int
    block: int
    batch: int
    shard: int
    shared: int
    fills: list[tuple[str, int, int, float]]
    terms: int


class Code(Protocol):
    """Compiled code, loaded."""

    @property
    def layout(self) -> Sizes:
        """What it needs."""

    @property
    def address(self) -> int:
        """Where its entry begins."""


def shards_of(batch: int, together: int = 1) -> int:
    """Into how many shards a batch is divided: a power of two that depends on its size alone."""
    units = -(-batch // together)
    least = _SHARD_IMAGES if together == 1 else 1
    shards = 1
    while shards < _MOST_SHARDS and units // (2 * shards) >= least:
        shards *= 2
    if shards == 1 and units > 1:
        shards = 2
    return shards


def aligned(count: int) -> Array:
    """Zeros that begin at a multiple of 64 bytes."""
    raw = np.zeros(count + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + count]


def _padded(count: int) -> int:
    return -(-count // 16) * 16


class Memory:
    """The arrays that a job works in; made once for a batch size and a number of threads.

    Parameters
    ----------
    layout
        What the plan says of them.
    batch
        How many images there are at most.
    threads
        How many threads there are at most.
    images
        How many images a block has at most, where that shall be fewer than the plan says.
    """

    def __init__(self, layout: Sizes, batch: int, threads: int, images: int | None = None):
        together = layout.together
        self.capacity = -(-batch // together) * together
        self.images = min(layout.images, self.capacity)
        if images is not None:
            self.images = min(self.images, -(-images // together) * together)
        self.shards = shards_of(batch, together)
        self.block_stride = _padded(layout.block * self.images)
        self.block = aligned(self.block_stride * threads)
        self.batch = aligned(layout.batch * self.capacity)
        self.shard = aligned(layout.shard * self.shards)
        self.shared = aligned(layout.shared)
        for kind, offset, size, value in layout.fills:
            if kind == "shared":
                self.shared[offset : offset + size] = value
            elif kind == "batch":
                self.batch[offset * self.capacity : (offset + size) * self.capacity] = value
            else:
                for thread in range(threads):
                    start = thread * self.block_stride
                    self.block[start + offset * self.images : start + (offset + size) * self.images] = value

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return self.block.nbytes + self.batch.nbytes + self.shard.nbytes + self.shared.nbytes


class Session:
    """Code with the memory and the context for one batch size; one job runs at a time.

    Parameters
    ----------
    code
        What runs.
    batch
        How many images a step has.
    threads
        How many threads a job may have.
    memory
        That of another session of the same code whose batches are larger; its own where it is None.  Two
        sessions that share memory share their lock.
    images
        How many images a block has at most, as in `Memory`.
    """

    def __init__(
        self,
        code: Code,
        batch: int,
        threads: int,
        larger: Session | None = None,
        images: int | None = None,
    ):
        self.code, self.batch, self.threads = code, batch, threads
        layout = code.layout
        self.lock = threading.Lock() if larger is None else larger.lock
        self.memory = memory = Memory(layout, batch, threads, images) if larger is None else larger.memory
        self.order = np.arange(batch, dtype=np.int64)
        self.weights = aligned(_padded(memory.capacity))
        self.weights[:batch] = np.float32(1) / np.float32(batch)
        self.pace = Pace(layout.terms * batch, threads)
        self.words = words = np.zeros(len(Word), np.int64)
        words[Word.BATCH] = batch
        words[Word.IMAGES] = memory.images
        words[Word.CAPACITY] = memory.capacity
        words[Word.SHARDS] = shards_of(batch, layout.together)
        words[Word.BLOCK_MEMORY] = memory.block.ctypes.data
        words[Word.BLOCK_STRIDE] = memory.block_stride
        words[Word.BATCH_MEMORY] = memory.batch.ctypes.data
        words[Word.SHARD_MEMORY] = memory.shard.ctypes.data
        words[Word.SHARED_MEMORY] = memory.shared.ctypes.data
        words[Word.WEIGHTS] = self.weights.ctypes.data
        words[Word.ORDER] = self.order.ctypes.data
        words[Word.YIELD], words[Word.SLEEP] = _waiting()
        self._job: Job | None = None

    def job(self) -> Job:
        """A context of its own."""
        return Job(self)

    def run(self, steps: int = 1, **arrays: Any) -> int:
        """Run steps; the number of those that were finished.

        Parameters
        ----------
        steps
            How many.
        arrays
            By the words of the context: arrays, or numbers.
        """
        with self.lock:
            if self._job is None:
                self._job = Job(self)
            self._job.set(**arrays)
            return self._job.run(steps)


class Job:
    """A session's context with what one kind of job reads and writes.

    Whoever runs it holds the session's lock.
    """

    def __init__(self, session: Session):
        self.session = session
        self.words = session.words.copy()
        self.context = session.words.copy()
        self.address = self.context.ctypes.data
        self.stop = np.zeros(1, np.int32)
        self._barrier = np.zeros(1, np.int64)
        self.slots = np.zeros(SLOTS, np.int64)
        self.words[Word.STOP] = self.stop.ctypes.data
        self.words[Word.BARRIER] = self._barrier.ctypes.data
        self.words[_SLOTS] = self.slots.ctypes.data
        self._entry = _ENTRY(session.code.address)
        self._held: dict[str, Any] = {}

    def set(self, **arrays: Any) -> None:
        """Write words of the context: addresses of arrays, or numbers.

        They hold from the next run on, and the arrays are kept until they are replaced.
        """
        for word, value in arrays.items():
            if isinstance(value, np.ndarray):
                self._held[word] = value
                self.words[_WORDS[word]] = value.ctypes.data
            else:
                self.words[_WORDS[word]] = value

    @property
    def steps_made(self) -> int:
        """The number of the first step of the last run, and the steps that it has finished so far.

        It is right at any moment, also while `run` is interrupted.
        """
        return int(self.context[_FIRST]) + int(self.context[_DONE])

    def run(self, steps: int = 1) -> int:
        """Run steps on as many threads as is fastest; the number of those that were finished."""
        pace = self.session.pace
        threads = pace.threads()
        started = perf_counter()
        done = self.run_on(threads, steps, pace.seconds(threads, steps) < _BRIEF)
        if done == steps:
            pace.note(threads, steps, perf_counter() - started)
        return done

    def run_on(self, threads: int, steps: int, is_brief: bool) -> int:
        """Run steps on so many threads; a brief run of one thread is done by the thread that asks."""
        if len(self.slots) < steps * SLOTS:
            self.slots = np.zeros(steps * SLOTS, np.int64)
        else:
            self.slots[: steps * SLOTS] = 0
        self.stop[0] = self._barrier[0] = 0
        words = self.words
        words[_SLOTS] = self.slots.ctypes.data
        words[_STEPS], words[_THREADS] = steps, threads
        # in one stroke, so that an interrupt finds the last run's context or this one's
        self.context[:] = words
        if threads == 1 and is_brief:
            self._entry(self.address, 0)
        else:
            shared().run(self.session.code.address, self.address, threads, self.stop)
        return int(self.context[_DONE])


class Still(Job):
    """A job of a small batch: what it reads and writes are arrays of its own, always the same.

    Parameters
    ----------
    session
        For code that only gives the output.
    inputs, outputs
        The shapes of a batch.
    """

    def __init__(self, session: Session, inputs: tuple[int, ...], outputs: tuple[int, ...]):
        super().__init__(session)
        self.x, self.y = np.zeros(inputs, np.float32), np.zeros(outputs, np.float32)
        self.set(x=self.x, outputs=self.y)

    def ready(self) -> None:
        """Take the words that were set over into the context."""
        self.words[_STEPS] = self.words[_THREADS] = 1
        self.context[:] = self.words

    def outputs(self, x: Array) -> Array:
        """What comes out for a batch, on the thread that asks."""
        self.x[...] = x
        self.slots.fill(0)
        self._entry(self.address, 0)
        return self.y.copy()


class Pace:
    """How long steps take with one thread and with all, and so how many threads are the faster.

    Parameters
    ----------
    terms
        Multiply-adds of a step.
    most
        How many threads there are at most.
    """

    def __init__(self, terms: int, most: int):
        self.terms, self.most = terms, most
        self.best: dict[int, float] = {}
        self.last: dict[int, float] = {}
        self.turns = 0
        self.chosen = 1 if most == 1 or terms < _SLIGHT else most if terms > _RACED * 1e11 else None

    def threads(self) -> int:
        """How many threads the next run shall have."""
        if self.chosen is not None:
            return self.chosen
        return 1 if self.turns % 2 == 0 else self.most

    def seconds(self, threads: int, steps: int) -> float:
        """How long so many steps take, as far as is known."""
        return steps * self.last.get(threads, self.terms / _TERMS)

    def note(self, threads: int, steps: int, seconds: float) -> None:
        """Take down how long a run took."""
        each = seconds / steps
        self.last[threads] = each
        if self.chosen is not None:
            return
        self.turns += 1
        if self.turns > 2:  # the first run of each meets memory that was never touched
            self.best[threads] = min(each, self.best.get(threads, each))
        if self.turns >= 8 or (self.turns > 2 and each > _RACED):
            one, all_ = self.best.get(1, 1e9), self.best.get(self.most, 1e9)
            self.chosen = 1 if one <= all_ and self.turns >= 8 else self.most


@cache
def _waiting() -> tuple[int, int]:
    """The addresses of what yields the processor and of what sleeps for some microseconds; 0 for none."""
    try:
        library = ctypes.CDLL(None)
        return tuple(  # type: ignore[return-value]
            ctypes.cast(function, ctypes.c_void_p).value or 0
            for function in (library.sched_yield, library.usleep)
        )
    except (OSError, AttributeError, TypeError):
        return 0, 0
