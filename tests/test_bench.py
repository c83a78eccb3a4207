"""``closedform bench``: what is counted, what is timed, and what is printed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import closedform as cf
from closedform.bench import steps
from closedform.bench.networks import NAMES, network
from closedform.bench.operations import Product, operations, products
from closedform.bench.steps import Timing, examples, measured, training_loop
from closedform.cli import main

NET = """\
[network]
input_shape = [3]
loss = "MeanSquaredError"

[[layer]]
type = "Dense"
out_features = 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(NET)
    Path("idle.toml").write_text(NET.replace('loss = "MeanSquaredError"\n', ""))
    return tmp_path


@pytest.fixture
def brief(monkeypatch):
    """Samples of a millisecond, and a processor whose peak is 100 GFLOP/s."""

    def short(networks, batches, threads):
        return measured(networks, batches, threads, runs=2, seconds=0.001)

    monkeypatch.setattr(steps, "measured", short)
    monkeypatch.setattr(steps, "_peak", lambda: lambda threads: 50.0 * threads)


def run(capsys, *arguments):
    """The command's exit code, its output and its errors."""
    code = main([str(argument) for argument in arguments])
    output, errors = capsys.readouterr()
    return code, output, errors


# ---- what is counted


def test_a_layers_products_are_counted_in_each_direction():
    """No gradient in the network's input; channels that are summed first count as one."""
    architecture = cf.Architecture(
        (cf.ChannelSummedConv2d(4, 3), cf.ReLU(), cf.LocallyConnected2d(2, 2), cf.Flatten(), cf.Dense(5)),
        (3, 6, 6),
    )
    summed, local, dense = 2 * 4 * 9 * 16, 2 * 9 * 2 * 4 * 4, 2 * 18 * 5
    assert products(architecture) == [
        Product("0 ChannelSummedConv2d", "forward", summed),
        Product("0 ChannelSummedConv2d", "gradient in W", summed),
        *(
            Product(label, direction, count)
            for label, count in [("2 LocallyConnected2d", local), ("4 Dense", dense)]
            for direction in ("forward", "gradient in W", "gradient in X")
        ),
    ]
    assert operations(architecture) == 2 * summed + 3 * local + 3 * dense
    assert operations(architecture, training=False) == summed + local + dense


def test_the_operations_of_the_packaged_networks():
    """Each multiply-add twice; the first layer in two directions, the others in three.

    Of pair's 26² and 11² entries its poolings leave so much out that 24² and 10² are needed.
    """
    assert operations(network("worksheet_e")) == 2 * (2 * 9 * 16) + 3 * (2 * 4)
    assert operations(network("pair")) == 2 * (2 * 32 * 9 * 24**2) + 3 * (
        2 * 64 * 288 * 10**2 + 2 * 1600 * 10
    )


# ---- what is timed


@pytest.mark.parametrize(("batch", "count"), [(1, 64), (32, 2048), (128, 2048), (1000, 4000)])
def test_at_least_four_batches_lie_in_memory(batch, count):
    x, y = examples(network("worksheet_e"), batch)
    assert x.shape == (count, 1, 6, 6)
    assert x.dtype == np.float32
    assert set(np.unique(y)) == {0, 1}


def test_large_images_are_fewer():
    architecture = cf.Architecture((cf.GlobalAvgPool2d(),), (3, 512, 512), cf.SoftmaxCrossEntropy())
    x, y = examples(architecture, 1)
    assert len(x) == len(y) == (1 << 22) // (3 * 512 * 512)


def test_a_loop_makes_as_many_updates_as_it_is_asked_for():
    net = cf.Network([cf.Dense(1)], input_shape=(1,), loss=cf.MeanSquaredError(), engine="reference")
    net.parameters = {"0.weight": [[0.0]], "0.bias": [0.0]}
    x, y = np.zeros((6, 1)), np.ones((6, 1))
    training_loop(net, x, y, 2)(7)
    # the bias moves towards 1 by 2 · 0.01 of what is left at each of 7 updates
    assert net.parameters["0.bias"][0] == pytest.approx(1 - 0.98**7, rel=1e-5)


def test_a_line_of_the_table():
    timing = Timing("lenet", 32, "compiled", 2 * 10**6, 40e-6, 41.5e-6, 200.0)
    assert str(timing) == ("lenet                   32           40.0 (42)    800,000     50.0   25%")
    assert timing.to_dict() == {
        "net": "lenet",
        "batch": 32,
        "engine": "compiled",
        "operations": 2_000_000,
        "minimum": 40e-6,
        "median": 41.5e-6,
        "peak": 200.0,
        "images_per_second": pytest.approx(800_000),
        "gflops": pytest.approx(50),
        "share": pytest.approx(0.25),
    }


