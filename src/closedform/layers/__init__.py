"""Layers and losses: settings, one formula, initial weights; no arrays."""

from closedform.layers.base import Layer
from closedform.layers.convolution import ChannelSummedConv2d, Conv2d, DepthwiseConv2d
from closedform.layers.custom import Formula
from closedform.layers.dense import Dense, Flatten
from closedform.layers.local import LocallyConnected2d
from closedform.layers.losses import Loss, MeanSquaredError, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from closedform.layers.pointwise import Dropout, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from closedform.layers.pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d

LAYERS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        Conv2d,
        LocallyConnected2d,
        ChannelSummedConv2d,
        DepthwiseConv2d,
        AvgPool2d,
        MaxPool2d,
        GlobalAvgPool2d,
        GlobalMaxPool2d,
        Flatten,
        Dense,
        ReLU,
        LeakyReLU,
        Sigmoid,
        Tanh,
        Softmax,
        Dropout,
        Formula,
    )
}
LOSSES: dict[str, type[Loss]] = {
    kind.__name__: kind for kind in (SoftmaxCrossEntropy, SigmoidBinaryCrossEntropy, MeanSquaredError)
}

__all__ = [
    "LAYERS",
    "LOSSES",
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
]
