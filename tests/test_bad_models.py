"""Wrong model files: each gets one message that says where, and nothing is allocated for a false promise."""

import json
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

import closedform as cf


@pytest.fixture
def net():
    layers = [cf.Conv2d(2, 3), cf.Flatten(), cf.Dense(3)]
    return cf.Network(layers, input_shape=(1, 6, 6), loss=cf.SoftmaxCrossEntropy())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.safetensors"


def header_of(net):
    return {
        "format_version": 1,
        "seed": 0,
        "network": {"input_shape": [1, 6, 6], "loss": "SoftmaxCrossEntropy"},
        "layer": [
            {"type": "Conv2d", "out_channels": 2, "kernel_size": 3},
            {"type": "Flatten"},
            {"type": "Dense", "out_features": 3},
        ],
    }


def write_model(path, header, arrays):
    metadata = {"closedform": header if isinstance(header, str) else json.dumps(header)}
    arrays = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def message_of(path):
    with pytest.raises(cf.FileError) as caught:
        cf.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def promise(size, rest=b"{}"):
    """A file that begins with the size of its header."""
    return struct.pack("<Q", size) + rest


def one_array(shape, offsets, data=b""):
    text = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    return promise(len(text), text + data)


DAMAGED = "is no safetensors file, or is damaged or cut short"
PICKLED = (
    "is a pickle or zip file, which is never read: write the arrays with "
    "safetensors.torch.save_file(model.state_dict(), ...)"
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"1234567", DAMAGED, id="seven-bytes"),
        pytest.param(b"this is no model but a letter", DAMAGED, id="text"),
        pytest.param(np.random.default_rng(0).bytes(4000), DAMAGED, id="random"),
        pytest.param(promise(1 << 33), DAMAGED, id="header-of-gigabytes"),
        pytest.param(promise((1 << 64) - 1), DAMAGED, id="header-as-large-as-can-be"),
        pytest.param(promise(90_000_000), DAMAGED, id="header-longer-than-the-file"),
        pytest.param(promise(4, b"{abc"), DAMAGED, id="header-no-json"),
        pytest.param(promise(2, b"[]"), DAMAGED, id="header-a-list"),
        pytest.param(one_array([10**9, 10], [0, 4 * 10**10]), DAMAGED, id="array-of-gigabytes"),
        pytest.param(one_array([2**33, 2**33], [0, 8], b"\0" * 8), DAMAGED, id="array-size-overflows"),
        pytest.param(one_array([4], [0, 8], b"\0" * 8), DAMAGED, id="array-larger-than-its-bytes"),
        pytest.param(pickle.dumps({"0.weight": 1}), PICKLED, id="pickle"),
        pytest.param(b"PK\x03\x04" + b"\0" * 100, PICKLED, id="zip"),
    ],
)
def test_a_file_that_is_no_model(path, data, message):
    path.write_bytes(data)
    tracemalloc.start()
    assert message_of(path) == message
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("cut", [1, 4, 100, 400])
def test_a_model_that_is_cut_short(path, net, cut):
    net.save(path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert message_of(path) == DAMAGED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"format_version": 3},
            "was written by a newer closedform, in format 3; this one reads formats up to 2: "
            "install the newest",
            id="newer",
        ),
        pytest.param(
            {"format_version": 0}, "the header's format_version must be 1 to 2, got 0", id="version-0"
        ),
        pytest.param(
            {"format_version": "1"}, "the header's format_version must be 1 to 2, got '1'", id="version-text"
        ),
        pytest.param(
            {"format_version": True},
            "the header's format_version must be 1 to 2, got True",
            id="version-bool",
        ),
        pytest.param(
            {"seed": -1}, "the header's seed must be a whole number from 0 to 2**64 - 1, got -1", id="seed"
        ),
        pytest.param({"lyer": []}, "unknown key 'lyer'; did you mean layer?", id="unknown-key"),
        pytest.param(
            {"layer": [{"type": "Conv3d"}]},
            "layer 0: type 'Conv3d' is unknown; did you mean Conv2d?",
            id="layer",
        ),
        pytest.param(
            {"layer": [{"type": "os.system"}]},
            "layer 0: type 'os.system' is unknown; known are Conv2d, LocallyConnected2d, "
            "ChannelSummedConv2d, DepthwiseConv2d, AvgPool2d, MaxPool2d, GlobalAvgPool2d, "
            "GlobalMaxPool2d, Flatten, Dense, ReLU, LeakyReLU, Sigmoid, Tanh, Softmax, Dropout, Formula",
            id="function-for-a-layer",
        ),
        pytest.param(
            {"layer": []}, 'there are no layers: each begins with [[layer]] and type = "Conv2d"', id="none"
        ),
        pytest.param({"network": 1}, "[network] must be a table of keys and values, got 1", id="network"),
    ],
)
def test_a_model_whose_header_makes_no_sense(path, net, change, message):
    write_model(path, {**header_of(net), **change}, net.parameters)
    assert message_of(path) == message


@pytest.mark.parametrize(
    ("header", "message"),
    [
        pytest.param("[1]", "the header must be a JSON object, got list", id="list"),
        pytest.param("[" * 100_000, "the header is nested too deep for a network", id="nested"),
        pytest.param(
            '{"seed": ' + "9" * 5000 + "}", "the header holds a number of too many digits", id="digits"
        ),
        pytest.param("{}", "the header's format_version must be 1 to 2, got None", id="no-version"),
        pytest.param(
            '{"format_version": 1}', "[network] needs input_shape, as in input_shape = [1, 28, 28]", id="bare"
        ),
    ],
)
def test_a_header_that_is_none(path, net, header, message):
    write_model(path, header, net.parameters)
    assert message_of(path) == message


