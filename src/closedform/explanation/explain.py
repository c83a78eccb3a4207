"""`explain`: a network or a layer, with the reader's numbers, becomes a worked solution."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from closedform.architecture import Architecture, nearest
from closedform.errors import SettingError, ShapeError
from closedform.explanation.building.grids import limits_for
from closedform.explanation.building.lines import Setting
from closedform.explanation.building.sections import elision, is_elided, sections
from closedform.explanation.building.writing import Writer
from closedform.explanation.document import Block, Document, Paragraph
from closedform.formula.extents import Shape
from closedform.layers import Layer, Loss
from closedform.layers.base import checked_shape
from closedform.layers.windows import Windowed
from closedform.solution import Quantity, Solution, Values
from closedform.solution.lone import architecture_of
from closedform.solution.numbers import batch_of, given_array, numbers

if TYPE_CHECKING:
    from closedform.network import Network
    from closedform.worksheet import Worksheet

_DIGITS = 4
_DOUBLE = 8  # bytes
_SAMPLE = "One layer, forward and backward, on a small input as a sample: pass input_shape for another."
_MOST_EXACT = 20_000  # numbers in all; fractions of more take seconds


def explain(
    of: Network | Architecture | Layer,
    x: Any = None,
    y: Any = None,
    weights: Mapping[str, Any] | None = None,
    dy: Any = None,
    input_shape: Shape | None = None,
    wrt: str | Collection[str] | None = None,
    first_index: int = 1,
    exact: bool = True,
    *,
    names: Mapping[str, str] | None = None,
    learning_rate: Fraction | float | str | None = None,
    digits: int = _DIGITS,
    title: str | None = None,
) -> Document:
    """Write out every step of a network or a layer: sizes, forward, the loss, every gradient, the update.

    Parameters
    ----------
    of : Network, Architecture, Layer or Loss
        What is explained.  A network's own parameters are used where `x` is given and `weights` is not.
    x : array, optional
        The input, (N, *input_shape), or one example.  Axes of one entry may be left out: a 3×3 image is taken
        for (1, 1, 3, 3).  Without it the document is in symbols.
    y : array, optional
        Labels (N,), or targets, where there is a loss.
    weights : dict, optional
        Parameters by key, ``"0.weight"``, or by name, ``"W1"``; of a layer alone ``"weight"`` or ``"W"``.
    dy : array, optional
        The gradient of the loss in the output, where there is no loss.  Where each output is one number, 1.
    input_shape : tuple of int, optional
        The shape of one input, for a layer alone; without it that of `x`, or a small sample.
    wrt : str or collection of str, optional
        In what gradients are derived: keys or names of parameters, ``"X"`` for the input.  None is all.
    first_index : int
        Whether entries are counted from 1 or from 0, in everything that is shown.
    exact : bool
        Whether numbers that are given exactly (whole numbers, fractions, texts such as "1/3") stay exact; of
        more than 20,000 in all none does.
    names : dict, optional
        Names of your own by key: ``{"input": "X", "0.weight": "F", "0": "O"}``.
    learning_rate : number, optional
        For the update of gradient descent; without it the update is in symbols.
    digits : int
        Significant digits of numbers that are not exact.
    title : str, optional
        The document's title.

    Returns
    -------
    Document
        With `text`, `markdown`, `latex`, `html` and `notebook`.

    Raises
    ------
    ShapeError
        Where numbers do not have the shapes of the network.
    DataError
        Where numbers are no numbers.
    SettingError
        For an option that makes no sense.

    Examples
    --------
    >>> import closedform as cf
    >>> page = cf.explain(cf.Conv2d(1, 2, bias=False), x=[[2, 3, 4], [3, 1, 5], [4, -1, -2]],
    ...                   weights={"weight": [[0, 3], [1, -2]]}, dy=[[1, 1], [1, 1]])
    >>> "y11 = w11·x11 + w12·x12 + w21·x21 + w22·x22" in page.text()
    True
    """
    _check_options(first_index, digits)
    architecture, parameters = _taken_apart(of, x, input_shape)
    if weights is None and parameters is not None and x is not None:
        weights = parameters
    batch = 1 if x is None else batch_of(x, architecture.input_shape)
    rate = None if learning_rate is None else _rate(learning_rate)
    wanted = [wrt] if isinstance(wrt, str) else wrt
    if wanted is not None:
        wanted = [_full_key(architecture, key) for key in wanted]
    if weights is not None and not isinstance(weights, Mapping):
        raise SettingError(f"weights must be a dict of arrays by key, got {type(weights).__name__}")
    solution = Solution(architecture, batch, names, wanted, rate, dy is None)
    exact = exact and sum(math.prod(quantity.shape) for quantity in solution.quantities) <= _MOST_EXACT
    given = {}
    if x is not None:
        given[solution.input] = given_array(solution, solution[solution.input], x, exact)
    for key, value in (weights or {}).items():
        quantity = _parameter(solution, key)
        given[quantity.name] = given_array(solution, quantity, value, exact)
    if y is not None:
        if architecture.loss is None:
            raise SettingError(
                "y needs a loss: give the network a loss, or pass dy, the gradient in the output"
            )
        target = solution[solution.names["target"]]
        given[target.name] = given_array(solution, target, y, exact)
    upstream = "d" + solution.output
    if dy is not None:
        if architecture.loss is not None:
            raise SettingError("dy is derived from the loss: pass y, or explain a network without a loss")
        given[upstream] = given_array(solution, solution[upstream], dy, exact)
    elif solution.is_output_differentiated:
        given[upstream] = given_array(solution, solution[upstream], _ones(solution[upstream].shape))
    is_sample = isinstance(of, Layer) and x is None and input_shape is None
    return document(
        solution,
        given,
        first_index=first_index,
        digits=digits,
        title=title or _title(of),
        about=_SAMPLE if is_sample else "",
    )


def explain_worksheet(
    worksheet: Worksheet,
    layer: str | None = None,
    wrt: str | Sequence[str] | None = None,
    first_index: int | None = None,
) -> Document:
    """The worked solution of a worksheet.

    Parameters
    ----------
    layer
        The label of the only layer that is explained; None leaves it to the worksheet.
    wrt
        In what gradients are derived; None leaves it to the worksheet.
    first_index
        From where entries are counted; None leaves it to the worksheet.

    Raises
    ------
    SettingError
        For a layer or quantity that is not there.
    """
    solution, given = worksheet.solution, dict(worksheet.given)
    wanted = [wrt] if isinstance(wrt, str) else wrt
    if wanted is not None:
        solution = Solution(
            solution.architecture,
            solution.batch,
            solution.given,
            wanted,
            solution.learning_rate,
            solution.differentiates_output,
        )
        given = {name: value for name, value in given.items() if name in solution}
    first = worksheet.first_index if first_index is None else first_index
    _check_options(first, _DIGITS)
    only = layer if layer is not None else worksheet.layer
    return document(
        solution, given, first_index=first, title=worksheet.title, layer=only, about=worksheet.about
    )


def document(
    solution: Solution,
    given: Mapping[str, Any],
    *,
    first_index: int = 1,
    digits: int = _DIGITS,
    title: str = "",
    layer: str | None = None,
    about: str = "",
) -> Document:
    """The worked solution of quantities with given values."""
    if any(name != "d" + solution.output for name in given):
        _check_memory(solution)
    limits = limits_for(quantity.shape for quantity in solution.quantities)
    setting = Setting(Writer(solution, first_index, digits), Values(solution, given), limits)
    only = None if layer is None else _position(solution, layer)
    opening: list[Block] = []
    opening.append(Paragraph((about or _lead(solution, only),), "lead"))
    opening.append(Paragraph((_conventions(setting),), "note"))
    found = sections(setting, only)
    if is_elided(found):
        opening.append(Paragraph((elision(limits),), "note"))
    inexact = _inexact(setting, digits)
    if inexact:
        opening.append(Paragraph((inexact,), "note"))
    return Document(title, (*opening, *found), "worked solution")


def _lead(solution: Solution, only: int | None) -> str:
    """What the document holds, in a sentence."""
    architecture = solution.architecture
    count = len(architecture.layers)
    if only is not None:
        what = f"Layer {architecture.labels[only]} of a network of {count}"
    else:
        what = f"A network of {count} layers" if count > 1 else "One layer" if count else "A loss"
    return f"{what}, forward and backward: each step with its reason."


def _conventions(setting: Setting) -> str:
    layers = setting.writer.solution.architecture.layers
    said = ""
    if any("Conv" in type(layer).__name__ or "Connected" in type(layer).__name__ for layer in layers):
        said = "“Convolution” means cross-correlation, as in every deep-learning library: "
        said += "kernels are not flipped. "
    return f"{said}Entries are counted from {setting.writer.first}."


def _inexact(setting: Setting, digits: int) -> str:
    """What is said of numbers: exact, rounded, or symbols only."""
    solution, values = setting.writer.solution, setting.values
    shown = [q for q in solution.quantities if q.role != "update"]
    if solution.is_output_differentiated:  # the gradient of the output in itself is nobody's number
        shown = [q for q in shown if q.name != "d" + solution.output]
    known = [q.name for q in shown if values[q.name] is not None]
    if not any(solution[name].calculation is None for name in known):
        return "No numbers are given: entries are symbols."
    rounded = [name for name in known if not values.is_exact(name)]
    if not rounded:
        said = "All numbers are exact."
    else:
        which = "Some numbers are exact; the others" if len(known) > len(rounded) else "Numbers"
        said = f"{which} are rounded to {digits} digits."
    if len(known) < len(shown):
        said += " What cannot be computed from them is left in symbols."
    return said


def _check_memory(solution: Solution) -> None:
    """Numbers are worked out for every quantity, each read once more beside it.

    Raises
    ------
    SettingError
        Where they need more memory than there is.
    """
    from closedform.engine.memory import available, in_bytes

    needed = 2 * _DOUBLE * sum(math.prod(quantity.shape) for quantity in solution.quantities)
    found = available()
    if found is not None and needed > found:
        raise SettingError(
            f"the numbers of this network need {in_bytes(needed)} of memory, but {in_bytes(found)} is "
            "available: take a smaller input, or leave the numbers out"
        )


def _position(solution: Solution, label: str) -> int:
    labels = solution.architecture.labels
    if label not in labels:
        raise SettingError(f"there is no layer {label!r}; {nearest(label, labels)}")
    return labels.index(label)


def _taken_apart(of: Any, x: Any, input_shape: Shape | None) -> tuple[Architecture, Mapping[str, Any] | None]:
    from closedform.network import Network

    if isinstance(of, Network | Architecture):
        if input_shape is not None and checked_shape(input_shape) != of.input_shape:
            raise SettingError(f"input_shape is the network's own, {of.input_shape}: leave it out")
        if isinstance(of, Network):
            return of.architecture, dict(of.parameters)
        return of, None
    if not isinstance(of, Layer):
        got = f"the class {of.__name__}" if isinstance(of, type) else type(of).__name__
        raise SettingError(f"explain takes a Network, an Architecture or a layer, got {got}")
    return architecture_of(of, _layer_input(of, x, input_shape)), None


def _layer_input(layer: Layer, x: Any, input_shape: Shape | None) -> Shape:
    """The shape of one input of a layer alone: as given, that of `x`, or a sample."""
    if input_shape is not None:
        return checked_shape(input_shape)
    if x is None:
        return _sample(layer)
    rank = len(layer.sample_input_shape)
    shape = numbers(x, "x").shape
    if not shape:
        raise ShapeError("x must be an array that holds one input or several, got one number")
    if isinstance(layer, Loss) or rank == 1:
        return shape[1:] if len(shape) > 1 else shape
    if len(shape) == rank + 1:
        return shape[1:]
    return (1,) * (rank - len(shape)) + tuple(shape)


def _sample(layer: Layer) -> Shape:
    """A small input for a layer of which nothing is given."""
    shape = layer.sample_input_shape
    if isinstance(layer, Windowed):
        rows, columns = (reach + step for reach, step in zip(layer.reach, layer.stride, strict=True))
        return min(shape[0], 2) if getattr(layer, "groups", 1) == 1 else shape[0], rows, columns
    return (2, 3, 3) if type(layer).sample_input_shape is Layer.sample_input_shape else shape


def _full_key(architecture: Architecture, key: str) -> str:
    """The key of a parameter; of a layer alone its word is enough."""
    labels = architecture.labels
    is_word = len(labels) == 1 and any(p.key == f"{labels[0]}.{key}" for p in architecture.parameters)
    return f"{labels[0]}.{key}" if is_word else key


def _parameter(solution: Solution, key: str) -> Quantity:
    """What a key of `weights` names.

    Raises
    ------
    SettingError
        For a key of no parameter, naming the nearest.
    """
    known: dict[str, Quantity] = {}
    upstream = "d" + solution.output
    for quantity in solution.quantities:
        if quantity.role == "parameter" or (quantity.role == "given" and quantity.name != upstream):
            known |= {quantity.name: quantity, quantity.key: quantity}
    found = known.get(_full_key(solution.architecture, key)) if isinstance(key, str) else None
    if found is None:
        which = nearest(str(key), known) if known else "there are no parameters"
        raise SettingError(f"weights: there is no {key!r}; {which}")
    return found


def _ones(shape: Shape) -> Any:
    import numpy as np

    return np.ones(shape, int)


def _rate(rate: Fraction | float | str) -> Fraction | float:
    value = numbers(rate, "learning_rate")
    if value.shape:
        raise SettingError(f"learning_rate must be one number, got {rate!r}")
    number = value.item()
    return number if isinstance(number, Fraction) else float(number)


def _check_options(first_index: int, digits: int) -> None:
    if first_index not in (0, 1) or isinstance(first_index, bool):
        raise SettingError(f"first_index must be 0 or 1, got {first_index!r}")
    if not isinstance(digits, int) or isinstance(digits, bool) or not 1 <= digits <= 17:
        raise SettingError(f"digits must be a whole number from 1 to 17, got {digits!r}")


def _title(of: Any) -> str:
    if isinstance(of, Layer):
        return f"{type(of).__name__}, worked out"
    kinds = [type(layer).__name__ for layer in of.layers]
    return f"A network of {len(kinds)} layers, worked out" if len(kinds) > 1 else f"{kinds[0]}, worked out"
