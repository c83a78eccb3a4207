"""How long a run has taken, in all its parts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from closedform.training.callbacks import Callback


class RunClock(Callback):
    """Counts the seconds of a run; a training that goes on goes on counting from its checkpoint.

    Parameters
    ----------
    started
        When this part of the run began, as `time.perf_counter` counts.
    """

    def __init__(self, started: float):
        self.started, self.before = started, 0.0

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
