"""Every layer and loss as PyTorch and JAX compute it, and random settings, shapes and arrays for them."""

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import closedform as cf
from closedform.layers import Layer, Loss
from closedform.random import uniform

SLOW = os.environ.get("CLOSEDFORM_SLOW") == "1"
Arrays = dict[str, np.ndarray]


def examples(quick: int) -> settings:
    """A Hypothesis run of that many examples, of twenty times as many with CLOSEDFORM_SLOW=1."""
    return settings(max_examples=20 * quick if SLOW else quick)


# ---- random settings and shapes


@dataclass(frozen=True)
class Case:
    """A layer with the shape of one input, a batch size and the seed of its arrays."""

    layer: Layer
    input_shape: tuple[int, ...]
    batch: int
    seed: int


channels = st.one_of(st.integers(1, 33), st.integers(1, 5), st.sampled_from([16, 31, 32, 33, 40, 65]))
batches = st.one_of(st.just(1), st.integers(1, 5))
seeds = st.integers(0, 2**32 - 1)
strides = st.tuples(st.integers(1, 4), st.integers(1, 4))


def kernels(largest: int = 5) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, largest), st.integers(1, largest))


@st.composite
def windows(draw: st.DrawFn, dilated: bool, pooling: bool = False) -> tuple[dict[str, Any], tuple[int, int]]:
    """Settings of a window, and the size of an image that holds at least one."""
    kernel, stride = draw(kernels()), draw(strides)
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) if dilated else (1, 1)
    words: dict[str, Any] = {"kernel_size": kernel, "stride": stride}
    if dilated:
        words["dilation"] = dilation
    padding: Any = draw(st.sampled_from(["same", "valid", "numbers", "numbers"]))
    if padding == "numbers":
        padding = tuple(draw(st.integers(0, extent - 1 if pooling else 4)) for extent in kernel)
    words["padding"] = padding
    image = []
    for axis in (0, 1):
        reach = dilation[axis] * (kernel[axis] - 1) + 1
        before = padding[axis] if isinstance(padding, tuple) else 0
        least = 1 if padding == "same" else max(1, reach - 2 * before)
        image.append(draw(st.integers(least, least + 9)))
    return words, (image[0], image[1])


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    words, image = draw(windows(dilated=True))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 4, 8]))
    inputs, outputs = draw(channels), draw(channels)
    if groups > 1:
        inputs, outputs = groups * -(-inputs // groups), groups * -(-outputs // groups)
    layer = cf.Conv2d(outputs, groups=groups, bias=draw(st.booleans()), **words)
    return Case(layer, (inputs, *image), draw(batches), draw(seeds))


@st.composite
def local_convolutions(draw: st.DrawFn) -> Case:
    words, image = draw(windows(dilated=False))
    layer = cf.LocallyConnected2d(
        draw(st.integers(1, 9)), bias=draw(st.sampled_from([True, False, "shared"])), **words
    )
    return Case(layer, (draw(st.integers(1, 33)), *image), draw(batches), draw(seeds))


@st.composite
def channel_summed(draw: st.DrawFn) -> Case:
    words, image = draw(windows(dilated=False))
    layer = cf.ChannelSummedConv2d(draw(channels), bias=draw(st.booleans()), **words)
    return Case(layer, (draw(channels), *image), draw(batches), draw(seeds))


@st.composite
def depthwise(draw: st.DrawFn) -> Case:
    words, image = draw(windows(dilated=True))
    layer = cf.DepthwiseConv2d(bias=draw(st.booleans()), **words)
    return Case(layer, (draw(channels), *image), draw(batches), draw(seeds))


@st.composite
def pools(draw: st.DrawFn, kind: type[Layer]) -> Case:
    words, image = draw(windows(dilated=False, pooling=True))
    if draw(st.booleans()):
        del words["stride"]
    if kind is cf.AvgPool2d:
        words["count_include_pad"] = draw(st.booleans())
    return Case(kind(**words), (draw(channels), *image), draw(batches), draw(seeds))


@st.composite
def any_rank(draw: st.DrawFn, layers: st.SearchStrategy[Layer], ranks: tuple[int, ...] = (2, 3, 4)) -> Case:
    rank = draw(st.sampled_from(ranks))
    shape = (draw(channels), *(draw(st.integers(1, 9)) for _ in range(rank - 2)))
    return Case(draw(layers), shape, draw(batches), draw(seeds))


@st.composite
def dense(draw: st.DrawFn) -> Case:
    features = draw(st.one_of(channels, st.integers(100, 500)))
    return Case(cf.Dense(draw(channels), bias=draw(st.booleans())), (features,), draw(batches), draw(seeds))


slopes = st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.5]).map(cf.LeakyReLU)
dropouts = st.sampled_from([0.0, 0.1, 0.5, 0.9]).map(cf.Dropout)
LINEAR = {
    "Conv2d": convolutions(),
    "LocallyConnected2d": local_convolutions(),
    "ChannelSummedConv2d": channel_summed(),
    "DepthwiseConv2d": depthwise(),
    "AvgPool2d": pools(cf.AvgPool2d),
    "GlobalAvgPool2d": any_rank(st.just(cf.GlobalAvgPool2d()), (4,)),
    "Flatten": any_rank(st.just(cf.Flatten())),
    "Dense": dense(),
    "Dropout": any_rank(dropouts),
}
SELECTING = {
    "MaxPool2d": pools(cf.MaxPool2d),
    "GlobalMaxPool2d": any_rank(st.just(cf.GlobalMaxPool2d()), (4,)),
    "ReLU": any_rank(st.just(cf.ReLU())),
    "LeakyReLU": any_rank(slopes),
}
SMOOTH = {
    "Sigmoid": any_rank(st.just(cf.Sigmoid())),
    "Tanh": any_rank(st.just(cf.Tanh())),
    "Softmax": any_rank(st.just(cf.Softmax()), (2, 4)),
}
LOSSES = {
    "SoftmaxCrossEntropy": any_rank(st.just(cf.SoftmaxCrossEntropy()), (2,)),
    "SigmoidBinaryCrossEntropy": st.builds(
        Case, st.just(cf.SigmoidBinaryCrossEntropy()), st.just((1,)), st.integers(1, 33), seeds
    ),
    "MeanSquaredError": any_rank(st.just(cf.MeanSquaredError())),
}
CASES = LINEAR | SELECTING | SMOOTH | LOSSES

