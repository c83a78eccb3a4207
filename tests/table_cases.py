"""Formulas with PyTorch's own way to compute them, for the tests of tables and of the engine on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from formulas import RANKS, equations
from hypothesis import HealthCheck, assume, given, settings

from closedform.errors import ShapeError
from closedform.formula.derive import derive
from closedform.formula.evaluate import evaluate
from closedform.formula.extents import Shape, Sizes, solve
from closedform.formula.syntax import parse
from closedform.formula.tree import Equation, Jacobian, walk

CONVOLUTION = (
    "Y[n,|q|*g+q,i,j] = b[|q|*g+q] + sum[p,u,v] W[|q|*g+q,p,u,v] * X[n,|p|*g+p,s1*i+d1*u-t1,s2*j+d2*v-t2]"
)
LOCAL = "Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
CHANNEL_SUMMED = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
DEPTHWISE = "Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,s*i+u-t,s*j+v-t]"
AVERAGE = "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u-t,s*j+v-t]"
AVERAGE_INSIDE = (
    "Y[n,c,i,j] = (sum[u,v] X[n,c,s*i+u-t,s*j+v-t])"
    " / sum[u,v] [0 <= s*i+u-t < |X.2|] * [0 <= s*j+v-t < |X.3|]"
)
MAXIMUM = "Y[n,c,i,j] = max[u,v] X[n,c,s*i+d*u-t,s*j+d*v-t]"
SOFTMAX = "Y[n,k] = exp(X[n,k]) / sum[m] exp(X[n,m])"
CROSS_ENTROPY = "L = -1/|n| * sum[n,k] T[n,k] * log(exp(X[n,k]) / sum[m] exp(X[n,m]))"
BINARY = "L = -1/|n| * sum[n] (T[n]*log(sigmoid(X[n])) + (1-T[n])*log(1-sigmoid(X[n])))"
CASES = 38  # how many `cases` gives
NORMALISED = (
    "Y[n,c,i] = b[c] + W[c] * (X[n,c,i] - 1/(|X.0|*|k|) * sum[m,k] X[m,c,k])"
    " / sqrt(1/8 + 1/(|X.0|*|k|) * sum[m,k] (X[m,c,k] - 1/(|X.0|*|l|) * sum[o,l] X[o,c,l])^2)"
)


@dataclass(frozen=True)
class Case:
    """A formula, the shapes and settings it is tried with, and the same in PyTorch."""

    name: str
    formula: str
    shapes: dict[str, tuple[int, ...]]
    settings: dict[str, Any]
    torch: Callable[..., Any]
    wrt: str = "XWb"
    facts: tuple[str, ...] = ()
    ties: bool = False

    @property
    def sizes(self) -> Sizes:
        """The formula's sizes."""
        return solve(parse(self.formula), self.shapes, self.settings)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Problem:
    """Equations to be run in order, what they read, and what has to come out."""

    name: str
    equations: list[Equation]
    sizes: Sizes
    arrays: dict[str, np.ndarray]
    expected: np.ndarray = field(repr=False)

    @property
    def output(self) -> str:
        """The tensor that is wanted."""
        return self.equations[-1].left.tensor


