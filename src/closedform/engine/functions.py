"""Point-wise functions of float32 in vector code of our own: the same bits on every machine.

Every operation is written out, none is left to the platform's library, and nothing lets LLVM rearrange
them, so that a result does not depend on the number of lanes or on whether the processor has a fused
multiply-add of its own.  NaN gives NaN; which NaN is not said.

============  =========  =========================================================================
function      error      notes
============  =========  =========================================================================
exp           0.93 ulp   0 below -86.9899, where the result is under 1.67e-38; inf from 88.7229 on
log           0.94 ulp   -inf at 0 of either sign, NaN below; denormal numbers are not flushed
tanh          1.35 ulp   exactly ±1 from ±9.011 on; a zero keeps its sign
sigmoid       2.00 ulp   0 below -88, where the result is denormal
softplus      1.99 ulp   0 below -86.9899, as exp
sqrt          rounded    NaN below 0; a zero keeps its sign
abs, relu     exact      relu(NaN) is NaN, relu(-0) is -0
step          exact      step(0) and step(NaN) are 0
============  =========  =========================================================================

An ulp is the distance between float32 numbers next to the exact result.  The errors are the largest over
every float32 number whose exact result is a normal number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from closedform.engine.ir import I32, Builder, Value, integer, lanes_of, number, vector
from closedform.errors import SettingError

# e^r = 1 + r + r² (c0 + c1 r + …) for |r| <= ln 2 / 2.  Degree 4: least squares in float64 at 4000
# Chebyshev points, weighted anew 400 times towards the smallest largest error of e^r - 1 relative to
# itself, the coefficients rounded to float32 one after another and those that follow fitted again.
# Relative error of e^r - 1 without rounding: 1.4e-8.
_EXPONENTIAL = (
    0.4999999701976776,
    0.1666654646396637,
    0.04166743531823158,
    0.00836626160889864,
    0.0013870657421648502,
)
# log(1 + f) = f + f² (c0 + c1 f + …) for |f| <= 1/3, found in the same way; relative error 4.7e-9.
_LOGARITHM = (
    -0.5,
    0.3333321511745453,
    -0.2499980628490448,
    0.2001042664051056,
    -0.16680195927619934,
    0.14005734026432037,
    -0.12187477946281433,
    0.13984593749046326,
    -0.12880054116249084,
)
# tanh x = x + x³ (c0 + c1 x² + …) for |x| <= _SMALL, found in the same way; relative error 3.7e-8.
_TANH = (-0.3333294689655304, 0.1332072913646698, -0.05267200991511345, 0.01643787883222103)
_SMALL = 0.55
_LN2 = 0.693147182464599609375  # as float32, and what is missing
_LN2_REST = math.log(2) - _LN2
_ROUNDING = 1.5 * 2.0**23  # from here to twice as far float32 are the whole numbers
_TWO_THIRDS = 0x3F2AAAAB  # the bits of 2/3
_EXPONENT_BITS = -0x800000  # sign and exponent of a float32


def emit_function(build: Builder, name: str, x: Value) -> Value:
    """One of the functions of the formula language, in every lane of x.

    Parameters
    ----------
    build
        Where the instructions go.
    name
        The function as formulas write it, one of `closedform.formula.tree.FUNCTIONS`.
    x
        float32 in any number of lanes.

    Returns
    -------
    Value
        As many lanes.
    """
    return _FUNCTIONS[name](build, x)


def power(build: Builder, x: Value, exponent: int | Fraction) -> Value:
    """x to a power, in every lane.

    Whole powers are products of the repeated squares of x, from the lowest bit of the exponent up, so that
    x to the n is out by at most n - 1 roundings; halves are those times the square root; what is negative
    is divided into 1.

    Parameters
    ----------
    build
        Where the instructions go.
    x
        float32 in any number of lanes.
    exponent
        A multiple of 1/2; formulas only have whole ones.

    Returns
    -------
    Value
        As many lanes.

    Raises
    ------
    SettingError
        Where the exponent is no multiple of 1/2.
    """
    halves = 2 * Fraction(exponent)
    if halves.denominator != 1:
        raise SettingError(
            f"a power is compiled for multiples of 1/2, got {exponent}: write exp and log instead"
        )
    factors = [build.intrinsic("sqrt", x)] if halves.numerator % 2 else []
    whole, square = abs(halves.numerator) // 2, x
    while whole:
        if whole % 2:
            factors.append(square)
        whole //= 2
        if whole:
            square = build.fmul(square, square)
    if not factors:
        return number(1.0, x.type)
    result = factors[0]
    for factor in factors[1:]:
        result = build.fmul(result, factor)
    return build.fdiv(number(1.0, x.type), result) if halves < 0 else result


def _exp(build: Builder, x: Value) -> Value:
    # past these bounds the result is inf or 0 already, and 2^k wraps round; NaN passes both
    x = _at_least(build, _at_most(build, x, 89.0), -87.25)
    # twice e^r times half of 2^k, since k goes up to 128 and 2^128 is no float32
    rest, scale = _reduced(build, x, 1.0, -1)
    half = _polynomial(build, rest, [2.0, 2.0, *(2 * c for c in _EXPONENTIAL)])
    return build.fmul(half, scale)


def _sigmoid(build: Builder, x: Value) -> Value:
    # 1 / (1 + 2^k (1 + t)), what is denormal apart
    one = number(1.0, x.type)
    t, scale = _scaled_exp(build, _at_least(build, build.fneg(x), -40.0), 1.0)
    result = build.fdiv(one, build.fadd(scale, build.fma(scale, t, one)))
    is_lost = build.compare("olt", x, number(-88.0, x.type))
    return build.select(is_lost, number(0.0, x.type), result)


def _tanh(build: Builder, x: Value) -> Value:
    # 1 - 2 / (1 + e^2|x|), where that cancels a polynomial
    one, half = number(1.0, x.type), number(0.5, x.type)
    size = build.intrinsic("fabs", x)
    t, scale = _scaled_exp(build, _at_most(build, size, 10.0), 2.0)
    middle = build.fma(scale, half, build.fma(scale, t, half))
    large = build.fsub(one, build.fdiv(one, middle))
    square = build.fmul(x, x)
    small = build.fma(build.fmul(size, square), _polynomial(build, square, _TANH), size)
    is_small = build.compare("olt", size, number(_SMALL, x.type))
    return _with_sign(build, build.select(is_small, small, large), x)


def _log(build: Builder, x: Value) -> Value:
    kind, bits_kind = x.type, _bits_kind(x)
    zero = number(0.0, kind)
    denormal = build.compare("olt", x, number(2.0**-126, kind))
    normal = build.select(denormal, build.fmul(x, number(2.0**23, kind)), x)
    # x = 2^k m with 2/3 <= m < 4/3; k is kept where float32 have their exponent, 23 bits up
    bits = build.convert("bitcast", normal, bits_kind)
    exponent = build.both(
        build.isub(bits, integer(_TWO_THIRDS, bits_kind)), integer(_EXPONENT_BITS, bits_kind)
    )
    m = build.convert("bitcast", build.isub(bits, exponent), kind)
    exponent = build.isub(
        exponent, build.select(denormal, integer(23 << 23, bits_kind), integer(0, bits_kind))
    )
    k = build.convert("sitofp", exponent, kind)
    result = build.fma(k, number(_LN2 / 2**23, kind), _log_near_one(build, build.fsub(m, number(1.0, kind))))
    infinity = number(math.inf, kind)
    result = build.select(build.compare("oeq", x, infinity), infinity, result)
    below = build.select(build.compare("oeq", x, zero), number(-math.inf, kind), number(math.nan, kind))
    return build.select(build.compare("ogt", x, zero), result, below)


def _softplus(build: Builder, x: Value) -> Value:
    # the larger of x and 0, and log(1 + e) with e = exp(-|x|), which is ln 2 + log((1 + e) / 2) from 4/3 on
    kind = x.type
    zero, half = number(0.0, kind), number(0.5, kind)
    e = _exp(build, build.fneg(build.intrinsic("fabs", x)))
    is_large = build.compare("ogt", e, number(1 / 3, kind))
    f = build.select(is_large, build.fma(e, half, number(-0.5, kind)), e)
    base = build.select(is_large, number(_LN2, kind), zero)
    larger = build.select(build.compare("ogt", x, zero), x, zero)
    return build.fadd(larger, build.fadd(base, _log_near_one(build, f)))


def _sqrt(build: Builder, x: Value) -> Value:
    return build.intrinsic("sqrt", x)


def _abs(build: Builder, x: Value) -> Value:
    return build.intrinsic("fabs", x)


def _relu(build: Builder, x: Value) -> Value:
    return _at_least(build, x, 0.0)


def _step(build: Builder, x: Value) -> Value:
    zero = number(0.0, x.type)
    return build.select(build.compare("ogt", x, zero), number(1.0, x.type), zero)


_FUNCTIONS: dict[str, Callable[[Builder, Value], Value]] = {
    "relu": _relu,
    "step": _step,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "exp": _exp,
    "log": _log,
    "sqrt": _sqrt,
    "abs": _abs,
    "softplus": _softplus,
}


def _reduced(build: Builder, x: Value, factor: float, shift: int) -> tuple[Value, Value]:
    """r and 2^(k + shift) with x = k ln 2 / factor + r, k whole and r small; 0 for 2^-127."""
    # the sum is rounded to a whole number, and the exponent field of 2^(k + shift) is left in its low bits
    magic = number(_ROUNDING + 127 + shift, x.type)
    sum_ = build.fma(x, number(factor / math.log(2), x.type), magic)
    k = build.fsub(sum_, magic)
    rest = build.fma(k, number(-_LN2 / factor, x.type), x)  # exact: of fewer than 24 bits
    rest = build.fma(k, number(-_LN2_REST / factor, x.type), rest)
    bits = build.shift_left(build.convert("bitcast", sum_, _bits_kind(x)), 23)
    return rest, build.convert("bitcast", bits, x.type)


def _scaled_exp(build: Builder, x: Value, factor: float) -> tuple[Value, Value]:
    """t and 2^k with e^(factor x) = 2^k (1 + factor t), k from -127, where 2^k is 0, to 127."""
    rest, scale = _reduced(build, x, factor, 0)
    tail = _polynomial(build, rest, [c * factor ** (n + 1) for n, c in enumerate(_EXPONENTIAL)])
    return build.fma(build.fmul(rest, rest), tail, rest), scale


def _log_near_one(build: Builder, f: Value) -> Value:
    return build.fma(build.fmul(f, f), _polynomial(build, f, _LOGARITHM), f)


def _polynomial(build: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x² + …, from the last coefficient down."""
    result = number(coefficients[-1], x.type)
    for coefficient in reversed(coefficients[:-1]):
        result = build.fma(result, x, number(coefficient, x.type))
    return result


def _at_most(build: Builder, x: Value, bound: float) -> Value:
    limit = number(bound, x.type)
    return build.select(build.compare("ogt", x, limit), limit, x)


def _at_least(build: Builder, x: Value, bound: float) -> Value:
    limit = number(bound, x.type)
    return build.select(build.compare("olt", x, limit), limit, x)


def _with_sign(build: Builder, size: Value, x: Value) -> Value:
    """What is not negative, with the sign of x."""
    bits_kind = _bits_kind(x)
    sign = build.both(build.convert("bitcast", x, bits_kind), integer(-(2**31), bits_kind))
    return build.convert("bitcast", build.either(build.convert("bitcast", size, bits_kind), sign), x.type)


def _bits_kind(x: Value) -> str:
    return vector(I32, lanes_of(x.type))
