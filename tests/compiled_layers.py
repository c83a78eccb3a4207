"""Networks as the compiled engine runs them, and the same in PyTorch's float64."""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

import numpy as np
from layer_oracles import Arrays, Case, in_dtype, torch_results

import closedform as cf
from closedform.layers import Layer

# layers with the shape of an input: settings and sizes that leave rests
LAYERS = [
    (cf.Conv2d(5, 3, stride=2), (3, 11, 13)),
    (cf.Conv2d(5, 3, stride=3), (3, 11, 13)),
    (cf.Conv2d(17, (2, 3), stride=(3, 2), padding=1), (4, 7, 11)),
    (cf.Conv2d(3, 1, stride=2), (33, 5, 7)),
    (cf.Conv2d(19, (1, 2), stride=(2, 3)), (2, 7, 11)),
    (cf.Conv2d(6, 4, padding="same"), (5, 7, 7)),
    (cf.Conv2d(16, 2, stride=2, padding="same"), (1, 7, 11)),
    (cf.Conv2d(9, 5, padding=4), (2, 3, 3)),
    (cf.Conv2d(4, 3, dilation=2), (3, 11, 7)),
    (cf.Conv2d(18, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(2, 3)), (3, 7, 7)),
    (cf.Conv2d(6, 3, padding=1, groups=2), (4, 5, 7)),
    (cf.Conv2d(33, 2, stride=2, groups=3), (9, 5, 7)),
    (cf.Conv2d(32, 1, groups=8), (16, 3, 5)),
    (cf.DepthwiseConv2d(3, padding=1), (17, 5, 7)),
    (cf.DepthwiseConv2d((2, 3), stride=2, dilation=2, bias=False), (33, 11, 7)),
    (cf.LocallyConnected2d(5, 3), (3, 7, 5)),
    (cf.LocallyConnected2d(17, 2, stride=2, bias="shared"), (3, 7, 5)),
    (cf.LocallyConnected2d(1, (2, 3), padding=1, bias=False), (19, 3, 5)),
    (cf.ChannelSummedConv2d(17, 3, padding=1), (7, 7, 5)),
    (cf.ChannelSummedConv2d(2, (1, 3), stride=(1, 3), bias=False), (5, 10, 12)),
    (cf.MaxPool2d(3, stride=2), (17, 7, 11)),
    (cf.MaxPool2d(3, stride=1, padding=1), (5, 7, 5)),
    (cf.MaxPool2d((2, 3), padding="same"), (33, 7, 7)),
    (cf.AvgPool2d(3, stride=2, padding=1), (17, 7, 11)),
    (cf.AvgPool2d((3, 2), padding="same", count_include_pad=False), (33, 5, 9)),
    (cf.AvgPool2d(2, stride=1), (3, 5, 7)),
    (cf.GlobalAvgPool2d(), (19, 7, 5)),
    (cf.GlobalMaxPool2d(), (19, 7, 5)),
    (cf.LeakyReLU(0.1), (19, 3, 5)),
    (cf.Sigmoid(), (7, 3, 5)),
    (cf.Tanh(), (7, 3, 5)),
    (cf.Softmax(), (17,)),
    (cf.Softmax(), (33, 2, 3)),
    (cf.Dropout(0.4), (17, 3, 5)),
    (cf.Flatten(), (5, 3, 7)),
    (cf.Dense(33), (101,)),
]
# results below the smallest normal number may be flushed to 0
TINY = 2.0**-126


def compiled(layers: Sequence[Layer], input_shape: tuple[int, ...], seed: int = 0, loss=None) -> cf.Network:
    """A network that asks for the compiled engine."""
    return cf.Network(layers, input_shape=input_shape, loss=loss, seed=seed, engine="compiled")


def compiled_results(case: Case, arrays: Arrays) -> Arrays:
    """y, dx and the gradients of one layer, by public name."""
    net = compiled([case.layer], case.input_shape, case.seed)
    return layer_results(net, arrays)


