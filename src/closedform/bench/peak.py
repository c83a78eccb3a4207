"""The processor's arithmetic peak: multiply-adds on registers, nothing else.

The loop has more independent sums than the latency times the issue rate of any current core, at the
widest vectors that the machine can run, and touches no memory.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from closedform.engine.jit import Library, Target, compile_ir, host, widths


@dataclass(frozen=True)
class Peak:
    """GFLOP/s of float32 multiply-adds, of one thread and of two at once."""

    lanes: int
    one: float
    two: float


class Loop:
    """A compiled loop of multiply-adds with so many independent sums."""

    def __init__(self, target: Target, sums: int):
        self.target, self.sums = target, sums

    def __call__(self, rounds: int) -> None:
        """Run that many rounds; other Python threads go on meanwhile."""
        lanes = self.target.lanes
        # below 1, so that every sum stays near 1: neither infinite nor denormal
        self._numbers[:] = [0.1 + 0.7 * lane / lanes for lane in range(lanes)]
        _compiled(self.target, self.sums)[0](rounds, self._numbers)

    def operations(self, rounds: int) -> int:
        """What so many rounds compute."""
        return 2 * self.target.lanes * self.sums * rounds

    @cached_property
    def _numbers(self) -> Any:
        return (ctypes.c_float * self.target.lanes)()


@cache
def _compiled(target: Target, sums: int) -> tuple[Callable[[int, Any], None], Library]:
    library = Library(compile_ir(_text(target, sums), target), target)
    signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.POINTER(ctypes.c_float))
    return signature(library.address("multiply_add")), library  # the code lives as long as the library


def _text(target: Target, sums: int) -> str:
    vector, each = f"<{target.lanes} x float>", range(sums)
    fma = f"@llvm.fma.v{target.lanes}f32"

    def step(k: int) -> str:
        if target.has_fma:
            return f"  %t{k} = call {vector} {fma}({vector} %s{k}, {vector} %factor, {vector} %start)"
        return f"  %m{k} = fmul {vector} %s{k}, %factor\n  %t{k} = fadd {vector} %m{k}, %start"

    # the factors come from memory, so that nothing is computed ahead
    phis = [f"  %s{k} = phi {vector} [ %start, %entry ], [ %t{k}, %round ]" for k in each]
    folds = [f"  %f{k} = fadd {vector} {f'%f{k - 1}' if k else '%start'}, %t{k}" for k in each]
    return "\n".join(
        [
            f'target triple = "{target.triple}"',
            f"declare {vector} {fma}({vector}, {vector}, {vector})",
            f"define void @multiply_add(i64 %rounds, ptr %numbers) {target.attributes} {{",
            "entry:",
            f"  %start = load {vector}, ptr %numbers, align 4",
            f"  %factor = fmul {vector} %start, %start",
            "  br label %round",
            "round:",
            "  %i = phi i64 [ 0, %entry ], [ %next, %round ]",
            *phis,
            *map(step, each),
            "  %next = add i64 %i, 1",
            "  %more = icmp slt i64 %next, %rounds",
            "  br i1 %more, label %round, label %done",
            "done:",
            *folds,
            f"  store {vector} %f{sums - 1}, ptr %numbers, align 4",
            "  ret void",
            "}",
        ]
    )


class Gauge:
    """Measures the peak again and again, at the number of independent sums that is best here."""

    def __init__(self) -> None:
        self._target = host(widths()[0])
        choices = (16, 24) if self._target.registers >= 32 else (10, 12)
        self._sums = max(choices, key=lambda sums: max(self._rates(sums)))

    def _rates(self, sums: int) -> list[float]:
        return [_rate([Loop(self._target, sums)], 0.01) for _ in range(5)]

    def rate(self, threads: int, seconds: float = 0.02) -> float:
        """GFLOP/s of so many threads at once, for about so many seconds."""
        return _rate([Loop(self._target, self._sums) for _ in range(threads)], seconds)

    def measure(self, seconds: float = 0.1, tries: int = 7) -> Peak:
        """The best of several tries, of one thread and of two at once."""
        one, two = (max(self.rate(threads, seconds) for _ in range(tries)) for threads in (1, 2))
        return Peak(self._target.lanes, one, two)


def _rate(loops: list[Loop], seconds: float) -> float:
    rounds = 1 << 10
    while True:
        started = time.perf_counter()
        loops[0](rounds)
        elapsed = time.perf_counter() - started
        if elapsed > seconds / 8:
            break
        rounds *= 2
    rounds = max(1, int(rounds * seconds / elapsed))
    for loop in loops:
        loop(1)
    start = threading.Barrier(len(loops) + 1)

    def run(loop: Loop) -> None:
        start.wait()
        loop(rounds)

    threads = [threading.Thread(target=run, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    start.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    return sum(loop.operations(rounds) for loop in loops) / elapsed / 1e9
