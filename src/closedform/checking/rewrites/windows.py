"""Mistakes with sliding windows: the kernel's rotation, stride, padding and dilation."""

from __future__ import annotations

from collections.abc import Sequence

from closedform.checking.lines import Line
from closedform.checking.rewrites.parts import (
    Rewrites,
    denominator,
    extent,
    lone,
    subscripts_changed,
)
from closedform.checking.roles import Window, named
from closedform.formula.subscripts import Atom, Floor, Polynomial, floor_divide, unprimed
from closedform.formula.tree import Access, Expression, substitute
from closedform.layers.base import is_input


def kernel(line: Line) -> Rewrites:
    """Rotated where it should not be, and not rotated where it should."""
    roles, right = line.roles, line.equation.right
    kernels = [window.kernel for window in roles.windows if window.kernel]
    if not kernels or not roles.parameters:
        return
    if line.of_parameter:
        if all(index in line.equation.left_indices for index in kernels):
            for some in _choices(kernels):
                yield "kernel-rotated", line.rewritten(_turned(right, some))
        if not any(index in line.equation.left_indices for index in roles.positions) and line.upstream:
            turned = _turned(right, roles.positions, [line.upstream])
            yield "convolution-flipped", line.rewritten(turned)
        return
    mistake = "kernel-not-rotated" if line.of_input else "convolution-flipped"
    for some in _choices(kernels):
        yield mistake, line.rewritten(_turned(right, some, roles.parameters))


def _choices(kernels: Sequence[str]) -> list[list[str]]:
    """All axes of the kernel, then each alone."""
    return [list(kernels), *([kernel] for kernel in kernels if len(kernels) > 1)]


def _turned(right: Expression, indices: Sequence[str], tensors: Sequence[str] | None = None) -> Expression:
    """With these indices, primed or not, counted from the other end in the tensors' subscripts."""
    of_kernel = tensors is not None  # whose other subscripts say where the window lies

    def turned(_: Access, subscript: Polynomial) -> Polynomial:
        if of_kernel and not subscript.lone:
            return subscript
        return subscript.substitute(
            {
                name: extent(unprimed(name)) - 1 - lone(name)
                for name in subscript.names
                if named(tuple(indices), name)
            }
        )

    return subscripts_changed(right, turned, tensors)


def stride(line: Line) -> Rewrites:
    """A step of one instead of the stride."""
    roles, right, sizes = line.roles, line.equation.right, line.sizes
    moved = [window for window in roles.windows if window.stride.value(sizes.values) != 1]
    if not moved:
        return
    if line.of_input:
        dense = subscripts_changed(right, lambda _, s: _without_quotient(s))
        yield "zeros-not-inserted", line.rewritten(dense)
        repeated = subscripts_changed(right, lambda _, s: _rounded(s))
        yield "zeros-not-inserted", line.rewritten(repeated)
        lengths = {}
        for window in roles.windows:
            reach = sizes.extent(window.position) + _span(line, window) - 1 - 2 * _padding(line, window)
            lengths[window.axis] = reach
        yield from _with_lengths(line, "zeros-not-inserted", dense, lengths)
        return
    mistake = "zeros-not-inserted" if line.of_parameter else "stride-ignored"
    steps = {window.position: window.stride for window in moved}

    def one_by_one(access: Access, subscript: Polynomial) -> Polynomial:
        for position, step in steps.items():
            if subscript.coefficient(position) == step:
                subscript = subscript - step * lone(position) + lone(position)
        return subscript

    inputs = [tensor for tensor in line.equation.tensors if is_input(tensor)]
    dense = subscripts_changed(right, one_by_one, inputs)
    yield mistake, line.rewritten(dense)
    lengths_of = {}
    for window in roles.windows:
        length = sizes.shapes[inputs[0]][window.axis] + 2 * _padding(line, window) if inputs else 0
        if line.of_parameter and window.kernel:
            lengths_of[window.kernel] = length - sizes.extent(window.position) + 1
        elif line.wrt is None:
            lengths_of[window.position] = length - _span(line, window) + 1
    yield from _with_extents(line, mistake, dense, lengths_of)


def _without_quotient(subscript: Polynomial) -> Polynomial:
    if subscript.has_rounding:
        ((monomial, _),) = subscript.terms.items() if subscript.is_monomial else ((frozenset(), 0),)
        atoms = [atom for atom, _ in monomial if isinstance(atom, Floor)]
        return atoms[0].numerator if atoms else subscript
    return subscript * denominator(subscript) if subscript.has_division else subscript


def _rounded(subscript: Polynomial) -> Polynomial:
    if subscript.has_rounding or not subscript.has_division:
        return subscript
    below = denominator(subscript)
    return floor_divide(subscript * below, below)


def _span(line: Line, window: Window) -> int:
    """How many entries a window spans."""
    if window.kernel is None:
        return 1
    spread = window.dilation.value(line.sizes.values)
    return int(spread) * (line.sizes.extent(window.kernel) - 1) + 1


def _padding(line: Line, window: Window) -> int:
    """How many entries of padding stand before the input."""
    return max(0, -int(window.start.value(line.sizes.values)))


