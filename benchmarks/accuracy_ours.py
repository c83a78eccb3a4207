"""Our side of `time_to_accuracy.py`."""

from __future__ import annotations

from accuracy_tasks import Task, Watch

from closedform import Network, load_data  # here, so that importing is not in what is timed
from closedform.bench.networks import network
from closedform.training.callbacks import Callback


class Noting(Callback):
    """Notes when each epoch ends and what it has reached."""

    def __init__(self, watch: Watch, task: Task):
        self.watch, self.task = watch, task

    def on_epoch_end(self, epoch, logs=None):
        """See `Callback`."""
        self.watch.epoch_has_ended(logs["val_accuracy"])
        self.model.stop_training = self.task.is_done(logs["val_accuracy"])


def run(task: Task, folder: str, seed: int, threads: int) -> Watch:
    """Train by `Network.fit`, the test set evaluated after each epoch."""
    watch = Watch()
    data = load_data(folder)
    watch.data_are_read()
    net = Network.from_architecture(network(task.net), seed, threads=threads)
    net.fit(
        data.x_train,
        data.y_train,
        task.epochs,
        task.batch_size,
        task.optimizer,
        validation_data=(data.x_test, data.y_test),
        verbose=0,
        schedule=task.schedule,
        label_smoothing=task.label_smoothing,
        standardize=True,
        augment=task.augmentation,
        callbacks=[Noting(watch, task)],
    )
    return watch
