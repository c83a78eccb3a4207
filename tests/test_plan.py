"""The plan: what runs, how much arithmetic that is, and where everything lies."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import closedform as cf
from closedform.bench.networks import NAMES, network
from closedform.bench.operations import operations
from closedform.engine.lanes import layers_together
from closedform.engine.passes import Mode
from closedform.engine.plan import plan
from closedform.engine.plan_table import border_share, plan_text, rows
from closedform.engine.schedule import Machine
from closedform.files import read_toml

AVX512 = Machine(16, 32)
TRAINING = Mode("loss", training=True)
NETS = Path(__file__).parents[1] / "benchmarks" / "nets"


def planned(architecture, together=0, mode=TRAINING, machine=AVX512):
    found = plan(architecture, mode, machine, together)
    return found, rows(found, machine)


def own_label(row):
    """The label of what the nest computes, without what is fused to it."""
    return row.nest.label.split(" + ")[0]


# ---- the networks


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_networks_are_those_of_the_benchmarks(name):
    if not NETS.exists():
        pytest.skip("installed without its benchmarks")
    assert network(name) == read_toml(NETS / f"{name}.toml")


# ---- the arithmetic


def test_the_operations_of_lenet():
    """Two for each multiply-add, for one image: filters · kernel · positions, and outputs · inputs."""
    conv1 = 2 * 6 * (1 * 5 * 5) * (28 * 28)
    conv2 = 2 * 16 * (6 * 5 * 5) * (10 * 10)
    assert (conv1, conv2) == (235_200, 480_000)
    expected = {
        "0 Conv2d": 235_200,
        "3 Conv2d": 480_000,
        "7 Dense": 96_000,  # 2 · 400 · 120
        "9 Dense": 20_160,  # 2 · 120 · 84
        "11 Dense": 1_680,  # 2 · 84 · 10
        "11 Dense dW": 1_680,
        "11 Dense dX": 1_680,
        "9 Dense dW": 20_160,
        "9 Dense dX": 20_160,
        "7 Dense dW": 96_000,
        "7 Dense dX": 96_000,
        "3 Conv2d dW": 480_000,
        "3 Conv2d dX": 940_800,  # 2 · 6 · (16 · 5 · 5) · (14 · 14): the full convolution, border and all
        "0 Conv2d dW": 235_200,  # and there is no gradient in the network's input
    }
    _, found = planned(network("lenet"))
    assert {own_label(row): row.operations for row in found if row.operations} == expected


@pytest.mark.parametrize("together", [0, 6])
def test_a_border_of_zeros_is_counted(together):
    """Of 14 places with 5 taps along an axis, 70 pairs, 50 meet one of the 10 entries of dY."""
    _, found = planned(network("lenet"), together)
    shares = {own_label(row): row.zeros for row in found if row.zeros}
    assert shares.pop("3 Conv2d dX") == pytest.approx(1 - (50 / 70) ** 2)
    # 28 places, 5 taps and a padding of 2: 2 + 1 taps fall outside on either side
    padded = 1 - ((28 * 5 - 6) / (28 * 5)) ** 2
    assert shares == {"0 Conv2d": pytest.approx(padded), "0 Conv2d dW": pytest.approx(padded)}


@pytest.mark.parametrize("stride", [2, 3])
def test_a_stride_multiplies_no_inserted_zero(stride):
    """The gradient in X has as many products that count as the forward formula."""
    net = cf.Architecture(
        (cf.Conv2d(8, 3), cf.Conv2d(4, 3, stride=stride), cf.Flatten(), cf.Dense(3)),
        (2, 15, 15),
        cf.SoftmaxCrossEntropy(),
    )
    _, found = planned(net)
    forward = next(row.operations for row in found if row.nest.label == "1 Conv2d")
    backward = [row for row in found if row.nest.label == "1 Conv2d dX"]
    counted = sum(row.operations * (1 - row.zeros) for row in backward)
    assert counted == pytest.approx(forward)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [8, 128])
def test_the_forward_pass_has_the_operations_of_its_layers(name, batch):
    """Counted from the nests, and from the shapes of the layers."""
    architecture = network(name)
    _, found = planned(architecture, layers_together(architecture, batch, 16), Mode())
    assert sum(row.operations for row in found) == operations(architecture, training=False)


# ---- where buffers lie


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [8, 128])
def test_buffers_that_are_alive_at_once_share_no_memory(name, batch):
    architecture = network(name)
    found, nests = planned(architecture, layers_together(architecture, batch, 16))
    alive = {}
    for row in nests:
        # images come in one by one before the block, and go out one by one behind it
        at = {"take": -1, "put": len(nests)}.get(row.stage, row.number)
        for buffer in row.nest.buffers:
            alive.setdefault(buffer, []).append(at)
    placed = []
    for buffer in found.buffers.values():
        if buffer.kind != "block":
            continue
        size = -(-buffer.size // buffer.together)
        assert 0 <= buffer.offset <= found.block_size - size
        times = (-2, 1 << 30) if buffer.has_border else (min(alive[buffer.name]), max(alive[buffer.name]))
        placed.append((buffer.name, buffer.offset, buffer.offset + size, *times))
    clashes = [
        (a, b)
        for number, (a, start, end, first, last) in enumerate(placed)
        for b, start_b, end_b, first_b, last_b in placed[:number]
        if start < end_b and start_b < end and first <= last_b and first_b <= last
    ]
    assert placed
    assert clashes == []


@pytest.mark.parametrize("kind", ["batch", "shard", "shared", "parameter"])
def test_buffers_of_a_memory_lie_side_by_side(kind):
    found, _ = planned(network("lenet"))
    places = sorted((b.offset, b.offset + b.size) for b in found.buffers.values() if b.kind == kind)
    assert len(places) > 0
    assert all(end <= start for (_, end), (start, _) in pairwise(places))


# ---- what the plan says


def test_the_plan_of_lenet_in_words(monkeypatch):
    monkeypatch.setattr("closedform.engine.plan_table.find_spec", lambda name: None)
    lines = plan_text(network("lenet"), batch=8, threads=2).splitlines()
    assert lines[0] == (
        "Plan of a training step at batch 8, AVX2 (assumed: llvmlite is not installed): 8 lanes, 16 registers"
    )
    assert max(len(line) for line in lines) <= 100
    text = "\n".join(lines)
    for stage in ("take in: ", "block: up to ", "give out: ", "per batch: "):
        assert text.count(f"\n{stage}") == 1
    row = next(line for line in lines if "0 Conv2d + 1 ReLU" in line)
    assert row.split()[1:6] == ["0", "Conv2d", "+", "1", "ReLU"]
    assert row.endswith(" 235,200")
    assert "q:6 i:28 j:28 u:5 v:5" in row
    assert "49% of its products are with a border's zeros" in text
    assert "x0                         block      1, 1, 2+28+2, 2+28+2   0231" in text
    assert "Operations for one image: 2,724,720, 18% of them with a border's zeros" in lines
    assert any(line.endswith(" 2 shards, 2 threads") for line in lines)


def test_what_cannot_be_scheduled_well_is_said():
    architecture = cf.Architecture((cf.Conv2d(3, 3), cf.Flatten(), cf.Dense(40)), (1, 9, 9))
    _, found = planned(architecture, mode=Mode())
    notes = {own_label(row): row.notes for row in found}
    assert notes["0 Conv2d"] == ("3 of 16 lanes used",)
    assert notes["2 Dense"] == ()
    _, scalar = planned(architecture, mode=Mode(), machine=Machine(1, 16))
    assert {row.notes for row in scalar} == {()}  # there are no lanes to be filled


def test_a_network_without_a_loss_has_the_plan_of_its_forward_pass():
    architecture = cf.Architecture((cf.Conv2d(3, 3), cf.ReLU()), (1, 9, 9))
    text = plan_text(architecture, batch=1, threads=1)
    assert text.startswith("Plan of a forward pass at batch 1, ")
    assert "shard" not in text.splitlines()[-1]
    assert "\n1 image in a block, 1 thread\n" in text


def test_layers_that_mix_images_are_said_to_run_as_one():
    line = "Y[n,c] = X[n,c] - 1/|n| * sum[m] X[m,c]"
    architecture = cf.Architecture(
        (cf.Dense(6), cf.Formula(line, name="centred"), cf.Dense(3)), (5,), cf.SoftmaxCrossEntropy()
    )
    lines = plan_text(architecture, batch=10, threads=2).splitlines()
    assert lines[1] == "! centred mixes images: the whole batch is one unit and runs on one thread"
    assert lines[-3] == "the whole batch in a block, 1 shard, 1 thread"
    row = next(line for line in lines if " 0 Dense " in line)
    assert row.endswith(" 60")  # 2 · 5 · 6, for one image


def test_border_share_reads_no_border_where_there_is_none():
    found, nests = planned(network("local"))
    products = [row.nest for row in nests if row.operations]
    assert [border_share(nest, found.buffers) for nest in products] == [0.0] * len(products)
    assert np.isfinite([row.zeros for row in nests]).all()