def windows(F: Any, x: Any, k: tuple[int, int], s: int, t: int) -> Any:
    """(N, C, U, V, I, J)."""
    n, c, h, w = x.shape
    columns = F.unfold(x, k, stride=s, padding=t)
    rows = ((h + 2 * t - k[0]) // s + 1, (w + 2 * t - k[1]) // s + 1)
    return columns.reshape(n, c, *k, *rows)


def cases() -> list[Case]:
    """Every layer and loss, and formulas that a user might write."""
    import torch
    import torch.nn.functional as F

    def convolution(s, t, d, g):
        return lambda X, W, b: F.conv2d(X, W, b, stride=s, padding=t, dilation=d, groups=g)

    def conv(name, x, q, k, s=(1, 1), t=(0, 0), d=(1, 1), g=1):
        settings = {"s1": s[0], "s2": s[1], "t1": t[0], "t2": t[1], "d1": d[0], "d2": d[1], "g": g}
        settings |= {"q": q // g, "u": k[0], "v": k[1]}
        return Case(name, CONVOLUTION, {"X": x}, settings, convolution(s, t, d, g))

    def local(s, t, k):
        def run(X, W, b):
            return torch.einsum("ijqpuv,npuvij->nqij", W, windows(F, X, k, s, t)) + b

        return run

    def morphology(X, W):
        w = F.pad(X, (1, 1), value=-torch.inf).unfold(2, 3, 1)
        return (w + W[None, :, None, :]).amax(-1)

    def softmax_pool(X):
        w = windows(F, X, (2, 2), 2, 0).flatten(2, 3)
        return (w.softmax(2) * w).sum(2)

    def normalised(X, W, b):
        return F.batch_norm(X, None, None, W, b, training=True, eps=0.125)

    def squared(X, W, A):
        return F.conv2d(X, W, stride=2, padding=1) + F.conv2d(X * X, A, stride=2, padding=1)

    pool = {"u": 3, "v": 2, "s": 2, "t": 1}
    slope = Fraction(1, 8)
    return [
        conv("convolution", (2, 3, 5, 4), 4, (3, 2)),
        conv("convolution, padded", (2, 2, 4, 5), 3, (3, 3), t=(1, 1)),
        conv("convolution, stride 2", (2, 2, 6, 5), 3, (3, 3), s=(2, 2), t=(1, 1)),
        conv("convolution, uneven strides", (1, 2, 7, 6), 2, (2, 3), s=(3, 2), t=(1, 0)),
        conv("convolution, stride above the kernel", (2, 1, 7, 8), 2, (2, 1), s=(3, 4)),
        conv("convolution, dilated", (2, 2, 7, 6), 2, (3, 2), s=(2, 1), t=(2, 1), d=(2, 3)),
        conv("convolution, two groups", (2, 4, 5, 4), 6, (3, 2), s=(2, 1), t=(1, 1), g=2),
        conv("convolution, one by one", (2, 3, 3, 4), 4, (1, 1)),
        Case("locally connected", LOCAL, {"X": (2, 2, 5, 4)}, {"q": 3, **pool}, local(2, 1, (3, 2))),
        Case(
            "channel-summed",
            CHANNEL_SUMMED,
            {"X": (2, 3, 5, 4)},
            {"q": 2, **pool},
            lambda X, W, b: F.conv2d(X.sum(1, keepdim=True), W[:, None], b, stride=2, padding=1),
        ),
        Case(
            "depthwise",
            DEPTHWISE,
            {"X": (2, 3, 5, 6)},
            pool,
            lambda X, W, b: F.conv2d(X, W[:, None], b, stride=2, padding=1, groups=3),
        ),
        Case(
            "average pool, tiles",
            AVERAGE,
            {"X": (2, 2, 4, 6)},
            {"u": 2, "v": 2, "s": 2, "t": 0},
            lambda X: F.avg_pool2d(X, 2),
            "X",
        ),
        Case(
            "average pool, tiles that leave a row",
            AVERAGE,
            {"X": (2, 2, 5, 6)},
            {"u": 2, "v": 2, "s": 2, "t": 0},
            lambda X: F.avg_pool2d(X, 2),
            "X",
        ),
        Case(
            "average pool, overlapping",
            AVERAGE,
            {"X": (2, 2, 5, 6)},
            pool,
            lambda X: F.pad(X, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 2, 2).mean((-1, -2)),
            "X",
        ),
        Case(
            "average pool, padding not counted",
            AVERAGE_INSIDE,
            {"X": (2, 2, 5, 6)},
            {"u": 3, "v": 3, "s": 2, "t": 1},
            lambda X: F.avg_pool2d(X, 3, 2, 1, count_include_pad=False),
            "X",
        ),
        Case(
            "max pool, tiles",
            MAXIMUM,
            {"X": (2, 2, 5, 6)},
            {"u": 2, "v": 2, "s": 2, "d": 1, "t": 0},
            lambda X: F.max_pool2d(X, 2),
            "X",
            ties=True,
        ),
        Case(
            "max pool, overlapping, dilated, padded",
            MAXIMUM,
            {"X": (2, 2, 6, 7)},
            {"u": 3, "v": 3, "s": 2, "d": 2, "t": 1},
            lambda X: F.max_pool2d(X, 3, 2, 1, 2),
            "X",
            ties=True,
        ),
        Case(
            "global average",
            "Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]",
            {"X": (2, 3, 4, 2)},
            {},
            lambda X: X.mean((2, 3)),
            "X",
        ),
        Case(
            "dense",
            "Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]",
            {"X": (3, 5)},
            {"o": 4},
            F.linear,
        ),
        Case(
            "flatten",
            "Y[n,|i|*|j|*c+|j|*i+j] = X[n,c,i,j]",
            {"X": (2, 3, 2, 4)},
            {},
            lambda X: X.flatten(1),
            "X",
        ),
        Case("relu", "Y[n,f] = relu(X[n,f])", {"X": (3, 5)}, {}, F.relu, "X"),
        Case("sigmoid", "Y[n,f] = sigmoid(X[n,f])", {"X": (3, 5)}, {}, torch.sigmoid, "X"),
        Case("tanh", "Y[n,f] = tanh(X[n,f])", {"X": (3, 5)}, {}, torch.tanh, "X"),
        Case(
            "leaky relu",
            "Y[n,f] = relu(X[n,f]) - k * relu(-X[n,f])",
            {"X": (3, 5)},
            {"k": slope},
            lambda X: F.leaky_relu(X, float(slope)),
            "X",
        ),
        Case("softmax", SOFTMAX, {"X": (3, 5)}, {}, lambda X: X.softmax(1), "X"),
        Case(
            "cross entropy",
            CROSS_ENTROPY,
            {"X": (3, 5), "T": (3, 5)},
            {},
            lambda X, T: -(T * X.log_softmax(1)).sum() / 3,
            "X",
            facts=("T",),
        ),
        Case(
            "binary cross entropy",
            BINARY,
            {"X": (6,), "T": (6,)},
            {},
            F.binary_cross_entropy_with_logits,
            "X",
        ),
        Case(
            "mean squared error",
            "L = 1/(|n|*|k|) * sum[n,k] (X[n,k]-T[n,k])^2",
            {"X": (3, 4), "T": (3, 4)},
            {},
            F.mse_loss,
            "X",
        ),
        Case(
            "bilinear",
            "Y[n,o] = b[o] + sum[f,h] W[o,f,h] * X[n,f] * Z[n,h]",
            {"X": (3, 4), "Z": (3, 2)},
            {"o": 2},
            lambda X, Z, W, b: F.bilinear(X, Z, W, b),
            "XZWb",
        ),
        Case(
            "window times its corner",
            "Y[n,q,i,j] = sum[u,v] W[q,u,v] * X[n,q,i+u,j+v] * X[n,q,i,j]",
            {"X": (2, 2, 4, 5)},
            {"u": 2, "v": 3},
            lambda X, W: F.conv2d(X, W[:, None], groups=2) * X[:, :, :3, :3],
            "XW",
        ),
        Case(
            "squared",
            "Y[n,q,i,j] = sum[p,u,v] (W[q,p,u,v]*X[n,p,s*i+u-t,s*j+v-t]"
            " + A[q,p,u,v]*X[n,p,s*i+u-t,s*j+v-t]^2)",
            {"X": (2, 2, 5, 4)},
            {"q": 3, "u": 3, "v": 3, "s": 2, "t": 1},
            squared,
            "XWA",
        ),
        Case(
            "convolution of relu",
            "Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * relu(X[n,p,s*i+u-t,s*j+v-t])",
            {"X": (2, 2, 5, 4)},
            {"q": 3, "u": 3, "v": 3, "s": 2, "t": 1},
            lambda X, W: F.conv2d(X.relu(), W, stride=2, padding=1),
            "XW",
        ),
        Case(
            "convolution of sigmoid, which is not 0 in the padding",
            "Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * sigmoid(X[n,p,i+u-t,j+v-t])",
            {"X": (2, 2, 4, 4)},
            {"q": 3, "u": 3, "v": 3, "t": 1},
            lambda X, W: F.conv2d(F.pad(X.sigmoid(), (1, 1, 1, 1), value=0.5), W),
            "XW",
        ),
        Case(
            "response normalisation",
            "Y[n,c,i] = X[n,c,i] / sqrt(1 + k * sum[u] X[n,c+u-1,i]^2)",
            {"X": (2, 4, 3)},
            {"u": 3, "k": Fraction(1, 3)},
            lambda X: F.local_response_norm(X, 3, alpha=1.0, beta=0.5, k=1.0),
            "X",
        ),
        Case("batch normalisation", NORMALISED, {"X": (3, 2, 4)}, {}, normalised),
        Case(
            "softmax pooling",
            "Y[n,c,i,j] = (sum[u,v] exp(X[n,c,2*i+u,2*j+v]) * X[n,c,2*i+u,2*j+v])"
            " / sum[u,v] exp(X[n,c,2*i+u,2*j+v])",
            {"X": (2, 2, 4, 6)},
            {"u": 2, "v": 2},
            softmax_pool,
            "X",
        ),
        Case(
            "transposed convolution",
            "Y[n,q,a,b'] = sum[p,u,v] W[p,q,u,v] * X[n,p,(a+t-u)/s,(b'+t-v)/s]",
            {"X": (2, 3, 3, 4)},
            {"q": 2, "u": 3, "v": 3, "s": 2, "t": 1, "a": 5, "b'": 7},
            lambda X, W: F.conv_transpose2d(X, W, stride=2, padding=1),
            "XW",
        ),
        Case(
            "morphological dilation",
            "Y[n,c,i] = max[u] (X[n,c,i+u-1] + W[c,u])",
            {"X": (2, 3, 5)},
            {"u": 3},
            morphology,
            "XW",
        ),
    ]


def problems(case: Case, seed: int = 0) -> list[Problem]:
    """The formula and its gradients, with what PyTorch makes of the same numbers."""
    import torch

    generator = np.random.default_rng(seed)
    equation, sizes = parse(case.formula), case.sizes
    names = dict.fromkeys([*"XZWAbT"])
    arrays = {name: generator.normal(size=sizes.shapes[name]) for name in equation.tensors}
    if case.ties:
        arrays["X"] = arrays["X"].round()  # equal entries in many windows
    if "T" in arrays:
        arrays["T"] = abs(arrays["T"])
        if case.facts:
            arrays["T"] /= arrays["T"].sum(-1, keepdims=True)
        else:
            arrays["T"] = (arrays["T"] > 0.5).astype(float)
    tensors = {name: torch.tensor(array, requires_grad=True) for name, array in arrays.items()}
    y = case.torch(*[tensors[name] for name in names if name in tensors])
    found = [Problem(case.name, [equation], sizes, arrays, y.detach().numpy())]
    output = equation.left.tensor
    dy = generator.normal(size=y.shape)
    y.backward(torch.tensor(dy) if y.ndim else None)
    given = {**arrays, output: y.detach().numpy(), f"d{output}": dy}
    for tensor in (name for name in case.wrt if name in arrays):
        derived = derive(equation, tensor, sizes, facts=case.facts)
        found.append(
            Problem(
                f"{case.name}, gradient in {tensor}",
                [*derived.definitions, derived.result],
                derived.sizes,
                given,
                tensors[tensor].grad.numpy(),
            )
        )
    return found


def check_any_formula(
    run: Callable[[Equation, Sizes, dict[str, np.ndarray]], np.ndarray],
    extents: Mapping[str, int],
    shape: tuple[int, int, int],
) -> None:
    """Assert that `run` gives the values of random formulas, where most of these are not 0.

    Every tensor is as long as `shape` says along the axes that it has.
    """
    n, i, j = (extents[index] for index in "nij")
    outputs: dict[int, Shape] = {1: (i,), 2: (n, i * j), 3: (n, i, j)}

    @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(equations())
    def sweep(equation: Equation) -> None:
        output = equation.left.tensor
        assume(output not in equation.tensors)
        shapes: dict[str, Shape] = {tensor: shape[:rank] for tensor, rank in RANKS.items()}
        for node in walk(equation.right):
            if isinstance(node, Jacobian):
                shapes[node.name] = (2 * shape)[: len(node.access.subscripts)]
        shapes[output] = outputs[len(equation.left.subscripts)]
        sizes = Sizes(dict(extents), {"s": 2, "t1": 1, "k": 3, "gain": 2}, shapes)
        generator = np.random.default_rng(0)
        arrays = {tensor: generator.normal(size=shapes[tensor]) for tensor in equation.tensors}
        try:
            expected = evaluate(equation, arrays, sizes)
        except ShapeError as error:
            assume("has no term at" not in str(error))
            raise
        assume(np.isfinite(expected).all() and expected.any())
        counts.append((np.count_nonzero(expected), expected.size))
        scale = max(1, abs(expected).max())
        np.testing.assert_allclose(run(equation, sizes, arrays), expected, rtol=1e-9, atol=1e-9 * scale)

    counts: list[tuple[int, int]] = []
    sweep()
    apart_from_0, compared = np.sum(counts, 0)
    assert apart_from_0 > 0.6 * compared
