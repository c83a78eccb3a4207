"""What `time_to_accuracy.py` trains: the same network, optimiser, schedule and batches on both sides."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import closedform as cf

DEFAULT_FOLDER = "../shared/data"


@dataclass(frozen=True)
class Task:
    """A training to an accuracy.

    Attributes
    ----------
    folder
        Where below the folder of data its set lies.
    net
        The name of the network, one of `closedform.bench.networks.NAMES`.
    bar
        The accuracy on the test set that is wanted.
    ratio
        How often as fast as PyTorch the bar is to be reached.
    epochs
        In how many epochs; the schedule goes over as many.
    weight_decay
        As in `torch.optim.SGD`, of all parameters.
    augmentation
        Images are moved by up to so many pixels, the edge repeated, and mirrored.
    ends_at_bar
        Whether a run ends with the epoch that reaches the bar.
    """

    folder: str
    net: str
    bar: float
    ratio: float
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warm_up: float = 0.15
    label_smoothing: float = 0.0
    augmentation: cf.Augmentation | None = None
    ends_at_bar: bool = False

    def is_done(self, accuracy: float) -> bool:
        """Whether a run ends with the epoch that reached this accuracy."""
        return self.ends_at_bar and accuracy >= self.bar

    @property
    def schedule(self) -> cf.OneCycle:
        """How the learning rate goes."""
        return cf.OneCycle(warm_up=self.warm_up)

    @property
    def optimizer(self) -> cf.SGD:
        """The update rule, in closedform."""
        return cf.SGD(self.learning_rate, self.momentum, nesterov=True, weight_decay=self.weight_decay)


TASKS = {
    "mnist": Task("mnist", "pair", 0.99, 2.0, 3, batch_size=64, learning_rate=0.05),
    "fashion": Task("fashion-mnist", "pair", 0.90, 2.0, 4, batch_size=64, learning_rate=0.05),
    "cifar10": Task(
        "cifar10",
        "vgg",
        0.80,
        1.0,
        12,
        batch_size=128,
        learning_rate=0.05,
        warm_up=0.25,
        augmentation=cf.Augmentation(shift=3, flip=True),
    ),
}


@dataclass
class Watch:
    """Seconds of one run, from the beginning of the reading of data.

    Attributes
    ----------
    read
        Until the images were in memory.
    epochs
        Until the end of each epoch, the evaluation of the test set included.
    accuracies
        Those on the test set after each epoch.
    """

    begun: float = field(default_factory=time.monotonic)
    read: float = 0.0
    epochs: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def data_are_read(self) -> None:
        """Note that the images are in memory."""
        self.read = time.monotonic() - self.begun

    def epoch_has_ended(self, accuracy: float) -> None:
        """Note the accuracy that the epoch has reached."""
        self.epochs.append(time.monotonic() - self.begun)
        self.accuracies.append(accuracy)
