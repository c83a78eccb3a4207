"""Running compiled code: the memory that it works in, its context, and who calls it.

Memory and context are made once for a batch size; a job writes numbers into the context and calls the code.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import threading
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.engine.building import Code, Layout
from closedform.engine.context import SLOTS, Word
from closedform.engine.crew import crew
from closedform.engine.threads import shared

Array = NDArray[np.float32]
Numbers = NDArray[np.int64]

_MOST_SHARDS = 16
_SHARD_IMAGES = 4
# seconds: how long a call may keep the thread that asks for it from serving an interrupt, and what is too
# short for threads that sleep
_BRIEF = 0.06
_QUICK = 0.002
_PATIENCE = 0.0001  # seconds that a longer job waits for helpers to wake up
_TERMS = 2e9  # multiply-adds that a thread does in a second, at least as long as nothing has been timed
_SLIGHT = 1_000_000  # multiply-adds of a step that are done before a second thread is awake
_LARGE = 1 << 16  # entries of an array
_COPIED = 4096  # entries of a batch
_WORDS = {word.name.lower(): int(word) for word in Word}
_STEPS, _THREADS, _SLOTS = int(Word.STEPS), int(Word.THREADS), int(Word.SLOTS)
_YIELD = int(Word.YIELD)
_X, _OUTPUTS = int(Word.X), int(Word.OUTPUTS)
_DONE, _FIRST = int(Word.DONE), int(Word.FIRST_STEP)
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


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


def chunk_of(batch: int, shards: int, images: int, threads: int) -> int:
    """How many shards a thread takes at a time: as many as fill a block, if all threads get some."""
    chunk = 1
    while 2 * chunk * batch <= images * shards and 2 * chunk * threads <= shards:
        chunk *= 2
    return chunk


def aligned(count: int) -> Array:
    """Zeros that begin at a multiple of 64 bytes.

    Large ones are asked of the system, to which they go back as soon as nobody needs them; they never lie
    where something else was, so that a process grows by what was predicted.
    """
    if count >= _LARGE and hasattr(mmap, "MAP_PRIVATE"):
        try:
            place = mmap.mmap(-1, 4 * count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"{4 * count} bytes: {error.strerror}") from None
        return np.frombuffer(place, np.float32)
    raw = np.zeros(count + 16, np.float32)
    start = (-raw.ctypes.data // 4) % 16
    return raw[start : start + count]


def _padded(count: int) -> int:
    return -(-count // 16) * 16


def signed(seed: int) -> int:
    """A seed of 64 bits as the context holds it."""
    return seed - (1 << 64) if seed >> 63 else seed


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

    def __init__(self, layout: Layout, batch: int, threads: int, images: int | None = None):
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
    larger
        A session of the same code for larger batches, to share memory and lock with.
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
        self.lock: threading.Lock = threading.Lock() if larger is None else larger.lock
        self.memory: Memory = Memory(layout, batch, threads, images) if larger is None else larger.memory
        memory = self.memory
        self.order = np.arange(batch, dtype=np.int64)
        self.weights = aligned(_padded(memory.capacity))
        self.weights[:batch] = np.float32(1) / np.float32(batch)
        self.pace = Pace(layout.terms * batch, threads)
        self.words = words = np.zeros(len(Word), np.int64)
        words[Word.BATCH] = batch
        words[Word.IMAGES] = memory.images
        words[Word.CAPACITY] = memory.capacity
        words[Word.SHARDS] = shards = shards_of(batch, layout.together)
        words[Word.CHUNK] = chunk_of(batch, shards, memory.images, threads)
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

    def own_job(self) -> Job:
        """The one that single calls share; whoever uses it holds the lock."""
        if self._job is None:
            self._job = Job(self)
        return self._job

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
            job = self.own_job()
            job.set(**arrays)
            return job.run(steps)


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
        self.counts = np.zeros(2, np.int64)  # of those at the barrier, and of helpers that are done
        self._counter = self.counts[1:].ctypes.data
        self.slots = np.zeros(SLOTS, np.int64)
        self.words[Word.STOP] = self.stop.ctypes.data
        self.words[Word.BARRIER] = self.counts.ctypes.data
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

    def held(self, word: str) -> Array:
        """The array that was set for a word."""
        array: Array = self._held[word]
        return array

    def let_go(self) -> None:
        """Keep no array alive that was set."""
        self._held.clear()

    @property
    def steps_made(self) -> int:
        """The number of the first step of the last run, and the steps that it has finished so far.

        It is right at any moment, also while `run` is interrupted.
        """
        return int(self.context[_FIRST]) + int(self.context[_DONE])

    def forget(self) -> None:
        """Count the last run's steps as never made."""
        self.context[_FIRST] = self.context[_DONE] = 0

    def run(self, steps: int = 1) -> int:
        """Run steps; the number of those that were finished."""
        pace = self.session.pace
        threads, expected = pace.threads(), pace.seconds(steps)
        started = perf_counter()
        done = self.run_on(threads, steps, expected)
        if done == steps:
            pace.note(steps, perf_counter() - started)
        return done

    def run_on(self, threads: int, steps: int, expected: float) -> int:
        """Run steps on so many threads.

        What takes few milliseconds is done by the thread that asks, with helpers that are awake; else workers
        do it, and the thread that asks waits where an interrupt reaches it.
        """
        if len(self.slots) < steps * SLOTS:
            self.slots = np.zeros(steps * SLOTS, np.int64)
            self.words[_SLOTS] = self.slots.ctypes.data
        else:
            self.slots[: steps * SLOTS] = 0
        self.stop[0] = self.counts[0] = 0
        words = self.words
        words[_STEPS], words[_THREADS] = steps, threads
        # in one stroke, so that an interrupt finds the last run's context or this one's
        self.context[:] = words
        if threads == 1 and expected < _BRIEF:
            self._entry(self.address, 0)
        elif expected < _QUICK:
            counter, give_way = self._counter, int(words[_YIELD])
            patience = _PATIENCE if expected > _PATIENCE else 0.0
            crew().run(self.session.code.address, self.address, threads - 1, counter, give_way, patience)
        else:
            shared().run(self.session.code.address, self.address, threads, self.stop)
        return int(self.context[_DONE])


