"""Layers on rows of features: `Dense`, and `Flatten`, which makes rows of images."""

from __future__ import annotations

from dataclasses import dataclass

from closedform.errors import ShapeError
from closedform.formula.extents import Shape, Value
from closedform.layers.base import Layer, flag, index_names, shape_text, whole


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """Every output is a weighted sum of all features and a bias.

    Parameters
    ----------
    out_features : int
        The number of outputs, O.
    bias : bool
        Whether a number is added to each output.
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x (N, F), y (N, O), weight (O, F), bias (O,)

    Raises
    ------
    SettingError
        For a setting outside its range.
    ShapeError
        Where the input is not a row of features: put a `Flatten` before.

    References
    ----------
    D. Rumelhart, G. Hinton, R. Williams, "Learning representations by back-propagating errors", 1986.

    Examples
    --------
    >>> print(Dense(10).formula)
    Y[n,o] = b[o] + sum[f] W[o,f] * X[n,f]
    """

    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "out_features", whole(self, "out_features", self.out_features))
        object.__setattr__(self, "bias", flag(self, "bias", self.bias))

    @property
    def sample_input_shape(self) -> Shape:
        """A row of features."""
        return (6,)

    def check_input(self, input_shape: Shape) -> None:
        """A row of features."""
        if len(input_shape) != 1:
            raise ShapeError(
                f"Dense: expects rows of features, got {shape_text(input_shape)} for each example: "
                f"put Flatten() before it"
            )

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """A matrix product and a bias."""
        bias = "b[o] + " if self.bias else ""
        return f"Y[n,o] = {bias}sum[f] W[o,f] * X[n,f]", {"o": self.out_features}


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """The entries of each example in one row, the last axis moving fastest.

    Parameters
    ----------
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x (N, C, H, W), y (N, C·H·W); likewise for any number of axes

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    ShapeError
        Where the examples have no axis.

    Examples
    --------
    >>> Flatten().output_shape((16, 7, 7))
    (784,)
    """

    def check_input(self, input_shape: Shape) -> None:
        """At least one axis beside the example's."""
        if not input_shape:
            raise ShapeError("Flatten: expects examples with at least one axis, got numbers, x of shape (N,)")

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """A mixed-radix number, its digits the axes."""
        indices = index_names(len(input_shape) + 1)
        row = "+".join(
            "*".join([*(f"|{below}|" for below in indices[k + 2 :]), index])
            for k, index in enumerate(indices[1:])
        )
        return f"Y[n,{row}] = X[{','.join(indices)}]", {}
