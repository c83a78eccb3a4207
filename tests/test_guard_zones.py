"""Compiled code reads and writes nothing but the buffers that its plan gives it.

Zones of signalling NaN stand around every buffer, inside the arenas too, where the plan is laid out anew
for it.  What is written there is found there, and what is read there makes results differ from those of
the same code without zones.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compiled_jobs import LOSS, OUTPUT, PULLBACK, Compiled, batch_for, parameters_for
from compiled_layers import LAYERS
from compiled_networks import BENCHMARKED, MIXED, OWN, network
from compiled_zones import Zones, bits, spread
from processes import SOURCE, python

import closedform as cf
from closedform.architecture import Architecture
from closedform.engine.jit import widths

SLOW = os.environ.get("CLOSEDFORM_SLOW") == "1"
MODES = [OUTPUT, LOSS, PULLBACK]


def check_zones(code, ordinary, count, threads=1, images=None, rate=None):
    """Assert that code with zones leaves them alone, and gives the same bits as without."""
    parameters, batch = parameters_for(code.architecture), batch_for(code.architecture, count)
    zones = Zones(code, count // code.plan.unit, threads, images)
    words = {"threads": threads, "images": images, "rate": rate, "steps": 2}
    found = code.run(parameters, batch, place=zones.place, **words)
    zones.check()
    expected = ordinary.run(parameters, batch, **words)
    # plain gradient descent writes no gradient of a large parameter
    kinds = () if code.mode == OUTPUT else ("parameters/",) if rate else ("parameters/", "gradients/")
    written = ["outputs", *[name for name in expected if name.startswith(kinds)]]
    written += ["losses"] * (code.mode == LOSS) + ["dx"] * (code.mode != OUTPUT)
    for name in written:
        assert np.isfinite(expected[name]).all(), name
        different = (bits(found[name]) != bits(expected[name])).sum()
        assert different == 0, f"{name}: {different} of {found[name].size} entries differ"


def check_network(architecture, mode, width=None, together=0):
    code = Compiled(architecture, mode, width, spread, together=together)
    ordinary = Compiled(architecture, mode, width, together=together)
    check_zones(code, ordinary, 1)
    check_zones(code, ordinary, 5, threads=2, images=3)
    check_zones(code, ordinary, 19, threads=3, rate=None if mode == OUTPUT else 0.01)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.source)
@pytest.mark.parametrize("name", [*OWN, *BENCHMARKED])
def test_networks_stay_within_their_buffers(name, mode):
    check_network(network(name), mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.source)
def test_a_batch_that_is_one_unit_stays_within_its_buffers(mode):
    for count in (1, 7):
        code = Compiled(MIXED, mode, change=spread, unit=count)
        check_zones(code, Compiled(MIXED, mode, unit=count), count, threads=2)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.source)
@pytest.mark.parametrize("name", OWN)
def test_images_across_the_lanes_stay_within_their_buffers(name, mode):
    architecture = network(name)
    layers = len(architecture.layers)
    for together in range(1, layers + 2) if SLOW else (2, layers - 1, layers, layers + 1):
        check_network(architecture, mode, together=together)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=[f"{layer}" for layer, _ in LAYERS])
def test_layers_stay_within_their_buffers(layer, shape):
    for together in (0, 1):
        check_network(Architecture([layer], shape), PULLBACK, together=together)


@pytest.mark.parametrize("width", widths()[1:])
def test_other_widths_stay_within_their_buffers(width):
    for name in [*OWN, *BENCHMARKED] if SLOW else OWN:
        check_network(network(name), LOSS, width)
    for layer, shape in LAYERS if SLOW else LAYERS[widths().index(width) :: 6]:
        check_network(Architecture([layer], shape), PULLBACK, width)


# ---- the ends of arrays


def python_here(code):
    """Run a line in a process of its own, since it may end in a fault."""
    folder = str(Path(__file__).parent)
    path = os.pathsep.join([SOURCE, folder])
    return python("-c", f"from compiled_zones import *; {code}", PYTHONPATH=path)


@pytest.mark.skipif(os.name != "posix", reason="pages are guarded by POSIX's mprotect")
@pytest.mark.parametrize("width", widths())
def test_nothing_beyond_an_array_is_read(width):
    names = [*OWN, *BENCHMARKED] if SLOW else [*OWN, "worksheet_e"]
    done = python_here(f"run_at_guarded_pages({names!r}, {width!r})")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="pages are guarded by POSIX's mprotect")
def test_a_read_beyond_an_array_ends_the_process():
    done = python_here("run_at_guarded_pages(['worksheet_e'], None, one_further)")
    assert done.returncode == -signal.SIGSEGV


# ---- what the zones see


def one_image():
    return Architecture([cf.Conv2d(17, 3), cf.ReLU()], (3, 5, 7))


def shifted(plan, by, of_output):
    """A plan whose first nest of the block reads or writes beside its buffer."""
    spread(plan)
    nest = plan.block[0]
    if of_output:
        plan.block[0] = replace(nest, out=replace(nest.out, offset=nest.out.offset + by))
    else:
        first, *rest = nest.inputs
        plan.block[0] = replace(nest, inputs=(replace(first, offset=first.offset + by), *rest))


@pytest.mark.parametrize("by", [1, -1])
def test_a_write_beside_a_buffer_is_seen(by):
    code = Compiled(one_image(), OUTPUT, change=lambda plan: shifted(plan, by, of_output=True))
    ordinary = Compiled(one_image(), OUTPUT)
    with pytest.raises(AssertionError, match="block_memory: 1 elements written, the first at"):
        check_zones(code, ordinary, 1)


@pytest.mark.parametrize("by", [1, -1])
def test_a_read_beside_a_buffer_is_seen(by):
    code = Compiled(one_image(), OUTPUT, change=lambda plan: shifted(plan, by, of_output=False))
    ordinary = Compiled(one_image(), OUTPUT)
    with pytest.raises(AssertionError, match=r"outputs: \d+ of \d+ entries differ"):
        check_zones(code, ordinary, 1)