def test_a_header_that_is_no_json(path, net):
    write_model(path, "{abc", net.parameters)
    assert message_of(path).startswith("the header is not JSON: ")


def conv(**words):
    return {"type": "Conv2d", "out_channels": 2, "kernel_size": 3, **words}


LARGE = 10**12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"layer": [conv(out_channels=LARGE), {"type": "Flatten"}, {"type": "Dense", "out_features": 3}]},
            "0.weight has the shape (2, 1, 3, 3), the architecture needs (1000000000000, 1, 3, 3)",
            id="channels",
        ),
        pytest.param(
            {"network": {"input_shape": [LARGE, LARGE, LARGE]}},
            "0.weight has the shape (2, 1, 3, 3), the architecture needs (2, 1000000000000, 3, 3)",
            id="input",
        ),
        pytest.param(
            {"layer": [conv(), {"type": "Flatten"}, {"type": "Dense", "out_features": LARGE}]},
            "2.weight has the shape (3, 32), the architecture needs (1000000000000, 32)",
            id="features",
        ),
        pytest.param(
            {
                "layer": [
                    conv(dilation=LARGE, padding=LARGE),
                    {"type": "Flatten"},
                    {"type": "Dense", "out_features": 3},
                ]
            },
            "2.weight has the shape (3, 32), the architecture needs (3, 72)",
            id="dilation",
        ),
        pytest.param(
            {
                "network": {"input_shape": [1, 6, 6]},
                "layer": [
                    {"type": "LocallyConnected2d", "out_channels": 1, "kernel_size": 1, "padding": LARGE}
                ],
            },
            "0.weight has the shape (2, 1, 3, 3), the architecture needs "
            "(2000000000006, 2000000000006, 1, 1, 1, 1)",
            id="positions",
        ),
        pytest.param(
            {"network": {"input_shape": [10**400, 1, 1]}},
            "numbers must be between -2**63 and 2**63, got one of 1329 bits",
            id="digits",
        ),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(path, net, change, message):
    write_model(path, {**header_of(net), **change}, net.parameters)
    started = time.perf_counter()
    tracemalloc.start()
    assert message_of(path) == message
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"0.bias": None}, "has no 0.bias; it holds 0.weight, 2.bias, 2.weight", id="missing"),
        pytest.param({"9.bias": np.zeros(3)}, "the architecture has no layer for 9.bias", id="extra"),
        pytest.param(
            {f"x{number}": np.zeros(1) for number in range(10, 40)},
            "the architecture has no layer for x10, x11, x12, x13, x14, x15 and 24 more",
            id="many-extra",
        ),
        pytest.param(
            {"0.bias": np.zeros(3)}, "0.bias has the shape (3,), the architecture needs (2,)", id="shape"
        ),
        pytest.param(
            {"2.weight": np.zeros((32, 3))},
            "2.weight has the shape (32, 3), the architecture needs (3, 32)",
            id="transposed",
        ),
        pytest.param(
            {"0.bias": np.zeros(2, np.int64)},
            "0.bias holds I64, expected floating-point numbers, F32, F16, F64",
            id="integers",
        ),
        pytest.param(
            {"0.bias": np.array([1e300, 0])},
            "0.bias holds numbers that are too large for float32",
            id="too-large",
        ),
    ],
)
def test_arrays_that_are_not_the_architectures(path, net, arrays, message):
    changed = {**net.parameters, **arrays}
    write_model(path, header_of(net), {key: array for key, array in changed.items() if array is not None})
    assert message_of(path) == message
    with pytest.raises(cf.FileError, match=r"^.*m\.safetensors: "):
        net.load_parameters(path)


def test_bfloat16_is_refused_by_name(path, net):
    net.save(path)
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    for key, entry in header.items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            entry["data_offsets"] = [max(0, begin - 4), end - 4]
    header["0.bias"] = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    text = json.dumps(header).encode()
    path.write_bytes(promise(len(text), text + data[8 + size + 4 :]))
    assert message_of(path) == "0.bias holds BF16, expected floating-point numbers, F32, F16, F64"


def test_arrays_without_an_architecture(path, net):
    path.write_bytes(safetensors.numpy.save({"0.weight": np.zeros(3, np.float32)}))
    assert message_of(path) == (
        f"holds arrays but no architecture: make the network, then call net.load_parameters({str(path)!r})"
    )


def test_arrays_of_a_network_whose_layers_have_names(path, net):
    arrays = {"conv1.weight": np.zeros((2, 1, 3, 3), np.float32), "fc.bias": np.zeros(3, np.float32)}
    path.write_bytes(safetensors.numpy.save(arrays))
    before = net.parameters["0.weight"].tobytes()
    with pytest.raises(cf.FileError) as caught:
        net.load_parameters(path)
    assert str(caught.value) == (
        f"{path}: has no 0.weight; it holds conv1.weight, fc.bias: name the layers as the file does, "
        f"as in name='conv1'"
    )
    assert net.parameters["0.weight"].tobytes() == before
