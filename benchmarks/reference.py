"""The reference engine next to NumPy written by hand: forward passes and gradients, in float32.

    python benchmarks/reference.py [--threads 1] [--runs 9] [--only conv]

The other side is what one writes with `sliding_window_view`, `einsum(optimize=True)`, `matmul` and
`reshape`, the fastest form that we know of for each.  Runs alternate, in one process, after a warm-up.
A ratio below 1 means that the engine is the faster one; rows above 1 are marked.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--runs", type=int, default=9)
parser.add_argument("--only", default="", help="rows whose name contains this")
options = parser.parse_args()
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(options.threads)

import numpy as np  # noqa: E402  (after the number of threads)
from numpy.lib.stride_tricks import sliding_window_view  # noqa: E402

from closedform.engine.reference import plan  # noqa: E402
from closedform.formula.derive import derive  # noqa: E402
from closedform.formula.extents import solve  # noqa: E402
from closedform.formula.syntax import parse  # noqa: E402

Arrays = dict[str, np.ndarray]
Hand = Callable[[Arrays], np.ndarray]

CONVOLUTION = "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]"
LOCAL = "Y[n,q,i,j] = b[q,i,j] + sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,i+u-t,j+v-t]"
DEPTHWISE = "Y[n,c,i,j] = b[c] + sum[u,v] W[c,u,v] * X[n,c,i+u-t,j+v-t]"
MAX_POOL = "Y[n,c,i,j] = max[u,v] X[n,c,s*i+u,s*j+v]"
AVG_POOL = "Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u,s*j+v]"
DENSE = "Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]"


def padded(x: np.ndarray, before: int, after: int | None = None) -> np.ndarray:
    after = before if after is None else after
    return np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)))


def windows(x: np.ndarray, k: int, s: int = 1) -> np.ndarray:
    return sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::s, ::s]


def einsum(subscripts: str, *operands: np.ndarray) -> np.ndarray:
    return np.einsum(subscripts, *operands, optimize=True)


def convolution(s: int, t: int) -> dict[str, Hand]:
    def forward(a: Arrays) -> np.ndarray:
        w = windows(padded(a["X"], t), a["W"].shape[2], s)
        return einsum("qpuv,npijuv->nqij", a["W"], w) + a["b"][:, None, None]

    def in_w(a: Arrays) -> np.ndarray:
        k, (rows, columns) = a["W"].shape[2], a["dY"].shape[2:]
        w = windows(padded(a["X"], t), k, s)[:, :, :rows, :columns]
        return einsum("nqij,npijuv->qpuv", a["dY"], w)

    def in_x(a: Arrays) -> np.ndarray:
        dy, k, size = a["dY"], a["W"].shape[2], a["X"].shape[2]
        n, q, rows, columns = dy.shape
        inserted = np.zeros((n, q, (rows - 1) * s + 1, (columns - 1) * s + 1), dy.dtype)
        inserted[:, :, ::s, ::s] = dy
        w = windows(padded(inserted, k - 1 - t, size + t - inserted.shape[2]), k)
        return einsum("qpuv,nqabuv->npab", a["W"][:, :, ::-1, ::-1], w)

    return {"forward": forward, "W": in_w, "X": in_x}


def local(t: int) -> dict[str, Hand]:
    def columns(a: Arrays) -> np.ndarray:
        w = windows(padded(a["X"], t), a["W"].shape[-1])
        n, p, i, j, u, v = w.shape
        return w.transpose(2, 3, 0, 1, 4, 5).reshape(i * j, n, p * u * v)

    def forward(a: Arrays) -> np.ndarray:
        i, j, q, p, u, v = a["W"].shape
        product = columns(a) @ a["W"].reshape(i * j, q, p * u * v).swapaxes(1, 2)
        return product.reshape(i, j, -1, q).transpose(2, 3, 0, 1) + a["b"]

    def in_w(a: Arrays) -> np.ndarray:
        i, j, q, _, _, _ = a["W"].shape
        dy = a["dY"].transpose(2, 3, 1, 0).reshape(i * j, q, -1)
        return (dy @ columns(a)).reshape(a["W"].shape)

    def in_x(a: Arrays) -> np.ndarray:
        i, j, q, p, u, v = a["W"].shape
        dy = a["dY"].transpose(2, 3, 0, 1).reshape(i * j, -1, q)
        spread = (dy @ a["W"].reshape(i * j, q, p * u * v)).reshape(i, j, -1, p, u, v)
        spread = spread.transpose(2, 3, 4, 5, 0, 1)
        dx = np.zeros_like(padded(a["X"], t))
        for row in range(u):
            for column in range(v):
                dx[:, :, row : row + i, column : column + j] += spread[:, :, row, column]
        return dx[:, :, t : dx.shape[2] - t, t : dx.shape[3] - t]

    return {"forward": forward, "W": in_w, "X": in_x}


def depthwise(t: int) -> dict[str, Hand]:
    def forward(a: Arrays) -> np.ndarray:
        w = windows(padded(a["X"], t), a["W"].shape[1])
        return einsum("cuv,ncijuv->ncij", a["W"], w) + a["b"][:, None, None]

    def in_w(a: Arrays) -> np.ndarray:
        return einsum("ncij,ncijuv->cuv", a["dY"], windows(padded(a["X"], t), a["W"].shape[1]))

    def in_x(a: Arrays) -> np.ndarray:
        k = a["W"].shape[1]
        return einsum("cuv,ncijuv->ncij", a["W"][:, ::-1, ::-1], windows(padded(a["dY"], k - 1 - t), k))

    return {"forward": forward, "W": in_w, "X": in_x}


def tiles(x: np.ndarray, k: int) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // k, k, w // k, k)


def max_pool(k: int) -> dict[str, Hand]:
    def forward(a: Arrays) -> np.ndarray:
        return tiles(a["X"], k).max((3, 5))

    def in_x(a: Arrays) -> np.ndarray:
        t = tiles(a["X"], k).transpose(0, 1, 2, 4, 3, 5)
        flat = t.reshape(*t.shape[:4], k * k)
        dx = np.zeros_like(flat)
        np.put_along_axis(dx, flat.argmax(-1)[..., None], a["dY"][..., None], -1)
        return dx.reshape(t.shape).transpose(0, 1, 2, 4, 3, 5).reshape(a["X"].shape)

    return {"forward": forward, "X": in_x}


def average_pool(k: int) -> dict[str, Hand]:
    def forward(a: Arrays) -> np.ndarray:
        return tiles(a["X"], k).mean((3, 5))

    def in_x(a: Arrays) -> np.ndarray:
        spread = np.broadcast_to((a["dY"] / (k * k))[:, :, :, None, :, None], tiles(a["X"], k).shape)
        return spread.reshape(a["X"].shape)

    return {"forward": forward, "X": in_x}


DENSE_BY_HAND: dict[str, Hand] = {
    "forward": lambda a: a["X"] @ a["W"].T + a["b"],
    "W": lambda a: a["dY"].T @ a["X"],
    "X": lambda a: a["dY"] @ a["W"],
}


def cases() -> list[tuple[str, str, tuple[int, ...], dict[str, int], dict[str, Hand]]]:
    found = []
    for n, c, h, q, k, s, t in [
        (32, 16, 28, 32, 3, 1, 1),
        (32, 1, 28, 16, 3, 1, 1),
        (32, 32, 14, 32, 3, 2, 1),
        (8, 64, 14, 64, 3, 1, 1),
        (64, 8, 8, 16, 3, 1, 1),
        (16, 16, 14, 32, 1, 1, 0),
    ]:
        name = f"conv {n}x{c}x{h}x{h}, {q} of {k}x{k}, stride {s}, padding {t}"
        settings = {"q": q, "u": k, "v": k, "s": s, "t": t}
        found.append((name, CONVOLUTION, (n, c, h, h), settings, convolution(s, t)))
    settings = {"q": 16, "u": 3, "v": 3, "t": 1}
    found.append(("locally connected 32x8x14x14, 16 of 3x3", LOCAL, (32, 8, 14, 14), settings, local(1)))
    settings = {"u": 3, "v": 3, "t": 1}
    found.append(("depthwise 32x32x28x28, 3x3", DEPTHWISE, (32, 32, 28, 28), settings, depthwise(1)))
    settings = {"u": 2, "v": 2, "s": 2}
    found.append(("max pool 32x16x28x28, 2x2", MAX_POOL, (32, 16, 28, 28), settings, max_pool(2)))
    found.append(("average pool 32x16x28x28, 2x2", AVG_POOL, (32, 16, 28, 28), settings, average_pool(2)))
    found.append(("dense 64x1600 to 128", DENSE, (64, 1600), {"o": 128}, DENSE_BY_HAND))
    return found


def measure(ours: Callable[[], object], hand: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Milliseconds of alternating runs."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(options.runs + 2):
        for side, run in enumerate((ours, hand)):
            start = time.perf_counter()
            run()
            if number >= 2:
                times[side].append((time.perf_counter() - start) * 1e3)
    return times


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(": ")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    print(f"{_processor()}, NumPy {np.__version__}, {options.threads} thread(s)")
    print(f"milliseconds: minimum (median) of {options.runs} alternating runs\n")
    print(f"{'':52s}{'':9s}{'engine':>16s}{'by hand':>16s}{'ratio':>8s}")
    for name, formula, shape, settings, hand in cases():
        if options.only not in name:
            continue
        equation = parse(formula)
        sizes = solve(equation, {"X": shape}, settings)
        generator = np.random.default_rng(0)
        arrays = {
            tensor: generator.normal(size=sizes.shapes[tensor]).astype(np.float32)
            for tensor in equation.tensors
        }
        arrays["dY"] = generator.normal(size=sizes.shapes["Y"]).astype(np.float32)
        for what, by_hand in hand.items():
            if what == "forward":
                ours, output = plan([equation], sizes, ["Y"]), "Y"
            else:
                derived = derive(equation, what, sizes)
                output = derived.gradient
                ours = plan([*derived.definitions, derived.result], derived.sizes, [output])
            result, expected = ours(arrays)[output], by_hand(arrays)
            if not np.allclose(result, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
                raise SystemExit(f"{name}, {what}: the two differ by {np.abs(result - expected).max()}")
            mine, theirs = measure(lambda: ours(arrays), lambda: by_hand(arrays))  # noqa: B023
            ratio = min(mine) / min(theirs)
            columns = "".join(
                f"{min(times):8.2f} ({statistics.median(times):5.2f})" for times in (mine, theirs)
            )
            label = "forward" if what == "forward" else f"d{what}"
            print(f"{name:52s}{label:9s}{columns}{ratio:8.2f}{'  slower' if ratio > 1 else ''}", flush=True)


if __name__ == "__main__":
    main()
