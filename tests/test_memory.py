"""Memory: predicted before anything runs, refused where it is not there, and not exceeded."""

import json
import os
from dataclasses import dataclass

import pytest
from processes import printed

import closedform as cf
from closedform.bench.networks import NAMES
from closedform.engine import memory
from closedform.engine.memory import Need, available, check_memory, in_bytes, need

GIGABYTE = 10**9


@dataclass(frozen=True)
class Sizes:
    images: int = 8
    together: int = 1
    block: int = 1600
    batch: int = 30
    shard: int = 50
    shared: int = 7


# ---- the prediction


def test_the_memory_of_a_training_step():
    """Four bytes an entry: a block for each thread, the batch, a shard's sums for each shard.

    What an update changes is there twice, so that it can be taken back.
    """
    found = need(Sizes(), batch=100, threads=3, shards=16, parameters=200, moments=2)
    assert found == Need(
        blocks=4 * (8 * 1600) * 3,
        batch=4 * 30 * 100,
        shards=4 * 50 * 16,
        shared=4 * 7,
        parameters=4 * 200 * 2,
        gradients=4 * 200,
        optimiser=4 * 200 * 2 * 2,
    )
    assert found.total == 153_600 + 12_000 + 3_200 + 28 + 1_600 + 800 + 3_200


def test_a_batch_smaller_than_a_block_takes_less():
    assert need(Sizes(), batch=3, threads=1).blocks == 4 * 3 * 1600
    assert need(Sizes(), batch=100, threads=1, images=2).blocks == 4 * 2 * 1600


def test_images_side_by_side_come_in_whole_groups():
    sizes = Sizes(images=64, together=16)
    assert need(sizes, batch=17, threads=1) == Need(blocks=4 * 32 * 1600, batch=4 * 30 * 32, shared=28)


def test_what_trains_nothing_has_no_gradients():
    found = need(Sizes(), batch=8, threads=1, parameters=200)
    assert (found.parameters, found.gradients, found.optimiser, found.shards) == (800, 0, 0, 0)


def test_parts_are_named_where_there_are_any():
    assert str(Need(blocks=2 * GIGABYTE, parameters=700)) == "blocks 2.0 GB, parameters 700 B"
    assert str(Need()) == "nothing"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (12_300_000_000, "12.3 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_bytes_in_words(count, text):
    assert in_bytes(count) == text


# ---- what is not there


def test_what_does_not_fit_is_refused_with_the_numbers(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 5 * GIGABYTE)
    needed = Need(blocks=12 * GIGABYTE, gradients=3 * 10**8)
    with pytest.raises(cf.SettingError) as raised:
        check_memory(needed.total, "a training step at batch 4096", needed)
    assert str(raised.value) == (
        "a training step at batch 4096 needs 12.3 GB of memory (blocks 12.0 GB, gradients 300 MB), but "
        "5.0 GB is available: take a smaller batch_size, fewer threads or a smaller network"
    )


@pytest.mark.parametrize("room", [5 * GIGABYTE, None])
def test_what_fits_or_cannot_be_known_is_not_refused(monkeypatch, room):
    monkeypatch.setattr(memory, "available", lambda: room)
    check_memory(5 * GIGABYTE, "a training step")


def system(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return available(folder / "meminfo", folder / "own", folder / "groups")


MACHINE = {"meminfo": "MemTotal:  8000 kB\nMemFree:  1 kB\nMemAvailable:    4000 kB\n"}
GROUP = {
    "own": "0::/a/b\n",
    "groups/a/b/memory.max": "max\n",
    "groups/a/b/memory.current": "900000\n",
    "groups/a/memory.max": "3000000\n",
    "groups/a/memory.current": "1000000\n",
    "groups/a/memory.stat": "anon 5\ninactive_file 400000\nactive_file 7\n",
}


def test_the_machines_memory_counts(tmp_path):
    assert system(tmp_path, MACHINE) == 4_096_000


def test_a_container_leaves_less(tmp_path):
    """Its limit less what is used, of which pages of files can be given up."""
    assert system(tmp_path, MACHINE | GROUP) == 3_000_000 - (1_000_000 - 400_000)


def test_a_container_of_the_first_version(tmp_path):
    files = {
        "own": "5:memory:/c\n0::/\n",
        "groups/memory/c/memory.limit_in_bytes": "2000000\n",
        "groups/memory/c/memory.usage_in_bytes": "500000\n",
        "groups/memory/c/memory.stat": "total_inactive_file 100000\n",
        "groups/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "groups/memory/memory.usage_in_bytes": "500000\n",
    }
    assert system(tmp_path, MACHINE | files) == 1_600_000


def test_a_full_container_leaves_nothing(tmp_path):
    assert system(tmp_path, MACHINE | GROUP | {"groups/a/memory.current": "4000000\n"}) == 0


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"meminfo": "MemAvailable: much kB\n"},
        {"meminfo": "\x00\xff", "own": "::::\n0\n"},
        {"own": "0::/../../etc\n"},
    ],
)
def test_a_system_that_does_not_say(tmp_path, files):
    assert system(tmp_path, files) is None


# ---- what is taken

GROWTH = """
import gc, json
import numpy as np
import closedform as cf
from closedform.bench.networks import NAMES, network
from closedform.bench.steps import examples
from closedform.engine.plan_table import predicted

def size(word):
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(word))

def step(architecture, x, y):
    net = cf.Network.from_architecture(architecture, threads=2)
    assert net.engine == "compiled"
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the most that was in use begins anew
    before = size("VmRSS")
    net.fit(x, y, batch_size=128, verbose=0)
    return size("VmHWM") - before

found = {}
for name in NAMES:
    architecture = network(name)
    x, y = (array[:128] for array in examples(architecture, 128))
    step(architecture, x, y)  # compiles, and starts the threads
    gc.collect()
    found[name] = step(architecture, x, y), predicted(architecture, 128, 2).total
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def growth(tmp_path_factory):
    """For each network the bytes by which its first step lets the process grow, and the prediction."""
    pytest.importorskip("llvmlite")
    cache = str(tmp_path_factory.mktemp("cache"))
    # memory that is let go is given back, so that it counts again when it is taken again
    return json.loads(printed(GROWTH, CLOSEDFORM_CACHE=cache, MALLOC_MMAP_THRESHOLD_="65536"))


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux tells a process its size")
@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_takes_what_was_predicted(growth, name):
    grown, prediction = growth[name]
    assert abs(grown - prediction) <= max(0.02 * prediction, 8e6), (in_bytes(grown), in_bytes(prediction))
