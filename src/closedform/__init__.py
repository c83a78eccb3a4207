"""Convolutional networks in which a layer is one line of index notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from closedform.architecture import Architecture
from closedform.data.digits import load_digits
from closedform.errors import (
    ClosedformError,
    DataError,
    FileError,
    FormulaError,
    MissingError,
    SettingError,
    ShapeError,
)
from closedform.layers import (
    AvgPool2d,
    ChannelSummedConv2d,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    Dropout,
    Flatten,
    Formula,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Layer,
    LeakyReLU,
    LocallyConnected2d,
    Loss,
    MaxPool2d,
    MeanSquaredError,
    ReLU,
    Sigmoid,
    SigmoidBinaryCrossEntropy,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
)
from closedform.network import Network, load
from closedform.training.history import History
from closedform.training.optimisers import SGD, Adam, AdamW, Optimizer

if TYPE_CHECKING:
    from closedform.checking.check import check
    from closedform.checking.verdict import Verdict
    from closedform.explanation.document import Document
    from closedform.explanation.explain import explain

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Architecture",
    "AvgPool2d",
    "ChannelSummedConv2d",
    "ClosedformError",
    "Conv2d",
    "DataError",
    "Dense",
    "DepthwiseConv2d",
    "Document",
    "Dropout",
    "FileError",
    "Flatten",
    "Formula",
    "FormulaError",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "History",
    "Layer",
    "LeakyReLU",
    "LocallyConnected2d",
    "Loss",
    "MaxPool2d",
    "MeanSquaredError",
    "MissingError",
    "Network",
    "Optimizer",
    "ReLU",
    "SettingError",
    "ShapeError",
    "Sigmoid",
    "SigmoidBinaryCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Tanh",
    "Verdict",
    "check",
    "explain",
    "load",
    "load_digits",
]

# imported when they are first asked for: teaching is not needed to train
_TEACHING = {
    "Document": "closedform.explanation.document",
    "Verdict": "closedform.checking.verdict",
    "check": "closedform.checking.check",
    "explain": "closedform.explanation.explain",
}


def __getattr__(name: str) -> object:
    if name not in _TEACHING:
        raise AttributeError(f"module 'closedform' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(_TEACHING[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
