"""Formulas whose gradients are derived in tests, and PyTorch's values of those that it has a layer for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import layer_oracles
import numpy as np

import closedform as cf
from closedform.errors import ShapeError
from closedform.formula.extents import Shape, Sizes, Value, solve
from closedform.formula.syntax import parse
from closedform.formula.tree import Equation
from closedform.layers import Layer

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One formula at one setting.

    Attributes
    ----------
    line, settings, shapes
        What is solved.
    torch
        The same in PyTorch, ``(torch, tensors by name) -> Y``; None where PyTorch has no such layer.
    facts
        Tensors whose entries sum to 1 along the last axis.
    positive
        Tensors that are divided by.
    vary
        Settings and extents that `varied` may change, and the axes of X that it may.
    """

    line: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    torch: Callable[[Any, Any], Any] | None = None
    facts: tuple[str, ...] = ()
    positive: str = ""
    vary: str = ""

    @property
    def formula(self) -> Equation:
        return parse(self.line)

    @property
    def sizes(self) -> Sizes:
        return solve(self.formula, self.shapes, self.settings)

    def arrays(self, rng: np.random.Generator) -> Arrays:
        """Values for every tensor that is read: no two alike, and none near a kink at 0."""
        found = arrays_for(self.formula, self.sizes, self.facts, rng)
        for tensor in self.positive:
            found[tensor] = np.abs(found[tensor]) + 0.5
        return found

    def varied(self, rng: np.random.Generator) -> Case:
        """The same formula at other settings, from 1 to 3 (a padding ``t`` from 0), and other sizes."""
        for _ in range(100):
            new: dict[str, Value] = dict(self.settings)
            for name in self.vary:
                if name in new:
                    new[name] = int(rng.integers(0 if name == "t" else 1, 4))
            x = self.shapes["X"]
            grown = (*x[:1], *(extent + int(rng.integers(0, 3)) for extent in x[1:]))
            case = replace(self, settings=new, shapes={**self.shapes, "X": grown if self.vary else x})
            try:
                _ = case.sizes
            except ShapeError:
                continue
            return case
        raise AssertionError(f"no sizes found for {self.line}")


def arrays_for(formula: Equation, sizes: Sizes, facts: Sequence[str], rng: np.random.Generator) -> Arrays:
    """Values for every tensor that a formula reads: no two alike, and none near a kink at 0."""
    found = {}
    for tensor in formula.tensors:
        shape = sizes.shapes[tensor]
        count = int(np.prod(shape))
        steps = rng.permutation(count) - count // 2 + 0.5 + rng.uniform(-0.2, 0.2, count)
        values = (steps / count * 2).reshape(shape)
        if tensor in facts:
            values = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
        found[tensor] = values
    return found


def _pair(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))


def _window(rng: np.random.Generator, *, dilated: bool = False, pool: bool = False) -> dict[str, Any]:
    """A random kernel, stride, padding and dilation, not square, and an image that it fits into."""
    kernel, stride = _pair(rng, 1, 3), _pair(rng, 1, 3)
    dilation = _pair(rng, 1, 2) if dilated else (1, 1)
    padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel) if pool else _pair(rng, 0, 2)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    least = [max(1, r - 2 * p) for r, p in zip(reach, padding, strict=True)]
    image = tuple(low + int(rng.integers(0, 4)) for low in least)
    names = {
        "u": kernel[0],
        "v": kernel[1],
        "s1": stride[0],
        "s2": stride[1],
        "t1": padding[0],
        "t2": padding[1],
    }
    if dilated:
        names |= {"d1": dilation[0], "d2": dilation[1]}
    words = {"stride": stride, "padding": padding}
    return {"names": names, "image": image, "kernel": kernel, "words": words, "dilation": dilation}


def conv(rng: np.random.Generator) -> Case:
    w, groups = _window(rng, dilated=True), int(rng.integers(1, 3))
    line = (
        "Y[n,|q|*g+q,i,j] = b[|q|*g+q] + sum[p,u,v] W[|q|*g+q,p,u,v] * X[n,|p|*g+p,s1*i+d1*u-t1,s2*j+d2*v-t2]"
    )
    settings = {**w["names"], "g": groups, "q": int(rng.integers(1, 3))}
    return Case(
        line,
        settings,
        {"X": (int(rng.integers(1, 3)), groups * int(rng.integers(1, 3)), *w["image"])},
        lambda torch, a: torch.nn.functional.conv2d(
            a["X"], a["W"], a["b"], dilation=w["dilation"], groups=groups, **w["words"]
        ),
    )