class Forward(Job):
    """The job that gives the outputs of a batch, made ready so that a call of some microseconds stays one.

    Parameters
    ----------
    session
        For code that only gives the output.
    parameters
        In the engine's layout.
    inputs, outputs
        The shapes of a batch.
    """

    def __init__(
        self, session: Session, parameters: Array, inputs: tuple[int, ...], outputs: tuple[int, ...]
    ):
        super().__init__(session)
        self.shape = outputs
        self.is_copied = math.prod(inputs) <= _COPIED and math.prod(outputs) <= _COPIED
        self.is_alone = session.pace.threads() == 1
        self.set(parameters=parameters)
        if self.is_copied:
            # to copy so little takes less than to ask where an array lies
            self.x, self.y = np.zeros(inputs, np.float32), np.zeros(outputs, np.float32)
            self.set(x=self.x, outputs=self.y)
        self.words[_STEPS] = self.words[_THREADS] = 1
        self.context[:] = self.words

    def outputs(self, x: Array) -> Array:
        """What comes out for a batch; whoever calls this holds the session's lock."""
        if self.is_copied:
            self.x[...] = x
            self._go()
            return self.y.copy()
        x = np.require(x, np.float32, ["C", "A"])
        result: Array = np.empty(self.shape, np.float32)
        self.words[_X] = self.context[_X] = x.ctypes.data
        self.words[_OUTPUTS] = self.context[_OUTPUTS] = result.ctypes.data
        self._go()
        return result

    def _go(self) -> None:
        if self.is_alone:
            self.slots.fill(0)
            self._entry(self.address, 0)
        else:
            self.run()


class Pace:
    """How many threads steps have, and how long they take.

    Parameters
    ----------
    terms
        Multiply-adds of a step.
    most
        How many threads there are at most.
    """

    def __init__(self, terms: int, most: int):
        self.most = most
        self.chosen = 1 if terms < _SLIGHT else most
        self.last = terms / _TERMS

    def threads(self) -> int:
        """How many threads a run has: what is over at once is not worth waking anybody."""
        return self.chosen

    def seconds(self, steps: int) -> float:
        """How long so many steps take, as far as is known."""
        return steps * self.last

    def note(self, steps: int, seconds: float) -> None:
        """Take down how long a run took."""
        self.last = seconds / steps


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
