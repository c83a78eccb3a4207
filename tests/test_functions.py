"""The compiled point-wise functions: how far off they are, their limits, and the same bits everywhere."""

import ctypes
from fractions import Fraction

import numpy as np
import pytest

from closedform.engine import jit
from closedform.engine.functions import emit_function, power
from closedform.engine.ir import FLOAT, I64, PTR, Builder, Module, vector
from closedform.errors import SettingError
from closedform.formula.tree import FUNCTIONS

pytest.importorskip("llvmlite")

nan, inf = np.nan, np.inf
WIDEST = jit.widths()[0]
# vectors as wide as each kind of register, and every number of lanes in the widest
KINDS = [(width, jit.host(width).lanes) for width in jit.widths()]
KINDS += [(WIDEST, lanes) for lanes in (1, 4, 8, 16) if (WIDEST, lanes) not in KINDS]

# the error in ulps, the range of sizes in which the function changes, its worst number in it, and float64's
STATED = {
    "exp": (0.93, (2.0**-30, 128), 5.199917793273926, np.exp),
    "log": (0.94, (2.0**-149, inf), 0.6356573700904846, np.log),
    "tanh": (1.35, (2.0**-30, 128), 0.5563105940818787, np.tanh),
    "sigmoid": (2.00, (2.0**-30, 128), -0.00034499180037528276, lambda x: 1 / (1 + np.exp(-x))),
    "softplus": (1.99, (2.0**-30, 128), -1.0744386911392212, lambda x: np.logaddexp(x, 0)),
}
# x, and what is expected
SPECIAL = {
    "exp": [(nan, nan), (inf, inf), (-inf, 0), (0, 1), (-0.0, 1), (1e-40, 1), (88.72283, 3.4027985e38),
            (88.72284, inf), (3e38, inf), (-86.98997, 1.6624065e-38), (-86.989975, 0), (-3e38, 0)],
    "log": [(nan, nan), (inf, inf), (-inf, nan), (0, -inf), (-0.0, -inf), (1, 0), (-1e-40, nan),
            (-1, nan), (2, 0.6931472), (2.0**-149, -103.27893), (3.4028235e38, 88.72284)],
    "tanh": [(nan, nan), (inf, 1), (-inf, -1), (0, 0), (-0.0, -0.0), (1e-30, 1e-30), (-1e-30, -1e-30),
             (9.0109129, 0.99999994), (9.010914, 1), (-9.010914, -1), (3e38, 1), (-3e38, -1)],
    "sigmoid": [(nan, nan), (inf, 1), (-inf, 0), (0, 0.5), (-0.0, 0.5), (88, 1), (3e38, 1),
                (-87, 1.6458115e-38), (-88.00001, 0), (-3e38, 0)],
    "softplus": [(nan, nan), (inf, inf), (-inf, 0), (0, 0.6931472), (-0.0, 0.6931472), (20, 20),
                 (3e38, 3e38), (-86.98997, 1.6624065e-38), (-86.989975, 0), (-3e38, 0)],
    "sqrt": [(nan, nan), (inf, inf), (-inf, nan), (0, 0), (-0.0, -0.0), (-1, nan), (2, 1.4142135),
             (1e38, 1e19)],
    "abs": [(nan, nan), (inf, inf), (-inf, inf), (0, 0), (-0.0, 0), (-2, 2), (3, 3)],
    "relu": [(nan, nan), (inf, inf), (-inf, 0), (0, 0), (-0.0, -0.0), (-2, 0), (3, 3), (1e-30, 1e-30)],
    "step": [(nan, 0), (inf, 1), (-inf, 0), (0, 0), (-0.0, 0), (-2, 0), (3, 1), (1e-30, 1)],
}  # fmt: skip


