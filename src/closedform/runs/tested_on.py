"""That a run is tested on, and shown with, the images that it was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closedform.errors import DataError, FileError
from closedform.runs.evaluate import listed
from closedform.runs.examples import Examples
from closedform.training.callbacks import Callback
from closedform.training.fingerprint import fingerprint_of

TESTED_ON = "tested_on"
"""Under what name checkpoints and results keep which images those are."""


def check_tested_on(examples: Examples, results: Mapping[str, Any], folder: Path) -> None:
    """See that a finished run would be tested on what it was tested on.

    Raises
    ------
    FileError
        Where the images or their classes are others.
    """
    data, count = examples.data, len(examples.test[1])
    are_same = list(data.classes) == results.get("classes") and count == results.get("test_examples")
    if not are_same:
        found = f"it has {count} images to test on, and the classes {listed(data.classes)}"
    elif results.get(TESTED_ON) not in (None, fingerprint_of(*examples.test)):
        found = "its images to test on are others"
    else:
        return
    raise FileError(
        f"{folder}: {data.source} is not what the run was tested on, {found}: put back what was there, or "
        f"name the run's own data with --data PATH"
    )


class TestedOn(Callback):
    """Keeps in the checkpoints what the images to test on are.

    Parameters
    ----------
    examples
        The images of the run.
    """

    def __init__(self, examples: Examples):
        self.source = examples.data.source
        self.fingerprint = self.before = fingerprint_of(*examples.test)

    def check(self) -> None:
        """See that they are those of the checkpoint that the training went on from.

        Raises
        ------
        DataError
            Where they are others.
        """
        if self.fingerprint != self.before:
            raise DataError(
                f"{self.source}: the images to test on are not those that the run was begun with: put back "
                f"what was there, or begin anew in another folder with --out"
            )

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """The checkpoint, if there is one, has been taken over."""
        self.check()

    def state(self) -> dict[str, Any]:
        """The images, by a short text."""
        return {TESTED_ON: self.fingerprint}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take down what they were."""
        self.before = str(state[TESTED_ON])
