"""Layers in order: their names, shapes and parameters.  No arrays."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from closedform.errors import ClosedformError, FileError, SettingError, ShapeError
from closedform.formula.extents import Shape
from closedform.layers import (
    LAYERS,
    LOSSES,
    AvgPool2d,
    Dropout,
    Flatten,
    Formula,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Layer,
    LeakyReLU,
    Loss,
    MaxPool2d,
    ReLU,
)
from closedform.layers.base import checked_shape, is_input, shape_text

_LARGEST = (1 << 63) - 1
_NETWORK_WORDS = ("input_shape", "loss")


_PASSED_BY = (MaxPool2d, AvgPool2d, GlobalMaxPool2d, GlobalAvgPool2d, Flatten, Dropout)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a network.

    Attributes
    ----------
    key
        ``"0.weight"``, or ``"conv1.weight"`` where the layer has a name.
    layer
        The layer's position.
    tensor
        The name in the layer's formula, ``"W"``.
    shape, formula_shape
        The public shape, PyTorch's, and the one in the formula.
    """

    key: str
    layer: int
    tensor: str
    shape: Shape
    formula_shape: Shape

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Architecture:
    """A network without its arrays.

    Parameters
    ----------
    layers
        In the order in which they run.
    input_shape
        The shape of one input, (C, H, W) or (F,).
    loss
        What training minimises; None where nothing is trained.

    Raises
    ------
    ShapeError
        Where a layer cannot take what the one before it gives, naming both.
    SettingError
        For two layers of one name, or what is no layer.
    """

    layers: tuple[Layer, ...]
    input_shape: Shape
    loss: Loss | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _checked_layers(self.layers))
        object.__setattr__(self, "input_shape", checked_shape(self.input_shape))
        _check_loss(self.loss)
        _check_activation(self.layers[-1], self.loss)
        self.shapes  # solves every size, so that what does not fit is told at once  # noqa: B018

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The layers' names, their positions where they have none."""
        return tuple(layer.name or str(position) for position, layer in enumerate(self.layers))

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of one example before the first layer and after each."""
        shapes = [self.input_shape]
        for position, layer in enumerate(self.layers):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except ShapeError as error:
                raise self._misfit(self.place(position), layer, error, position, shapes[-1]) from None
        if self.loss is not None:
            try:
                self.loss.check_input(shapes[-1])
            except ShapeError as error:
                place = type(self.loss).__name__
                raise self._misfit(place, self.loss, error, len(self.layers), shapes[-1]) from None
        return tuple(shapes)

    def place(self, position: int) -> str:
        """A layer as it is called in messages: its name, or ``layer 3 (Conv2d)``."""
        layer = self.layers[position]
        return layer.name or f"layer {position} ({type(layer).__name__})"

    def _misfit(self, place: str, layer: Layer, error: ShapeError, position: int, shape: Shape) -> ShapeError:
        source = "the input" if position == 0 else self.place(position - 1)
        reason = str(error).removeprefix(f"{type(layer).__name__}: ")
        too_many = position == 0 and len(shape) > 3
        mend = ": input_shape is the shape of one input, without the batch axis" if too_many else ""
        return ShapeError(f"{place}: {reason} (x is {shape_text(shape)}, from {source}){mend}")

    @property
    def output_shape(self) -> Shape:
        """The shape of one output."""
        return self.shapes[-1]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter, in the order in which they lie in memory."""
        found = []
        for position, layer in enumerate(self.layers):
            sizes = layer.sizes(self.shapes[position])
            for tensor in layer.tensors:
                key = f"{self.labels[position]}.{layer.public_name(tensor)}"
                shape = sizes.shapes[tensor]
                found.append(Parameter(key, position, tensor, layer.stored_shape(shape), shape))
        return tuple(found)

    @cached_property
    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.size for parameter in self.parameters)

    def before_relu(self, position: int) -> bool:
        """Whether a ReLU follows a layer, pooling, flattening and dropout between them not counted."""
        for layer in self.layers[position + 1 :]:
            if isinstance(layer, ReLU | LeakyReLU):
                return True
            if not isinstance(layer, _PASSED_BY):
                return False
        return False

    # ---- as plain values

    def to_dict(self) -> dict[str, Any]:
        """The architecture as plain values, for JSON and TOML."""
        network: dict[str, Any] = {"input_shape": list(self.input_shape)}
        if self.loss is not None:
            network["loss"] = type(self.loss).__name__
        layers = [{"type": type(layer).__name__, **layer.to_dict()} for layer in self.layers]
        return {"network": network, "layer": layers}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, input_shape: Shape | None = None, loss: Loss | None = None
    ) -> Architecture:
        """Read `to_dict`'s form.

        Parameters
        ----------
        input_shape, loss
            What holds where the values do not say.

        Raises
        ------
        FileError
            For an unknown key or layer, naming the nearest known one, and for a value of the wrong kind.
        """
        _check_numbers(values)
        misplaced = [word for word in values if word in _NETWORK_WORDS]
        if misplaced:
            raise FileError(f"{misplaced[0]} belongs below [network]")
        _only_known(values, ("network", "layer"))
        network = _table(values.get("network", {}), "[network]")
        _only_known(network, _NETWORK_WORDS, "[network]")
        shape = network.get("input_shape", input_shape)
        if shape is None:
            raise FileError("[network] needs input_shape, as in input_shape = [1, 28, 28]")
        if "loss" in network:
            loss = _named(LOSSES, network["loss"], "[network]: loss")()
        entries = values.get("layer", [])
        if isinstance(entries, Mapping):
            raise FileError("[layer] must be written [[layer]], in double brackets: there may be several")
        if not isinstance(entries, list) or not entries:
            raise FileError('there are no layers: each begins with [[layer]] and type = "Conv2d"')
        layers = [layer_from_dict(_table(entry, f"layer {k}"), k) for k, entry in enumerate(entries)]
        return cls(tuple(layers), shape, loss)