def test_a_line_says_what_it_does_not_know():
    assert str(Timing("mine", 1, "reference", None, 1e-3, 1e-3, None)) == (
        "mine                     1       1000.0 (1000)      1,000        -     -  reference engine"
    )


# ---- the command


@pytest.mark.usefixtures("brief")
def test_a_table_and_a_file(folder, capsys):
    code, output, errors = run(
        capsys, "bench", "worksheet_e", "mine.toml", "--batches", 1, 3, "--threads", 2, "--json", "found.json"
    )
    assert (code, errors) == (0, "")
    machine, what, empty, header, *lines = output.splitlines()
    assert machine.endswith(", 2 threads")
    assert what == "training steps by fit and SGD, microseconds: minimum (median)"
    assert empty == ""
    assert header.split() == ["net", "batch", "microseconds", "images/s", "GFLOP/s", "peak"]
    cells = [line.split()[:2] for line in lines]
    assert cells == [["worksheet_e", "1"], ["worksheet_e", "3"], ["mine", "1"], ["mine", "3"]]
    for line in lines:
        assert re.fullmatch(r"\w+ +\d +\d+\.\d \(\d+\) +[\d,]+ +\d+\.\d +\d+%(  reference engine)?", line)
        assert len(line.removesuffix("  reference engine")) == len(header)
    report = json.loads(Path("found.json").read_text())
    assert f"{report['machine']}, 2 threads" == machine
    assert [(step["net"], step["batch"]) for step in report["steps"]] == [
        ("worksheet_e", 1), ("worksheet_e", 3), ("mine", 1), ("mine", 3)
    ]  # fmt: skip
    # two for each multiply-add, in 2 directions: 3 inputs, 2 outputs, 3 images
    assert report["steps"][3]["operations"] == 2 * 2 * (3 * 2) * 3
    assert {step["peak"] for step in report["steps"]} == {100.0}


@pytest.mark.usefixtures("brief")
def test_all_packaged_networks_where_none_is_named(folder, capsys, monkeypatch):
    asked = []

    def recorded(networks, batches, threads):
        asked.append(([name for name, _ in networks], batches))
        return iter(())

    monkeypatch.setattr(steps, "measured", recorded)
    assert run(capsys, "bench")[0] == 0
    assert asked == [(list(NAMES), [1, 32, 128])]


USAGE = [
    (
        "lenett",
        "argument NET: 'lenett' is unknown; did you mean lenet?",
    ),
    (
        "conv",
        "argument NET: 'conv' is unknown; known are worksheet_e, digits, mnist, lenet, pair, worksheet_d, local, vgg",  # noqa: E501
    ),
    ("lenet --batches 0", "argument --batches: must be a whole number from 1 to 16777215, got '0'"),
    ("lenet --batches", "argument --batches: expected at least one argument"),
    ("--threads 0", "argument --threads: must be a whole number from 1 to 4095, got '0'"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_wrong_usage(folder, capsys, arguments, message):
    code, output, errors = run(capsys, "bench", *arguments.split())
    assert (code, output) == (2, "")
    assert errors.splitlines()[-1] == f"closedform bench: {message}"


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("none.toml", "none.toml: cannot be read: No such file or directory"),
        ("idle.toml", "idle: a network without a loss has no training step: give it one"),
        ("mine.toml --json no/file.json", f"{Path('no/file.json')}: No such file or directory"),
    ],
)
def test_what_fails_fails_before_anything_is_measured(folder, capsys, arguments, message):
    assert run(capsys, "bench", *arguments.split()) == (1, "", f"closedform: {message}\n")


# ---- the peak


@pytest.mark.parametrize("sums", [1, 12])
def test_the_loop_that_measures_the_peak_makes_the_multiply_adds_that_are_counted(sums):
    pytest.importorskip("llvmlite")
    from closedform.bench.peak import Loop
    from closedform.engine.jit import host

    loop = Loop(host(), sums)
    lanes = host().lanes
    loop(3)
    start = 0.1 + 0.7 * np.arange(lanes) / lanes
    s = start
    for _ in range(3):
        s = s * start**2 + start
    assert np.array(loop._numbers) == pytest.approx(start + sums * s, rel=1e-5)
    assert loop.operations(3) == 2 * lanes * sums * 3
