"""Values and gradients of layers by plain loops, right ones and ones with a mistake in them.

Nothing here knows formulas or rewrites: the code is what somebody would write by hand, with a switch for
each mistake.  Without a mistake it is right, which a test holds against the library.
"""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np

import closedform as cf


def whole(rng, *shape):
    """Whole numbers from -9 to 9, none of them 0."""
    return rng.integers(1, 10, shape) * rng.choice([-1, 1], shape)


def different(rng, *shape):
    """Different whole numbers, none of them 0."""
    size = int(np.prod(shape))
    return rng.permutation([k for k in range(-size, size + 1) if k])[:size].reshape(shape)


def padded(x, t):
    return np.pad(x, ((0, 0), (0, 0), (t, t), (t, t)))


# ---- convolutions


CONVOLUTIONS = {
    "conv": "nprs,qprs->nq",
    "depthwise": "ncrs,crs->nc",
    "channel-summed": "nprs,qrs->nq",
    "local": "nprs,qprs->nq",
}


def draw_convolution(rng, kind, *, stride=None, padding=None, dilation=None, equal=None, groups=1):
    """A convolution of random sizes and the numbers for it."""
    s = stride or int(rng.integers(1, 3))
    t = int(rng.integers(0, 2)) if padding is None else padding
    d = dilation or 1
    k = int(rng.integers(2, 4))
    n, c = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    q = c if equal or (equal is None and rng.random() < 0.3) else int(rng.integers(2, 5))
    if equal is False and q == c:
        q = c + 1
    reach = d * (k - 1) + 1
    h, w = (max(reach - 2 * t + s * int(rng.integers(1, 3)) + int(rng.integers(0, s)), 3) for _ in "hw")
    p, r = ((length + 2 * t - reach) // s + 1 for length in (h, w))
    if kind == "conv":
        c, q = (c * groups, q * groups) if groups > 1 else (c, q)
        layer = cf.Conv2d(q, k, stride=s, padding=t, dilation=d, groups=groups)
        weights, bias = (q, c // groups, k, k), (q,)
    elif kind == "depthwise":
        layer, q = cf.DepthwiseConv2d(k, stride=s, padding=t, dilation=d), c
        weights, bias = (c, k, k), (c,)
    elif kind == "channel-summed":
        layer, d = cf.ChannelSummedConv2d(q, k, stride=s, padding=t), 1
        weights, bias = (q, k, k), (q,)
    else:
        layer, d = cf.LocallyConnected2d(q, k, stride=s, padding=t), 1
        weights, bias = (p, r, q, c, k, k), (q, p, r)
    return SimpleNamespace(
        kind=kind, layer=layer, s=s, t=t, d=d, k=k, groups=groups, p=p, r=r, reach=reach,
        X=whole(rng, n, c, h, w), W=whole(rng, *weights), b=whole(rng, *bias), dY=whole(rng, n, q, p, r),
    )  # fmt: skip


def kernel_at(z, W, i, j):
    return W[i, j] if z.kind == "local" else W


def window(z, x, i, j, *, s=None, shift=(0, 0)):
    """The entries of a padded input on which the window at (i, j) lies."""
    s = s or z.s
    rows = [i * s + shift[0] + z.d * u for u in range(z.k)]
    columns = [j * s + shift[1] + z.d * v for v in range(z.k)]
    found = np.zeros((*x.shape[:2], z.k, z.k), x.dtype)
    for a, row in enumerate(rows):
        for b, column in enumerate(columns):
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                found[:, :, a, b] = x[:, :, row, column]
    return found


def grouped(z, x, W, product):
    """A product of each group of channels by itself."""
    if z.groups == 1:
        return product(x, W)
    parts = zip(np.split(x, z.groups, 1), np.split(W, z.groups, 0), strict=True)
    return np.concatenate([product(a, b) for a, b in parts], 1)


def convolution_value(z, mistake=None):
    """Y of a convolution."""
    x, W, b = padded(z.X, z.t), z.W, z.b
    s, shift, p, r = z.s, (0, 0), z.p, z.r
    if mistake == "convolution-flipped":
        W = W[..., ::-1, ::-1]
    if mistake == "channels-swapped":
        W = W.swapaxes(-4, -3)
    if mistake == "transposed-operand":
        W = W.swapaxes(-1, -2)
    if mistake == "padding-forgotten":
        x = np.pad(z.X, ((0, 0), (0, 0), (0, 2 * z.t), (0, 2 * z.t)))
    if mistake == "padding-once-in-size":
        p, r = ((length + z.t - z.reach) // s + 1 for length in z.X.shape[2:])
    if mistake == "stride-ignored":
        s = 1
    if mistake == "off-by-one":
        shift = (1, 0)
    if mistake == "channels-not-summed":
        x = x * (np.arange(x.shape[1]) == 0)[None, :, None, None]
    y = np.zeros((len(x), z.dY.shape[1], p, r), int)
    for i in range(p):
        for j in range(r):
            seen = window(z, x, i, j, s=s, shift=shift)
            own = kernel_at(z, W, i, j)
            y[:, :, i, j] = grouped(z, seen, own, lambda a, k: np.einsum(CONVOLUTIONS[z.kind], a, k))
            if mistake == "channels-summed":
                y[:, :, i, j] = y[:, :, i, j].sum(1, keepdims=True)
            if mistake != "bias-missing":
                y[:, :, i, j] += b[:, i, j] if z.kind == "local" else b
    return -y if mistake == "sign" else y


def zeros_inserted(dy, s):
    n, q, p, r = dy.shape
    found = np.zeros((n, q, (p - 1) * s + 1, (r - 1) * s + 1), dy.dtype)
    found[:, :, ::s, ::s] = dy
    return found


def full_correlation(z, dy, W):
    """dY in a border of zeros, slid over by the kernel as it is given."""
    edge = z.reach - 1
    dy = np.pad(dy, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    height, width = (length - edge for length in dy.shape[2:])
    c = z.X.shape[1]
    found = np.zeros((len(dy), c, height, width), int)
    for a in range(height):
        for b in range(width):
            for u in range(z.k):
                for v in range(z.k):
                    seen = dy[:, :, a + z.d * u, b + z.d * v]
                    found[:, :, a, b] += spread_channels(z, seen, W[..., u, v])
    return found


def spread_channels(z, dy, w):
    """dY of one position times the weights of one entry of the kernel, for each input channel."""
    if z.kind == "depthwise":
        return dy * w
    if z.kind == "channel-summed":
        return np.repeat((dy * w).sum(1)[:, None], z.X.shape[1], 1)
    if z.groups == 1:
        return dy @ w
    parts = zip(np.split(dy, z.groups, 1), np.split(w, z.groups, 0), strict=True)
    return np.concatenate([a @ b for a, b in parts], 1)


def local_input_gradient(z, dy, W, *, turned=False):
    """Each position's own kernel times its dY, added where its window lies."""
    n, c, h, w = z.X.shape
    found = np.zeros((n, c, h + 2 * z.t, w + 2 * z.t), int)
    for i in range(z.p):
        for j in range(z.r):
            for u in range(z.k):
                for v in range(z.k):
                    entry = W[i, j, :, :, z.k - 1 - u, z.k - 1 - v] if turned else W[i, j, :, :, u, v]
                    found[:, :, i * z.s + u, j * z.s + v] += dy[:, :, i, j] @ entry
    return found


def convolution_input_gradient(z, mistake=None):
    """dX: the zero-inserted dY in a border, slid over by the rotated kernel, cropped by the padding."""
    n, c, h, w = z.X.shape
    dy, W, t = z.dY, z.W, z.t
    if mistake == "channels-swapped":
        W = W.swapaxes(-4, -3)
    if mistake == "channels-not-summed":
        dy = dy * (np.arange(dy.shape[1]) == dy.shape[1] - 1)[None, :, None, None]
    if mistake == "transposed-operand":
        W = W.swapaxes(-1, -2)
    if z.kind == "local":
        whole_gradient = local_input_gradient(z, dy, W, turned=mistake == "kernel-not-rotated")
    else:
        turned = W if mistake == "kernel-not-rotated" else W[..., ::-1, ::-1]
        dense = dy if mistake == "zeros-not-inserted" else zeros_inserted(dy, z.s)
        got = full_correlation(z, dense, turned)
        if mistake == "border-missing":
            edge = z.reach - 1
            inner = got[:, :, edge : got.shape[2] - edge, edge : got.shape[3] - edge]
            if inner.size and z.p % 2:
                return inner
            return np.pad(got, ((0, 0), (0, 0), (0, 9), (0, 9)))[:, :, edge : edge + h, edge : edge + w]
        whole_gradient = np.zeros((n, c, h + 2 * t, w + 2 * t), int)
        whole_gradient[:, :, : got.shape[2], : got.shape[3]] = got
    if mistake == "channels-summed":
        whole_gradient = np.repeat(whole_gradient.sum(1)[:, None], c, 1)
    if mistake == "padding-not-cropped":
        return whole_gradient
    if mistake == "padding-cropped-twice":
        return whole_gradient[:, :, 2 * t : h, 2 * t : w]
    if mistake == "off-by-one":
        found = np.zeros((n, c, h, w), int)
        tall = np.pad(whole_gradient, ((0, 0), (0, 0), (0, 1), (0, 0)))
        found[...] = tall[:, :, t + 1 : t + 1 + h, t : t + w]
        return found
    found = whole_gradient[:, :, t : t + h, t : t + w]
    if mistake == "mean-doubled":
        return found / n
    return -found if mistake == "sign" else found


def convolution_weight_gradient(z, mistake=None):
    """dW: each window of X times its dY, added up."""
    x, dy = padded(z.X, z.t), z.dY
    if mistake == "padding-forgotten":
        x = np.pad(z.X, ((0, 0), (0, 0), (0, 2 * z.t), (0, 2 * z.t)))
    if mistake == "convolution-flipped":
        dy = dy[..., ::-1, ::-1]
    if mistake == "weights-not-summed-over-batch":
        x, dy = x[:1], dy[:1]
    step = 1 if mistake == "zeros-not-inserted" else z.s
    shift = (0, 1) if mistake == "off-by-one" else (0, 0)
    found = np.zeros(z.W.shape, int)
    every = []
    for i in range(z.p):
        for j in range(z.r):
            seen = window(z, x, i, j, s=step, shift=shift)
            own = outer(z, dy[:, :, i, j], seen)
            every.append(own)
            if z.kind == "local":
                found[i, j] += own
            else:
                found += own
    if mistake == "weights-not-summed-over-positions":
        return np.stack(every, -1).reshape(*z.W.shape, z.p, z.r)
    if mistake == "averaged-over-positions":
        return found / (z.p * z.r)
    if mistake == "channels-swapped":
        return found.swapaxes(-4, -3)
    if mistake == "channels-summed":
        return np.broadcast_to(found.sum(-3, keepdims=True), found.shape)
    if mistake == "kernel-rotated":
        return found[..., ::-1, ::-1]
    if mistake == "mean-doubled":
        return found / len(x)
    return -found if mistake == "sign" else found


def outer(z, dy, seen):
    """dY of one position times its window, added over the examples."""
    if z.kind == "depthwise":
        return np.einsum("nc,ncrs->crs", dy, seen)
    if z.kind == "channel-summed":
        return np.einsum("nq,nprs->qrs", dy, seen)
    if z.groups == 1:
        return np.einsum("nq,nprs->qprs", dy, seen)
    parts = zip(np.split(dy, z.groups, 1), np.split(seen, z.groups, 1), strict=True)
    return np.concatenate([np.einsum("nq,nprs->qprs", a, b) for a, b in parts])


def convolution_bias_gradient(z, mistake=None):
    """db: dY added up over examples and positions; over examples alone where each position has its own."""
    dy = z.dY
    if z.kind == "local":
        if mistake == "bias-not-summed-over-batch":
            return dy
        found = dy.sum(0)
        if mistake == "bias-summed-over-positions":
            return found.sum((1, 2))
    else:
        if mistake == "bias-not-summed-over-batch":
            return dy.sum((2, 3))
        if mistake == "bias-not-summed-over-positions":
            return dy.sum(0)
        found = dy.sum((0, 2, 3))
        if mistake == "averaged-over-positions":
            return found / (z.p * z.r)
    if mistake == "mean-doubled":
        return found / len(dy)
    return -found if mistake == "sign" else found


# ---- pooling


def draw_pool(rng, kind, *, stride=None, padding=None):
    k = int(rng.integers(2, 4))
    s = stride or (k if rng.random() < 0.6 else int(rng.integers(1, 4)))
    t = (int(rng.integers(0, 2)) if s != k else 0) if padding is None else padding
    n, c = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    h, w = (max(k + s * int(rng.integers(1, 3)) + int(rng.integers(0, s)) - 2 * t, 3 + t) for _ in "hw")
    p, r = ((length + 2 * t - k) // s + 1 for length in (h, w))
    make = cf.AvgPool2d if kind == "avg" else cf.MaxPool2d
    return SimpleNamespace(
        kind=kind, layer=make(k, stride=s, padding=t), s=s, t=t, k=k, p=p, r=r,
        X=different(rng, n, c, h, w), dY=whole(rng, n, c, p, r), rng=rng,
    )  # fmt: skip


def draw_global_pool(rng, kind):
    n, c, h, w = (int(length) for length in rng.integers(2, 5, 4))
    layer = cf.GlobalAvgPool2d() if kind == "avg" else cf.GlobalMaxPool2d()
    return SimpleNamespace(
        kind=kind, layer=layer, X=different(rng, n, c, h, w), dY=whole(rng, n, c), rng=rng, h=h, w=w
    )


def as_fractions(array):
    """Floats that are simple fractions, as fractions."""
    found = np.empty(array.shape, object)
    for place in np.ndindex(array.shape):
        found[place] = Fraction(float(array[place])).limit_denominator(10_000)
    return found


def pool_value(z, mistake=None):
    x = padded(z.X.astype(float), z.t)
    y = np.zeros(z.dY.shape)
    for i in range(z.p):
        for j in range(z.r):
            seen = x[:, :, i * z.s : i * z.s + z.k, j * z.s : j * z.s + z.k]
            y[:, :, i, j] = seen.sum((2, 3)) / average_divisor(z.k, z.k, mistake)
    return as_fractions(-y if mistake == "sign" else y)


def average_divisor(height, width, mistake):
    if mistake == "pool-factor-missing":
        return 1
    return width if mistake == "pool-factor-wrong" else height * width


def average_pool_input_gradient(z, mistake=None):
    n, c, h, w = z.X.shape
    found = np.zeros((n, c, h + 2 * z.t + 9, w + 2 * z.t + 9))
    step = 1 if mistake == "zeros-not-inserted" else z.s
    for i in range(z.p):
        for j in range(z.r):
            share = z.dY[:, :, i, j] / average_divisor(z.k, z.k, mistake)
            found[:, :, i * step : i * step + z.k, j * step : j * step + z.k] += share[..., None, None]
    return finished_pool_gradient(z, found, mistake)


def finished_pool_gradient(z, found, mistake):
    _, c, h, w = z.X.shape
    found = found[:, :, : h + 2 * z.t, : w + 2 * z.t]
    if mistake == "padding-not-cropped":
        return as_fractions(found)
    if mistake == "padding-cropped-twice":
        return as_fractions(found[:, :, 2 * z.t : h, 2 * z.t : w])
    found = found[:, :, z.t : z.t + h, z.t : z.t + w]
    if mistake == "channels-summed":
        found = np.repeat(found.sum(1)[:, None], c, 1)
    return as_fractions(-found if mistake == "sign" else found)


def max_pool_input_gradient(z, mistake=None):
    n, c = z.X.shape[:2]
    x = np.pad(z.X.astype(float), ((0, 0), (0, 0), (z.t, z.t), (z.t, z.t)), constant_values=-np.inf)
    found = np.zeros(x.shape)
    style = z.rng.choice(["first", "last", "smallest"])
    if z.s >= z.k and z.t == 0:
        style = z.rng.choice(["first", "last", "smallest", "second"])
    for m in np.ndindex(n, c, z.p, z.r):
        e, q, i, j = m
        seen = x[e, q, i * z.s : i * z.s + z.k, j * z.s : j * z.s + z.k]
        target = found[e, q, i * z.s : i * z.s + z.k, j * z.s : j * z.s + z.k]
        if mistake == "max-spread":
            target += z.dY[m]
        else:
            target[chosen(seen, mistake, style)] += z.dY[m]
    return finished_pool_gradient(z, found, mistake)


def chosen(seen, mistake, style="largest"):
    """Which entry of a window gets the gradient."""
    if mistake != "max-wrong-entry":
        return np.unravel_index(seen.argmax(), seen.shape)
    if style == "first":
        return 0, 0
    if style == "last":
        return seen.shape[0] - 1, seen.shape[1] - 1
    if style == "second":
        return np.unravel_index(np.argsort(seen, axis=None)[-2], seen.shape)
    return np.unravel_index(np.where(np.isinf(seen), np.inf, seen).argmin(), seen.shape)


def global_average_value(z, mistake=None):
    y = z.X.sum((2, 3)) / average_divisor(z.h, z.w, mistake)
    return as_fractions(-y if mistake == "sign" else y)


def global_average_input_gradient(z, mistake=None):
    share = z.dY / average_divisor(z.h, z.w, mistake)
    found = np.broadcast_to(share[..., None, None], z.X.shape)
    return as_fractions(-found if mistake == "sign" else found)


def global_max_input_gradient(z, mistake=None):
    found = np.zeros(z.X.shape)
    style = z.rng.choice(["first", "last", "smallest", "second"])
    for m in np.ndindex(*z.dY.shape):
        if mistake == "max-spread":
            found[m] = z.dY[m]
        else:
            found[m][chosen(z.X[m].astype(float), mistake, style)] = z.dY[m]
    return as_fractions(-found if mistake == "sign" else found)


# ---- dense, flatten


def draw_dense(rng, *, square=False):
    n, f, o = (int(length) for length in rng.integers(2, 6, 3))
    if square:
        n = f = o = int(rng.integers(2, 5))
    return SimpleNamespace(
        layer=cf.Dense(o), X=whole(rng, n, f), W=whole(rng, o, f), b=whole(rng, o), dY=whole(rng, n, o)
    )


def dense_value(z, mistake=None):
    if mistake == "transposed-operand":
        y = z.X @ z.W + z.b
    elif mistake == "elementwise-product":
        y = z.X * z.W + z.b
    else:
        y = z.X @ z.W.T + (0 if mistake == "bias-missing" else z.b)
    return -y if mistake == "sign" else y


def dense_input_gradient(z, mistake=None):
    if mistake == "transposed-operand":
        return z.dY @ z.W.T
    if mistake == "elementwise-product":
        return z.dY * z.W
    found = z.dY @ z.W
    return -found if mistake == "sign" else found


def dense_weight_gradient(z, mistake=None):
    if mistake == "transposed-operand":
        return z.X.T @ z.dY
    if mistake == "elementwise-product":
        return z.dY * z.X
    if mistake == "weights-not-summed-over-batch":
        return np.einsum("no,nf->nof", z.dY, z.X)
    found = z.dY.T @ z.X
    if mistake == "mean-doubled":
        return found / len(z.X)
    return -found if mistake == "sign" else found


def dense_bias_gradient(z, mistake=None):
    if mistake == "bias-not-summed-over-batch":
        return z.dY
    found = z.dY.sum(0)
    if mistake == "mean-doubled":
        return found / len(z.dY)
    return -found if mistake == "sign" else found


def draw_flatten(rng):
    n, c, h, w = (int(length) for length in rng.permutation([2, 3, 4, 5]))
    return SimpleNamespace(
        layer=cf.Flatten(), X=different(rng, n, c, h, w), dY=different(rng, n, c * h * w), rng=rng
    )


def flatten_value(z, mistake=None):
    x = z.X
    if mistake == "flatten-order":
        x = x.transpose([0, 2, 3, 1]) if z.rng.random() < 0.5 else x.transpose([0, 3, 2, 1])
    return x.reshape(len(x), -1)


def flatten_input_gradient(z, mistake=None):
    n, c, h, w = z.X.shape
    if mistake == "flatten-order":
        return z.dY.reshape(n, h, w, c).transpose([0, 3, 1, 2])
    return z.dY.reshape(z.X.shape)


# ---- point by point


def draw_pointwise(rng, layer, *, square=False, images=None):
    images = rng.random() < 0.5 if images is None else images
    shape = tuple(int(length) for length in rng.integers(2, 5, 4 if images else 2))
    if square:
        shape = (*shape[:-1], shape[-2])
    x = different(rng, *shape)
    if not isinstance(layer, cf.ReLU | cf.LeakyReLU):
        x = x / x.size * 2
    return SimpleNamespace(layer=layer, X=x, dY=whole(rng, *shape), rng=rng)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slope(layer, x):
    """The derivative at x."""
    match layer:
        case cf.ReLU():
            return (x > 0).astype(int)
        case cf.LeakyReLU():
            return np.where(x > 0, 1.0, layer.negative_slope)
        case cf.Sigmoid():
            return sigmoid(x) * (1 - sigmoid(x))
        case cf.Tanh():
            return 1 - np.tanh(x) ** 2


def pointwise_value(z, mistake=None):
    x = z.X
    y = {
        "ReLU": lambda: np.maximum(x, 0),
        "LeakyReLU": lambda: np.where(x > 0, x, x * getattr(z.layer, "negative_slope", 0)),
        "Sigmoid": lambda: sigmoid(x),
        "Tanh": lambda: np.tanh(x),
    }[type(z.layer).__name__]()
    return -y if mistake == "sign" else y


def pointwise_input_gradient(z, mistake=None):
    mask = slope(z.layer, z.X)
    if mistake in ("relu-mask-missing", "sigmoid-derivative-missing", "tanh-derivative-missing"):
        return z.dY
    if mistake == "relu-mask-wrong-array":
        mask = slope(z.layer, z.dY)
    if mistake == "relu-mask-inverted":
        mask = slope(z.layer, -z.X)
    if mistake == "leak-missing":
        mask = (z.X > 0).astype(int)
    if mistake == "activation-instead-of-derivative":
        mask = pointwise_value(z)
    if mistake == "derivative-at-wrong-array":
        mask = slope(z.layer, pointwise_value(z))
    if mistake == "matrix-product":
        return z.dY @ mask
    found = z.dY * mask
    return -found if mistake == "sign" else found


# ---- softmax and losses


def draw_rows(rng, layer, *, columns=None):
    n, k = int(rng.integers(3, 6)), columns or int(rng.integers(3, 6))
    x = different(rng, n, k) / (n * k) * 2
    T = np.eye(k, dtype=int)[rng.integers(0, k, n)]
    if k == 1:
        T = np.arange(n).reshape(n, 1) % 2
    if isinstance(layer, cf.MeanSquaredError):
        x, T = whole(rng, n, k), whole(rng, n, k) * 2 + 1
    return SimpleNamespace(layer=layer, X=x, T=T, dY=whole(rng, n, k))


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def softmax_input_gradient(z, mistake=None):
    y = softmax(z.X)
    if mistake == "softmax-jacobian-diagonal":
        return z.dY * y * (1 - y)
    if mistake == "softmax-sum-missing":
        return z.dY * y
    if mistake == "softmax-derivative-missing":
        return z.dY
    found = np.array([(np.diag(p) - np.outer(p, p)) @ g for p, g in zip(y, z.dY, strict=True)])
    return -found if mistake == "sign" else found


def loss_input_gradient(z, mistake=None):
    n, k = z.X.shape
    if isinstance(z.layer, cf.MeanSquaredError):
        a, scale = z.X, Fraction(2, n * k)
    else:
        a, scale = (softmax(z.X) if k > 1 else sigmoid(z.X)), 1 / n
    if mistake == "mean-missing":
        scale = scale * n
    if mistake == "mean-doubled":
        scale = scale / n
    if mistake == "power-factor-missing":
        scale = scale / 2
    difference = a if mistake == "labels-not-subtracted" else a - z.T
    if mistake == "activation-derivative-extra":
        difference = difference * a * (1 - a)
    if mistake == "sign":
        difference = z.T - a
    return scale * difference


def loss_value(z, mistake=None):
    n, k = z.X.shape
    if isinstance(z.layer, cf.MeanSquaredError):
        total, count = Fraction(int(((z.X - z.T) ** 2).sum())), n * k
    else:
        a = softmax(z.X) if k > 1 else np.hstack([1 - sigmoid(z.X), sigmoid(z.X)])
        T = z.T if k > 1 else np.hstack([1 - z.T, z.T])
        total, count = -(T * np.log(a)).sum(), n
    if mistake == "mean-missing":
        count = count / n
    if mistake == "mean-doubled":
        count = count * n
    value = total / (Fraction(count) if isinstance(total, Fraction) else count)
    return np.array(-value if mistake == "sign" else value)
