"""Helpers for jobs that are over before a sleeping thread would have woken up.

A helper is an ordinary Python thread inside a native function, in which it waits for jobs on the spot, and
which it leaves to sleep in Python when none has come for some ten microseconds.  Who has a job takes the
helpers that are waiting, does the job with them, and calls those that sleep for the next one.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
from functools import cache
from queue import SimpleQueue

import numpy as np

from closedform.engine.context import Word
from closedform.engine.jit import Library, Target, compile_ir, host

_MOST = 63  # helpers: as many as fit into one word of bits
_TURNS = 4000
_BOX = 8  # int64 of a helper's own: a line of the cache
_AWAY, _WAITING, _GIVEN, _TAKEN = 0, 1, 2, 3

_LINGER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_WORK = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p,
    ctypes.c_int64,
)  # fmt: skip

# a box: state, entry, context, number, where finished helpers are counted
_TEXT = """
{declaration}

define void @linger(ptr %box, i64 %turns) {attributes} {{
entry:
  store atomic i64 {waiting}, ptr %box release, align 8
  br label %again
again:
  %left = phi i64 [ %turns, %entry ], [ %fewer, %rest ], [ %turns, %work ], [ %turns, %leave ]
  %state = load atomic i64, ptr %box acquire, align 8
  %is_given = icmp eq i64 %state, {given}
  br i1 %is_given, label %work, label %rest
work:
  %entry_place = getelementptr i64, ptr %box, i64 1
  %context_place = getelementptr i64, ptr %box, i64 2
  %number_place = getelementptr i64, ptr %box, i64 3
  %counter_place = getelementptr i64, ptr %box, i64 4
  %address = load i64, ptr %entry_place, align 8
  %context = load ptr, ptr %context_place, align 8
  %number = load i64, ptr %number_place, align 8
  %counter = load ptr, ptr %counter_place, align 8
  %function = inttoptr i64 %address to ptr
  call void %function(ptr %context, i64 %number)
  store atomic i64 {waiting}, ptr %box release, align 8
  %before = atomicrmw add ptr %counter, i64 1 seq_cst, align 8
  br label %again
rest:
  {pause}
  %fewer = sub i64 %left, 1
  %goes_on = icmp sgt i64 %fewer, 0
  br i1 %goes_on, label %again, label %leave
leave:
  %swapped = cmpxchg ptr %box, i64 {waiting}, i64 {away} seq_cst seq_cst, align 8
  %is_away = extractvalue {{ i64, i1 }} %swapped, 1
  br i1 %is_away, label %over, label %again
over:
  ret void
}}

