"""What every layer is: settings, one formula, and what follows from the two."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError, SettingError, ShapeError
from closedform.formula.extents import Shape, Sizes, Value, solve
from closedform.formula.syntax import parse
from closedform.formula.tree import Equation

if TYPE_CHECKING:
    from closedform.formula.derive import Derivation
    from closedform.random import Draw

Array: TypeAlias = NDArray[Any]
Pullback: TypeAlias = Callable[[Array], tuple[Any, dict[str, Array]]]

INPUT, OUTPUT = "X", "Y"
PUBLIC_NAMES = {"W": "weight", "b": "bias"}
ZEROS, ONES, SCALED = "zeros", "ones", "scaled"


@dataclass(frozen=True, repr=False)
class Layer(ABC):
    """A layer: frozen settings and one line of index notation.

    The formula reads the input as ``X`` of shape (N, ...) and defines ``Y``.  Every other tensor is a
    parameter, but for those that the layer draws itself.
    """

    name: str | None = field(default=None, kw_only=True)

    public_names: ClassVar[Mapping[str, str]] = PUBLIC_NAMES
    given: ClassVar[tuple[str, ...]] = ()  # tensors that are neither the input nor parameters

    def __post_init__(self) -> None:
        is_word = isinstance(self.name, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", self.name)
        if self.name is not None and not is_word:
            raise SettingError(
                f"{type(self).__name__}: a name begins with a letter, then letters, digits, - and _; "
                f"got {self.name!r}"
            )

    # ---- what a kind of layer says of itself

    @abstractmethod
    def written(self, input_shape: Shape) -> tuple[str, Mapping[str, Value]]:
        """The line for an input of this shape (without its batch axis), with the values of its settings
        and the extents that the settings fix."""

    def check_input(self, input_shape: Shape) -> None:  # noqa: B027
        """Raise a ShapeError where the layer cannot take this input (without its batch axis)."""

    @property
    def by_shape(self) -> tuple[str, ...]:
        """The settings of the formula whose values depend on the input's shape."""
        return ()

    def draw(self, shape: Shape, draw: Draw) -> dict[str, Array]:
        """The tensors that the layer draws itself in training, for an input of this shape (N, ...)."""
        return {}

    def initial(self, tensor: str) -> str | None:
        """How a parameter begins: ``zeros``, ``ones``, ``scaled``; None lets the formula decide."""
        return None

    # ---- what follows

    @property
    def sample_input_shape(self) -> Shape:
        """The shape of an input for which the formula is shown and derived where none is given."""
        return 4, 13, 11

    @property
    def formula(self) -> Equation:
        """The layer's line for its usual rank of input."""
        return self.formula_for(self.sample_input_shape)

    def formula_for(self, input_shape: Shape) -> Equation:
        """The layer's line for an input of this shape (without its batch axis)."""
        line, bindings = self.written(input_shape)
        return parsed_line(line, frozenset(bindings))

    def sizes(self, input_shape: Shape, batch: int = 1) -> Sizes:
        """Solve every extent and shape for a batch of inputs of shape ``(batch, *input_shape)``.

        Raises
        ------
        ShapeError
            Where the layer cannot take such an input.
        """
        if input_shape != ():  # of which the layer itself says what it needs
            input_shape = checked_shape(input_shape)
        self.check_input(input_shape)
        line, bindings = self.written(input_shape)
        return solve(parsed_line(line, frozenset(bindings)), {INPUT: (batch, *input_shape)}, bindings)

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one output, without the batch axis."""
        return self.sizes(input_shape).shapes[OUTPUT][1:]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The formula's names of the parameters, weights before biases."""
        read = [t for t in self.formula.tensors if not is_input(t) and t not in self.given]
        return tuple(sorted(read, key=lambda tensor: tensor == "b"))

    def public_name(self, tensor: str) -> str:
        """The name under which users find a tensor of the formula: ``weight`` for W."""
        return self.public_names.get(tensor, tensor)

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """The shape of each parameter under its public name."""
        shapes = self.sizes(input_shape).shapes
        return {self.public_name(tensor): self.stored_shape(shapes[tensor]) for tensor in self.tensors}

    def stored_shape(self, shape: Shape) -> Shape:
        """The public shape of a parameter that has this shape in the formula."""
        return shape

    def gradient(self, tensor: str, input_shape: Shape | None = None) -> Derivation:
        """The derivation of the loss's gradient in one tensor of the formula.

        Parameters
        ----------
        tensor
            A tensor of the formula, ``"X"``, ``"W"``, ``"b"``, or its public name, ``"weight"``.
        input_shape
            The shape of one input; without it the derivation is made for a sample, and holds for all.
        """
        shape = self.sample_input_shape if input_shape is None else checked_shape(input_shape)
        known = {self.public_name(t): t for t in self.formula.tensors} | {"input": INPUT}
        known |= {t: t for t in self.formula.tensors}
        if tensor not in known:
            reads = ", ".join(self.formula.tensors)
            raise SettingError(f"{type(self).__name__} has no tensor {tensor!r}: its formula reads {reads}")
        return derivation(self, known[tensor], shape, 2 if input_shape is None else 1)

    def facts(self) -> tuple[str, ...]:
        """The tensors that are known to sum to 1 along their last axis."""
        return ()

    def apply(
        self,
        x: Array | tuple[Array, ...],
        parameters: Mapping[str, Array],
        training: bool = False,
        rng: int | np.random.Generator | Draw | None = None,
    ) -> tuple[Array, Pullback]:
        """Run this layer alone with the reference engine.

        Parameters
        ----------
        x
            Input of shape (N, ...) and any float dtype; a tuple where the formula reads X, X2, ...
        parameters
            The parameters by public name, in PyTorch's shapes.
        training
            Whether a layer that draws (dropout) draws.
        rng
            What it draws with: a seed, or a NumPy generator from which one is taken.  None is seed 0.

        Returns
        -------
        y, pullback
            The output (N, ...), and the function ``dy -> (dx, dparameters)``.  It may be called more than
            once.

        Raises
        ------
        ShapeError
            Where x, a parameter or dy has another shape than the formula says.
        DataError
            Where x, a parameter or dy does not hold real numbers.

        Notes
        -----
        What is returned is new, and nothing that is passed is changed.  The pullback reads x, the parameters
        and y where they lie: they must not be changed before it is called.
        """
        from closedform.engine.layer_pass import apply_layer

        inputs = x if isinstance(x, tuple) else (x,)
        for place, array in enumerate(inputs):
            self._check_numbers(f"x[{place}]" if isinstance(x, tuple) else "x", array)
        if not isinstance(parameters, Mapping):
            raise SettingError(
                f"{type(self).__name__}: parameters must be a dict of arrays by name, got {parameters!r:.60}"
            )
        for name, array in parameters.items():
            self._check_numbers(name, array)
        y, pull = apply_layer(self, x, parameters, training, rng)

        def pullback(dy: Array) -> tuple[Any, dict[str, Array]]:
            self._check_numbers("dy", dy)
            dx, gradients = pull(dy)
            dx = tuple(_apart(array, dy) for array in dx) if isinstance(dx, tuple) else _apart(dx, dy)
            return dx, {name: _apart(array, dy) for name, array in gradients.items()}

        return _apart(y, *inputs, *parameters.values()), pullback

    def _check_numbers(self, name: str, array: Any) -> None:
        dtype = np.asarray(array).dtype
        if dtype.kind not in "fiub":
            raise DataError(
                f"{type(self).__name__}: {name} must be an array of real numbers, got one of {dtype}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by constructor word, as plain values."""
        found: dict[str, Any] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if not entry.init or (entry.default is not dataclasses.MISSING and value == entry.default):
                continue
            found[entry.name] = _plain(value)
        return found

    def __repr__(self) -> str:
        """The call that makes the layer."""
        words = {w: tuple(v) if isinstance(v, list) else v for w, v in self.to_dict().items()}
        inside = ", ".join(f"{word}={value!r}" for word, value in words.items())
        return f"{type(self).__name__}({inside})"


@lru_cache(maxsize=1024)
def derivation(layer: Layer, tensor: str, input_shape: Shape, batch: int) -> Derivation:
    """The derivation of a layer's gradient at one shape; made once."""
    from closedform.formula.derive import derive

    sizes = layer.sizes(input_shape, batch)
    equation = layer.formula_for(input_shape)
    return derive(equation, tensor, sizes, facts=layer.facts(), keep=layer.by_shape)


@lru_cache(maxsize=1024)
def parsed_line(line: str, settings: frozenset[str]) -> Equation:
    """The tree of a line in which these names are settings or fixed extents."""
    return parse(line, settings=settings)


def is_input(tensor: str) -> bool:
    return re.fullmatch(r"X\d*", tensor) is not None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return value[0] if len(set(value)) == 1 else list(value)
    return value


def _apart(result: Array, *passed: Any) -> Array:
    """The result, copied where it is a view of what was passed."""
    views = any(isinstance(array, np.ndarray) and np.may_share_memory(result, array) for array in passed)
    return np.array(result) if views else result


def index_names(rank: int, channel: str = "c") -> list[str]:
    """The indices of an array of `rank` axes: n, f; n, c, i; n, c, i, j; ..."""
    if rank == 2 and channel == "c":
        return ["n", "f"]
    positions = [*"ijl", *(f"i{number}" for number in range(4, rank + 1))]
    return ["n", channel, *positions][:rank]


def whole(layer: object, word: str, value: object, least: int = 1) -> int:
    """A whole setting of at least `least`, as an int."""
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not number or int(value) < least:  # type: ignore[call-overload]
        raise SettingError(
            f"{type(layer).__name__}: {word} must be a whole number from {least}, got {value!r}"
        )
    return int(value)  # type: ignore[call-overload,no-any-return]


def pair(layer: object, word: str, value: object, least: int = 1) -> tuple[int, int]:
    """A whole setting for height and width: one number for both, or a pair."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise SettingError(
                f"{type(layer).__name__}: {word} must be a whole number or a pair (height, width), "
                f"got {value!r}"
            )
        return whole(layer, word, value[0], least), whole(layer, word, value[1], least)
    return whole(layer, word, value, least), whole(layer, word, value, least)


def flag(layer: object, word: str, value: object) -> bool:
    """A setting that is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise SettingError(f"{type(layer).__name__}: {word} must be True or False, got {value!r}")
    return bool(value)


def needs_image(layer: Layer, input_shape: Shape) -> None:
    """Raise a ShapeError unless the input is (channels, height, width)."""
    if len(input_shape) != 3:
        raise ShapeError(
            f"{type(layer).__name__}: expects images (channels, height, width), got {shape_text(input_shape)}"
        )


def shape_text(shape: Shape) -> str:
    """A shape as it is written in messages."""
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def checked_shape(shape: Any) -> Shape:
    """The shape of one input as a tuple of ints.

    Raises
    ------
    ShapeError
        For anything else.
    """
    whole = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not whole or not shape or not all(_is_extent(extent) for extent in shape):
        raise ShapeError(
            f"input_shape must be the shape of one input, without the batch axis, in whole numbers from 1, "
            f"as in (1, 28, 28), got {shape!r}"
        )
    return tuple(int(extent) for extent in shape)


def _is_extent(extent: object) -> bool:
    return isinstance(extent, int | np.integer) and not isinstance(extent, bool) and int(extent) >= 1
