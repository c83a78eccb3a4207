"""PyTorch as the other side: the network as a module, trained in three modes and run in four.

The module begins with the parameters of our network; batches are resident in the mode's own layout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from workers import THREADS, Mode
from workloads import RATE, Workload

import closedform as cf

_LAYOUTS = ("NCHW", "channels last")


def torch_model(workload: Workload, local: str = "bmm") -> Any:
    """The network as a PyTorch module, with our parameters; the output without the loss's activation.

    Parameters
    ----------
    local
        How a locally connected layer is written, which PyTorch lacks: ``einsum`` or ``bmm`` after unfold.
    """
    import torch
    from torch import nn

    architecture, parameters = workload.architecture, workload.network().parameters

    class Summed(nn.Module):
        def __init__(self, kernels: int, size: Any, stride: Any, padding: Any):
            super().__init__()
            self.convolution = nn.Conv2d(1, kernels, size, stride, padding)

        def forward(self, x: Any) -> Any:
            # one channel is its own sum
            return self.convolution(x if x.shape[1] == 1 else x.sum(1, keepdim=True))

    class Local(nn.Module):
        def __init__(self, weight: Any, bias: Any):
            super().__init__()
            positions, kernels = math.prod(weight.shape[:2]), weight.shape[2]
            self.size = weight.shape[-2:]
            self.bias = nn.Parameter(bias)
            flat = weight.reshape(positions, kernels, -1)
            if local == "bmm":  # (positions, window, kernels), ready to be multiplied from the right
                flat = flat.transpose(1, 2).contiguous()
            self.weight = nn.Parameter(flat)

        def forward(self, x: Any) -> Any:
            windows = nn.functional.unfold(x, self.size)  # (N, window, positions)
            if local == "bmm":
                y = torch.bmm(windows.permute(2, 0, 1), self.weight).permute(1, 2, 0)
            else:
                y = torch.einsum("nfl,lkf->nkl", windows, self.weight)
            return y.reshape(len(x), *self.bias.shape) + self.bias

    modules: list[Any] = []
    for position, layer in enumerate(architecture.layers):
        shape, label = architecture.shapes[position], architecture.labels[position]
        own = {
            parameter.key.rpartition(".")[2]: torch.tensor(parameters[parameter.key])
            for parameter in architecture.parameters
            if parameter.layer == position
        }
        match layer:
            case cf.Conv2d():
                module = nn.Conv2d(
                    shape[0], layer.out_channels, layer.kernel_size, layer.stride, layer.padding
                )
            case cf.ChannelSummedConv2d():
                size = (layer.kernel_size, layer.stride, layer.padding)
                module = Summed(layer.out_channels, *size)
                own = {
                    "convolution.weight": own["weight"].unsqueeze(1),
                    "convolution.bias": own["bias"],
                }
            case cf.LocallyConnected2d():
                module, own = Local(own["weight"], own["bias"]), {}
            case cf.Dense():
                module = nn.Linear(shape[0], layer.out_features)
            case cf.ReLU():
                module = nn.ReLU()
            case cf.MaxPool2d():
                module = nn.MaxPool2d(layer.kernel_size)
            case cf.GlobalAvgPool2d():
                module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            case cf.Flatten():
                module = nn.Flatten()
            case _:
                raise NotImplementedError(f"layer {label} ({type(layer).__name__}) has no PyTorch form here")
        if own:
            module.load_state_dict(own)
        modules.append(module)
    return nn.Sequential(*modules)


def _loss(architecture: cf.Architecture) -> Callable[[Any, Any], Any]:
    from torch.nn import functional

    if isinstance(architecture.loss, cf.SigmoidBinaryCrossEntropy):
        return functional.binary_cross_entropy_with_logits
    return functional.cross_entropy


def training(workload: Workload, compiled: bool = True) -> dict[str, Mode]:
    """A training step in PyTorch: NCHW eager, channels-last eager, and torch.compile.

    The update is written as one call over all parameters, which is faster than `torch.optim.SGD`.  What is
    compiled is either the model with its loss, or the whole step as one graph, which is faster at times and
    slower at others.
    """
    import torch

    torch.set_num_threads(THREADS)
    torch._logging.set_logs(dynamo=40, inductor=40)
    torch._dynamo.reset()
    architecture = workload.architecture
    loss_of = _loss(architecture)
    binary = isinstance(architecture.loss, cf.SigmoidBinaryCrossEntropy)
    x, y = workload.examples()
    targets = torch.tensor(y[:, None], dtype=torch.float32) if binary else torch.tensor(y)
    modes = {}
    for form in _local_forms(architecture):
        for layout in _LAYOUTS:
            memory = _memory_format(layout)
            batches = [
                (images.contiguous(memory_format=memory), labels)
                for images, labels in zip(
                    torch.tensor(x).split(workload.batch), targets.split(workload.batch), strict=True
                )
            ]
            ways = {f"{layout}": _eager, f"compile, one graph, {layout}": _one_graph}
            if layout == "NCHW":
                ways["compile"] = _compiled
            for way, make in ways.items():
                if compiled or make is _eager:
                    model = torch_model(workload, form).to(memory_format=memory)
                    name = f"PyTorch {way}" + (f", {form}" if form else "")
                    modes[name] = make(model, loss_of, batches)
    return modes


def _eager(model: Any, loss_of: Any, batches: list[tuple[Any, Any]], compiled: bool = False) -> Mode:
    import torch

    parameters = list(model.parameters())

    def loss_from(x: Any, y: Any) -> Any:
        return loss_of(model(x), y)

    forward = torch.compile(loss_from) if compiled else loss_from

    def run(steps: int) -> None:
        for step in range(steps):
            for parameter in parameters:
                parameter.grad = None
            forward(*batches[step % len(batches)]).backward()
            with torch.no_grad():
                torch._foreach_add_(parameters, [parameter.grad for parameter in parameters], alpha=-RATE)

    with torch.no_grad():
        first = float(loss_from(*batches[0]))
    run(5)
    return Mode(run, first)


def _compiled(model: Any, loss_of: Any, batches: list[tuple[Any, Any]]) -> Mode:
    return _eager(model, loss_of, batches, compiled=True)


def _one_graph(model: Any, loss_of: Any, batches: list[tuple[Any, Any]]) -> Mode:
    import torch
    from torch.func import functional_call, grad_and_value

    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss_from(parameters: Any, x: Any, y: Any) -> Any:
        return loss_of(functional_call(model, parameters, (x,)), y)

    @torch.compile
    def step(parameters: Any, x: Any, y: Any) -> Any:
        gradients, loss = grad_and_value(loss_from)(parameters, x, y)
        for name, parameter in parameters.items():
            parameter.add_(gradients[name], alpha=-RATE)
        return loss

    def run(steps: int) -> None:
        with torch.no_grad():
            for number in range(steps):
                step(parameters, *batches[number % len(batches)])

    with torch.no_grad():
        first = float(step(parameters, *batches[0]))
    run(5)
    return Mode(run, first)


def inference(workload: Workload, compiled: bool = True) -> dict[str, Mode]:
    """A forward pass in PyTorch, in both layouts: eager, frozen TorchScript, and compiled with freezing."""
    import torch
    from torch._inductor import config

    torch.set_num_threads(THREADS)
    torch._logging.set_logs(dynamo=40, inductor=40)
    torch._dynamo.reset()
    config.freezing = True  # constants are folded and weights are packed ahead
    x, _ = workload.examples()
    modes = {}
    for form in _local_forms(workload.architecture):
        for layout in _LAYOUTS:
            memory = _memory_format(layout)
            model = torch_model(workload, form).eval().to(memory_format=memory)
            batches = [
                images.contiguous(memory_format=memory) for images in torch.tensor(x).split(workload.batch)
            ]
            ways = {layout: model}
            if compiled:
                ways[f"compile, {layout}"] = torch.compile(model)
                ways[f"frozen script, {layout}"] = _frozen_script(model, batches[0])
            for way, forward in ways.items():
                name = f"PyTorch {way}" + (f", {form}" if form else "")
                modes[name] = _forward_mode(forward, batches)
    return modes


def _frozen_script(model: Any, example: Any) -> Any:
    import warnings

    import torch

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.trace(model, example))


def _forward_mode(forward: Any, batches: list[Any]) -> Mode:
    import torch

    def run(steps: int) -> None:
        # freezing works without autograd's recording only, and inference mode records nothing
        with torch.inference_mode():
            for step in range(steps):
                forward(batches[step % len(batches)])

    run(5)
    with torch.inference_mode():
        return Mode(run, forward(batches[0]).numpy().copy())


def _local_forms(architecture: cf.Architecture) -> tuple[str, ...]:
    has_local = any(isinstance(layer, cf.LocallyConnected2d) for layer in architecture.layers)
    return ("bmm", "einsum") if has_local else ("",)


def _memory_format(layout: str) -> Any:
    import torch

    return torch.contiguous_format if layout == "NCHW" else torch.channels_last
