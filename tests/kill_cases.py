"""Trainings that are killed and go on, and the process that runs one.

``python kill_cases.py CASE FOLDER`` trains one with its checkpoints in FOLDER, goes on from those that are
there, and leaves in ``FOLDER/result.npz`` everything that must not depend on how often it was killed.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import closedform as cf
from closedform.training.checkpoint import newest

SHAPE = (1, 8, 8)
CLASSES = 4
READY = "ready"


@dataclass(frozen=True)
class Case:
    """A training: what differs from plain descent, as `Network` and `Network.fit` are given it.

    Attributes
    ----------
    width
        Of a dense layer: what makes a checkpoint large.
    seconds
        Between checkpoints.
    callbacks
        Made for a folder.
    is_mapped
        Whether the inputs are bytes in a file.
    """

    name: str
    engine: str = "compiled"
    threads: int = 1
    width: int = 0
    dropout: float = 0.0
    count: int = 60
    seconds: float = 0.0
    settings: dict = field(default_factory=dict)
    callbacks: object = None
    is_mapped: bool = False

    def network(self):
        """Untrained."""
        hidden = [cf.Dense(self.width), cf.ReLU()] if self.width else []
        drop = [cf.Dropout(self.dropout)] if self.dropout else []
        first = [cf.Conv2d(3, 3, padding=1), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten()]
        layers = [*first, *hidden, *drop, cf.Dense(CLASSES)]
        return cf.Network(
            layers, SHAPE, cf.SoftmaxCrossEntropy(), seed=7, engine=self.engine, threads=self.threads
        )

    def trained(self, folder, checkpoint):
        """The network and its history."""
        x, y = examples(1, self.count)
        if self.is_mapped:
            x = mapped(folder, x)
        net = self.network()
        words = {"epochs": 12, "batch_size": 8, "optimizer": cf.SGD(0.05), "verbose": 0, **self.settings}
        if self.callbacks is not None:
            words["callbacks"] = self.callbacks(folder)
        if checkpoint is not None:
            words |= {"checkpoint": checkpoint, "checkpoint_seconds": self.seconds, "resume": True}
        return net, net.fit(x, y, validation_data=examples(2, 20), **words)


def examples(seed, count):
    """Inputs, and labels that can be learned from them in part."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, *SHAPE)).astype(np.float32)
    return x, x.reshape(count, CLASSES, -1).sum(2).argmax(1)


def mapped(folder, x):
    """The inputs as bytes in a file."""
    path = folder / "x.npy"
    np.save(path, np.clip(x * 40 + 128, 0, 255).astype(np.uint8))
    return np.load(path, mmap_mode="r")


def stopping(folder):
    """Stops before the last epoch, and takes back the best weights."""
    return [
        cf.EarlyStopping("val_loss", patience=3, restore_best_weights=True),
        cf.ReduceLROnPlateau("val_loss", factor=0.5, patience=1),
    ]


def writing(folder):
    """Files of its own."""
    best = cf.ModelCheckpoint(folder / "best.safetensors", save_best_only=True)
    return [cf.CSVLogger(folder / "figures.csv"), best]


CASES = {
    case.name: case
    for case in [
        Case("momentum", settings={"optimizer": cf.SGD(0.05, momentum=0.9)}),
        Case(
            "nesterov, one cycle, clipped",
            settings={
                "optimizer": cf.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
                "schedule": cf.OneCycle(),
                "clip_norm": 0.5,
            },
        ),
        Case(
            "adam, dropout, augmented",
            dropout=0.3,
            settings={"optimizer": cf.Adam(1e-2), "augment": cf.Augmentation(crop=1, flip=True, cutout=2)},
        ),
        Case(
            "adamw, cosine begun anew, standardised, 2 threads",
            threads=2,
            width=64,
            settings={
                "optimizer": cf.AdamW(1e-2),
                "schedule": cf.Restarts(cf.Cosine(), (2,)),
                "standardize": True,
            },
        ),
        Case(
            "stopped early, best weights, plateau",
            dropout=0.2,
            settings={"epochs": 40, "optimizer": cf.Adam(2e-2)},
            callbacks=stopping,
        ),
        Case(
            "class weights, smoothed, warm-up",
            settings={
                "class_weight": {0: 2.0, 3: 0.5},
                "label_smoothing": 0.1,
                "schedule": cf.WarmUp(2, then=cf.StepDecay(0.5, epochs=3)),
            },
        ),
        Case(
            "large checkpoint, adam, 2 threads",
            threads=2,
            width=6000,
            settings={"epochs": 6, "optimizer": cf.Adam(1e-3)},
        ),
        Case(
            "large checkpoint, seldom",
            width=6000,
            seconds=0.05,
            count=600,
            settings={"epochs": 10, "optimizer": cf.AdamW(1e-3), "schedule": cf.InverseDecay(1e-2, 0.75)},
        ),
        Case(
            "each epoch, 2 threads",
            threads=2,
            width=256,
            count=1000,
            seconds=1e9,
            dropout=0.5,
            settings={
                "epochs": 30,
                "batch_size": 16,
                "optimizer": cf.Adam(1e-3),
                "augment": cf.Augmentation(shift=1),
            },
        ),
        Case(
            "weighted examples, files of callbacks",
            settings={"sample_weight": np.linspace(0, 2, 60), "optimizer": cf.SGD(0.05, momentum=0.5)},
            callbacks=writing,
        ),
        Case(
            "bytes in a file, standardised",
            is_mapped=True,
            settings={"standardize": True, "augment": cf.Augmentation(shift=2), "optimizer": cf.Adam(1e-2)},
        ),
        Case(
            "reference, adam, dropout, one cycle",
            engine="reference",
            dropout=0.3,
            settings={"optimizer": cf.Adam(1e-2), "schedule": cf.OneCycle()},
        ),
        Case(
            "reference, momentum, augmented, stopped early",
            engine="reference",
            settings={
                "epochs": 40,
                "optimizer": cf.SGD(0.05, momentum=0.9),
                "augment": cf.Augmentation(flip=True),
                "clip_norm": 1.0,
            },
            callbacks=stopping,
        ),
    ]
}


def result(net, history, checkpoint=None):
    """What must not depend on how often a training was killed."""
    found = {f"parameters.{key}": np.array(array) for key, array in net.parameters.items()}
    found["predictions"] = net.predict(examples(3, 30)[0])
    figures = {"epochs": history.epoch, **history.history}
    if checkpoint is not None:  # the optimiser's averages, the clock, what callbacks remember
        last = newest(checkpoint)
        found |= {f"checkpoint.{name}": array for name, array in last.arrays.items()}
        kept = {key: value for key, value in last.meta.items() if key not in ("settings", "history")}
        figures["checkpoint"] = kept
    found["figures"] = np.frombuffer(json.dumps(figures, sort_keys=True).encode(), np.uint8)
    return found


def main(name, folder):
    """Train, going on from what is there."""
    case, folder = CASES[name], Path(folder)
    print(READY, flush=True)
    net, history = case.trained(folder, folder / "checkpoint")
    np.savez(folder / "result.npz", **result(net, history, folder / "checkpoint"))


if __name__ == "__main__":
    main(*sys.argv[1:])