def layer_from_dict(values: Mapping[str, Any], position: int) -> Layer:
    """One layer from its plain values.

    Raises
    ------
    FileError
        For an unknown type or key, naming the nearest known one, and for settings that make no sense.
    """
    if "type" not in values:
        raise FileError(f'layer {position} has no type, as in type = "Conv2d"')
    kind = _named(LAYERS, values["type"], f"layer {position}: type")
    where = f"layer {position} ({kind.__name__})"
    settings = {word: value for word, value in values.items() if word != "type"}
    if not isinstance(settings.get("name", ""), str):
        raise FileError(f'{where}: name must be a text, as in name = "conv1", got {settings["name"]!r}')
    try:
        if kind is Formula:
            return _formula_from_dict(settings, where)
        words = list(inspect.signature(kind).parameters)
        _only_known(settings, words, where)
        missing = [word for word in _required_words(kind) if word not in settings]
        if missing:
            raise FileError(f"{where} needs {', '.join(missing)}")
        layer: Layer = kind(**{w: tuple(v) if isinstance(v, list) else v for w, v in settings.items()})
    except FileError:
        raise
    except ClosedformError as error:
        raise FileError(f"{where}: {str(error).removeprefix(f'{kind.__name__}: ')}") from None
    return layer


def _formula_from_dict(settings: Mapping[str, Any], where: str) -> Layer:
    known = ("formula", "settings", "initial", "name")
    for word in settings:
        if word == "text":
            raise FileError(f"{where}: unknown key 'text'; did you mean formula?")
        if word not in known and not alike(word, known):
            raise FileError(
                f"{where}: unknown key {word!r}; a setting of the formula is written "
                f"settings = {{ {word} = ... }}"
            )
    _only_known(settings, known, where)
    if not isinstance(settings.get("formula"), str):
        raise FileError(f'{where} needs formula, as in formula = "Y[n,f] = X[n,f]^2"')
    words = _table(settings.get("settings", {}), f"{where}: settings")
    reserved = {"name", "initial", "text"} & set(words)
    if reserved:
        raise FileError(f"{where}: {', '.join(sorted(reserved))} cannot be a setting of a formula")
    initial = _table(settings.get("initial", {}), f"{where}: initial")
    return Formula(settings["formula"], name=settings.get("name"), initial=initial, **words)


