"""Convolutional networks in which a layer is one line of index notation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from closedform.architecture import Architecture
    from closedform.checking.check import check
    from closedform.checking.verdict import Verdict
    from closedform.data.augment import Augmentation
    from closedform.data.dataset import DataSet
    from closedform.data.digits import load_digits
    from closedform.data.recognise import load_data
    from closedform.data.standardize import Standardization
    from closedform.errors import (
        ClosedformError,
        DataError,
        FileError,
        FormulaError,
        MissingError,
        SettingError,
        ShapeError,
    )
    from closedform.explanation.document import Document
    from closedform.explanation.explain import explain
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
    from closedform.training.callbacks import (
        Callback,
        CSVLogger,
        EarlyStopping,
        ModelCheckpoint,
        ReduceLROnPlateau,
        TerminateOnNaN,
    )
    from closedform.training.history import History
    from closedform.training.metrics import Metrics
    from closedform.training.optimisers import SGD, Adam, AdamW, Optimizer
    from closedform.training.schedules import (
        Cosine,
        InverseDecay,
        OneCycle,
        Restarts,
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
    "Restarts",
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

# imported when they are first asked for, so that each use of the library waits for what it needs only
_MODULES = {
    "closedform.architecture": ("Architecture",),
    "closedform.checking.check": ("check",),
    "closedform.checking.verdict": ("Verdict",),
    "closedform.data.augment": ("Augmentation",),
    "closedform.data.dataset": ("DataSet",),
    "closedform.data.digits": ("load_digits",),
    "closedform.data.recognise": ("load_data",),
    "closedform.data.standardize": ("Standardization",),
    "closedform.errors": (
        "ClosedformError",
        "DataError",
        "FileError",
        "FormulaError",
        "MissingError",
        "SettingError",
        "ShapeError",
    ),
    "closedform.explanation.document": ("Document",),
    "closedform.explanation.explain": ("explain",),
    "closedform.layers": (
        "AvgPool2d",
        "ChannelSummedConv2d",
        "Conv2d",
        "Dense",
        "DepthwiseConv2d",
        "Dropout",
        "Flatten",
        "Formula",
        "GlobalAvgPool2d",
        "GlobalMaxPool2d",
        "Layer",
        "LeakyReLU",
        "LocallyConnected2d",
        "Loss",
        "MaxPool2d",
        "MeanSquaredError",
        "ReLU",
        "Sigmoid",
        "SigmoidBinaryCrossEntropy",
        "Softmax",
        "SoftmaxCrossEntropy",
        "Tanh",
    ),
    "closedform.network": (
        "Network",
        "load",
    ),
    "closedform.training.callbacks": (
        "CSVLogger",
        "Callback",
        "EarlyStopping",
        "ModelCheckpoint",
        "ReduceLROnPlateau",
        "TerminateOnNaN",
    ),
    "closedform.training.history": ("History",),
    "closedform.training.metrics": ("Metrics",),
    "closedform.training.optimisers": (
        "Adam",
        "AdamW",
        "Optimizer",
        "SGD",
    ),
    "closedform.training.schedules": (
        "Cosine",
        "InverseDecay",
        "OneCycle",
        "Restarts",
        "Schedule",
        "StepDecay",
        "WarmUp",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


_ROOMS = {module.split(".")[1] for module in _MODULES}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"closedform.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'closedform' has no attribute {name!r}")
    found: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