def layer_results(net: cf.Network, arrays: Arrays) -> Arrays:
    """The same from a network of one layer, with x, dy and the parameters from arrays by public name."""
    for name, array in arrays.items():
        if name not in ("x", "dy"):
            net.parameters[f"0.{name}"] = array
    return {name.removeprefix("0."): array for name, array in apply(net, arrays["x"], arrays["dy"]).items()}


def in_torch(
    torch: ModuleType, net: cf.Network, x: np.ndarray, dy: np.ndarray
) -> tuple[Arrays, dict[str, float]]:
    """What `apply` gives, layer after layer in PyTorch, forth and back, in float64.

    Also how large the sum of as many terms of random sign is that a parameter's gradient adds up: a
    gradient may be far smaller, and then so much of its rounding error remains.
    """
    inputs, exact = [x.astype(np.float64)], in_dtype(net.parameters, np.float64)
    cases = [
        Case(layer, shape, len(x), net.seed)
        for layer, shape in zip(net.layers, net.architecture.shapes, strict=False)
    ]
    arrays = []
    for position, case in enumerate(cases):
        own = {key.partition(".")[2]: value for key, value in exact.items() if key.startswith(f"{position}.")}
        shape = (len(x), *case.layer.output_shape(case.input_shape))
        arrays.append({"x": inputs[-1], **own, "dy": np.zeros(shape)})
        inputs.append(torch_results(torch, case, arrays[-1])["y"])
    found, scales, gradient = {"y": inputs[-1]}, {}, dy.astype(np.float64)
    for position in reversed(range(len(cases))):
        given = arrays[position] | {"dy": gradient}
        back = torch_results(torch, cases[position], given)
        size = np.linalg.norm(gradient) / gradient.shape[1] ** 0.5
        for name in set(given) - {"x", "dy"}:
            found[f"{position}.{name}"] = back[name]
            factor = 1.0 if name == "bias" else np.sqrt((given["x"] ** 2).mean())
            scales[f"{position}.{name}"] = size * factor
        gradient = back["x"]
    return found | {"x": gradient}, scales


def apply(net: cf.Network, x: np.ndarray, dy: np.ndarray) -> Arrays:
    """The same by the network itself."""
    wanted = net.engine
    y, pullback = net.apply(x, training=True)
    dx, gradients = pullback(dy)
    assert net.engine == wanted, "the other engine took over"
    return {"y": y, **gradients, "x": dx}


def check_close(
    results: Arrays,
    expected: Arrays,
    tolerance: float,
    where: object = "",
    scales: Mapping[str, float] | None = None,
) -> None:
    """Assert that all entries are within `tolerance` times the largest of their array, or times its scale."""
    assert results.keys() == expected.keys()
    for name, array in expected.items():
        assert results[name].shape == array.shape, f"{where}: {name}"
        error = np.abs(results[name] - array).max(initial=0)
        scale = max(np.abs(array).max(initial=0), (scales or {}).get(name, 0))
        allowed = tolerance * scale + TINY
        assert error <= allowed, f"{where}: {name} is off by {error} where {allowed} is allowed"


def circle(highest: int, step: int) -> list[int]:
    """Numbers of channels in which each is followed by the one `step` above it, around a circle."""
    return [step * turn % highest + 1 for turn in range(highest + 1)]


def every_pair(highest: int) -> list[int]:
    """Numbers of channels in which each is followed by each once: a de Bruijn sequence of order 2."""
    numbers = range(1, highest + 1)
    pairs = [[a, *(c for b in numbers if b > a for c in (a, b))] for a in numbers]
    return [number for part in pairs for number in part] + [1]


def chains(channels: Sequence[int], length: int) -> Iterator[list[int]]:
    """A long row of channels cut into rows of `length` layers."""
    for start in range(0, len(channels) - 1, length):
        yield list(channels[start : start + length + 1])
