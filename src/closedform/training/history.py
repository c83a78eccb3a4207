"""What a training reports, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """The figures of each epoch, under Keras's keys.

    Attributes
    ----------
    history
        ``{"loss": [...], "accuracy": [...], "val_loss": [...], "val_accuracy": [...]}``, one number for each
        epoch.  ``loss`` and ``accuracy`` are means over the epoch while the weights move.
    epoch
        The epochs, counted from 0.
    seconds
        How long each epoch took, in seconds of wall-clock time.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def append(self, figures: dict[str, float], seconds: float) -> None:
        """Add an epoch.

        Parameters
        ----------
        figures : dict of float
            The epoch's numbers by key, as in `history`.
        seconds : float
            How long it took, in seconds.
        """
        self.epoch.append(len(self.epoch))
        self.seconds.append(seconds)
        for key, value in figures.items():
            self.history.setdefault(key, []).append(value)

    def __getitem__(self, key: str) -> list[float]:
        return self.history[key]
