"""Mistakes with the operands of a product: element-wise or matrix, transposed, shifted by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations, permutations, product

from closedform.checking.lines import Line
from closedform.checking.rewrites.parts import (
    Rewrites,
    denominator,
    extent,
    fresh,
    lone,
    renamed,
    replaced,
    summed_indices,
    terms_of,
)
from closedform.checking.roles import named
from closedform.formula.subscripts import (
    Floor,
    Modulo,
    Polynomial,
    digits,
    floor_divide,
    remainder,
    unprimed,
)
from closedform.formula.tree import (
    SUM,
    Access,
    Equation,
    Expression,
    Plus,
    Reduce,
    Times,
    accesses,
    free_names,
    plus,
    reduce,
    replace_access,
    times,
)


def products(line: Line) -> Rewrites:
    """A matrix product for an element-wise one, and the reverse."""
    yield from _matrix_for_elementwise(line)
    yield from _elementwise_for_matrix(line)


def _matrix_for_elementwise(line: Line) -> Rewrites:
    left, right = line.equation.left, line.equation.right
    factors = right.factors if isinstance(right, Times) else ()
    indices = [subscript.lone for subscript in left.subscripts]
    bare = all(a.subscripts == left.subscripts for a in accesses(right))
    if line.upstream is None or not bare or len(indices) < 2 or None in indices or len(factors) < 2:
        return
    first = [f for f in factors if isinstance(f, Access) and f.tensor == line.upstream]
    other = times(*[f for f in factors if f not in first])
    if len(first) != 1 or not free_names(other) & set(line.equation.left_indices):
        return
    row, column = indices[-2] or "", indices[-1] or ""
    middle = fresh(column, line)
    rows, columns = line.sizes.extent(row), line.sizes.extent(column)

    def matrix_product(
        a: Expression, b: Expression, put: tuple[dict[str, str], dict[str, str]]
    ) -> Expression:
        one, two = (
            renamed(x, {old: lone(new) for old, new in names.items()})
            for x, names in zip((a, b), put, strict=True)
        )
        return reduce(SUM, [middle], times(one, two))

    plain = ({column: middle}, {row: middle})
    for a, b in ((first[0], other), (other, first[0])):
        yield "matrix-product", line.rewritten(matrix_product(a, b, plain))
        by_rows = matrix_product(a, b, ({column: middle}, {row: column, column: middle}))
        yield (
            "matrix-product",
            line.reshaped(left, by_rows, {column: rows, middle: columns}),
        )
        by_columns = matrix_product(a, b, ({row: middle, column: row}, {row: middle}))
        yield "matrix-product", line.reshaped(left, by_columns, {row: columns, middle: rows})


def _elementwise_for_matrix(line: Line) -> Rewrites:
    left, right = line.equation.left, line.equation.right
    if len(left.subscripts) != 2:
        return
    changed = []
    for term in terms_of(right):
        own = term.body if isinstance(term, Reduce) and term.operation == SUM else None
        factors = own.factors if isinstance(own, Times) else ()
        if len(factors) == 2 and all(isinstance(f, Access) and len(f.subscripts) == 2 for f in factors):
            entries = [Access(f.tensor, left.subscripts) for f in factors if isinstance(f, Access)]
            changed.append(times(*entries))
        else:
            changed.append(term)
    if changed != list(terms_of(right)):
        yield "elementwise-product", line.rewritten(plus(*changed))


def transposed(line: Line) -> Rewrites:
    """One operand transposed, or the result."""
    left, right = line.equation.left, line.equation.right
    roles = line.roles
    summed = summed_indices(right)
    multiplied = bool(summed) and (bool(roles.parameters))
    if not multiplied:
        return
    for access in dict.fromkeys(accesses(right)):
        for axes in _pairs(line, access):
            yield "transposed-operand", line.rewritten(replaced(right, access, _exchanged(access, axes)))
    for axes in _pairs(line, left):
        one, other = (left.subscripts[axis] for axis in axes)
        yield (
            "transposed-operand",
            line.rewritten(renamed(right, {one.lone or "": other, other.lone or "": one})),
        )
        yield "transposed-operand", line.reshaped(_exchanged(left, axes), right)


def _pairs(line: Line, access: Access) -> list[tuple[int, int]]:
    """The axes that a transposition exchanges: both of a matrix, those of positions, those of kernels."""
    names = [subscript.lone for subscript in access.subscripts]
    if len(names) == 2 and None not in names:
        return [(0, 1)]
    roles = line.roles
    found = []
    for group in (roles.positions, roles.kernels):
        axes = [axis for axis, name in enumerate(names) if name and named(group, name)]
        if len(axes) == 2:
            found.append((axes[0], axes[1]))
    return found


def _exchanged(access: Access, axes: tuple[int, int]) -> Access:
    subscripts = list(access.subscripts)
    subscripts[axes[0]], subscripts[axes[1]] = subscripts[axes[1]], subscripts[axes[0]]
    return Access(access.tensor, tuple(subscripts))


def bias_missing(line: Line) -> Rewrites:
    """The bias not added."""
    right = line.equation.right
    if line.wrt is not None or not isinstance(right, Plus):
        return
    kept = [
        term for term in right.terms if not (isinstance(term, Access) and term.tensor in line.roles.biases)
    ]
    if kept and len(kept) < len(right.terms):
        yield "bias-missing", line.rewritten(plus(*kept))


def flattened(line: Line) -> Rewrites:
    """The entries in a row in another order."""
    if line.roles.parameters or line.is_loss:
        return
    places = [line.equation.left, *line.equation.accesses]
    rows = {subscript: digits(subscript) for access in places for subscript in access.subscripts}
    for subscript, order in rows.items():
        if not order:
            continue
        for other in permutations(order):
            if list(other) == order:
                continue
            row = Polynomial.of(0)
            for name in other:
                row = row * extent(unprimed(name)) + lone(name)

            def ordered(access: Access, old: Polynomial = subscript, new: Polynomial = row) -> Access:
                return Access(access.tensor, tuple(new if s == old else s for s in access.subscripts))

            right = replace_access(line.equation.right, ordered)
            yield "flatten-order", line.with_equation(Equation(ordered(line.equation.left), right))


def off_by_one(line: Line) -> Rewrites:
    """A subscript one too large or too small; in one axis, or in both that a window has."""
    right = line.equation.right
    if line.is_loss:
        return
    entries = list(dict.fromkeys(accesses(right)))
    for access in entries:
        every = [(axis,) for axis in range(len(access.subscripts))]
        spatial = [axis for axis, s in enumerate(access.subscripts) if _is_spatial(line, s)]
        for axes in [*every, *combinations(spatial, 2)]:
            for steps in product((1, -1), repeat=len(axes)):
                for inside in (True, False):
                    shifts = dict(zip(axes, steps, strict=True))
                    new = _shifted(access, shifts, inside)
                    yield "off-by-one", line.rewritten(replaced(right, access, new))
    shared = [s for s in _subscripts(entries) if _is_spatial(line, s) and s.constant is None]
    for subscript in shared:
        for step in (1, -1):
            for inside in (True, False):
                moved = _moved(subscript, step, inside)

                def together(access: Access, old: Polynomial = subscript, new: Polynomial = moved) -> Access:
                    return Access(access.tensor, tuple(new if s == old else s for s in access.subscripts))

                yield "off-by-one", line.rewritten(replace_access(right, together))


def _subscripts(entries: list[Access]) -> list[Polynomial]:
    """The subscripts that more than one entry has."""
    counts = Counter(subscript for access in entries for subscript in set(access.subscripts))
    return [subscript for subscript, count in counts.items() if count > 1]


def _is_spatial(line: Line, subscript: Polynomial) -> bool:
    """Whether it runs over positions or a kernel rather than examples or channels."""
    roles = line.roles
    return not any(named((*roles.channels, roles.example or ""), name) for name in subscript.names)


def _shifted(access: Access, shifts: Mapping[int, int], inside: bool) -> Access:
    subscripts = [
        _moved(subscript, shifts[axis], inside) if axis in shifts else subscript
        for axis, subscript in enumerate(access.subscripts)
    ]
    return Access(access.tensor, tuple(subscripts))


def _moved(subscript: Polynomial, step: int, inside: bool) -> Polynomial:
    """One further: within the quotient, or of its value."""
    rounded = [atom for atom in subscript.atoms if isinstance(atom, Floor | Modulo)]
    if inside and rounded:
        moved = {
            atom: (floor_divide if isinstance(atom, Floor) else remainder)(
                atom.numerator + step, atom.denominator
            )
            for atom in rounded
        }
        return subscript.substitute(moved)
    return subscript + (denominator(subscript) ** -1 * step if inside else step)
