"""How the quantities of a network are called where nobody names them: X, W1, b1, Z1, A1, P1, F1, L, T.

Z is what a layer with parameters gives, A an activation, P a pool, F flattened, D after dropout; the number
is that of the last layer with parameters, and is not written where there is only one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from closedform.architecture import Architecture, nearest
from closedform.errors import SettingError
from closedform.layers import (
    AvgPool2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Layer,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)

INPUT, TARGET, LOSS, PROBABILITIES = "input", "target", "loss", "probabilities"

_LETTERS: tuple[tuple[str, tuple[type[Layer], ...]], ...] = (
    ("A", (ReLU, LeakyReLU, Sigmoid, Tanh, Softmax)),
    ("P", (MaxPool2d, AvgPool2d, GlobalMaxPool2d, GlobalAvgPool2d)),
    ("F", (Flatten,)),
    ("D", (Dropout,)),
)


def quantity_names(architecture: Architecture, given: Mapping[str, str]) -> dict[str, str]:
    """The name of each quantity by its key.

    Keys are ``input``, ``target``, ``loss``, ``probabilities``, a layer's label for its output, and
    ``label.weight`` for a parameter or a tensor that the layer draws.

    Parameters
    ----------
    given
        Names of the reader's own, by key.

    Raises
    ------
    SettingError
        For an unknown key, a name that is no word, and one that is given twice.
    """
    found = _default_names(architecture)
    for key, name in given.items():
        if key not in found:
            raise SettingError(f"names: there is no {key!r} in the network; {nearest(key, found)}")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise SettingError(
                f"names: {key} must be called by a letter and then letters, digits or _, got {name!r}"
            )
    taken = set(given.values())
    names: dict[str, str] = {}
    for key, name in found.items():
        names[key] = given[key] if key in given else _apart(name, taken)
        taken.add(names[key])
    twice = [name for name in given.values() if list(names.values()).count(name) > 1]
    if twice:
        keys = [key for key, name in names.items() if name == twice[0]]
        raise SettingError(f"names: {twice[0]!r} is given to {' and '.join(keys)}: each needs its own")
    gradients = {"d" + name for name in names.values()} & set(names.values())
    if gradients:
        name = min(gradients)
        raise SettingError(f"names: {name} is the gradient in {name[1:]}: give another name")
    return names


def _default_names(architecture: Architecture) -> dict[str, str]:
    layers = architecture.layers
    if len(layers) == 1 and architecture.loss is None:
        numbers, letters = [""], ["Y"]
    else:
        several = sum(bool(layer.tensors) for layer in layers) > 1
        count = 0
        numbers, letters = [], []
        for layer in layers:
            count += bool(layer.tensors)
            numbers.append(str(count) if several and count else "")
            letters.append(_letter(layer))
    found = {INPUT: "X"}
    for label, layer, number, letter in zip(architecture.labels, layers, numbers, letters, strict=True):
        for tensor in (*layer.tensors, *layer.given):
            found[f"{label}.{layer.public_name(tensor)}"] = tensor + number
        found[label] = letter + number
    if architecture.loss is not None:
        if architecture.loss.activation is not None:
            found[PROBABILITIES] = "A" + (numbers[-1] if numbers else "")
        found[TARGET] = "T"
        found[LOSS] = "L"
    return found


def _letter(layer: Layer) -> str:
    return next((letter for letter, kinds in _LETTERS if isinstance(layer, kinds)), "Z")


def _apart(name: str, taken: Iterable[str]) -> str:
    """The name, numbered where it is taken or would be another's gradient: A, A_2, A_3."""
    used, candidate, count = set(taken), name, 1
    while candidate in used:
        count += 1
        candidate = f"{name}_{count}"
    return candidate