define i64 @work(ptr %boxes, i64 %count, i64 %address, ptr %context, ptr %counter, i64 %yield) {attributes} {{
entry:
  store atomic i64 0, ptr %counter release, align 8
  br label %ask
ask:
  %k = phi i64 [ 0, %entry ], [ %k_next, %asked ]
  %got = phi i64 [ 1, %entry ], [ %got_next, %asked ]
  %mask = phi i64 [ 0, %entry ], [ %mask_next, %asked ]
  %is_one = icmp slt i64 %k, %count
  br i1 %is_one, label %try, label %start
try:
  %at = mul i64 %k, {box}
  %box = getelementptr i64, ptr %boxes, i64 %at
  %swapped = cmpxchg ptr %box, i64 {waiting}, i64 {taken} seq_cst seq_cst, align 8
  %is_taken = extractvalue {{ i64, i1 }} %swapped, 1
  br i1 %is_taken, label %tell, label %asked
tell:
  %entry_place = getelementptr i64, ptr %box, i64 1
  %context_place = getelementptr i64, ptr %box, i64 2
  %number_place = getelementptr i64, ptr %box, i64 3
  %counter_place = getelementptr i64, ptr %box, i64 4
  store i64 %address, ptr %entry_place, align 8
  store ptr %context, ptr %context_place, align 8
  store i64 %got, ptr %number_place, align 8
  store ptr %counter, ptr %counter_place, align 8
  br label %asked
asked:
  %one = zext i1 %is_taken to i64
  %bit = shl i64 %one, %k
  %mask_next = or i64 %mask, %bit
  %got_next = add i64 %got, %one
  %k_next = add i64 %k, 1
  br label %ask
start:
  %threads_place = getelementptr i64, ptr %context, i64 {threads}
  store i64 %got, ptr %threads_place, align 8
  br label %begin
begin:
  %b = phi i64 [ 0, %start ], [ %b_next, %begun ]
  %is_box = icmp slt i64 %b, %count
  br i1 %is_box, label %look, label %own
look:
  %shifted = lshr i64 %mask, %b
  %last = and i64 %shifted, 1
  %is_ours = icmp eq i64 %last, 1
  br i1 %is_ours, label %give, label %begun
give:
  %b_at = mul i64 %b, {box}
  %b_box = getelementptr i64, ptr %boxes, i64 %b_at
  store atomic i64 {given}, ptr %b_box release, align 8
  br label %begun
begun:
  %b_next = add i64 %b, 1
  br label %begin
own:
  %function = inttoptr i64 %address to ptr
  call void %function(ptr %context, i64 0)
  br label %wait
wait:
  %turn = phi i64 [ 0, %own ], [ %turn_next, %idle ]
  %finished = load atomic i64, ptr %counter acquire, align 8
  %all = add i64 %finished, 1
  %is_over = icmp sge i64 %all, %got
  br i1 %is_over, label %over, label %rest
rest:
  {pause}
  %turn_next = add i64 %turn, 1
  %few = and i64 %turn_next, 4095
  %is_long = icmp eq i64 %few, 0
  %is_known = icmp ne i64 %yield, 0
  %gives = and i1 %is_long, %is_known
  br i1 %gives, label %make_way, label %idle
make_way:
  %yield_function = inttoptr i64 %yield to ptr
  %ignored = call i32 %yield_function()
  br label %idle
idle:
  br label %wait
over:
  ret i64 %got
}}
"""


def text(target: Target) -> str:
    """The module of both functions."""
    family = target.triple.split("-")[0]
    declaration, pause = "", ""
    if family in ("x86_64", "amd64"):
        declaration, pause = "declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"
    elif family in ("aarch64", "arm64"):
        declaration, pause = "declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"
    return _TEXT.format(
        declaration=declaration,
        pause=pause,
        attributes="nounwind",
        away=_AWAY,
        waiting=_WAITING,
        given=_GIVEN,
        taken=_TAKEN,
        box=_BOX,
        threads=int(Word.THREADS),
    )


class Crew:
    """Helpers and whoever has jobs for them; any thread may, and each takes who is free.

    Parameters
    ----------
    turns
        How often a helper looks for a job before it sleeps.
    """

    def __init__(self, turns: int = _TURNS) -> None:
        target = host()
        self._turns = turns
        self._library = Library(compile_ir(text(target), target), target)
        self._linger = _LINGER(self._library.address("linger"))
        self._work = _WORK(self._library.address("work"))
        self._begin()
        _made.append(self)  # for good: its helpers never end

    def _begin(self) -> None:
        self._boxes = np.zeros((_MOST + 1) * _BOX, np.int64)
        start = (-self._boxes.ctypes.data // 8) % _BOX
        self.states = self._boxes[start : start + _MOST * _BOX : _BOX]
        self._address = self.states.ctypes.data
        self._queues: list[SimpleQueue[None]] = []
        self._is_called: list[bool] = []
        self._growing = threading.Lock()

    def run(
        self, entry: int, context: int, helpers: int, counter: int, give_way: int, patience: float = 0.0
    ) -> int:
        """Do a job with the helpers that are waiting, so many at most; how many threads had part in it.

        Parameters
        ----------
        entry
            The address of the job's function.
        context
            The address of its context, in which the number of threads is written here.
        helpers
            How many there may be besides the thread that calls this.
        counter
            The address of an int64 that only this job uses.
        give_way
            The address of what lets other processes run; 0 for nothing.
        patience
            Seconds that helpers who sleep are waited for: a job that is longer than they stay awake would
            never meet them otherwise.
        """
        helpers = min(helpers, _MOST)
        if len(self._queues) < helpers:
            self._grow(helpers)
        helpers = min(helpers, len(self._queues))
        self._call(helpers)
        if patience and not self.states[:helpers].all():
            deadline = time.perf_counter() + patience
            while not self.states[:helpers].all() and time.perf_counter() < deadline:
                time.sleep(0)  # they need the interpreter to wake up, and to fall asleep
                self._call(helpers)
        threads: int = self._work(self._address, helpers, entry, context, counter, give_way)
        return threads

    def _call(self, helpers: int) -> None:
        """Wake those that sleep."""
        called = self._is_called
        for number in range(helpers):
            if not called[number]:
                called[number] = True
                self._queues[number].put(None)

    def _grow(self, helpers: int) -> None:
        with self._growing:
            while len(self._queues) < helpers:
                number, queue = len(self._queues), SimpleQueue[None]()
                worker = threading.Thread(
                    target=self._serve, args=(number, queue), name=f"closedform-helper-{number}", daemon=True
                )
                try:
                    worker.start()
                except RuntimeError:
                    return  # who is there will do
                self._is_called.append(False)
                self._queues.append(queue)

    def _serve(self, number: int, queue: SimpleQueue[None]) -> None:
        called, box = self._is_called, self._address + 8 * _BOX * number
        while not _is_ending:
            queue.get()
            self._linger(box, self._turns)
            called[number] = False


@cache
def crew() -> Crew:
    """The helpers of this process."""
    return Crew()


def _at_exit() -> None:
    global _is_ending
    _is_ending = True
    deadline = time.monotonic() + 1.0
    for each in _made:
        # the code that they are in is about to be freed
        while each.states.any() and time.monotonic() < deadline:
            time.sleep(0.0005)


def _after_fork() -> None:
    for each in _made:
        each._begin()


_made: list[Crew] = []
_is_ending = False
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
