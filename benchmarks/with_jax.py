"""JAX as the other side of `train_step.py`: one jitted function for the whole step, in both layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from workers import Mode
from workloads import RATE, Workload

import closedform as cf


def training(workload: Workload) -> dict[str, Mode]:
    """A training step in JAX: one jitted function that returns new parameters and the loss, both layouts."""
    modes = {}
    for layout in ("NHWC", "NCHW"):
        step, parameters, batches, loss_of = _step(workload, layout)
        first = float(loss_of(parameters, *batches[0]))
        modes[f"JAX {layout}"] = Mode(_loop(step, parameters, batches), first)
    return modes


def _loop(step: Any, parameters: Any, batches: list[tuple[Any, Any]]) -> Callable[[int], None]:
    import jax

    state = [parameters]

    def run(steps: int) -> None:
        parameters = state[0]
        for number in range(steps):
            parameters, loss = step(parameters, *batches[number % len(batches)])
        jax.block_until_ready((parameters, loss))
        state[0] = parameters

    run(5)
    return run


def _step(workload: Workload, layout: str) -> tuple[Any, Any, list[tuple[Any, Any]], Any]:
    import jax
    import jax.numpy as jnp
    from jax import lax

    architecture, parameters = workload.architecture, workload.network().parameters
    last = layout == "NHWC"
    axes = (1, 2) if last else (2, 3)
    filters = "HWIO" if last else "OIHW"
    functions: list[Any] = []
    arrays: list[tuple[Any, ...]] = []

    def convolved(settings: Any) -> Any:
        def layer(x: Any, weight: Any, bias: Any) -> Any:
            edge = [(p, p) for p in settings.padding]
            y = lax.conv_general_dilated(
                x, weight, settings.stride, edge, dimension_numbers=(layout, filters, layout)
            )
            return y + (bias if last else bias[:, None, None])

        return layer

    def summed(settings: Any) -> Any:
        convolution = convolved(settings)

        def layer(x: Any, weight: Any, bias: Any) -> Any:
            return convolution(x.sum(3 if last else 1, keepdims=True), weight, bias)

        return layer

    def local(settings: Any) -> Any:
        rows, columns = settings.kernel_size

        def layer(x: Any, weight: Any, bias: Any) -> Any:
            height, width = (x.shape[axis] for axis in axes)
            parts = [
                lax.slice_in_dim(
                    lax.slice_in_dim(x, u, height - rows + 1 + u, axis=axes[0]),
                    v,
                    width - columns + 1 + v,
                    axis=axes[1],
                )
                for u in range(rows)
                for v in range(columns)
            ]
            if last:
                return jnp.einsum("nijf,ijfk->nijk", jnp.concatenate(parts, 3), weight) + bias
            return jnp.einsum("nfij,ijfk->nkij", jnp.concatenate(parts, 1), weight) + bias

        return layer

    def pooled(settings: Any) -> Any:
        window = [1, 1, 1, 1]
        for axis, length in zip(axes, settings.kernel_size, strict=True):
            window[axis] = length

        def layer(x: Any) -> Any:
            return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

        return layer

    flattened = None
    for position, layer in enumerate(architecture.layers):
        label = architecture.labels[position]
        weight, bias = (
            np.asarray(parameters[f"{label}.{word}"]) if f"{label}.{word}" in parameters else None
            for word in ("weight", "bias")
        )
        own: tuple[Any, ...] = ()
        match layer:
            case cf.Conv2d():
                own = (weight.transpose(2, 3, 1, 0) if last else weight, bias)
                functions.append(convolved(layer))
            case cf.ChannelSummedConv2d():
                own = (weight[:, None].transpose(2, 3, 1, 0) if last else weight[:, None], bias)
                functions.append(summed(layer))
            case cf.LocallyConnected2d():
                by_window = weight.transpose(0, 1, 4, 5, 3, 2)  # rows, columns, channels, kernels
                own = (
                    by_window.reshape(*weight.shape[:2], -1, weight.shape[2]),
                    bias.transpose(1, 2, 0) if last else bias,
                )
                functions.append(local(layer))
            case cf.Dense():
                if flattened and last:
                    weight = weight.reshape(-1, *flattened).transpose(0, 2, 3, 1).reshape(len(weight), -1)
                own = (weight.T, bias)
                functions.append(lambda x, weight, bias: x @ weight + bias)
                flattened = None
            case cf.ReLU():
                functions.append(jax.nn.relu)
            case cf.MaxPool2d():
                functions.append(pooled(layer))
            case cf.GlobalAvgPool2d():
                functions.append(lambda x: x.mean(axes))
            case cf.Flatten():
                flattened = architecture.shapes[position]
                functions.append(lambda x: x.reshape(len(x), -1))
            case _:
                raise NotImplementedError(f"layer {label} ({type(layer).__name__}) has no JAX form here")
        arrays.append(own)

    binary = isinstance(architecture.loss, cf.SigmoidBinaryCrossEntropy)

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        for function, own in zip(functions, parameters, strict=True):
            x = function(x, *own)
        if binary:
            return jnp.mean(jnp.logaddexp(0.0, x[:, 0]) - y * x[:, 0])
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1))

    def step(parameters: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients), loss

    x, y = workload.examples()
    x = x.transpose(0, 2, 3, 1) if last else x
    y = y.astype(np.float32 if binary else np.int32)
    starts = range(0, len(x), workload.batch)
    batches = [(jnp.array(x[s : s + workload.batch]), jnp.array(y[s : s + workload.batch])) for s in starts]
    parameters = jax.tree.map(jnp.array, arrays)
    return jax.jit(step, donate_argnums=0), parameters, batches, jax.jit(loss_of)
