"""A layer or a loss alone, as a network."""

from __future__ import annotations

from dataclasses import dataclass

from closedform.architecture import Architecture, Parameter
from closedform.formula.extents import Shape
from closedform.layers import Layer, Loss


@dataclass(frozen=True)
class LoneLoss(Architecture):
    """A network of no layers: its input is what the loss reads."""

    def __post_init__(self) -> None:
        if self.loss is not None:
            self.loss.check_input(self.input_shape)

    @property
    def labels(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The input's."""
        return (self.input_shape,)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """None."""
        return ()


def architecture_of(layer: Layer, input_shape: Shape) -> Architecture:
    """A network of this layer alone.

    Raises
    ------
    ShapeError
        Where the layer cannot take such an input.
    """
    if isinstance(layer, Loss):
        return LoneLoss((), input_shape, layer)
    return Architecture((layer,), input_shape)