def _windowed(
    rng: np.random.Generator, line: str, value: Callable[[Any, Any, Any], Any], **more: int
) -> Case:
    w = _window(rng)
    shape = (int(rng.integers(1, 3)), int(rng.integers(1, 3)), *w["image"])
    return Case(line, {**w["names"], **more}, {"X": shape}, lambda torch, a: value(torch, a, w))


def locally_connected(rng: np.random.Generator) -> Case:
    def value(torch: Any, a: Any, w: Any) -> Any:
        windows = torch.nn.functional.unfold(a["X"], w["kernel"], **w["words"])
        rows, columns = a["W"].shape[:2]
        windows = windows.reshape(a["X"].shape[0], -1, *w["kernel"], rows, columns)
        return torch.einsum("ijqpuv,npuvij->nqij", a["W"], windows) + a["b"]

    line = "Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"
    return _windowed(rng, line, value, q=2)


def channel_summed(rng: np.random.Generator) -> Case:
    def value(torch: Any, a: Any, w: Any) -> Any:
        summed = a["X"].sum(1, keepdim=True)
        return torch.nn.functional.conv2d(summed, a["W"][:, None], a["b"], **w["words"])

    line = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"
    return _windowed(rng, line, value, q=2)


def depthwise(rng: np.random.Generator) -> Case:
    def value(torch: Any, a: Any, w: Any) -> Any:
        return torch.nn.functional.conv2d(
            a["X"], a["W"][:, None], a["b"], groups=a["X"].shape[1], **w["words"]
        )

    return _windowed(rng, "Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s1*i+u-t1,s2*j+v-t2]", value)


def _pool(rng: np.random.Generator, line: str, value: Callable[[Any, Any, Any], Any]) -> Case:
    w = _window(rng, pool=True)
    if rng.integers(2):  # windows that tile the image
        w["names"] |= {"s1": w["kernel"][0], "s2": w["kernel"][1]}
        w["words"]["stride"] = w["kernel"]
    return Case(line, w["names"], {"X": (2, 2, *w["image"])}, lambda torch, a: value(torch, a, w))


_AVERAGE = "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]"
_AVERAGE_INSIDE = (
    "Y[n,c,i,j] = (sum[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]) "
    "/ sum[u,v] [0 <= s1*i+u-t1 < |X.2|] * [0 <= s2*j+v-t2 < |X.3|]"
)


def average_pool(rng: np.random.Generator) -> Case:
    return _pool(
        rng, _AVERAGE, lambda torch, a, w: torch.nn.functional.avg_pool2d(a["X"], w["kernel"], **w["words"])
    )


def average_pool_inside(rng: np.random.Generator) -> Case:
    def value(torch: Any, a: Any, w: Any) -> Any:
        return torch.nn.functional.avg_pool2d(a["X"], w["kernel"], count_include_pad=False, **w["words"])

    return _pool(rng, _AVERAGE_INSIDE, value)


def max_pool(rng: np.random.Generator) -> Case:
    line = "Y[n,c,i,j] = max[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]"
    return _pool(
        rng, line, lambda torch, a, w: torch.nn.functional.max_pool2d(a["X"], w["kernel"], **w["words"])
    )


def _image(rng: np.random.Generator, line: str, value: Callable[[Any, Any], Any]) -> Case:
    return Case(line, {}, {"X": (2, int(rng.integers(1, 4)), *_pair(rng, 1, 4))}, value)


def global_average_pool(rng: np.random.Generator) -> Case:
    line = "Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]"
    return _image(rng, line, lambda torch, a: a["X"].mean((2, 3)))


def global_max_pool(rng: np.random.Generator) -> Case:
    return _image(rng, "Y[n,c] = max[i,j] X[n,c,i,j]", lambda torch, a: a["X"].amax((2, 3)))


