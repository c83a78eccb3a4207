"""The words and signs of a formula, and a place among them.

Every failure names the place in the text, so that a caret can stand under it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from closedform.errors import FormulaError

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?!\w))
         |(?P<name>[A-Za-z_][A-Za-z_0-9]*['′]*)
         |(?P<sign>//|<=|>=|!=|[-+*/%^()\[\],=<>|.∂·×−≤≥≠])
         |(?P<end>\Z))""",
    re.VERBOSE,
)
_SAME_SIGN = {"·": "*", "×": "*", "−": "-", "≤": "<=", "≥": ">=", "≠": "!="}


@dataclass(frozen=True)
class Token:
    """A number, a name, a sign, or the end."""

    kind: str
    value: str
    position: int


def tokenise(source: str) -> list[Token]:
    """The tokens of a formula, ``end`` the last of them; `FormulaError` at anything else."""
    tokens: list[Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(source, position)
        if not match or not match.lastgroup:
            _fail_at_character(source, position)
        kind, value = match.lastgroup, match[match.lastgroup]
        value = value.replace("′", "'") if kind == "name" else _SAME_SIGN.get(value, value)
        start = match.start(kind) if kind != "end" else len(source.rstrip())
        tokens.append(Token(kind, value, start))
        position = match.end()
    return tokens


def _fail_at_character(source: str, position: int) -> NoReturn:
    while source[position].isspace():
        position += 1
    character = source[position]
    digits = re.compile(r"[0-9]+(?:\.[0-9]+)?").match(source, position)
    if digits:
        reason, position = "missing * between a number and a name", digits.end()
    elif character in "Σ∑":
        reason = "a sum is written sum[u,v], with its indices"
    elif character == '"' or _begins_a_text(source, position):
        reason = "a text in quotation marks is no part of a formula"
    elif character in "'′":
        reason = "a prime stands right behind a name, as in u'"
    elif character.isalpha():
        reason = f"{character!r} cannot stand in a name: names are made of A to Z, a to z, 0 to 9 and _"
    else:
        reason = f"{character!r} has no meaning in a formula"
    raise FormulaError(reason, source, position)


def _begins_a_text(source: str, position: int) -> bool:
    """Whether quotation marks stand around something, rather than a prime too far behind a name."""
    before = source[:position].rstrip()[-1:]
    return source[position] == "'" in source[position + 1 :] and not (before.isalnum() or before in "_'])")


class Cursor:
    """A place among the tokens of a formula."""

    def __init__(self, source: str):
        self.source = source
        self.tokens = tokenise(source)
        self.at = 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.at]

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self.token.kind == "end"

    def next_is(self, *signs: str) -> bool:
        """Whether the next token is one of the signs."""
        token = self.tokens[self.at]
        return token.kind == "sign" and token.value in signs

    def take(self) -> Token:
        """The next token, stepping over it."""
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        """Raise `FormulaError` at a position, or at the next token."""
        raise FormulaError(reason, self.source, self.token.position if position is None else position)

    def close(self, sign: str, opened: int) -> None:
        """Step over the sign that closes the bracket at `opened`, or fail."""
        if self.next_is(sign):
            self.take()
            return
        opener = self.source[opened]
        if self.is_at_end:
            self.fail(f"this {opener!r} is never closed", opened)
        if self.next_is(")", "]", "=", ","):
            self.fail(f"this {opener!r} is not closed before {self.token.value!r}", opened)
        self.misplaced()

    def misplaced(self, missing: str = "* (or + or -)") -> NoReturn:
        """Fail at a token that cannot follow what stands before it."""
        value = self.token.value
        if self.next_is(")", "]") or (self.next_is("|") and self.tokens[self.at + 1].kind != "name"):
            self.fail(f"this {value!r} was never opened")
        if self.next_is("="):
            self.fail("a formula has one '='; a comparison stands in square brackets, as in [i = 0]")
        if self.next_is("<", "<=", ">", ">=", "!="):
            self.fail("a comparison stands in square brackets, as in [0 <= i-t]")
        if self.next_is(","):
            self.fail("a comma stands only between subscripts and between the indices of a sum")
        if self.next_is("."):
            self.fail("a point stands only inside a number, as in 0.5, and in the extent of an axis, |X.2|")
        if self.next_is("^"):
            self.fail("one power upon another: use brackets, as in (X[i]^2)^3")
        if self.next_is("["):
            self.fail("missing * before '[': the subscripts of one tensor stand in one bracket, as in X[n,i]")
        self.fail(f"missing {missing} before {value!r}")
