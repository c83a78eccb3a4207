"""Entries in symbols, ``1/4*(x11 + x12)``, read into the formula language's tree; nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from closedform.architecture import nearest
from closedform.errors import DataError, FormulaError
from closedform.formula.syntax import parse
from closedform.formula.tree import FUNCTIONS, Equation
from closedform.solution import Solution
from closedform.solution.numbers import plain_signs
from closedform.worksheet.axes import Axes, Channels, Place

RESULT = "entry"
_TOKEN = re.compile(
    r"\s*(?:(?P<word>[A-Za-z_]\w*)(?:\s*\[(?P<place>[^\][]*)\])?"
    r"|(?P<number>\d{1,60}(?:\.\d{1,60})?|\.\d{1,60})|(?P<sign>[-+*/^()]))",
    re.ASCII,
)
_SIGNS = str.maketrans({"−": "-", "–": "-", "·": "*", "×": "*"})

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Part:
    """A named part of a quantity: ``v`` for ``W[1,1]``.

    Attributes
    ----------
    quantity
        The quantity's name.
    place
        The first numbers of the part's entries, from 0, as the sheet writes the quantity.
    """

    quantity: str
    place: Place


def written_plainly(text: str) -> str:
    """An expression with the keyboard's signs: ``1/2`` for ``½``, ``*`` for ``·``."""
    return plain_signs(text.translate(_SIGNS), "({})")