def flatten(rng: np.random.Generator) -> Case:
    return _image(rng, "Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]", lambda torch, a: a["X"].flatten(1))


def flatten_line(rng: np.random.Generator) -> Case:
    shape = (2, int(rng.integers(1, 4)), int(rng.integers(1, 5)))
    return Case("Y[n,|i|*c+i] = X[n,c,i]", {}, {"X": shape}, lambda torch, a: a["X"].flatten(1))


def softmax_of_channels(rng: np.random.Generator) -> Case:
    line = "Y[n,c,i,j] = exp(X[n,c,i,j]) / sum[m] exp(X[n,m,i,j])"
    return _image(rng, line, lambda torch, a: torch.softmax(a["X"], 1))


def dense(rng: np.random.Generator) -> Case:
    return Case(
        "Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]",
        {"o": int(rng.integers(1, 5))},
        {"X": _pair(rng, 1, 5)},
        lambda torch, a: torch.nn.functional.linear(a["X"], a["W"], a["b"]),
    )


def _rows(
    line: str, value: Callable[[Any, Any], Any], **more: Value
) -> Callable[[np.random.Generator], Case]:
    def case(rng: np.random.Generator) -> Case:
        return Case(line, more, {"X": _pair(rng, 1, 5)}, value)

    return case


def _loss(
    line: str, value: Callable[[Any, Any], Any], *facts: str, columns: int = 4
) -> Callable[[np.random.Generator], Case]:
    def case(rng: np.random.Generator) -> Case:
        shape = (int(rng.integers(1, 6)), int(rng.integers(1, columns + 1)))
        return Case(line, {}, {"X": shape, "T": shape}, value, facts)

    return case


def _softmax_cross_entropy(torch: Any, a: Any) -> Any:
    return torch.nn.functional.cross_entropy(a["X"], a["T"])


def _sigmoid_cross_entropy(torch: Any, a: Any) -> Any:
    return torch.nn.functional.binary_cross_entropy_with_logits(a["X"], a["T"])


LAYERS: dict[str, Callable[[np.random.Generator], Case]] = {
    "conv": conv,
    "locally connected": locally_connected,
    "channel summed": channel_summed,
    "depthwise": depthwise,
    "average pool": average_pool,
    "average pool inside": average_pool_inside,
    "max pool": max_pool,
    "global average pool": global_average_pool,
    "global max pool": global_max_pool,
    "flatten": flatten,
    "flatten line": flatten_line,
    "dense": dense,
    "relu": _rows("Y[n,f] = relu(X[n,f])", lambda torch, a: torch.relu(a["X"])),
    "leaky relu": _rows(
        "Y[n,f] = relu(X[n,f]) - k * relu(-X[n,f])",
        lambda torch, a: torch.nn.functional.leaky_relu(a["X"], 0.01),
        k=Fraction(1, 100),
    ),
    "sigmoid": _rows("Y[n,f] = sigmoid(X[n,f])", lambda torch, a: torch.sigmoid(a["X"])),
    "tanh": _rows("Y[n,f] = tanh(X[n,f])", lambda torch, a: torch.tanh(a["X"])),
    "softmax": _rows("Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])", lambda torch, a: torch.softmax(a["X"], 1)),
    "softmax of channels": softmax_of_channels,
    "dropout": _rows("Y[n,f] = M[n,f] * X[n,f]", lambda torch, a: a["M"] * a["X"]),
    "softmax cross-entropy": _loss(
        "L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))", _softmax_cross_entropy, "T"
    ),
    "sigmoid cross-entropy": _loss(
        "L = -1/|n| * sum[n,k] (T[n,k]*log(sigmoid(X[n,k])) + (1-T[n,k])*log(1-sigmoid(X[n,k])))",
        _sigmoid_cross_entropy,
        columns=1,
    ),
    "mean squared error": _loss(
        "L = 1/(|n|*|k|) * sum[n,k] (X[n,k]-T[n,k])^2",
        lambda torch, a: torch.nn.functional.mse_loss(a["X"], a["T"]),
    ),
}


# the layers' own lines, each with the shape of one input

