"""The user's own layer: any line of index notation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational, Real
from typing import Any, ClassVar

from closedform.errors import FormulaError, SettingError, ShapeError
from closedform.formula.extents import Shape, Value, solve
from closedform.formula.syntax import parse
from closedform.layers.base import INPUT, ONES, OUTPUT, SCALED, ZEROS, Layer, is_input

_SAMPLES = ((4, 13, 11), (6, 17, 14), (12, 29, 31), (8, 64, 60), (24, 120, 123), (60, 510, 500))


@dataclass(frozen=True, init=False)
class Formula(Layer):
    """A layer that is one line of the user's own.

    Parameters
    ----------
    text : str
        The line.  It defines ``Y`` and reads the input ``X`` (``X2``, ... for layers with several); the
        first axis of both is the example.  Every other tensor is a parameter under its own name.
    name : str, optional
        The layer's name.
    initial : dict, optional
        How parameters begin: "zeros", "ones" or "scaled" (He or Glorot).  A parameter that is only added
        begins at 0, any other scaled.
    **settings : int or float
        A keyword that names an index fixes its extent, any other is a setting.

    Shapes
    ------
    As the line says.

    Raises
    ------
    FormulaError
        Where the line cannot be read, with a caret under the place.
    SettingError
        Where a setting is not a number, or no part of the line.

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
        object.__setattr__(self, "values", tuple((word, _value(word, v)) for word, v in settings.items()))
        object.__setattr__(self, "beginnings", tuple((initial or {}).items()))
        self.__post_init__()

    def __post_init__(self) -> None:
        super().__post_init__()
        equation = parse(self.text, settings=[word for word, _ in self.values])
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
                    self.text.index(access.tensor + "["),
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

    @property
    def sample_input_shape(self) -> Shape:
        """An input for which the line's sizes can be solved.

        Raises
        ------
        ShapeError
            Where none is found: pass `input_shape`.
        """
        equation = parse(self.text, settings=[word for word, _ in self.values])
        rank = next(len(a.subscripts) for a in equation.accesses if a.tensor == INPUT)
        reason: ShapeError | None = None
        for channels, *image in _SAMPLES:
            sizes = (channels, *image, *(7, 5, 3))[: rank - 1]
            try:
                solve(equation, {INPUT: (2, *sizes)}, dict(self.values))
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
        settings = {w: int(v) if v == int(v) else float(v) for w, v in self.values}
        found: dict[str, Any] = {"formula": self.text}
        found |= {"settings": settings} if settings else {}
        found |= {"initial": dict(self.beginnings)} if self.beginnings else {}
        return found | ({"name": self.name} if self.name else {})


def _value(word: str, value: object) -> Value:
    if isinstance(value, bool) or not isinstance(value, Real) or value != value or abs(value) == float("inf"):
        raise SettingError(f"Formula: {word} must be a finite number, got {value!r}")
    return Fraction(value) if isinstance(value, Rational) else Fraction(repr(float(value)))
