"""The user's own layer: any line of index notation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational, Real
from typing import Any, ClassVar

from closedform.errors import FormulaError, SettingError, ShapeError
from closedform.formula.extents import Shape, Value, solve
from closedform.formula.tree import Equation
from closedform.layers.base import INPUT, ONES, OUTPUT, SCALED, ZEROS, Layer, is_input, parsed_line

_SAMPLES = ((4, 13, 11), (6, 17, 14), (12, 29, 31), (8, 64, 60), (24, 120, 123), (60, 510, 500))


@dataclass(frozen=True, init=False, repr=False)
class Formula(Layer):
    """A layer that is one line of the user's own.

    Parameters
    ----------
    text : str
        The line.  It defines ``Y`` and reads the input ``X`` (``X2``, ... for layers with several); the
        first axis of both is the example.  Every other tensor is a parameter under its own name.
    name : str, optional
        The layer's name, used in parameter keys and messages.
    initial : dict, optional
        How parameters begin: "zeros", "ones" or "scaled" (He or Glorot).  A parameter that is only added
        begins at 0, any other scaled.
    **settings : int, float or fractions.Fraction
        A keyword that names an index fixes its extent, any other is a setting; "1/3" is a fraction.

    Shapes
    ------
    As the line says.

    Raises
    ------
    FormulaError
        Where the line cannot be read, with a caret under the place.
    SettingError
        Where a setting is not a number, or no part of the line; where `initial` names no parameter or no
        known beginning; for a `name` that is not allowed.
    ShapeError
        Where the line's sizes do not fit an input.

    Examples
    --------
    >>> layer = Formula("Y[n,q,i,j] = sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u,s*j+v]^2", q=8, u=3, v=3, s=2)
    >>> layer.output_shape((3, 9, 9))
    (8, 4, 4)
    >>> print(layer.gradient("W").result)
    dW[q,p,u,v] = sum[n,i,j] dY[n,q,i,j] * X[n,p,s*i+u,s*j+v]^2
    """

    text: str
    values: tuple[tuple[str, Value], ...]
    beginnings: tuple[tuple[str, str], ...]

    public_names: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        text: str,
        /,
        *,
        name: str | None = None,
        initial: Mapping[str, str] | None = None,
        **settings: Any,
    ):
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "text", text)
        if initial is not None and not isinstance(initial, Mapping):
            raise SettingError(
                f'Formula: initial must be a dict from parameters to "zeros", "ones" or "scaled", '
                f"got {initial!r}"
            )
        values = ((word, _value(word, value)) for word, value in sorted(settings.items()))
        object.__setattr__(self, "values", tuple(values))
        object.__setattr__(self, "beginnings", tuple(sorted((initial or {}).items())))
        self.__post_init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        equation = self._equation
        if equation.left.tensor != OUTPUT or not equation.left.subscripts:
            raise FormulaError("a layer's formula defines Y[n,...]", self.text, 0)
        parameters = [tensor for tensor in equation.tensors if not is_input(tensor)]
        reads = [access for access in equation.accesses if access.tensor == INPUT]
        if not reads:
            raise FormulaError(
                "a layer's formula reads its input X[n,...]", self.text, self.text.index("=") + 1
            )
        example = equation.left.subscripts[0].lone
        if example is None or not any(read.subscripts[0].lone == example for read in reads):
            raise FormulaError(
                "the first axis of Y and X is the example: write Y[n,...] = ... X[n,...]",
                self.text,
                self.text.index("["),
            )
        for access in equation.accesses:
            if access.tensor in parameters and any(
                example in subscript.names for subscript in access.subscripts
            ):
                raise FormulaError(
                    f"parameter {access.tensor} is read with {example}, the example: parameters are the same "
                    f"for all examples",
                    self.text,
                    self._place(access.tensor),
                )
        for tensor in parameters:
            if tensor[:1] == "d" and tensor[1:] in (OUTPUT, *equation.tensors):
                raise FormulaError(
                    f"{tensor} is the gradient in {tensor[1:]}: give the parameter another name",
                    self.text,
                    self._place(tensor),
                )
        used = {*equation.indices, *equation.settings}
        for word, _ in self.values:
            if word not in used:
                raise SettingError(f"Formula: {word} is neither an index nor a setting of {self.text}")
        for tensor, beginning in self.beginnings:
            if tensor not in parameters:
                raise SettingError(f"Formula: initial names {tensor!r}, which is no parameter of {self.text}")
            if beginning not in (ZEROS, ONES, SCALED):
                raise SettingError(
                    f'Formula: initial of {tensor} must be "zeros", "ones" or "scaled", got {beginning!r}'
                )

    def _place(self, tensor: str) -> int:
        """Where a tensor is first read."""
        found = re.search(rf"(?<!\w){re.escape(tensor)}\s*\[", self.text)
        return found.start() if found else 0

    @property
    def _equation(self) -> Equation:
        return parsed_line(self.text, frozenset(word for word, _ in self.values))

    @property
    def formula(self) -> Equation:
        """The line, for inputs of any shape."""
        return self._equation

    @property
    def sample_input_shape(self) -> Shape:
        """An input for which the line's sizes can be solved.

        Raises
        ------
        ShapeError
            Where none is found: pass `input_shape`.
        """
        equation, values = self._equation, dict(self.values)
        read = next(access for access in equation.accesses if access.tensor == INPUT)
        reason: ShapeError | None = None
        given = [(int(value), 13, 11) for value in values.values() if value == int(value) and value > 0]
        for channels, *image in (*_SAMPLES, *given):
            free = (channels, *image, *(7, 5, 3))
            sizes = tuple(
                int(values.get(subscript.lone or "", extent))
                for subscript, extent in zip(read.subscripts[1:], free, strict=False)
            )
            try:
                solve(equation, {INPUT: (2, *sizes)}, values)
            except ShapeError as error:
                reason = reason or error
            else:
                return sizes
        raise ShapeError(
            f"no input shape is known for which {self.text} has sizes ({reason}): give input_shape"
        )

    def written(self, input_shape: Shape) -> tuple[str, Mapping[str, Value]]:
        """The line as it was given."""
        return self.text, dict(self.values)

    def initial(self, tensor: str) -> str | None:
        """As `initial` says."""
        return dict(self.beginnings).get(tensor)

    def to_dict(self) -> dict[str, Any]:
        """The line, its settings and the beginnings of its parameters."""
        settings = {word: _written(Fraction(value)) for word, value in self.values}
        found: dict[str, Any] = {"formula": self.text}
        found |= {"settings": settings} if settings else {}
        found |= {"initial": dict(self.beginnings)} if self.beginnings else {}
        return found | ({"name": self.name} if self.name else {})

    def __repr__(self) -> str:
        words: dict[str, Any] = {word: _written(Fraction(value)) for word, value in self.values}
        words |= {"initial": dict(self.beginnings)} if self.beginnings else {}
        words |= {"name": self.name} if self.name else {}
        inside = [repr(self.text), *(f"{word}={value!r}" for word, value in words.items())]
        return f"Formula({', '.join(inside)})"


def _written(value: Fraction) -> int | float | str:
    """A setting as a whole number, a decimal, or a quotient such as ``"1/3"``."""
    if value.denominator == 1:
        return value.numerator
    decimal = float(value)
    return decimal if Fraction(repr(decimal)) == value else str(value)


def _value(word: str, value: object) -> Value:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,300}/[1-9]\d{0,299}", value):
        return Fraction(value)
    if isinstance(value, bool) or not isinstance(value, Real) or value != value or abs(value) == float("inf"):
        raise SettingError(f"Formula: {word} must be a finite number, got {value!r}")
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    return Fraction(repr(float(value)))