OWN_LINES: list[tuple[Layer, Shape]] = [
    (cf.Conv2d(2, 2), (2, 4, 3)),
    (cf.Conv2d(2, (3, 2), bias=False), (2, 4, 3)),
    (cf.Conv2d(4, (2, 1), groups=2), (4, 3, 2)),
    (cf.Conv2d(3, 2, groups=3, bias=False, stride=2, padding=1), (3, 3, 3)),
    (cf.Conv2d(2, 3, stride=(2, 1), padding=1), (2, 4, 3)),
    (cf.Conv2d(2, 2, dilation=(2, 3), padding=(1, 2)), (2, 4, 3)),
    (cf.Conv2d(2, (2, 3), padding="same"), (2, 3, 4)),
    (cf.Conv2d(2, 3, stride=2, padding="same", dilation=2), (2, 4, 5)),
    (cf.Conv2d(2, 1), (3, 2, 2)),
    (cf.LocallyConnected2d(2, 2), (2, 3, 3)),
    (cf.LocallyConnected2d(2, (3, 2), stride=2, padding=1, bias=False), (2, 4, 3)),
    (cf.LocallyConnected2d(2, 2, padding="same", bias="shared"), (2, 3, 2)),
    (cf.ChannelSummedConv2d(2, 2), (3, 4, 3)),
    (cf.ChannelSummedConv2d(2, 3, stride=2, padding=(1, 2), bias=False), (2, 4, 3)),
    (cf.DepthwiseConv2d(2), (2, 4, 3)),
    (cf.DepthwiseConv2d((3, 2), dilation=2, padding=2, stride=(2, 1)), (2, 4, 3)),
    (cf.DepthwiseConv2d(2, dilation=(1, 2), bias=False), (2, 3, 4)),
    (cf.AvgPool2d(2), (2, 5, 4)),
    (cf.AvgPool2d((3, 2), 1, padding=1), (2, 4, 3)),
    (cf.AvgPool2d(3, 2, padding=1, count_include_pad=False), (2, 5, 4)),
    (cf.AvgPool2d(2, padding="same", count_include_pad=False), (2, 3, 3)),
    (cf.MaxPool2d(2), (2, 5, 4)),
    (cf.MaxPool2d(3, 2, padding=1), (2, 5, 4)),
    (cf.MaxPool2d((2, 3), 1), (2, 4, 4)),
    (cf.GlobalAvgPool2d(), (2, 3, 4)),
    (cf.GlobalMaxPool2d(), (2, 3, 4)),
    (cf.Flatten(), (2, 3, 2)),
    (cf.Flatten(), (3, 4)),
    (cf.Dense(3), (4,)),
    (cf.Dense(2, bias=False), (3,)),
    *(
        (layer, shape)
        for layer in (cf.ReLU(), cf.LeakyReLU(0.3), cf.Sigmoid(), cf.Tanh(), cf.Dropout(0.4))
        for shape in ((5,), (2, 3, 2))
    ),
    (cf.LeakyReLU(0.0), (5,)),
    (cf.Softmax(), (5,)),
    (cf.Softmax(), (3, 2, 2)),
    (cf.Formula("Y[n,q,i] = a[q] + k * sum[p,u] W[q,p,u] * X[n,p,s*i+u]", q=2, u=3, s=2, k=0.5), (2, 7)),
    (cf.SoftmaxCrossEntropy(), (4,)),
    (cf.SigmoidBinaryCrossEntropy(), (1,)),
    (cf.MeanSquaredError(), (3,)),
    (cf.MeanSquaredError(), (2, 2, 3)),
]


def torch_value_of(layer: Layer, input_shape: Shape, batch: int) -> Callable[[Any, Any], Any]:
    """What PyTorch makes of the tensors of a layer's line, ``(torch, tensors by name) -> Y``."""

    def value(torch: Any, a: Any) -> Any:
        if isinstance(layer, cf.Dropout):
            return a["M"] * a["X"]
        if isinstance(layer, cf.Formula):
            return torch.nn.functional.conv1d(a["X"], a["W"], stride=2) / 2 + a["a"][:, None]
        public = {layer.public_name(t): a[t].reshape(layer.stored_shape(tuple(a[t].shape))) for t in a}
        case = layer_oracles.Case(layer, input_shape, batch, seed=0)
        return layer_oracles.torch_value(torch, case, {"x": a["X"], **public})

    return value
