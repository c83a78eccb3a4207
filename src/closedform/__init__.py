"""Convolutional networks in which a layer is one line of index notation."""

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
    "load",
    "load_digits",
]