# one of each, small enough to go through entry by entry
SMALL = {
    "Conv2d": Case(cf.Conv2d(4, (3, 2), stride=(2, 1), padding=(1, 2), groups=2), (2, 5, 3), 2, 1),
    "Conv2d dilated": Case(cf.Conv2d(2, 2, stride=2, dilation=(2, 3), padding="same"), (2, 5, 4), 2, 2),
    "LocallyConnected2d": Case(cf.LocallyConnected2d(2, 2, stride=(1, 2), padding=1), (2, 2, 3), 2, 3),
    "LocallyConnected2d shared": Case(cf.LocallyConnected2d(2, 2, bias="shared"), (2, 3, 3), 2, 4),
    "ChannelSummedConv2d": Case(cf.ChannelSummedConv2d(3, 3, stride=2, padding=1), (2, 5, 4), 2, 5),
    "DepthwiseConv2d": Case(cf.DepthwiseConv2d(2, dilation=2, padding=1), (3, 4, 3), 2, 6),
    "AvgPool2d": Case(cf.AvgPool2d(3, 2, padding=1), (2, 5, 4), 2, 7),
    "AvgPool2d inside": Case(cf.AvgPool2d(3, 2, padding=1, count_include_pad=False), (2, 5, 4), 2, 8),
    "MaxPool2d": Case(cf.MaxPool2d(3, 2, padding=1), (2, 5, 4), 2, 9),
    "GlobalAvgPool2d": Case(cf.GlobalAvgPool2d(), (3, 4, 3), 2, 10),
    "GlobalMaxPool2d": Case(cf.GlobalMaxPool2d(), (3, 4, 3), 2, 11),
    "Flatten": Case(cf.Flatten(), (2, 3, 2), 2, 12),
    "Dense": Case(cf.Dense(4), (5,), 3, 13),
    "ReLU": Case(cf.ReLU(), (2, 3, 2), 2, 14),
    "LeakyReLU": Case(cf.LeakyReLU(0.3), (2, 3, 2), 2, 15),
    "Sigmoid": Case(cf.Sigmoid(), (2, 3, 2), 2, 16),
    "Tanh": Case(cf.Tanh(), (2, 3, 2), 2, 17),
    "Softmax": Case(cf.Softmax(), (5,), 3, 18),
    "Softmax of images": Case(cf.Softmax(), (3, 2, 2), 2, 19),
    "Dropout": Case(cf.Dropout(0.4), (2, 3, 2), 2, 20),
    "SoftmaxCrossEntropy": Case(cf.SoftmaxCrossEntropy(), (5,), 3, 21),
    "SigmoidBinaryCrossEntropy": Case(cf.SigmoidBinaryCrossEntropy(), (1,), 7, 22),
    "MeanSquaredError": Case(cf.MeanSquaredError(), (3, 2), 3, 23),
}


# ---- arrays


def normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def apart(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Entries at least 0.02 from each other and from 0, so that no small step changes a sign or an order."""
    size = math.prod(shape)
    order = np.random.default_rng(seed).permutation(size)
    return ((order - size / 2 + 0.25) * 0.04).reshape(shape)


def arrays_of(case: Case, values: Callable[[tuple[int, ...], int], np.ndarray] = normal) -> Arrays:
    """x and the parameters or targets of a case, by public name, and dy."""
    shapes = {"x": (case.batch, *case.input_shape)}
    if isinstance(case.layer, Loss):
        shapes["T"] = shapes["x"]
    shapes |= case.layer.parameter_shapes(case.input_shape)
    found = {name: values(shape, case.seed + k) for k, (name, shape) in enumerate(shapes.items())}
    if isinstance(case.layer, cf.SoftmaxCrossEntropy):
        found["T"] = np.exp(found["T"]) / np.exp(found["T"]).sum(1, keepdims=True)
    if isinstance(case.layer, cf.SigmoidBinaryCrossEntropy):
        found["T"] = (found["T"] > 0).astype(float)
    output = () if isinstance(case.layer, Loss) else (case.batch, *case.layer.output_shape(case.input_shape))
    return found | {"dy": normal(output, case.seed + 100)}


def in_dtype(arrays: Mapping[str, np.ndarray], dtype: Any) -> Arrays:
    return {name: np.asarray(array, dtype) for name, array in arrays.items()}


def mask_of(layer: cf.Dropout, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """What dropout multiplies with for this seed, in its first step as the first layer."""
    numbers = uniform(seed, step=0, layer=0, images=shape[0], entries=math.prod(shape[1:]))
    return np.where(numbers.astype(float) >= layer.p, 1 / (1 - layer.p), 0).reshape(shape)


def closedform_results(case: Case, arrays: Arrays) -> Arrays:
    """y, dx and the gradients of the parameters.  Nothing may be written to, so everything is read-only."""
    for array in arrays.values():
        array.flags.writeable = False
    parameters = {name: array for name, array in arrays.items() if name not in ("x", "dy")}
    y, pullback = case.layer.apply(arrays["x"], parameters, training=True, rng=case.seed)
    dx, gradients = pullback(arrays["dy"])
    return {"y": y, "x": dx, **gradients}


# ---- PyTorch


def torch_results(torch: ModuleType, case: Case, arrays: Arrays) -> Arrays:
    """The same from PyTorch's function and automatic differentiation."""
    tensors = {name: torch.tensor(array) for name, array in arrays.items() if name != "dy"}
    learned = [name for name in tensors if name != "T"]
    for name in learned:
        tensors[name].requires_grad_()
    y = torch_value(torch, case, tensors)
    gradients = torch.autograd.grad(y, [tensors[name] for name in learned], torch.tensor(arrays["dy"]))
    return {"y": y.detach().numpy()} | {
        name: gradient.numpy() for name, gradient in zip(learned, gradients, strict=True)
    }


def torch_value(torch: ModuleType, case: Case, tensors: Mapping[str, Any]) -> Any:
    """The value of a layer or loss as PyTorch computes it."""
    functional, layer, x = torch.nn.functional, case.layer, tensors["x"]
    weight, bias = tensors.get("weight"), tensors.get("bias")
    match layer:
        case cf.Conv2d():
            words = {"stride": layer.stride, "dilation": layer.dilation, "groups": layer.groups}
            if layer.padding == "same" and layer.stride == (1, 1):
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths")
                    return functional.conv2d(x, weight, bias, padding="same", **words)
            return functional.conv2d(torch_padded(torch, layer, x), weight, bias, **words)
        case cf.LocallyConnected2d():
            patches = functional.unfold(
                torch_padded(torch, layer, x), layer.kernel_size, stride=layer.stride
            )  # (N, C*R*S, P*Q)
            height, width, filters = weight.shape[:3]
            y = torch.einsum(
                "pqkm,nmpq->nkpq",
                weight.reshape(height, width, filters, -1),
                patches.reshape(*patches.shape[:2], height, width),
            )
            if bias is None:
                return y
            return y + (bias[:, None, None] if layer.bias == "shared" else bias)
        case cf.ChannelSummedConv2d():
            summed = torch_padded(torch, layer, x).sum(1, keepdim=True)
            return functional.conv2d(summed, weight[:, None], bias, stride=layer.stride)
        case cf.DepthwiseConv2d():
            words = {"stride": layer.stride, "dilation": layer.dilation, "groups": x.shape[1]}
            return functional.conv2d(torch_padded(torch, layer, x), weight, bias, **words)
        case cf.AvgPool2d():
            if pads_as_torch(layer):
                return functional.avg_pool2d(
                    x, layer.kernel_size, layer.stride, layer.padding, False, layer.count_include_pad
                )
            mean = functional.avg_pool2d(torch_padded(torch, layer, x), layer.kernel_size, layer.stride)
            if layer.count_include_pad:
                return mean
            inside = torch_padded(torch, layer, torch.ones_like(x))
            return mean / functional.avg_pool2d(inside, layer.kernel_size, layer.stride)
        case cf.MaxPool2d():
            if pads_as_torch(layer):
                return functional.max_pool2d(x, layer.kernel_size, layer.stride, layer.padding)
            lowest = torch_padded(torch, layer, x, -math.inf)
            return functional.max_pool2d(lowest, layer.kernel_size, layer.stride)
        case cf.GlobalAvgPool2d():
            return x.mean((2, 3))
        case cf.GlobalMaxPool2d():
            return functional.max_pool2d(x, x.shape[2:]).flatten(1)
        case cf.Flatten():
            return torch.flatten(x, 1)
        case cf.Dense():
            return functional.linear(x, weight, bias)
        case cf.ReLU():
            return functional.relu(x)
        case cf.LeakyReLU():
            return functional.leaky_relu(x, layer.negative_slope)
        case cf.Sigmoid():
            return torch.sigmoid(x)
        case cf.Tanh():
            return torch.tanh(x)
        case cf.Softmax():
            return functional.softmax(x, 1)
        case cf.Dropout():
            return x * torch.tensor(mask_of(layer, tuple(x.shape), case.seed), dtype=x.dtype)
        case cf.SoftmaxCrossEntropy():
            return functional.cross_entropy(x, tensors["T"])
        case cf.SigmoidBinaryCrossEntropy():
            return functional.binary_cross_entropy_with_logits(x, tensors["T"])
        case cf.MeanSquaredError():
            return functional.mse_loss(x, tensors["T"])
    raise AssertionError(f"no oracle for {layer}")


def pads_as_torch(layer: Any) -> bool:
    """Whether PyTorch's pools take this padding: numbers up to half the kernel."""
    return layer.padding != "same" and all(
        2 * padding <= kernel for padding, kernel in zip(layer.padding, layer.kernel_size, strict=True)
    )


def borders(layer: Any, image: tuple[int, int]) -> list[tuple[int, int]]:
    """Rows before and after, and columns.  "same" is TensorFlow's rule: ceil(length/stride) outputs."""
    if layer.padding != "same":
        return [(padding, padding) for padding in layer.padding]
    found = []
    for axis in (0, 1):
        stride, dilation = layer.stride[axis], getattr(layer, "dilation", (1, 1))[axis]
        reach = dilation * (layer.kernel_size[axis] - 1) + 1
        total = max((math.ceil(image[axis] / stride) - 1) * stride + reach - image[axis], 0)
        found.append((total // 2, total - total // 2))
    return found


def torch_padded(torch: ModuleType, layer: Any, x: Any, value: float = 0.0) -> Any:
    rows, columns = borders(layer, tuple(x.shape[2:]))
    return torch.nn.functional.pad(x, (*columns, *rows), value=value)


# ---- JAX


def jax_results(jax: ModuleType, case: Case, arrays: Arrays) -> Arrays:
    """The same from JAX, for the convolutions and `Dense`."""
    names = [name for name in arrays if name != "dy"]
    y, pull = jax.vjp(
        lambda *values: jax_value(jax, case.layer, dict(zip(names, values, strict=True))),
        *(arrays[name] for name in names),
    )
    gradients = pull(jax.numpy.asarray(arrays["dy"]))
    return {"y": np.asarray(y)} | {
        name: np.asarray(gradient) for name, gradient in zip(names, gradients, strict=True)
    }


def jax_value(jax: ModuleType, layer: Any, tensors: Mapping[str, Any]) -> Any:
    x, weight = tensors["x"], tensors["weight"]
    names = ("NCHW", "OIHW", "NCHW")
    if isinstance(layer, cf.LocallyConnected2d):
        height, width, filters = weight.shape[:3]
        kernels = weight.reshape(height, width, filters, -1).transpose(2, 3, 0, 1)  # (K, C*R*S, P, Q)
        y = jax.lax.conv_general_dilated_local(
            x,
            kernels,
            layer.stride,
            borders(layer, x.shape[2:]),
            layer.kernel_size,
            dimension_numbers=names,
        )
        bias = tensors.get("bias", 0.0)
        return y + (bias[:, None, None] if layer.bias == "shared" else bias)
    words = {"window_strides": layer.stride, "padding": borders(layer, x.shape[2:])}
    if isinstance(layer, cf.ChannelSummedConv2d):
        weight = jax.numpy.broadcast_to(weight[:, None], (len(weight), x.shape[1], *weight.shape[1:]))
    else:
        words |= {"rhs_dilation": layer.dilation, "feature_group_count": x.shape[1] // weight.shape[1]}
    y = jax.lax.conv_general_dilated(x, weight, dimension_numbers=names, **words)
    return y + tensors["bias"][:, None, None] if layer.bias else y