def nearest(word: str, known: Iterable[str]) -> str:
    """Which known word a misspelt one may mean, or the list of them."""
    choices = list(known)
    match = alike(word, choices)
    return f"did you mean {match}?" if match else f"known are {', '.join(choices)}"


def alike(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like another; None where none is."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.5)), None)


def _only_known(values: Mapping[str, Any], known: Sequence[str], where: str = "") -> None:
    for word in values:
        if word not in known:
            place = f"{where}: " if where else ""
            raise FileError(f"{place}unknown key {word!r}; {nearest(str(word), known)}")


def _check_numbers(values: Any) -> None:
    """Raise a FileError for a number that no size can be: its arithmetic could not even be printed."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
            raise FileError(f"numbers must be between -2**63 and 2**63, got one of {value.bit_length()} bits")


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FileError(f"{where} must be a table of keys and values, got {value!r}")
    return value


def _named(kinds: Mapping[str, Any], name: Any, where: str) -> Any:
    if not isinstance(name, str) or name not in kinds:
        raise FileError(f"{where} {name!r} is unknown; {nearest(str(name), kinds)}")
    return kinds[name]


def _checked_layers(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    if isinstance(layers, Layer | str | Mapping) or not isinstance(layers, Iterable):
        got = "one layer" if isinstance(layers, Layer) else repr(layers)
        raise SettingError(f"layers must be a list of layers, as in [cf.Conv2d(16, 3), cf.ReLU()], got {got}")
    found = tuple(layers)
    if not found:
        raise SettingError("a network needs at least one layer, got an empty list")
    for position, layer in enumerate(found):
        if isinstance(layer, type) and issubclass(layer, Layer):
            raise SettingError(
                f"layer {position} is the class {layer.__name__}: write {_call(layer)} to make a layer of it"
            )
        if not isinstance(layer, Layer):
            raise SettingError(f"layer {position} must be a layer, as in cf.ReLU(), got {layer!r}")
        if isinstance(layer, Loss):
            raise SettingError(
                f"layer {position} is a loss: pass it as loss=cf.{type(layer).__name__}() instead"
            )
        if sum(is_input(tensor) for tensor in layer.formula.tensors) > 1:
            raise SettingError(
                f"layer {position} reads several inputs; in a network a layer reads one, X: use layer.apply"
            )
    first: dict[str, int] = {}
    for position, layer in enumerate(found):
        if layer.name and first.setdefault(layer.name, position) != position:
            raise SettingError(
                f"layers {first[layer.name]} and {position} are both named {layer.name!r}: "
                f"give each its own name"
            )
    return found


def _call(kind: type[Layer]) -> str:
    """How a class is called: ``cf.ReLU()``, or ``cf.Dense(...)`` where it needs settings."""
    return f"cf.{kind.__name__}({'...' if _required_words(kind) else ''})"


def _required_words(kind: type[Layer]) -> list[str]:
    parameters = inspect.signature(kind).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    return [parameter.name for parameter in needed]


def _check_loss(loss: object) -> None:
    if loss is None or isinstance(loss, Loss):
        return
    name = loss.__name__ if isinstance(loss, type) else str(loss)
    mend = f"write loss=cf.{name}()" if name in LOSSES else f"known are {', '.join(LOSSES)}"
    got = f"the class {name}" if isinstance(loss, type) else repr(loss)
    raise SettingError(f"loss must be a loss, as in loss=cf.SoftmaxCrossEntropy(), got {got}; {mend}")


def _check_activation(last: Layer, loss: Loss | None) -> None:
    """A loss that holds its own activation is not given the activated output."""
    if loss is not None and loss.activation is not None and type(last) is type(loss.activation):
        kind = type(last).__name__
        raise SettingError(
            f"{type(loss).__name__} holds the {kind.lower()} already, and the last layer is {kind}(): leave "
            f"that layer out; predict applies it"
        )
