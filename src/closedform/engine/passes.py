"""What a network computes for one image, as stride tables over the network's own tensors.

Every layer's formula and its gradients are lowered for a batch of one.  Tensors get names that hold for
the whole network: ``x0`` is the input and ``x3`` what the third layer gives, ``dx3`` the loss's gradient in
it, ``2.W`` and ``2.dW`` a parameter of layer 2 and its gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from closedform.architecture import Architecture
from closedform.engine.lines import Line, lines
from closedform.formula.extents import Shape, Sizes
from closedform.formula.subscripts import Polynomial, extent_of
from closedform.formula.table import Slot
from closedform.formula.table.lowering import lower
from closedform.formula.table.tables import Place
from closedform.formula.tree import (
    Access,
    Equation,
    Expression,
    Function,
    Number,
    Reduce,
    rebuild,
    walk,
)
from closedform.layers import Dropout
from closedform.layers.base import INPUT, OUTPUT, derivation

Source = Literal["none", "loss", "given"]

LOSS, TARGET = "loss", "targets"


@dataclass(frozen=True)
class Mode:
    """What is to be computed.

    Attributes
    ----------
    source
        Where the gradient in the output comes from: nowhere, the loss, or the caller.
    training
        Whether layers that draw do so.
    wrt_input
        Whether the gradient in the network's input is wanted.
    """

    source: Source = "none"
    training: bool = False
    wrt_input: bool = False


@dataclass(frozen=True)
class Tensor:
    """A tensor of the network for one image.

    Attributes
    ----------
    shape
        Its shape, a batch of one where it has a batch axis.
    role
        ``image`` for what every image has its own of, ``parameter``, ``gradient`` of a parameter,
        ``shared`` for what is worked out from parameters alone, ``constant``.
    contents
        The entries of a constant.
    """

    shape: Shape
    role: Literal["image", "parameter", "gradient", "shared", "constant"]
    contents: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Step:
    """One stride table, its slots as entries of the network's tensors.

    `position` is that of its layer; the loss comes behind the last.
    """

    label: str
    position: int
    loops: tuple[tuple[str, int], ...]
    out: Place
    inputs: tuple[Place, ...]
    reduced: tuple[int, ...]
    reduction: str | None
    factor: Fraction
    accumulate: bool
    body: Expression | None
    guards: tuple[Place, ...]

    @property
    def extents(self) -> tuple[int, ...]:
        """The extent of each loop."""
        return tuple(extent for _, extent in self.loops)

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place that is touched, the output first."""
        return (self.out, *self.inputs, *self.guards)


@dataclass(frozen=True)
class Draw:
    """A mask: each entry is dropped with a probability, the others are divided by that of staying."""

    tensor: str
    layer: int
    drop: float


