"""Ctrl-C during a training that is kept: the first asks for an end, the second ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = ("SIGINT", "SIGTERM")


class Interrupted(KeyboardInterrupt):
    """A training that was interrupted, after what was done has been saved.

    Attributes
    ----------
    epoch, step, steps
        How many epochs are done, how many steps of the next one, and how many steps an epoch has.
    checkpoint
        What was saved; None where there was nothing that is worth it.
    """

    def __init__(self, epoch: int, step: int, steps: int, checkpoint: Path | None):
        self.epoch, self.step, self.steps, self.checkpoint = epoch, step, steps, checkpoint
        where = f"in epoch {epoch + 1}, after {step} of {steps} steps"
        if not step:
            where = f"after epoch {epoch}" if epoch else "before the first step"
        held = "nothing was saved" if checkpoint is None else f"{checkpoint} holds it: go on with resume=True"
        super().__init__(f"stopped {where}; {held}")


class Interrupts:
    """While it is entered, the first interrupt is taken down and not raised.

    Only the main thread hears of interrupts, and a handler of somebody else's is left alone.

    Parameters
    ----------
    stop
        Called when an interrupt comes.
    is_wanted
        Whether anything is done at all.

    Attributes
    ----------
    came
        Whether an interrupt came.
    """

    def __init__(self, stop: Callable[[], None], *, is_wanted: bool):
        self._stop, self._is_wanted = stop, is_wanted
        self.came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if not self._is_wanted or threading.current_thread() is not threading.main_thread():
            return self
        for name in _SIGNALS:
            number: signal.Signals = getattr(signal, name)
            handler = signal.getsignal(number)
            if handler in (signal.default_int_handler, signal.SIG_DFL):
                self._before[number] = handler
                signal.signal(number, self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _first(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        for each in self._before:
            signal.signal(each, _second)
        self._stop()


def _second(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
