"""ONNX Runtime as the other side of `inference.py`: the network written with the `onnx` helpers."""

from __future__ import annotations

from typing import Any

import numpy as np
from workers import THREADS, Mode
from workloads import Workload

import closedform as cf

LOCAL_FORMS = ("slices", "gather", "identity kernels")


class _Graph:
    """Nodes in order, each fed by the one before it; the weights as initializers."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = "x"

    def add(self, kind: str, *inputs: str, first: str | None = None, **attributes: Any) -> str:
        """Append a node that reads the last output, or `first`, and then the inputs."""
        from onnx import helper

        output = f"value{len(self.nodes)}"
        node = helper.make_node(kind, [first or self.last, *inputs], [output], **attributes)
        self.nodes.append(node)
        self.last = output
        return output

    def constant(self, array: Any) -> str:
        """The name of an initializer."""
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _convolution(graph: _Graph, layer: Any, weight: Any, bias: Any) -> None:
    rows, columns = layer.padding
    graph.add(
        "Conv",
        graph.constant(weight),
        graph.constant(bias),
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=[rows, columns, rows, columns],
    )


def _local(graph: _Graph, form: str, shape: tuple[int, ...], weight: Any, bias: Any) -> None:
    """A locally connected layer, which ONNX lacks: windows, then one matrix product for each position."""
    channels, height, width = shape
    rows, columns, kernels, _, r, s = weight.shape
    positions, window = rows * columns, channels * r * s
    if form == "gather":
        pixel = np.arange(channels * height * width).reshape(shape)
        views = np.lib.stride_tricks.sliding_window_view(pixel, (r, s), axis=(1, 2))
        index = views.transpose(1, 2, 0, 3, 4).reshape(positions, window)
        graph.add("Reshape", graph.constant(np.array([-1, channels * height * width])))
        graph.add("Transpose", perm=[1, 0])
        windows = graph.add("Gather", graph.constant(index), axis=0)  # (positions, window, N)
        flat = graph.constant(weight.reshape(positions, kernels, window))
        graph.last = flat
        graph.add("MatMul", windows)  # (positions, kernels, N)
        by_position = bias.transpose(1, 2, 0).reshape(positions, kernels, 1)
        graph.add("Add", graph.constant(by_position))
        graph.add("Transpose", perm=[2, 1, 0])
    else:
        if form == "slices":
            image, parts = graph.last, []
            for u in range(r):
                for v in range(s):
                    starts, ends = np.array([u, v]), np.array([u + rows, v + columns])
                    axes = graph.constant(np.array([2, 3]))
                    bounds = (graph.constant(starts), graph.constant(ends), axes)
                    parts.append(graph.add("Slice", *bounds, first=image))
            graph.add("Concat", *parts[1:], first=parts[0], axis=1)  # (N, r·s·channels, rows, columns)
            flat = weight.transpose(0, 1, 4, 5, 3, 2)
        else:
            identity = np.eye(window, dtype=np.float32).reshape(window, channels, r, s)
            graph.add("Conv", graph.constant(identity), kernel_shape=[r, s])
            flat = weight.transpose(0, 1, 3, 4, 5, 2)
        graph.add("Reshape", graph.constant(np.array([0, window, positions])))
        graph.add("Transpose", perm=[2, 0, 1])
        graph.add("MatMul", graph.constant(flat.reshape(positions, window, kernels)))
        by_position = bias.transpose(1, 2, 0).reshape(positions, 1, kernels)
        graph.add("Add", graph.constant(by_position))
        graph.add("Transpose", perm=[1, 2, 0])
    graph.add("Reshape", graph.constant(np.array([0, kernels, rows, columns])))


def onnx_model(workload: Workload, local: str) -> bytes:
    """The network as the bytes of an ONNX model with our parameters, for exactly this batch."""
    from onnx import TensorProto, checker, helper

    architecture, parameters = workload.architecture, workload.network().parameters
    graph = _Graph()
    for position, layer in enumerate(architecture.layers):
        label = architecture.labels[position]
        weight, bias = (parameters.get(f"{label}.{word}") for word in ("weight", "bias"))
        match layer:
            case cf.Conv2d():
                _convolution(graph, layer, weight, bias)
            case cf.ChannelSummedConv2d():
                if architecture.shapes[position][0] > 1:
                    graph.add("ReduceSum", graph.constant(np.array([1])), keepdims=1)
                _convolution(graph, layer, weight[:, None], bias)
            case cf.LocallyConnected2d():
                _local(graph, local, architecture.shapes[position], weight, bias)
            case cf.Dense():
                graph.add("Gemm", graph.constant(weight), graph.constant(bias), transB=1)
            case cf.ReLU():
                graph.add("Relu")
            case cf.MaxPool2d():
                size = list(layer.kernel_size)
                graph.add("MaxPool", kernel_shape=size, strides=size)
            case cf.GlobalAvgPool2d():
                graph.add("GlobalAveragePool")
                graph.add("Flatten")
            case cf.Flatten():
                graph.add("Flatten")
            case _:
                raise NotImplementedError(f"layer {label} ({type(layer).__name__}) has no ONNX form here")
    shapes = {"x": architecture.input_shape, graph.last: architecture.output_shape}
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [workload.batch, *shape])
        for name, shape in shapes.items()
    ]
    made = helper.make_graph(graph.nodes, workload.name, ends[:1], ends[1:], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def inference(workload: Workload) -> dict[str, Mode]:
    """A forward pass in ONNX Runtime with all its optimisations, outputs bound to memory of their own."""
    import onnxruntime

    has_local = any(isinstance(layer, cf.LocallyConnected2d) for layer in workload.architecture.layers)
    x, _ = workload.examples()
    modes = {}
    for form in LOCAL_FORMS if has_local else ("",):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(
            onnx_model(workload, form), options, providers=["CPUExecutionProvider"]
        )
        name = "ONNX Runtime" + (f" {form}" if form else "")
        modes[name] = _mode(session, x, workload.batch)
    return modes


def _mode(session: Any, x: Any, batch: int) -> Mode:
    import onnxruntime

    name = session.get_outputs()[0].name
    batches = [
        onnxruntime.OrtValue.ortvalue_from_numpy(x[start : start + batch])
        for start in range(0, len(x), batch)
    ]
    result = onnxruntime.OrtValue.ortvalue_from_numpy(session.run(None, {"x": x[:batch]})[0])
    bindings = []
    for images in batches:
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", images)
        binding.bind_ortvalue_output(name, result)
        bindings.append(binding)

    def run(steps: int) -> None:
        for step in range(steps):
            session.run_with_iobinding(bindings[step % len(bindings)])

    run(5)
    session.run_with_iobinding(bindings[0])
    return Mode(run, np.array(result.numpy()))
