"""What the indices of a formula are for, read off its structure and never off their letters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from closedform.formula.subscripts import Polynomial, digits, unprimed
from closedform.formula.tree import Access, Equation, Plus, Reduce, Times, bound_indices, children
from closedform.layers.base import is_input


@dataclass(frozen=True)
class Window:
    """One axis of the input along which windows move: ``stride*position + dilation*kernel + start``."""

    axis: int
    position: str
    kernel: str | None
    stride: Polynomial
    dilation: Polynomial
    start: Polynomial


@dataclass(frozen=True)
class Roles:
    """The roles of a formula's indices and tensors.

    Attributes
    ----------
    example
        The index of the examples.
    inputs, outputs, shared
        Channels: summed over in the output, found in the output only, and found in both.
    positions, kernels
        Where the window lies, and where in the window; of a pooling of whole images, the kernel is the image.
    windows
        Each axis of the input along which windows move.
    parameters, biases
        The tensors that are the same for every example, and those among them that are only added.
    rank
        How many axes the input has.
    """

    example: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shared: tuple[str, ...]
    positions: tuple[str, ...]
    kernels: tuple[str, ...]
    windows: tuple[Window, ...]
    parameters: tuple[str, ...]
    biases: tuple[str, ...]
    rank: int

    @property
    def channels(self) -> tuple[str, ...]:
        """Every index of channels."""
        return (*self.inputs, *self.outputs, *self.shared)

    @property
    def is_spatial(self) -> bool:
        """Whether examples have positions beside channels."""
        return self.rank > 2


@lru_cache(maxsize=256)
def roles_of(formula: Equation) -> Roles:
    """The roles of a layer's or a loss's formula."""
    reads = [access for access in formula.accesses if is_input(access.tensor)]
    first = reads[0] if reads else Access("X", ())
    example = first.subscripts[0].lone if first.subscripts else None
    parameters = tuple(
        tensor
        for tensor in formula.tensors
        if not is_input(tensor)
        and not any(
            example in subscript.names
            for access in formula.accesses
            if access.tensor == tensor
            for subscript in access.subscripts
        )
    )
    bare = {index for access in reads for subscript in access.subscripts for index in _bare(subscript)}
    summed = set(bound_indices(formula.right))
    left = formula.left_indices
    windows = tuple(
        window
        for axis, subscript in enumerate(first.subscripts)
        if (window := _window(axis, subscript, left, summed))
    )
    positions = tuple(dict.fromkeys(window.position for window in windows))
    kernels = [window.kernel for window in windows if window.kernel]
    inputs = [i for i in formula.indices if i in summed and i in bare and i not in kernels and i != example]
    if not parameters:
        kernels, inputs = kernels + inputs, []
    reduced = {*kernels, *inputs, *positions, example}
    return Roles(
        example=example,
        inputs=tuple(inputs),
        outputs=tuple(i for i in left if i not in bare and i not in reduced),
        shared=tuple(i for i in left if i in bare and i not in reduced),
        positions=positions,
        kernels=tuple(kernels),
        windows=windows,
        parameters=parameters,
        biases=tuple(tensor for tensor in parameters if _is_added(formula, tensor)),
        rank=len(first.subscripts),
    )


def named(indices: tuple[str, ...], name: str) -> bool:
    """Whether an index, primed or not, is among those."""
    return unprimed(name) in indices


def _bare(subscript: Polynomial) -> list[str]:
    return [subscript.lone] if subscript.lone else digits(subscript) or []


def _window(axis: int, subscript: Polynomial, left: tuple[str, ...], summed: set[str]) -> Window | None:
    if subscript.lone or digits(subscript) or subscript.has_rounding:
        return None
    on_left = [index for index in left if index in subscript.names]
    inside = [index for index in sorted(subscript.names) if index in summed]
    if len(on_left) != 1 or len(inside) > 1:
        return None
    kernel = inside[0] if inside else None
    return Window(
        axis,
        on_left[0],
        kernel,
        subscript.coefficient(on_left[0]),
        subscript.coefficient(kernel) if kernel else Polynomial.of(1),
        subscript.without([*on_left, *inside]),
    )


def _is_added(formula: Equation, tensor: str) -> bool:
    """Whether the tensor is only ever a term of its own, never a factor."""

    def multiplied(expression: object, inside: bool) -> bool:
        match expression:
            case Access(name, _):
                return inside and name == tensor
            case Plus(terms):
                return any(multiplied(term, inside) for term in terms)
            case Times() | Reduce():
                return any(multiplied(child, True) for child in children(expression))
            case _:
                return any(multiplied(child, inside) for child in children(expression))  # type: ignore[arg-type]

    return not multiplied(formula.right, False)