@dataclass
class Passes:
    """The tables of a forward pass and, where there is one, of the backward pass.

    Attributes
    ----------
    tensors
        By name.
    forward, backward
        In order.
    draws
        The masks that must be drawn before the forward pass.
    output
        The tensor that the last layer gives.
    input_gradient
        The gradient in the input, where it is wanted.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    forward: list[Step] = field(default_factory=list)
    backward: list[Step] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    output: str = "x0"
    input_gradient: str | None = None


def passes(architecture: Architecture, mode: Mode, batch: int = 1) -> Passes:
    """The tables of a network in a mode.

    Parameters
    ----------
    architecture
        The network.
    mode
        What is to be computed.
    batch
        How many images are one unit of work: 1, or the whole batch where layers mix images.
    """
    return _Gathering(architecture, mode, batch).passes()


class _Gathering:
    def __init__(self, architecture: Architecture, mode: Mode, batch: int):
        self.architecture, self.mode, self.batch = architecture, mode, batch
        self.found = Passes()
        self.defined: dict[tuple[int, Equation], str] = {}
        self.equations = 0

    def passes(self) -> Passes:
        found, every = self.found, lines(self.architecture, training=self.mode.training, batch=self.batch)
        found.tensors["x0"] = Tensor((self.batch, *self.architecture.input_shape), "image")
        for line in every:
            self.go_forward(line)
        found.output = f"x{every[-1].after}" if every else "x0"
        if self.mode.source == "none":
            return found
        if self.mode.source == "loss":
            self.go_through_loss()
        else:
            shape = (self.batch, *self.architecture.output_shape)
            found.tensors[f"d{found.output}"] = Tensor(shape, "image")
        first = min((line.position for line in every if line.parameters), default=len(every))
        for line in reversed(every):
            for tensor in line.parameters:
                self.go_backward(line, tensor)
            if self.mode.wrt_input or line.position > first:
                self.go_backward(line, INPUT)
        if self.mode.wrt_input:
            found.input_gradient = "dx0" if every else f"d{found.output}"
        return found

    def names(self, line: Line) -> dict[str, str]:
        """The network's names for the tensors of a layer's formulas."""
        return {
            INPUT: f"x{line.before}",
            OUTPUT: f"x{line.after}",
            f"d{INPUT}": f"dx{line.before}",
            f"d{OUTPUT}": f"dx{line.after}",
            **line.parameters,
            **{f"d{tensor}": f"{line.position}.d{tensor}" for tensor in line.parameters},
            **({"M": f"{line.position}.M"} if isinstance(line.layer, Dropout) else {}),
        }

    def go_forward(self, line: Line) -> None:
        found = self.found
        for tensor, name in line.parameters.items():
            found.tensors[name] = Tensor(line.sizes.shapes[tensor], "parameter")
        found.tensors[f"x{line.after}"] = Tensor(line.sizes.shapes[OUTPUT], "image")
        if isinstance(line.layer, Dropout):
            mask = f"{line.position}.M"
            found.tensors[mask] = Tensor(line.sizes.shapes["M"], "image")
            found.draws.append(Draw(mask, line.position, line.layer.p))
        found.forward += self.steps(
            line.equation, line.sizes, self.names(line), self.label(line), line.position
        )

    def go_backward(self, line: Line, tensor: str) -> None:
        found, names = self.found, self.names(line)
        derived = line.derivation(tensor)
        gradient = names[f"d{tensor}"]
        role: Literal["image", "gradient"] = "image" if tensor == INPUT else "gradient"
        found.tensors[gradient] = Tensor(derived.sizes.shapes[derived.gradient], role)
        # a name may stand for something else in another gradient of the same layer
        for number, equation in enumerate(derived.definitions):
            key = line.position, equation
            own = equation.left.tensor
            if key not in self.defined:
                self.defined[key] = f"{line.position}.{tensor}.{own}.{number}"
                names[own] = self.defined[key]
                found.tensors[names[own]] = Tensor(derived.sizes.shapes[own], "image")
                found.backward += self.steps(
                    equation, derived.sizes, names, self.label(line, own), line.position
                )
            names[own] = self.defined[key]
        result = with_output_of_relu(line.equation, derived.result)
        found.backward += self.steps(
            result, derived.sizes, names, self.label(line, f"d{tensor}"), line.position
        )

    def go_through_loss(self) -> None:
        loss, found = self.architecture.loss, self.found
        if loss is None:
            raise TypeError("the architecture has no loss")
        shape = self.architecture.output_shape
        names = {INPUT: found.output, "L": LOSS, f"d{INPUT}": f"d{found.output}", loss.given[0]: TARGET}
        sizes, equation = loss.sizes(shape, self.batch), loss.formula_for(shape)
        names[equation.left.tensor] = LOSS
        derived = derivation(loss, INPUT, shape, self.batch)
        found.tensors[LOSS] = Tensor((), "image")
        found.tensors[TARGET] = Tensor(sizes.shapes[loss.given[0]], "image")
        found.tensors[names[f"d{INPUT}"]] = Tensor((self.batch, *shape), "image")
        kind = type(loss).__name__
        end = len(self.architecture.layers)
        found.forward += self.steps(equation, sizes, names, kind, end)
        for definition in derived.definitions:
            own = definition.left.tensor
            names[own] = f"{LOSS}.{own}"
            found.tensors[names[own]] = Tensor(derived.sizes.shapes[own], "image")
            found.backward += self.steps(definition, derived.sizes, names, f"{kind} {own}", end)
        found.backward += self.steps(derived.result, derived.sizes, names, f"{kind} d{INPUT}", end)

    def label(self, line: Line, part: str | None = None) -> str:
        name = self.architecture.labels[line.position]
        kind = type(self.architecture.layers[line.position]).__name__
        place = name if not name.isdigit() else f"{name} {kind}"
        return f"{place} {part}" if part else place

    def steps(
        self, equation: Equation, sizes: Sizes, names: Mapping[str, str], label: str, position: int
    ) -> list[Step]:
        """The tables of one equation under the network's names."""
        program = lower(equation, sizes)
        self.equations += 1
        prefix = f"{label} {equation.left.tensor} {self.equations} "
        steps: list[Step] = []

        def tensor_of(name: str) -> str:
            buffer = program.buffers[name]
            if buffer.contents is not None:
                own = f"{name.rstrip('+')}/{len(buffer.contents)}"
                self.found.tensors.setdefault(own, Tensor(buffer.shape, "constant", buffer.contents))
                return own
            own = buffer.tensor or name.rstrip("+")
            if own in names:
                return names[own]
            own = prefix + own
            if own not in self.found.tensors:
                self.found.tensors[own] = Tensor(buffer.shape, "image")
            return own

        def place(slot: Slot) -> Place:
            buffer = program.buffers[slot.buffer]
            start = tuple(at - border for at, border in zip(slot.start, buffer.before, strict=True))
            return Place(tensor_of(slot.buffer), buffer.fill, start, slot.steps)

        for table in program.tables:
            steps.append(
                Step(
                    label,
                    position,
                    table.loops,
                    place(table.out),
                    tuple(map(place, table.inputs)),
                    table.reduced,
                    table.reduction,
                    table.factor,
                    table.accumulate,
                    table.body,
                    tuple(map(place, table.guards)),
                )
            )
        self.settle_roles(steps)
        return steps

    def settle_roles(self, steps: list[Step]) -> None:
        """What is worked out from no tensor of an image is the same for all of them."""
        tensors = self.found.tensors
        own = {step.out.tensor for step in steps if "~" in step.out.tensor or "." in step.out.tensor}
        shared = {name for name in own if tensors[name].role == "image"}
        while True:
            read_an_image = {
                step.out.tensor
                for step in steps
                for place in (*step.inputs, *step.guards)
                if tensors[place.tensor].role == "image" and place.tensor not in shared
            }
            if not shared & read_an_image:
                break
            shared -= read_an_image
        for name in shared:
            tensors[name] = replace(tensors[name], role="shared")