def compiled(emit, width=WIDEST, lanes=None):
    """A function of an array, of float32, that works `emit` out for each number."""
    target = jit.host(width)
    lanes = lanes or target.lanes
    module = Module(lanes, target.attributes)
    build = Builder(module, "run", [(PTR, "out"), (PTR, "x"), (I64, "count")], is_entry=True)
    out, x, count = build.parameters

    def body(i):
        value = build.load(build.moved(x, i), vector(FLOAT, lanes))
        build.store(emit(build, value), build.moved(out, i))

    build.loop(0, count, body, step=lanes)
    build.finish()
    library = jit.Library(jit.compile_ir(module.text, target), target)
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(library.address("run"))
    entry.library = library  # the code is there as long as this is

    def run(values):
        whole = np.zeros(-(-len(values) // lanes) * lanes, np.float32)
        whole[: len(values)] = values
        result = np.empty_like(whole)
        entry(result.ctypes.data, whole.ctypes.data, len(whole))
        return result[: len(values)]

    return run


def function(name, width=WIDEST, lanes=None):
    return compiled(lambda build, x: emit_function(build, name, x), width, lanes)


def to_the(exponent, width=WIDEST, lanes=None):
    return compiled(lambda build, x: power(build, x, exponent), width, lanes)


def numbers(first, last, step):
    """Every so many float32 from `first` to `last`, which are not negative."""
    bits = np.array([first, last], np.float32).view(np.int32)
    return np.arange(bits[0], bits[1], step, dtype=np.int32).view(np.float32)


def bits(values):
    """What tells every number from every other, -0 from 0, but no NaN from another."""
    return np.where(np.isnan(values), 0x7FC00000, np.asarray(values, np.float32).view(np.int32))


def test_every_function_of_the_language_has_code():
    for name in FUNCTIONS:
        assert function(name)([1.0]).shape == (1,)


@pytest.mark.parametrize("name", STATED)
def test_the_stated_error_is_the_largest(name):
    error, (least, most), worst, exact = STATED[name]
    x = numbers(least, most, 149 if most < inf else 499)
    x = np.concatenate([x, [np.float32(worst)], -x if name != "log" else []]).astype(np.float32)
    expected = exact(x.astype(np.float64))
    ulp = np.ldexp(1.0, np.frexp(expected)[1] - 24)
    errors = np.abs(function(name)(x) - expected) / ulp
    # exp flushes a little more than what is denormal, and its largest result is no infinity
    is_normal = (np.abs(expected) > 1.67e-38) & (np.abs(expected) < 3.4028235e38)
    assert is_normal.sum() > 2_000_000
    assert error - 0.01 < errors[is_normal].max() <= error


@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus"])
def test_what_is_nearly_denormal_is_flushed_at_most(name):
    x = -numbers(86, 120, 7)
    expected = STATED[name][-1](x.astype(np.float64))
    found = function(name)(x)
    is_flushed = found == 0
    assert np.abs(found - expected)[~is_flushed].max() < 2.0**-23 * np.exp(-86)
    assert expected[is_flushed].max() < 1.67e-38


def test_a_square_root_is_rounded_once():
    x = numbers(2.0**-126, inf, 997)
    assert np.array_equal(function("sqrt")(x), np.sqrt(x.astype(np.float64)).astype(np.float32))


@pytest.mark.parametrize(("width", "lanes"), KINDS)
@pytest.mark.parametrize("name", SPECIAL)
def test_limits(name, width, lanes):
    x, expected = np.array(SPECIAL[name], np.float32).T
    assert bits(function(name, width, lanes)(x)).tolist() == bits(expected).tolist()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_bits_for_every_number_of_lanes_with_and_without_fused_multiply_add(name):
    x = numbers(0, inf, 20011)
    x = np.concatenate([x, -x, numbers(1e-3, 100, 3001), -numbers(1e-3, 100, 3001)])
    first, *others = [bits(function(name, width, lanes)(x)) for width, lanes in KINDS]
    for other in others:
        assert np.array_equal(first, other)


def test_a_result_does_not_depend_on_its_neighbours():
    x = np.array([1.5, nan, -inf, 1000, 0, -1000, 1e-40, inf] * 4, np.float32)
    for name in FUNCTIONS:
        run = function(name)
        alone = [run([value])[0] for value in x]
        assert np.array_equal(bits(run(x)), bits(alone)), name


@pytest.mark.parametrize(
    ("exponent", "x", "expected"),
    [
        (2, [3, -3, 0, inf, nan, 1e30, 1e-30], [9, 9, 0, inf, nan, inf, 0]),
        (3, [-2, -0.0, -inf, 0.1], [-8, -0.0, -inf, 0.001]),
        (7, [2, -1, 3], [128, -1, 2187]),
        (64, [2, -1, 0.5, nan], [2.0**64, 1, 2.0**-64, nan]),
        (1, [-0.0, 5, nan], [-0.0, 5, nan]),
        (0, [0, inf, nan], [1, 1, 1]),
        (-1, [4, -0.0, 0, inf, -inf, nan], [0.25, -inf, inf, 0, -0.0, nan]),
        (-2, [4, -0.0, 1e30, nan], [0.0625, inf, 0, nan]),
        (-3, [-2, inf], [-0.125, 0]),
        (Fraction(4), [3], [81]),
        (Fraction(1, 2), [9, 0, -1, inf], [3, 0, nan, inf]),
        (Fraction(-1, 2), [4, 0, inf], [0.5, inf, 0]),
        (Fraction(3, 2), [4, 9], [8, 27]),
    ],
)
@pytest.mark.parametrize(("width", "lanes"), KINDS)
def test_powers(exponent, x, expected, width, lanes):
    assert bits(to_the(exponent, width, lanes)(x)).tolist() == bits(expected).tolist()


@pytest.mark.parametrize("exponent", [2, 3, 5, 10, 31, 64, -1, -7])
def test_a_power_is_out_by_at_most_one_rounding_for_each_factor(exponent):
    x = numbers(0.5, 2, 211)
    expected = x.astype(np.float64) ** exponent
    roundings = abs(exponent) - (exponent > 0)
    off = np.abs(to_the(exponent)(x) / expected - 1)
    assert off.max() <= roundings * 2.0**-24 * 1.0001


def test_a_power_that_is_no_multiple_of_a_half_is_refused():
    with pytest.raises(SettingError) as error:
        to_the(Fraction(1, 3))
    assert str(error.value) == "a power is compiled for multiples of 1/2, got 1/3: write exp and log instead"
