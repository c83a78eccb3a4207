"""Making one of several kinds from plain values that name it, as run files do."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from closedform.errors import SettingError

Kind = TypeVar("Kind")


def made(
    kinds: Mapping[str, type[Kind]],
    values: Any,
    what: str,
    where: str = "",
    read: Mapping[str, Callable[[Any, str], Any]] | None = None,
) -> Kind:
    """One of the kinds, from ``{"type": ..., word: value, ...}``.

    Parameters
    ----------
    kinds
        By name; the first is the example in messages.
    values
        The type, and the constructor's words.
    what
        What the kinds are called.
    where
        What messages begin with.
    read
        What makes a word's value of a plain one: it gets that and its place.

    Raises
    ------
    SettingError
        For an unknown type or word, with the nearest known one, for a word that is missing, and for settings
        that make no sense.
    """
    from closedform.architecture import nearest

    begin = f"{where}: " if where else ""
    if not isinstance(values, Mapping) or "type" not in values:
        example = f'{{type = "{next(iter(kinds))}"}}'
        raise SettingError(f"{begin}expected a {what}, as in {example}, got {values!r:.60}")
    name = values["type"]
    if not isinstance(name, str) or name not in kinds:
        raise SettingError(f"{begin}{name!r} is no {what}; {nearest(str(name), kinds)}")
    kind = kinds[name]
    words = {word: value for word, value in values.items() if word != "type"}
    known = dict(inspect.signature(kind).parameters)
    for word in words:
        if word not in known:
            mend = nearest(str(word), known) if known else "it has none"
            raise SettingError(f"{begin}{name}: unknown key {word!r}; {mend}")
    missing = [word for word, p in known.items() if p.default is p.empty and word not in words]
    if missing:
        raise SettingError(f"{begin}{name} needs {', '.join(missing)}")
    for word, make in (read or {}).items():
        if word in words:
            words[word] = make(words[word], f"{begin}{word}")
    try:
        return kind(**words)
    except SettingError as error:
        raise SettingError(f"{begin}{error}") from None