class Symbols:
    """What the sheet's symbols stand for.

    Parameters
    ----------
    solution
        The network's quantities.
    first_index
        From which number entries are counted.
    channels
        Where images have their channels.
    parts
        Names of parts of quantities.
    """

    def __init__(
        self,
        solution: Solution,
        first_index: int = 1,
        channels: Channels = "first",
        parts: Mapping[str, Part] | None = None,
    ):
        self.solution, self.first_index, self.channels = solution, first_index, channels
        self.parts = dict(parts or {})

    def axes(self, quantity: str) -> Axes:
        """The axes of a quantity as the sheet writes them."""
        return Axes.of(self.solution[quantity], self.solution, self.channels)

    def part(self, name: str) -> Part | None:
        """What a name stands for: a quantity, a part, or a gradient of a part; by name, then by key."""
        if name in self.parts:
            return self.parts[name]
        if name in self.solution:
            return Part(name, ())
        if name.startswith("d") and name[1:] in self.parts:
            of = self.parts[name[1:]]
            return Part("d" + of.quantity, of.place) if "d" + of.quantity in self.solution else None
        try:
            return Part(self.solution.find(name).name, ())
        except ValueError:
            return None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that an entry can begin with."""
        return *(quantity.name for quantity in self.solution.quantities), *self.parts

    def place(self, text: str, what: str) -> Place:
        """Numbers such as ``1,2``, counted from the sheet's first, as numbers from 0.

        Raises
        ------
        DataError
            Where they are no whole numbers, or below the first.
        """
        words = [word.strip() for word in text.split(",")] if text.strip() else []
        if not all(re.fullmatch(r"\d{1,9}", word, re.ASCII) for word in words):
            raise DataError(
                f"{what} must be whole numbers with commas between them, as in '1,2', got {text!r:.60}"
            )
        numbers = tuple(int(word) - self.first_index for word in words)
        if any(number < 0 for number in numbers):
            raise DataError(f"{what}: entries are counted from {self.first_index}, got {text!r}")
        return numbers

    def entry(self, text: str) -> tuple[str, Place] | None:
        """The quantity and the entry, as the sheet writes it from 0, that ``x11`` or ``x[1,1]`` names.

        Raises
        ------
        DataError
            For an entry that the quantity does not have, and where two readings are possible.
        """
        name, bracket, rest = text.partition("[")
        if bracket:
            part = self.part(name.strip())
            return None if part is None else self._checked(part, self.place(rest.rstrip("] "), text), text)
        found = dict.fromkeys(self._readings(text))
        if len(found) > 1:
            forms = " or ".join(self.entry_text(*reading) for reading in found)
            raise DataError(f"{text} may be {forms}: write it with brackets")
        return next(iter(found), None)

    def _readings(self, text: str) -> list[tuple[str, Place]]:
        found = []
        digits = len(text) - len(text.rstrip("0123456789"))
        for count in range(digits + 1):
            name = text[: len(text) - count]
            part = (
                self.part(name)
                if name in self.names or name[1:] in self.parts
                else self.part(name.rstrip("_"))
            )
            if part is None or (count == 0 and digits and self._rank(part) > 0):
                continue
            if self._rank(part) == count:
                numbers = tuple(int(digit) - self.first_index for digit in text[len(text) - count :])
                found.append(self._checked(part, numbers, text))
        return found

    def _rank(self, part: Part) -> int:
        return len(self.axes(part.quantity).written) - len(part.place)

    def _checked(self, part: Part, numbers: Place, text: str) -> tuple[str, Place]:
        place = part.place + numbers
        shape = self.axes(part.quantity).written_shape
        if len(place) != len(shape) or any(not 0 <= k < n for k, n in zip(place, shape, strict=True)):
            first = self.first_index
            extents = " × ".join(map(str, shape[len(part.place) :])) or "one number"
            raise DataError(f"there is no entry {text}: it is {extents}, counted from {first}")
        return part.quantity, place

    def entry_text(self, quantity: str, place: Place) -> str:
        """How the sheet calls an entry: ``x12``, with brackets where a number has two digits."""
        numbers = [str(number + self.first_index) for number in place]
        if not numbers:
            return quantity
        if all(len(number) == 1 for number in numbers) and not quantity[-1].isdigit():
            return quantity + "".join(numbers)
        return f"{quantity}[{','.join(numbers)}]"

    def with_numbers(self, formula: str) -> str:
        """A formula in which a quantity of one entry, written without subscripts, is its entry: ``b[0]``."""
        left, sign, right = formula.partition("=")
        return left + sign + "".join(self._numbered(_WORDS.findall(right)))

    def _numbered(self, tokens: list[str]) -> list[str]:
        found: list[str] = []
        inside: list[bool] = []  # for each open bracket, whether it holds subscripts
        for place, token in enumerate(tokens):
            before = "".join(tokens[:place]).rstrip()[-1:]
            after = "".join(tokens[place + 1 : place + 3]).lstrip()[:1]
            if token == "[":
                inside.append(before.isalnum() or before == "_")
            elif token == "]" and inside:
                inside.pop()
            is_lone = token[0].isalpha() and before != "|" and after not in ("[", "(") and not any(inside)
            part = self.part(token) if is_lone and token in self.solution else None
            found.append(f"{token}[0]" if part is not None and self._rank(part) == 0 else token)
        return found

    def read(self, text: str) -> Equation:
        """A sum of products of entries as a line ``entry = …`` over the quantities.

        Raises
        ------
        DataError
            For anything else, and for an entry that there is not.
        """
        source, position = written_plainly(text), 0
        translated: list[str] = []
        while source[position:].strip():
            token = _TOKEN.match(source, position)
            if token is None:
                sign = source[position:].lstrip()[0]
                raise DataError(
                    f"{text!r:.80} is no number and no sum of products of entries: "
                    f"{sign!r} has no place in it"
                )
            position = token.end()
            word = token["word"]
            if word is None:
                number = token["number"]
                translated.append(f"0{number}" if number and number[0] == "." else number or token["sign"])
            elif word in FUNCTIONS and token["place"] is None and source[position:].lstrip()[:1] == "(":
                translated.append(word)
            else:
                translated.append(self._translated(token, text))
        try:
            return parse(f"{RESULT} = {' '.join(translated)}")
        except FormulaError as error:
            raise DataError(f"{text!r:.80} is no sum of products of entries: {error.reason}") from None

    def _translated(self, token: re.Match[str], text: str) -> str:
        written = token["word"] + (f"[{token['place']}]" if token["place"] is not None else "")
        found = self.entry(written)
        if found is None:
            known = nearest(token["word"].rstrip("0123456789"), self.names)
            raise DataError(f"{written} in {text!r:.80} is no entry of the network's quantities; {known}")
        quantity, place = found
        subscripts = ",".join(map(str, self.axes(quantity).place(place)))
        return f"{quantity}[{subscripts}]" if subscripts else quantity
