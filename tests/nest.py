"""Stride tables run as they are written down: loops over flat memory, one term at a time."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from closedform.formula.table import Buffer, Program, Slot, Table
from closedform.formula.tree import Access, Bracket, Expression, Function, Number, Plus, Power, Times

NAN = math.nan


@dataclass
class Count:
    """How many terms of each table were worked out."""

    terms: int = 0


def run(program: Program, arrays: Mapping[str, np.ndarray], count: Count | None = None) -> np.ndarray:
    """The output of a program, by loops."""
    memory = {}
    for name, buffer in program.buffers.items():
        memory[name] = _fresh(buffer)
        if buffer.tensor is not None:
            _interior(memory[name], buffer)[...] = arrays[buffer.tensor]
        elif buffer.contents is not None:
            _interior(memory[name], buffer)[...] = np.reshape(buffer.contents, buffer.shape)
        else:
            _interior(memory[name], buffer)[...] = NAN  # to be written before it is read
    for table in program.tables:
        _run_table(table, memory, count or Count())
    output = program.buffers[program.output]
    return np.array(_interior(memory[program.output], output))


def _fresh(buffer: Buffer) -> np.ndarray:
    return np.full(buffer.size, buffer.fill)


def _interior(flat: np.ndarray, buffer: Buffer) -> np.ndarray:
    steps = [step * flat.itemsize for step in buffer.strides]
    return np.lib.stride_tricks.as_strided(flat[buffer.origin :], buffer.shape, steps)


def _run_table(table: Table, memory: dict[str, np.ndarray], count: Count) -> None:
    kept = [k for k in range(len(table.loops)) if k not in table.reduced]
    ranges = [range(extent) for extent in table.extents]
    for outer in product(*[ranges[k] for k in kept]):
        terms = []
        for inner in product(*[ranges[k] for k in table.reduced]):
            position = [0] * len(table.loops)
            for k, value in zip([*kept, *table.reduced], [*outer, *inner], strict=True):
                position[k] = value
            count.terms += 1
            allowed = all(_load(guard, position, memory) for guard in table.guards)
            values = [_load(slot, position, memory) for slot in table.inputs] if allowed else None
            terms.append((position, _body(table, values) if values is not None else None))
        _store(table, terms, memory)


def _load(slot: Slot, position: list[int], memory: dict[str, np.ndarray]) -> float:
    at = slot.offset + sum(step * k for step, k in zip(slot.strides, position, strict=True))
    assert 0 <= at < len(memory[slot.buffer])
    return float(memory[slot.buffer][at])


def _store(table: Table, terms: list, memory: dict[str, np.ndarray]) -> None:
    present = [(position, value) for position, value in terms if value is not None]
    factor = float(table.factor)
    match table.reduction:
        case "first":
            best = _first(present)
            for position, _ in terms:
                _write(table, position, factor * (position is best), memory)
        case "max":
            values = [value for _, value in present]
            best = NAN if any(map(math.isnan, values)) else max(values)
            _write(table, terms[0][0], factor * best, memory)
        case _:
            total = sum(value for _, value in present)
            _write(table, terms[0][0], factor * total, memory)


def _first(present: list) -> list[int]:
    for position, value in present:
        if math.isnan(value):
            return position
    return max(present, key=lambda term: term[1])[0]


def _write(table: Table, position: list[int], value: float, memory: dict[str, np.ndarray]) -> None:
    slot = table.out
    at = slot.offset + sum(step * k for step, k in zip(slot.strides, position, strict=True))
    memory[slot.buffer][at] = memory[slot.buffer][at] + value if table.accumulate else value


def _body(table: Table, values: list[float]) -> float:
    if table.body is None:
        return math.prod(values)
    with np.errstate(all="ignore"):
        return float(_value(table.body, [np.float64(value) for value in values]))


def _value(expression: Expression, values: list) -> np.float64:
    match expression:
        case Access(number, ()):
            return values[int(number)]
        case Number(value):
            return np.float64(float(value.constant))
        case Plus(terms):
            return sum((_value(term, values) for term in terms), np.float64(0))
        case Times(factors):
            result = np.float64(1)
            for factor in factors:
                result = result * _value(factor, values)
            return result
        case Power(base, exponent):
            return _value(base, values) ** np.float64(exponent)
        case Function(name, argument):
            return _FUNCTIONS[name](_value(argument, values))
        case Bracket(sides, relations):
            numbers = [_value(side, values) for side in sides]
            pairs = zip(numbers, relations, numbers[1:], strict=False)
            return np.float64(all(_RELATIONS[relation](left, right) for left, relation, right in pairs))
    raise TypeError(expression)


_RELATIONS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_FUNCTIONS = {
    "relu": lambda x: x if x > 0 or x != x else np.float64(0),
    "step": lambda x: np.float64(x > 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "softplus": lambda x: np.logaddexp(0, x),
}
