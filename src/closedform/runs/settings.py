"""What a run may be told: every setting, what it may be, and how a file or a flag says it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from closedform.architecture import nearest
from closedform.errors import SettingError

if TYPE_CHECKING:
    from closedform.data.augment import Augmentation
    from closedform.training.callbacks import Callback
    from closedform.training.optimisers import Optimizer
    from closedform.training.schedules import Schedule

Table = Mapping[str, Any]

COLOR_MODES = ("grayscale", "rgb", "rgba")
_LARGEST_SIDE = 1 << 14


@dataclass(frozen=True)
class Kind:
    """One kind of setting.

    Attributes
    ----------
    expected
        In words, what it must be.
    accepts
        Whether a plain value is one.
    from_text
        What a flag's text stands for.
    check
        Raises a SettingError for a value of the right form that makes no sense.
    """

    expected: str
    accepts: Callable[[Any], bool]
    from_text: Callable[[str], Any] = str
    check: Callable[[Any], object] = lambda value: None

    def value(self, value: Any, name: str) -> Any:
        """A plain value from a file, checked.

        Raises
        ------
        SettingError
            For another value, beginning with the setting's name.
        """
        if not self.accepts(value):
            raise SettingError(f"{name} must be {self.expected}, got {value!r}")
        try:
            self.check(value)
        except SettingError as error:
            raise SettingError(f"{name}: {error}") from None
        return value

    def parsed(self, text: str) -> Any:
        """The value that a flag's text stands for.

        Raises
        ------
        SettingError
            For a text that stands for none.
        """
        value = self.from_text(text)
        if not self.accepts(value):
            raise SettingError(f"must be {self.expected}, got {text!r}")
        self.check(value)
        return value


def whole(least: int, limit: int = 1 << 32) -> Kind:
    """Whole numbers from `least` to below `limit`."""
    return Kind(
        f"a whole number from {least} to {limit - 1}",
        lambda value: _is_whole(value) and least <= value < limit,
        _number,
    )


def choice(names: tuple[str, ...]) -> Kind:
    """One of some words."""

    def known(value: Any) -> None:
        if value not in names:
            raise SettingError(f"{value!r} is unknown; {nearest(value, names)}")

    return Kind("a word in quotes", lambda value: isinstance(value, str), check=known)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _is_size(value: Any) -> bool:
    sides = value if isinstance(value, list) and len(value) == 2 else [value]
    return all(_is_whole(side) and 0 < side <= _LARGEST_SIDE for side in sides)


def _size(text: str) -> Any:
    sides = [_number(side) for side in text.lower().split("x")]
    return sides[0] if len(sides) == 1 else sides


def _augmented(text: str) -> Any:
    """``crop=4,flip`` as a table."""
    found: dict[str, Any] = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        word, equals, amount = part.partition("=")
        found[word] = _number(amount) if equals else True
    return found


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_class_weight(value: Any) -> bool:
    if value == "balanced":
        return True
    return _is_table(value) and all(_is_number(weight) and weight >= 0 for weight in value.values())


FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text in quotes", lambda value: isinstance(value, str) and value != "")
POSITIVE = Kind("a number above 0", lambda value: _is_number(value) and value > 0, _number)
SHARE = Kind("a number from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1, _number)
PART = Kind(
    "a share from 0 to below 1, or a whole number of images",
    lambda value: _is_number(value) and (_is_whole(value) or value < 1) and value >= 0,
    _number,
)
SECONDS = Kind("a number of seconds from 0", lambda value: _is_number(value) and value >= 0, _number)
SIZE = Kind("a number of pixels, or a height and a width as in [48, 64]", _is_size, _size)


# ---- settings that are tables


def optimizer(values: Table) -> Optimizer:
    """The optimiser that a table describes: ``{type = "Adam", learning_rate = 0.001}``."""
    from closedform.training.optimisers import SGD, Adam, AdamW

    kinds = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW}
    made: Optimizer = _made(kinds, values, "Adam")
    return made


def augmentation(values: Table) -> Augmentation:
    """The augmentation that a table describes: ``{shift = 2, flip = true}``."""
    from closedform.data.augment import Augmentation

    only_known(values, tuple(inspect.signature(Augmentation).parameters))
    return Augmentation(**values)


def schedule(values: Table) -> Schedule:
    """The schedule that a table describes: ``{type = "OneCycle"}``."""
    from closedform.training.schedules import schedule_from_dict

    return schedule_from_dict(values, "")


def callback(values: Table) -> Callback:
    """The callback that a table describes: ``{type = "EarlyStopping", patience = 3}``."""
    from closedform.training.callbacks import callback_from_dict

    return callback_from_dict(values, "")


def early_stopping(values: Table) -> dict[str, Any]:
    """The callback that the short form means: the best weights come back unless it says otherwise."""
    return {"type": "EarlyStopping", "restore_best_weights": True, **values}


def only_known(values: Table, known: tuple[str, ...]) -> None:
    """Raise a SettingError for a key that is not known, naming the nearest that is."""
    for word in values:
        if word not in known:
            raise SettingError(f"unknown key {word!r}; {nearest(str(word), known)}")


def _made(kinds: Mapping[str, Any], values: Table, example: str) -> Any:
    if "type" not in values:
        raise SettingError(f'needs a type, as in {{ type = "{example}" }}')
    name = values["type"]
    if name not in kinds:
        raise SettingError(f"type {name!r} is unknown; {nearest(str(name), kinds)}")
    words = {word: value for word, value in values.items() if word != "type"}
    only_known(words, tuple(inspect.signature(kinds[name]).parameters))
    try:
        return kinds[name](**{w: tuple(v) if isinstance(v, list) else v for w, v in words.items()})
    except TypeError:
        raise SettingError(
            f'{name} needs learning_rate, as in {{ type = "{name}", learning_rate = 0.1 }}'
        ) from None


OPTIMIZER = Kind('a table, as in { type = "Adam", learning_rate = 0.001 }', _is_table, check=optimizer)
AUGMENT = Kind("a table, as in { shift = 2, flip = true }", _is_table, _augmented, augmentation)
SCHEDULE = Kind('a table, as in { type = "OneCycle" }', _is_table, check=schedule)
EARLY = Kind(
    "a table, as in { patience = 3 }", _is_table, check=lambda values: callback(early_stopping(values))
)
CALLBACKS = Kind(
    'a list of tables, as in [{ type = "EarlyStopping", patience = 3 }]',
    lambda value: isinstance(value, list) and all(map(_is_table, value)),
    check=lambda value: [callback(each) for each in value],
)
CLASS_WEIGHT = Kind(
    '"balanced", or a table of a number from 0 for each class, as in { cat = 1.0, dog = 2.5 }',
    _is_class_weight,
)

DATA = {
    "path": TEXT,
    "image_size": SIZE,
    "color_mode": choice(COLOR_MODES),
    "strict": FLAG,
    "validation": PART,
    "standardize": FLAG,
    "augment": AUGMENT,
}
TRAINING = {
    "epochs": whole(1),
    "steps": whole(1),
    "batch_size": whole(1),
    "optimizer": OPTIMIZER,
    "schedule": SCHEDULE,
    "clip_norm": POSITIVE,
    "label_smoothing": SHARE,
    "class_weight": CLASS_WEIGHT,
    "early_stopping": EARLY,
    "callbacks": CALLBACKS,
    "seed": whole(0, 1 << 64),
    "engine": choice(("compiled", "reference")),
    "threads": whole(1, 1 << 12),
    "checkpoint_seconds": SECONDS,
}
TABLES = {"data": DATA, "training": TRAINING}
