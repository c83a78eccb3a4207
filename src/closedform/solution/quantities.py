"""A network as a list of quantities, each with the line that gives it.

Forward in order of the layers, then the loss, then backward from the end, then the update of gradient
descent: the order of a solution sheet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal

from closedform.architecture import Architecture, nearest
from closedform.errors import SettingError
from closedform.formula.derive import Derivation
from closedform.formula.extents import Shape, Sizes, solve
from closedform.formula.syntax import parse
from closedform.formula.tree import Equation
from closedform.layers import Layer, Loss
from closedform.layers.base import INPUT, OUTPUT, derivation, index_names
from closedform.layers.losses import TARGET
from closedform.solution import names as keys

Role = Literal[
    "input", "parameter", "target", "given", "value", "probabilities", "loss", "gradient", "update"
]


@dataclass(frozen=True)
class Calculation:
    """How a quantity follows from others.

    Attributes
    ----------
    equation
        One line, in the layer's own names (``Y``, ``X``, ``W``, ``dY``).
    definitions
        What further names in it stand for, each after those that it needs.
    sizes
        Extents and shapes of all of it.
    reads
        The quantity that each tensor of the line and of its definitions is.
    derivation
        How the line was derived; None for a layer's own formula and for the update.
    """

    equation: Equation
    definitions: tuple[Equation, ...]
    sizes: Sizes
    reads: Mapping[str, str] = field(hash=False)
    derivation: Derivation | None = None


@dataclass(frozen=True)
class Quantity:
    """One array or number of the solution.

    Attributes
    ----------
    name
        Unique; ``dW1`` is the gradient in ``W1``, ``W1_new`` what gradient descent makes of it.
    role
        What it is.
    shape
        Its shape in the formulas: with the axis of the examples, parameters as their layer's line reads them.
    layer
        The position of the layer that it belongs to.
    tensor
        What its layer's formula calls it, or for a gradient that in which it is; empty for the loss.
    key
        The public key, ``0.weight``; of a gradient and an update that of what it belongs to.
    calculation
        How it follows from others; None where it is given.
    """

    name: str
    role: Role
    shape: Shape
    layer: int | None
    tensor: str
    key: str
    calculation: Calculation | None = None


class Solution:
    """The quantities of a network, in the order of a solution sheet.

    Parameters
    ----------
    architecture
        The network.
    batch
        How many examples there are.
    names
        Names of the reader's own by key; see `closedform.solution.names`.
    wrt
        The names or keys of the parameters, and of the input, whose gradients are wanted; None for all.
    learning_rate
        What gradient descent multiplies the gradients by; None where it stays a symbol.
    differentiates_output
        Whether an output of one number is itself differentiated where there is no loss; else something that
        follows it is.

    Raises
    ------
    SettingError
        For an unknown key, or a name that cannot be.
    """

    def __init__(
        self,
        architecture: Architecture,
        batch: int = 1,
        names: Mapping[str, str] | None = None,
        wrt: Collection[str] | None = None,
        learning_rate: Fraction | float | None = None,
        differentiates_output: bool = True,
    ):
        self.architecture, self.batch, self.learning_rate = architecture, batch, learning_rate
        self.differentiates_output = differentiates_output
        self.names = keys.quantity_names(architecture, names or {})
        self.given = dict(names or {})
        self._found: dict[str, Quantity] = {}
        self._forward()
        self._add_loss()
        self.wanted = self._wanted(wrt)
        self._backward()
        self._updates()

    # ---- looking up

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """All of them in order."""
        return tuple(self._found.values())

    def __getitem__(self, name: str) -> Quantity:
        return self._found[name]

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def find(self, name: str) -> Quantity:
        """A quantity by its name, or by its key: ``0.weight``, ``d0.weight``, ``input``, ``dx``.

        Raises
        ------
        SettingError
            For an unknown one, naming the nearest.
        """
        if name in self._found:
            return self._found[name]
        aliases = self._aliases
        if name in aliases and aliases[name] in self._found:
            return self._found[aliases[name]]
        raise SettingError(f"the network has no quantity {name!r}; {nearest(name, self._found)}")

    @cached_property
    def _aliases(self) -> dict[str, str]:
        found = dict(self.names) | {"x": self.input, "X": self.input, "y": self.output}
        return found | {"d" + key: "d" + name for key, name in found.items()}

    @property
    def input(self) -> str:
        """The name of the network's input."""
        return self.names[keys.INPUT]

    @property
    def output(self) -> str:
        """The name of what the last layer gives; of a loss alone that of what it reads."""
        return self.output_of(len(self.architecture.labels) - 1)

    @property
    def differentiated(self) -> str:
        """What the gradients are gradients of.

        The loss; without one the output where it is one number, else a loss L that is not known.
        """
        if keys.LOSS in self.names:
            return self.names[keys.LOSS]
        return self.output if self.is_output_differentiated else "L"

    @property
    def is_output_differentiated(self) -> bool:
        """Whether there is no loss and the output of each example is one number, which is differentiated."""
        is_one = all(extent == 1 for extent in self.architecture.output_shape)
        return self.differentiates_output and self.architecture.loss is None and is_one

    def output_of(self, position: int) -> str:
        """The name of a layer's output; of -1 the input."""
        return self.input if position < 0 else self.names[self.architecture.labels[position]]

    def parameters_of(self, position: int) -> tuple[Quantity, ...]:
        """The parameters of a layer, in the order of its tensors."""
        return tuple(q for q in self.quantities if q.role == "parameter" and q.layer == position)

    def definition_name(self, quantity: Quantity, tensor: str) -> str:
        """How a definition inside a calculation (``M``) is called in the whole network: ``M1``."""
        base = self.output_of(quantity.layer) if quantity.layer is not None else quantity.name
        number = base[len(base.rstrip("0123456789")) :]
        return tensor + number if tensor + number not in self._found else f"{tensor}_{base}"

    # ---- making the list

    def _add(self, quantity: Quantity) -> None:
        self._found[quantity.name] = quantity

    def _forward(self) -> None:
        architecture, batch = self.architecture, self.batch
        shape = (batch, *architecture.input_shape)
        self._add(Quantity(self.input, "input", shape, None, INPUT, keys.INPUT))
        for position, layer in enumerate(architecture.layers):
            label = architecture.labels[position]
            sizes = layer.sizes(architecture.shapes[position], batch)
            reads = {INPUT: self.output_of(position - 1)}
            for tensor in (*layer.tensors, *layer.given):
                key = f"{label}.{layer.public_name(tensor)}"
                role: Role = "given" if tensor in layer.given else "parameter"
                reads[tensor] = self.names[key]
                self._add(Quantity(self.names[key], role, sizes.shapes[tensor], position, tensor, key))
            equation = layer.formula_for(architecture.shapes[position])
            self._add(
                Quantity(
                    self.names[label], "value", sizes.shapes[OUTPUT], position, OUTPUT, label,
                    Calculation(equation, (), sizes, reads),
                )
            )  # fmt: skip

    def _add_loss(self) -> None:
        loss, batch = self.architecture.loss, self.batch
        if loss is None:
            return
        shape = self.architecture.output_shape
        activation = loss.activation
        if activation is not None:
            sizes = activation.sizes(shape, batch)
            calculation = Calculation(activation.formula_for(shape), (), sizes, {INPUT: self.output})
            name = self.names[keys.PROBABILITIES]
            self._add(
                Quantity(
                    name, "probabilities", sizes.shapes[OUTPUT], None, OUTPUT, keys.PROBABILITIES, calculation
                )
            )
        target = self.names[keys.TARGET]
        self._add(Quantity(target, "target", (batch, *shape), None, TARGET, keys.TARGET))
        calculation = Calculation(
            loss.formula_for(shape), (), loss.sizes(shape, batch), {INPUT: self.output, TARGET: target}
        )
        self._add(Quantity(self.names[keys.LOSS], "loss", (), None, "", keys.LOSS, calculation))

    def _wanted(self, wrt: Collection[str] | None) -> frozenset[str]:
        every = [q.name for q in self.quantities if q.role in ("parameter", "input")]
        if wrt is None:
            return frozenset(every)
        wanted = set()
        for name in wrt:
            quantity = self.find(name)
            if quantity.name not in every and quantity.role not in ("value", "input"):
                raise SettingError(
                    f"wrt: gradients are taken in {', '.join(every)} and what layers give, not in {name}"
                )
            wanted.add(quantity.name)
        return frozenset(wanted)

    def _backward(self) -> None:
        architecture = self.architecture
        output = "d" + self.output
        last = len(architecture.layers) - 1
        if architecture.loss is None:
            shape = self._found[self.output].shape
            key = self._found[self.output].key
            self._add(Quantity(output, "given", shape, last, OUTPUT, key))
        else:
            self._add(
                self._gradient(architecture.loss, INPUT, self.output, last, architecture.output_shape, None)
            )
        earliest = min((self._position(name) for name in self.wanted), default=last)
        for position in range(last, earliest - 1, -1):
            layer, shape = architecture.layers[position], architecture.shapes[position]
            for quantity in self.parameters_of(position):
                if quantity.name in self.wanted:
                    self._add(
                        self._gradient(layer, quantity.tensor, quantity.name, position, shape, position)
                    )
            if position > earliest or self._is_before_layer(earliest):
                name = self.output_of(position - 1)
                self._add(self._gradient(layer, INPUT, name, position, shape, position))

    def _position(self, name: str) -> int:
        """The layer at which the way back to a quantity ends."""
        quantity = self._found[name]
        if quantity.role == "input":
            return 0
        return (quantity.layer or 0) + (quantity.role == "value")

    def _is_before_layer(self, position: int) -> bool:
        """Whether the gradient in a layer's input is itself wanted."""
        return self.output_of(position - 1) in self.wanted

    def _gradient(
        self, layer: Layer, tensor: str, of: str, position: int, shape: Shape, own: int | None
    ) -> Quantity:
        derived = derivation(layer, tensor, shape, self.batch)
        reads: dict[str, str]
        if isinstance(layer, Loss):
            reads = {INPUT: self.output, TARGET: self.names[keys.TARGET], OUTPUT: self.names[keys.LOSS]}
        else:
            forward = self._found[self.output_of(position)].calculation
            reads = {**(forward.reads if forward else {}), OUTPUT: self.output_of(position)}
        if derived.upstream:
            reads[derived.upstream] = "d" + self.output_of(position)
        # Y itself is among the definitions of a derivation that recognised it: it has been computed
        definitions = tuple(d for d in derived.definitions if d.left.tensor not in reads)
        calculation = Calculation(derived.result, definitions, derived.sizes, reads, derived)
        quantity = self._found[of]
        return Quantity("d" + of, "gradient", quantity.shape, own, tensor, quantity.key, calculation)

    def _updates(self) -> None:
        for quantity in self.quantities:
            gradient = "d" + quantity.name
            if quantity.role != "parameter" or gradient not in self._found:
                continue
            left = ",".join(index_names(len(quantity.shape) + 1)[1:]) or "i"
            line = parse(f"Y[{left}] = W[{left}] - r * G[{left}]", settings={"r"})
            shapes = {"W": quantity.shape, "G": quantity.shape}
            sizes = solve(
                line, shapes, {"r": 1 if self.learning_rate is None else _exact(self.learning_rate)}
            )
            calculation = Calculation(line, (), sizes, {"W": quantity.name, "G": gradient})
            self._add(
                Quantity(
                    quantity.name + "_new", "update", quantity.shape, quantity.layer, quantity.tensor,
                    quantity.key, calculation,
                )
            )  # fmt: skip


def _exact(rate: Fraction | float) -> Fraction:
    return rate if isinstance(rate, Fraction) else Fraction(repr(float(rate)))