def _with_lengths(line: Line, mistake: str, right: Expression, lengths: dict[int, int]) -> Rewrites:
    """The gradient in the input with other lengths along these axes."""
    left = line.equation.left
    extents = {}
    for axis, length in lengths.items():
        index = left.subscripts[axis].lone if axis < len(left.subscripts) else None
        if index is None:
            return
        extents[index] = length
    yield from _with_extents(line, mistake, right, extents)


def _with_extents(line: Line, mistake: str, right: Expression, extents: dict[str, int]) -> Rewrites:
    left = line.equation.left_indices
    if not extents or any(length < 1 for length in extents.values()):
        return
    if any(index not in left for index in extents):
        return
    if all(line.sizes.extent(index) == length for index, length in extents.items()):
        return
    # bars around an index mean its extent in the line that is right
    kept: dict[Atom, Polynomial] = {
        f"|{index}|": Polynomial.of(line.sizes.extent(index)) for index in extents
    }
    right = substitute(right, kept)
    yield mistake, line.reshaped(line.equation.left, right, extents)


def padding(line: Line) -> Rewrites:
    """Padding that is not cropped, cropped twice, counted once, or forgotten."""
    roles, right = line.roles, line.equation.right
    padded = [window for window in roles.windows if _padding(line, window)]
    if not padded:
        return
    if line.of_input:
        yield from _cropping(line, padded)
        return
    inputs = [tensor for tensor in line.equation.tensors if is_input(tensor)]

    def unpadded(_: Access, subscript: Polynomial) -> Polynomial:
        if any(window.position in subscript.names for window in padded):
            return subscript - subscript.without(line.equation.indices)
        return subscript

    bare = subscripts_changed(right, unpadded, inputs)
    yield "padding-forgotten", line.rewritten(bare)
    if line.wrt is None and inputs:
        for times, mistake, value in (
            (1, "padding-once-in-size", right),
            (1, "padding-once-in-size", bare),
            (0, "padding-forgotten", bare),
        ):
            extents = {}
            for window in roles.windows:
                length = line.sizes.shapes[inputs[0]][window.axis] + times * _padding(line, window)
                step = int(window.stride.value(line.sizes.values))
                extents[window.position] = (length - _span(line, window)) // step + 1
            yield from _with_extents(line, mistake, value, extents)


def _cropping(line: Line, padded: Sequence[Window]) -> Rewrites:
    left, right = line.equation.left, line.equation.right
    if len(left.subscripts) != line.roles.rank:
        return
    letters = [left.subscripts[window.axis].lone for window in padded]

    def moved(times: int) -> Expression:
        def change(_: Access, subscript: Polynomial) -> Polynomial:
            if subscript.lone or not any(letter in subscript.names for letter in letters):
                return subscript
            return subscript + times * subscript.without(line.equation.indices)

        return subscripts_changed(right, change)

    uncropped, twice = moved(-1), moved(1)
    yield "padding-not-cropped", line.rewritten(uncropped)
    yield "padding-cropped-twice", line.rewritten(twice)
    for times, mistake, value in (
        (2, "padding-not-cropped", uncropped),
        (-2, "padding-cropped-twice", twice),
        (1, "padding-once-in-size", uncropped),
        (1, "padding-once-in-size", right),
    ):
        lengths = {window.axis: line.shape[window.axis] + times * _padding(line, window) for window in padded}
        yield from _with_lengths(line, mistake, value, lengths)


def border(line: Line) -> Rewrites:
    """The gradient in the input without the k - 1 zeros around dY."""
    roles, left = line.roles, line.equation.left
    if not (line.of_input and roles.parameters and roles.windows) or len(left.subscripts) != roles.rank:
        return
    reaches: dict[str, Polynomial] = {}
    lengths = {}
    for window in roles.windows:
        letter = left.subscripts[window.axis].lone
        if letter is None or window.kernel is None:
            return
        reaches[letter] = window.dilation * (extent(window.kernel) - 1)
        step = int(window.stride.value(line.sizes.values))
        lengths[window.axis] = step * (line.sizes.extent(window.position) - 1) + 2 - _span(line, window)

    def moved(_: Access, subscript: Polynomial, *, cropped: bool) -> Polynomial:
        letter = next((name for name in reaches if name in subscript.names), None)
        if letter is None or subscript.lone:
            return subscript
        start = Polynomial.of(0) if cropped else subscript.without(line.equation.indices)
        return subscript - start + reaches[letter] * denominator(subscript) ** -1

    right = line.equation.right
    cropped = subscripts_changed(right, lambda a, s: moved(a, s, cropped=True))
    uncropped = subscripts_changed(right, lambda a, s: moved(a, s, cropped=False))
    yield "border-missing", line.rewritten(uncropped)
    yield "border-missing", line.rewritten(cropped)
    yield from _with_lengths(line, "border-missing", uncropped, lengths)


def dilation(line: Line) -> Rewrites:
    """The entries of a window side by side."""
    right = line.equation.right
    spread = {
        window.kernel: window.dilation
        for window in line.roles.windows
        if window.kernel and window.dilation.value(line.sizes.values) != 1
    }
    if not spread:
        return

    def close(_: Access, subscript: Polynomial) -> Polynomial:
        for name in [name for name in subscript.names if unprimed(name) in spread]:
            step = subscript.coefficient(name)
            if not subscript.lone:
                subscript = subscript + (step / spread[unprimed(name)] - step) * lone(name)
        return subscript

    yield "dilation-ignored", line.rewritten(subscripts_changed(right, close))
