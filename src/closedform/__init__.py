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
    from closedform.data.augment import Augmentation
    from closedform.data.dataset import DataSet
    from closedform.data.recognise import load_data
    from closedform.data.standardize import Standardization
    from closedform.explanation.document import Document
    from closedform.explanation.explain import explain
    from closedform.training.callbacks import (
        Callback,
        CSVLogger,
        EarlyStopping,
        ModelCheckpoint,
        ReduceLROnPlateau,
        TerminateOnNaN,
    )
    from closedform.training.metrics import Metrics
    from closedform.training.schedules import (
        Cosine,
        InverseDecay,
        OneCycle,
        Schedule,
        StepDecay,
        WarmUp,
    )

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Architecture",
    "Augmentation",
    "AvgPool2d",
    "CSVLogger",
    "Callback",
    "ChannelSummedConv2d",
    "ClosedformError",
    "Conv2d",
    "Cosine",
    "DataError",
    "DataSet",
    "Dense",
    "DepthwiseConv2d",
    "Document",
    "Dropout",
    "EarlyStopping",
    "FileError",
    "Flatten",
    "Formula",
    "FormulaError",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "History",
    "InverseDecay",
    "Layer",
    "LeakyReLU",
    "LocallyConnected2d",
    "Loss",
    "MaxPool2d",
    "MeanSquaredError",
    "Metrics",
    "MissingError",
    "ModelCheckpoint",
    "Network",
    "OneCycle",
    "Optimizer",
    "ReLU",
    "ReduceLROnPlateau",
    "Schedule",
    "SettingError",
    "ShapeError",
    "Sigmoid",
    "SigmoidBinaryCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Standardization",
    "StepDecay",
    "Tanh",
    "TerminateOnNaN",
    "Verdict",
    "WarmUp",
    "check",
    "explain",
    "load",
    "load_data",
    "load_digits",
]

# imported when they are first asked for: to run a network takes none of them
_LATER = {
    "Augmentation": "closedform.data.augment",
    "CSVLogger": "closedform.training.callbacks",
    "Callback": "closedform.training.callbacks",
    "Cosine": "closedform.training.schedules",
    "DataSet": "closedform.data.dataset",
    "Document": "closedform.explanation.document",
    "EarlyStopping": "closedform.training.callbacks",
    "InverseDecay": "closedform.training.schedules",
    "Metrics": "closedform.training.metrics",
    "ModelCheckpoint": "closedform.training.callbacks",
    "OneCycle": "closedform.training.schedules",
    "ReduceLROnPlateau": "closedform.training.callbacks",
    "Schedule": "closedform.training.schedules",
    "Standardization": "closedform.data.standardize",
    "StepDecay": "closedform.training.schedules",
    "TerminateOnNaN": "closedform.training.callbacks",
    "Verdict": "closedform.checking.verdict",
    "WarmUp": "closedform.training.schedules",
    "check": "closedform.checking.check",
    "explain": "closedform.explanation.explain",
    "load_data": "closedform.data.recognise",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'closedform' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(_LATER[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
