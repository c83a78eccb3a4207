"""What is trained, and how, where nothing is said: a network for the size of the images, and settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from itertools import chain, repeat
from typing import Any

from closedform.architecture import Architecture
from closedform.bench.networks import network
from closedform.files import read_toml
from closedform.formula.extents import Shape
from closedform.layers import Conv2d, Dense, Dropout, Flatten, Layer, MaxPool2d, ReLU, SoftmaxCrossEntropy

_NAMED: dict[Shape, str] = {(1, 28, 28): "pair", (3, 32, 32): "vgg"}
_SMALL = 8  # pixels: a map this small is not divided further
_WIDTHS = (16, 32, 64, 128)
_HIDDEN = 128
_SEEN = 300_000  # images that a training sees in all
_EPOCHS = (5, 40)
_MANY = 10_000  # images from which batches are larger
_PHOTOGRAPH = 32  # pixels: smaller images in colour are hardly photographs
_RATES = {"Adam": 3e-3, "AdamW": 3e-3, "SGD": 0.05}
_COLORS = {1: "greyscale", 3: "colour", 4: "colour with transparency"}


def default_network(shape: Shape, classes: int) -> tuple[str, Architecture]:
    """The network for images of a shape (C, H, W), and what it is called.

    Of 28×28 in grey and 32×32 in colour it is one of those that are measured, of 8×8 in grey the one that
    the packaged digits are trained with.  Others are built: convolutions of 3×3 with ReLU, each followed by
    pooling that halves the map, until it is at most 8×8, then two dense layers.
    """
    if shape == (1, 8, 8):
        packaged = resources.files("closedform.data").joinpath("digits.toml")
        with resources.as_file(packaged) as path:
            return "net digits", _with_classes(read_toml(path), classes)
    if shape in _NAMED:
        name = _NAMED[shape]
        return f"net {name}", _with_classes(network(name), classes)
    return "a network", Architecture(_built(shape, classes), shape, SoftmaxCrossEntropy())


def _with_classes(architecture: Architecture, classes: int) -> Architecture:
    layers = (*architecture.layers[:-1], Dense(classes))
    return Architecture(layers, architecture.input_shape, architecture.loss)


def _built(shape: Shape, classes: int) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    height, width = shape[1:]
    for channels in chain(_WIDTHS, repeat(_WIDTHS[-1])):
        layers += [Conv2d(channels, (3, 3), padding=(1, 1)), ReLU()]
        if max(height, width) <= _SMALL or min(height, width) < 2:
            break
        layers.append(MaxPool2d((2, 2)))
        height, width = height // 2, width // 2
        if max(height, width) <= _SMALL:
            break
    return (*layers, Flatten(), Dense(_HIDDEN), ReLU(), Dropout(0.5), Dense(classes))


def described(architecture: Architecture) -> str:
    """A network in one line: ``32·3×3 – pool 2 – 64·3×3 – pool 2 – dense 10``."""
    words = []
    for layer in architecture.layers:
        if isinstance(layer, Conv2d):
            words.append(f"{layer.out_channels}·{layer.kernel_size[0]}×{layer.kernel_size[1]}")
        elif isinstance(layer, MaxPool2d):
            words.append(f"pool {layer.kernel_size[0]}")
        elif isinstance(layer, Dense):
            words.append(f"dense {layer.out_features}")
    return " – ".join(words)


def image_text(shape: Shape) -> str:
    """Images of a shape (C, H, W) in words: ``28×28 greyscale``."""
    channels, height, width = shape
    return f"{height}×{width} {_COLORS.get(channels, f'with {channels} channels')}"


def optimizer_settings(kind: str) -> dict[str, Any]:
    """The settings of an optimiser of which only the kind is said."""
    return {"type": kind, "learning_rate": _RATES[kind]}


def training_settings(examples: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a training on so many images: those that are given, and the others that it needs.

    About 300,000 images are seen in all, in 5 to 40 epochs, in batches of 64, or of 128 from 10,000 images.
    """
    needed = {
        "epochs": min(max(round(_SEEN / max(examples, 1)), _EPOCHS[0]), _EPOCHS[1]),
        "batch_size": 128 if examples >= _MANY else 64,
        "optimizer": optimizer_settings("Adam"),
        "seed": 0,
    }
    return {**needed, **given}


def augmentation(shape: Shape) -> dict[str, Any] | None:
    """How images of a shape are varied: photographs are moved and mirrored, others stay as they are."""
    channels, height, width = shape
    if channels < 3 or min(height, width) < _PHOTOGRAPH:
        return None
    return {"shift": math.ceil(min(height, width) / 10), "flip": True}
