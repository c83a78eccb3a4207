"""The threads of the compiled engine: how many there are, and who runs native code on them.

A job is a native function `void entry(int64_t *context, int64_t thread)` that all of its threads enter
at once.  Its workers are ordinary Python threads which leave the interpreter while they are inside.
The thread that asks for a job waits in Python, where an interrupt reaches it.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from closedform.errors import SettingError

VARIABLE = "CLOSEDFORM_THREADS"

# seconds: how often a waiting thread looks up, and how long the interpreter's exit waits for a stopped job
GLANCE = 0.05
PATIENCE = 2.0

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


def thread_count(threads: int | None = None) -> int:
    """How many threads to use: the argument, else CLOSEDFORM_THREADS, else what the process may use.

    That is the number of processors it may run on, or less where its container has a quota.

    Raises
    ------
    SettingError
        Where the argument or the variable is no whole number from 1.
    """
    if threads is not None:
        if not isinstance(threads, int | np.integer) or isinstance(threads, bool) or threads < 1:
            raise SettingError(f"threads must be a whole number from 1, got {threads!r}")
        return int(threads)
    text = os.environ.get(VARIABLE)
    if text is not None:
        count = positive_number(text.strip())
        if count is None:
            raise SettingError(f"{VARIABLE} must be a whole number from 1, got {text!r}")
        return count
    processors = _processors()
    limit = quota()
    return processors if limit is None else min(processors, limit)


def quota(own: Path = Path("/proc/self/cgroup"), folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """How many processors the container grants this process, rounded up; None without a limit.

    Parameters
    ----------
    own : Path
        The file that names the control groups of the process.
    folder : Path
        Where control groups are mounted, of version 2, of version 1, or of both.
    """
    limits = []
    for line in text_of(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for group in folders_upwards([folder, folder / "unified"], path):
                amount, _, period = text_of(group / "cpu.max").strip().partition(" ")
                limits.append(_processors_of(amount, period))
        elif "cpu" in controllers.split(","):
            for group in folders_upwards([folder / controllers, folder / "cpu"], path):
                amount, period = (
                    text_of(group / f"cpu.cfs_{word}_us").strip() for word in ("quota", "period")
                )
                limits.append(_processors_of(amount, period))
    return min((limit for limit in limits if limit is not None), default=None)


class Workers:
    """Threads that run native jobs, each job on as many of them as it asks for.

    They are started when a job first needs them, sleep between jobs, and end with this object.  Any
    thread may ask for a job; jobs are served in the order in which they came.  The child of a fork
    starts workers of its own.
    """

    def __init__(self) -> None:
        self._begin()
        _everyone.add(self)

    def _begin(self) -> None:
        self._growing = threading.Lock()
        self._queues: list[SimpleQueue[_Job | None]] = []
        self._jobs: set[_Job] = set()

    def __del__(self) -> None:
        for queue in self._queues:
            queue.put(None)

    def run(
        self,
        address: int,
        context: int,
        threads: int,
        stop: NDArray[np.int32],
        short: bool = False,
        poll: Callable[[], None] | None = None,
    ) -> None:
        """Call the native function from all threads at once, and wait until every call has come back.

        Whatever is raised meanwhile, an interrupt above all, first sets the stop flag and waits for the
        calls to come back; what they write to must live until then, and does.

        Parameters
        ----------
        address : int
            Of a function `void entry(int64_t *context, int64_t thread)`.
        context : int
            The address handed to every call; each gets its own number from 0 as the second argument.
        threads : int
            How many calls there are.  All are under way together, so they may wait for each other.
        stop : NDArray[np.int32]
            Its first entry becomes 1 when the calls shall come back early.  It is never cleared here.
        short : bool
            For a job of less than a millisecond: one call, as thread 0, on the thread that asks.  The
            context must say that there is one thread.
        poll : callable, optional
            Called by the waiting thread about every 50 ms.

        Raises
        ------
        SettingError
            Where the system refuses to start that many threads.
        SystemExit
            In a daemon thread, where the interpreter ends before the job does.
        """
        entry = _ENTRY(address)
        if short:
            entry(context, 0)
            return
        if len(self._queues) < threads:
            self._grow(threads)
        job = _Job(entry, context, threads, stop)
        try:
            self._jobs.add(job)
            _leave_with_interpreter()
            self._queues[0].put(job)
            job.wait(poll)
        except BaseException:
            job.call_off()
            raise
        finally:
            self._jobs.discard(job)
        _leave_with_interpreter()
        if job.failure is not None:
            raise job.failure

    def _grow(self, threads: int) -> None:
        with self._growing:
            while len(self._queues) < threads:
                number, queue = len(self._queues), SimpleQueue[_Job | None]()
                worker = threading.Thread(
                    target=_serve,
                    args=(number, queue, self._queues),
                    name=f"closedform-{number}",
                    daemon=True,
                )
                try:
                    worker.start()
                except RuntimeError as error:
                    raise SettingError(
                        f"threads={threads}: the system starts no more than {number} ({error}); use fewer"
                    ) from None
                except BaseException:
                    # interrupted, perhaps after the thread came to life: nobody will send it a job
                    queue.put(None)
                    raise
                self._queues.append(queue)

    def _abandon(self, deadline: float) -> None:
        for job in list(self._jobs):
            job.stop[0] = 1
            while not job.finished and time.monotonic() < deadline:
                time.sleep(0.001)


class _Job:
    """One native function, to be entered by several workers at once.

    Worker t wakes workers 2t+1 and 2t+2, so putting a job into the first worker's queue starts all of
    it: an interrupt never leaves it half started.  And as jobs go down the same tree of queues, every
    worker meets them in the same order, so that two jobs never wait for each other's workers.
    """

    def __init__(
        self, entry: Callable[[int, int], None], context: int, threads: int, stop: NDArray[np.int32]
    ) -> None:
        self.entry, self.context, self.threads, self.stop = entry, context, threads, stop
        self.taken = threading.Lock()
        self.counting = threading.Lock()
        self.missing = threads
        self.finished = False
        self.failure: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def work(self, number: int, queues: list[SimpleQueue[_Job | None]]) -> None:
        """Do a worker's part."""
        if number == 0 and not self.taken.acquire(blocking=False):
            return
        for child in (2 * number + 1, 2 * number + 2):
            if child < self.threads:
                queues[child].put(self)
        try:
            self.entry(self.context, number)
        except BaseException as failure:
            self.failure = failure
            self.stop[0] = 1
        with self.counting:
            self.missing -= 1
            last = self.missing == 0
        if last:
            self.finished = True
            self.done.release()

    def wait(self, poll: Callable[[], None] | None) -> None:
        """Until the last worker is back."""
        while not self.done.acquire(timeout=GLANCE):
            if poll is not None:
                poll()

    def call_off(self) -> None:
        """Stop, and wait for every worker that has begun, whatever else is raised meanwhile."""
        self.stop[0] = 1
        if self.taken.acquire(blocking=False):
            return
        later = None
        while not self.finished:
            try:
                # finished is what counts: an interrupt may swallow that the lock was taken
                self.done.acquire(timeout=GLANCE)
            except BaseException as error:
                later = error
        if later is not None:
            raise later


