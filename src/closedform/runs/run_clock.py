"""How long a run has taken in all its parts, and when one of them begins for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from closedform.training.callbacks import Callback


class RunClock(Callback):
    """Counts the seconds of a run; a training that goes on goes on counting from its checkpoint.

    Parameters
    ----------
    started
        When this part of the run began, as `time.perf_counter` counts.
    begin
        Called when it is sure that the training can go on and that something is left to be done.

    Attributes
    ----------
    has_begun
        Whether that was so.
    """

    def __init__(self, started: float, begin: Callable[[], None] | None = None):
        self.started, self.begin, self.before = started, begin, 0.0
        self.has_begun = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """The checkpoint, if there is one, has been taken over."""
        self.has_begun = True
        if self.begin is not None:
            self.begin()

    @property
    def seconds(self) -> float:
        """The time in this part and in those before, up to their last checkpoints."""
        return self.before + time.perf_counter() - self.started

    def state(self) -> dict[str, Any]:
        """The seconds so far."""
        return {"seconds": self.seconds}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from so many."""
        self.before = float(state["seconds"])
