"""PyTorch's side of `time_to_accuracy.py`, written at the best that we know of.

The images of a set are decompressed by as many threads as there are files, and lie in memory: as float32,
standardised once, where they are not varied; as uint8 where they are, and then a batch is cut out of the
padded images by one indexing of a view of all windows.  No worker processes: what they would send costs more
than the batch.  The update is PyTorch's fused one.  The last, shorter batch of an epoch is run without the
compiler, which would otherwise compile everything again for it.
"""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accuracy_tasks import Task, Watch
from torch import Tensor, nn
from torch.nn import functional

_EVALUATION_BATCH = 512


def run(task: Task, folder: str, seed: int, threads: int, epochs: int, mode: str) -> Watch:
    """Train in a mode of `time_to_accuracy.MODES`, the test set evaluated after each epoch.

    `epochs` may be fewer than the task's; the schedule goes on as for all of them.
    """
    torch.set_num_threads(threads)
    watch = Watch()
    x_train, y_train, x_test, y_test = read(Path(folder))
    watch.data_are_read()
    torch.manual_seed(seed)
    memory = torch.channels_last if "channels last" in mode else torch.contiguous_format
    model = made(task.net).to(memory_format=memory)
    images = Images(x_train, task, memory)
    test = images.standardized(x_test).contiguous(memory_format=memory)
    trainer = Trainer(model, task, len(x_train), compiled=mode.startswith("compile"))
    for _ in range(epochs):
        model.train()
        for chosen in torch.randperm(len(x_train)).split(task.batch_size):
            trainer.step(images.batch(chosen), y_train[chosen])
        watch.epoch_has_ended(accuracy(model, test, y_test))
        if task.is_done(watch.accuracies[-1]):
            break
    return watch


# ---- reading


def read(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images (N, C, H, W) uint8 and labels of the training part, then those of the test part."""
    if (folder / "test_batch.bin.xz").exists():
        names = [path.name for path in sorted(folder.glob("data_batch_*.bin.xz"))] + ["test_batch.bin.xz"]
        *parts, test = _together(lzma.open, folder, names)
        return *_records(b"".join(parts)), *_records(test)
    names = [
        f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    ]
    x_train, y_train, x_test, y_test = _together(gzip.open, folder, names)
    return *_idx(x_train, y_train), *_idx(x_test, y_test)


def _together(opened: Callable[[Path], Any], folder: Path, names: list[str]) -> list[bytes]:
    def content(name: str) -> bytes:
        with opened(folder / name) as file:
            return file.read()

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(content, names))


def _idx(images: bytes, labels: bytes) -> tuple[Tensor, Tensor]:
    height, width = np.frombuffer(images, ">i4", 2, 8).tolist()
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, height, width)
    y = np.frombuffer(labels, np.uint8, offset=8)
    return torch.from_numpy(x.copy()), torch.from_numpy(y.astype(np.int64))


def _records(content: bytes) -> tuple[Tensor, Tensor]:
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    x = np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32)
    return torch.from_numpy(x), torch.from_numpy(records[:, 0].astype(np.int64))


# ---- batches


class Images:
    """The training images: standardised by their own mean, and varied if the task says so."""

    def __init__(self, x: Tensor, task: Task, memory: Any):
        self.memory, self.augmentation = memory, task.augmentation
        self.height, self.width = x.shape[2:]
        plain = x.to(torch.float32).div_(255)
        std, mean = torch.std_mean(plain, (0, 2, 3), correction=0)
        self.scale = (1 / (255 * std)).view(-1, 1, 1)
        self.offset = (-mean / std).view(-1, 1, 1)
        if self.augmentation is None:
            self.plain = self.standardized(x).contiguous(memory_format=memory)
            return
        self.shift = self.augmentation.shift
        padded = functional.pad(plain.mul_(255), (self.shift,) * 4, mode="replicate").to(torch.uint8)
        # (N, C, rows to begin at, columns to begin at, H, W): a view, nothing is copied
        self.windows = padded.unfold(2, self.height, 1).unfold(3, self.width, 1)

    def standardized(self, x: Tensor) -> Tensor:
        """Images as float32, less their channel's mean over the training set, divided by its deviation."""
        return torch.addcmul(self.offset, x.to(torch.float32), self.scale)

    def batch(self, chosen: Tensor) -> Tensor:
        """The images at these positions."""
        if self.augmentation is None:
            return self.plain[chosen]
        rows, columns = torch.randint(0, 2 * self.shift + 1, (2, len(chosen)))
        x = self.windows[chosen, :, rows, columns]  # (n, C, H, W)
        if self.augmentation.flip:
            x = torch.where(torch.rand(len(chosen), 1, 1, 1) < 0.5, x.flip(3), x)
        return self.standardized(x).contiguous(memory_format=self.memory)


# ---- training


class Trainer:
    """Makes updates."""

    def __init__(self, model: nn.Module, task: Task, examples: int, compiled: bool):
        def loss_of(x: Tensor, y: Tensor) -> Tensor:
            return functional.cross_entropy(model(x), y, label_smoothing=task.label_smoothing)

        self.loss, self.batch_size = loss_of, task.batch_size
        self.whole_loss = torch.compile(loss_of, dynamic=False) if compiled else loss_of
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            task.learning_rate,
            task.momentum,
            nesterov=True,
            weight_decay=task.weight_decay,
            fused=True,
        )
        self.rates = learning_rates(task, examples)

    def step(self, x: Tensor, y: Tensor) -> None:
        """One update."""
        for group in self.optimizer.param_groups:
            group["lr"] = next(self.rates)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.whole_loss if len(x) == self.batch_size else self.loss
        loss(x, y).backward()
        self.optimizer.step()


def learning_rates(task: Task, examples: int) -> Iterator[float]:
    """The rate of each update, by PyTorch's own schedule."""
    schedule = task.schedule
    steps = task.epochs * -(-examples // task.batch_size)
    optimizer = torch.optim.SGD([torch.zeros(1)], task.learning_rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        task.learning_rate,
        total_steps=steps,
        pct_start=schedule.warm_up,
        div_factor=1 / schedule.start,
        final_div_factor=schedule.start / schedule.end,
        cycle_momentum=False,
    )
    for step in range(steps):
        yield optimizer.param_groups[0]["lr"]
        if step + 1 < steps:
            optimizer.step()
            cycle.step()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of images that are classified right."""
    model.eval()
    right = 0
    with torch.inference_mode():
        for images, labels in zip(x.split(_EVALUATION_BATCH), y.split(_EVALUATION_BATCH), strict=True):
            right += int((model(images).argmax(1) == labels).sum())
    return right / len(x)


# ---- networks


def made(net: str) -> nn.Module:
    """The network of a name, He's initial weights where a ReLU follows, else Glorot's, biases 0."""
    model = nn.Sequential(*_LAYERS[net]())
    followed = [*model[1:], None]
    for layer, after in zip(model, followed, strict=True):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if isinstance(after, nn.ReLU):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def _pair() -> list[nn.Module]:
    return [
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 10)),
    ]


def _vgg() -> list[nn.Module]:
    return [
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
        nn.MaxPool2d(2),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()),
        nn.MaxPool2d(2),
        *(nn.Flatten(), nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 10)),
    ]


_LAYERS = {"pair": _pair, "vgg": _vgg}