def shared() -> Workers:
    """The workers of this process, the same for all networks."""
    return _shared


def _serve(number: int, own: SimpleQueue[_Job | None], queues: list[SimpleQueue[_Job | None]]) -> None:
    while (job := own.get()) is not None:
        job.work(number, queues)
        # an idle worker keeps no finished job, nor what belongs to it
        del job


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def folders_upwards(folders: list[Path], path: str) -> Iterator[Path]:
    """A group and those around it; in a container the path may be the host's, and only the top is there."""
    names = [name for name in path.split("/") if name]
    if ".." in names or len(names) > 100:
        names = []
    for folder in folders:
        for depth in range(len(names), -1, -1):
            yield folder.joinpath(*names[:depth])


def _processors_of(amount: str, period: str) -> int | None:
    time_granted, time_passed = positive_number(amount), positive_number(period)
    if time_granted is None or time_passed is None:
        return None
    return -(-time_granted // time_passed)


def positive_number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        return None
    return int(text) or None


def text_of(path: Path) -> str:
    """The beginning of a small file; nothing where it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(1 << 16).decode("ascii", "replace")
    except (OSError, ValueError):
        return ""


def _leave_with_interpreter() -> None:
    # what ends a thread without a word; only the thread that runs the exit handlers may go on
    if _ending not in (None, threading.get_ident()):
        raise SystemExit


def _at_exit() -> None:
    global _ending
    _ending = threading.get_ident()
    deadline = time.monotonic() + PATIENCE
    for workers in list(_everyone):
        workers._abandon(deadline)


def _after_fork() -> None:
    # the child has none of its parent's workers, and locks may be held by threads that are gone
    for workers in list(_everyone):
        workers._begin()


_ending: int | None = None
_everyone: weakref.WeakSet[Workers] = weakref.WeakSet()
_shared = Workers()
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