def mixing_layers(architecture: Architecture) -> tuple[int, ...]:
    """The layers that need more than one image to work out one image's output, by position."""
    return tuple(
        position
        for position, layer in enumerate(architecture.layers)
        if mixes_images(layer.formula_for(architecture.shapes[position]))
    )


def mixes_images(equation: Equation) -> bool:
    """Whether an image's output depends on anything of another image, or on how many there are."""
    left = equation.left.subscripts
    batch = left[0] if left else None
    name = next(iter(batch.names), None) if batch is not None and len(batch.names) == 1 else None
    if name is None or batch != Polynomial.of(name):
        return True
    of_batch = {name, extent_of(name), *(f"|{tensor}.0|" for tensor in (INPUT, OUTPUT, "M"))}
    read: list[Polynomial] = list(left[1:])
    for node in walk(equation.right):
        match node:
            case Number(value):
                read.append(value)
            case Reduce(_, indices, _) if name in indices:
                return True
            case Access(tensor, subscripts) if tensor in (INPUT, "M"):
                if not subscripts or subscripts[0] != batch:
                    return True
                read += subscripts[1:]
            case Access(_, subscripts):
                read += subscripts
    return any(_atoms(value) & of_batch for value in read)


def _atoms(value: Polynomial) -> set[str]:
    """Every name and every extent that a number is made of."""
    found: set[str] = set()
    for monomial in value.terms:
        for atom, _ in monomial:
            if isinstance(atom, str):
                found.add(atom)
            else:
                found |= _atoms(atom.numerator) | _atoms(atom.denominator)
    return found


def with_output_of_relu(forward: Equation, gradient: Equation) -> Equation:
    """The gradient with step(Y) for step(X) where Y is relu(X): then X need not be kept."""
    left = forward.left
    if forward.right != Function("relu", Access(INPUT, left.subscripts)):
        return gradient

    def change(node: Expression) -> Expression:
        if isinstance(node, Function) and node.name == "step" and isinstance(node.argument, Access):
            argument = node.argument
            if argument.tensor == INPUT:
                return Function("step", Access(OUTPUT, argument.subscripts))
        return rebuild(node, change)

    return Equation(gradient.left, change(gradient.right))
