"""The networks that are measured: eight small ones, each of another kind."""

from __future__ import annotations

from functools import cache

from closedform.architecture import Architecture
from closedform.formula.extents import Shape
from closedform.layers import (
    ChannelSummedConv2d,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    LocallyConnected2d,
    MaxPool2d,
    ReLU,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
)

NAMES = ("worksheet_e", "digits", "mnist", "lenet", "pair", "worksheet_d", "local", "vgg")


@cache
def network(name: str) -> Architecture:
    """The network of a name, one of `NAMES`."""
    shape, layers = _described()[name]
    loss = SigmoidBinaryCrossEntropy() if name == "worksheet_e" else SoftmaxCrossEntropy()
    return Architecture(layers, shape, loss)


def _described() -> dict[str, tuple[Shape, tuple[Layer, ...]]]:
    def padded(channels: int) -> tuple[Layer, Layer]:
        return Conv2d(channels, (3, 3), padding=(1, 1)), ReLU()

    def classes(*hidden: int) -> tuple[Layer, ...]:
        layers = [layer for width in hidden for layer in (Dense(width), ReLU())]
        return Flatten(), *layers, Dense(10)

    halved = MaxPool2d((2, 2))
    return {
        "worksheet_e": ((1, 6, 6), (Conv2d(1, (3, 3)), ReLU(), halved, Flatten(), Dense(1))),
        "digits": ((1, 8, 8), (*padded(16), halved, *padded(32), *classes(64))),
        "mnist": ((1, 28, 28), (*padded(16), halved, *classes(32))),
        "lenet": (
            (1, 28, 28),
            (
                Conv2d(6, (5, 5), padding=(2, 2)),
                ReLU(),
                halved,
                Conv2d(16, (5, 5)),
                ReLU(),
                halved,
                *classes(120, 84),
            ),
        ),
        "pair": (
            (1, 28, 28),
            (Conv2d(32, (3, 3)), ReLU(), halved, Conv2d(64, (3, 3)), ReLU(), halved, *classes()),
        ),
        "worksheet_d": (
            (1, 32, 32),
            (ChannelSummedConv2d(16, (3, 3)), ReLU(), ChannelSummedConv2d(32, (3, 3)), halved, *classes(64)),
        ),
        "local": ((16, 13, 13), (LocallyConnected2d(32, (3, 3)), ReLU(), GlobalAvgPool2d(), Dense(10))),
        "vgg": (
            (3, 32, 32),
            (*padded(32), *padded(32), halved, *padded(64), *padded(64), halved, *classes(256)),
        ),
    }
