"""Text to tree: the grammar of the formula language.

    formula    = tensor "[" subscripts "]" "=" sum
               | name "=" sum
    sum        = ["-"] product { ("+" | "-") product }
    product    = power { ("*" | "/" | "//" | "%") power }
    power      = atom [ "^" ["-"] whole number ]
    atom       = number | setting | "|" index "|" | "|" tensor "." axis "|"
               | tensor [ "[" subscripts "]" ] | function "(" sum ")"
               | ("sum" | "max" | "first") "[" indices "]" product
               | "∂" tensor [...] "/" "∂" tensor [...]
               | "[" sum relation sum { relation sum } "]" | "(" sum ")" | "-" power

A sum reaches to the end of its product.  Tensors are names before ``[`` or names with a capital;
functions are names before ``(``; every other name is an index or a setting.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

from closedform.errors import FormulaError
from closedform.formula.subscripts import Polynomial, digits, floor_divide, is_extent, remainder
from closedform.formula.tree import (
    FIRST,
    FUNCTIONS,
    MAX,
    SUM,
    Access,
    Bracket,
    Equation,
    Expression,
    Function,
    Jacobian,
    Number,
    free_names,
    left_indices,
    minus,
    negative,
    number,
    plus,
    power,
    reduce,
    times,
)

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w]))
         |(?P<name>[A-Za-z_][A-Za-z_0-9]*[']*)
         |(?P<sign>//|<=|>=|!=|[-+*/%^()\[\],=<>|.∂·×−≤≥′]))""",
    re.VERBOSE,
)
_SAME_SIGN = {"·": "*", "×": "*", "−": "-", "≤": "<=", "≥": ">="}
_REDUCTIONS = (SUM, MAX, FIRST)
_RELATIONS = ("=", "<", "<=", ">", ">=", "!=")
_MAX_LENGTH = 10_000
_MAX_DEPTH = 60
_MAX_EXPONENT = 64


@dataclass(frozen=True)
class _Token:
    kind: str
    value: str
    position: int


def parse(source: str, *, settings: Collection[str] | None = None) -> Equation:
    """Read one formula.

    Parameters
    ----------
    source
        ``"Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,i+u,j+v]"``
    settings
        The names that are settings.  Where it is given, the formula is a layer's: every other name must
        be an index, and an index on the left must occur on the right.  Where it is None, the formula may
        be a derived one, and every name that is no index counts as a setting.

    Raises
    ------
    FormulaError
        With one sentence and a caret under the place.
    """
    if not isinstance(source, str):
        raise FormulaError(f"a formula is text, got {type(source).__name__}", repr(source)[:80], 0)
    if len(source) > _MAX_LENGTH:
        raise FormulaError(
            f"a formula has at most {_MAX_LENGTH} characters, this has {len(source)}", source[:80], 0
        )
    return _Parser(source).formula(settings)


class _Parser:
    def __init__(self, source: str):
        self.source = source
        self.tokens = self._tokenise()
        self.at = 0
        self.depth = 0
        self.summed: dict[str, int] = {}  # every index of a sum so far, with its place
        self.scope: list[str] = []  # the indices that are bound where we are
        self.plain: list[tuple[str, int]] = []  # every name in a subscript or used as a number
        self.numbers: list[tuple[Polynomial, int]] = []  # what is used as a number, with its place
        self.extents: list[tuple[str, int]] = []

    # ---- tokens

    def _tokenise(self) -> list[_Token]:
        tokens, position = [], 0
        while self.source[position:].strip():
            match = _TOKEN.match(self.source, position)
            if not match or not match.lastgroup:
                rest = self.source[position:]
                place = position + len(rest) - len(rest.lstrip())
                if rest.lstrip()[0].isdigit():
                    raise FormulaError("missing * between a number and a name", self.source, place)
                raise FormulaError(f"unexpected character {rest.lstrip()[0]!r}", self.source, place)
            value = match.group(match.lastgroup)
            if value == "′" and tokens and tokens[-1].kind == "name":
                last = tokens.pop()
                tokens.append(_Token("name", last.value + "'", last.position))
            else:
                value = _SAME_SIGN.get(value, value)
                tokens.append(_Token(match.lastgroup, value, match.start(match.lastgroup)))
            position = match.end()
        tokens.append(_Token("end", "", len(self.source.rstrip())))
        return tokens

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def next_is(self, *values: str) -> bool:
        return self.token.kind != "number" and self.token.value in values

    def take(self) -> _Token:
        token = self.token
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        raise FormulaError(reason, self.source, self.token.position if position is None else position)

    def found(self) -> str:
        return f"found {self.token.value!r}" if self.token.value else "found the end"

    def expect(self, sign: str, what: str) -> None:
        if not self.next_is(sign):
            self.fail(f"expected {sign!r} {what}, {self.found()}")
        self.take()

    def close(self, sign: str, opened: int) -> None:
        if self.next_is(sign):
            self.take()
        elif self.token.kind == "end" or self.next_is(")", "]", ",", "="):
            opener = {")": "(", "]": "[", "|": "|"}[sign]
            self.fail(f"this {opener!r} is never closed: expected {sign!r}, {self.found()}", opened)
        else:
            self.fail(f"missing * (or + or -) before {self.token.value!r}")

    # ---- the formula

    def formula(self, settings: Collection[str] | None) -> Equation:
        if self.token.kind != "name":
            self.fail("a formula begins with the tensor that it defines, as in Y[n,i] = ...")
        tensor = self.take().value
        left = Access(tensor, self.subscripts() if self.next_is("[") else ())
        indices = left_indices(left)
        on_left = self.plain
        self.check_left(left, indices)
        self.scope = list(indices)
        self.plain = []
        self.expect("=", f"after {tensor}[...]" if left.subscripts else f"after {tensor}")
        if self.token.kind == "end":
            self.fail("the formula ends here, but nothing stands on the right")
        right = self.sum()
        if self.token.kind != "end":
            if self.next_is(")", "]"):
                self.fail(f"this {self.token.value!r} was never opened")
            self.fail(f"missing * (or + or -) before {self.token.value!r}")
        self.check_names(indices, on_left, right, settings)
        return Equation(left, right)

    def check_left(self, left: Access, indices: tuple[str, ...]) -> None:
        for name, place in self.plain:
            if name not in indices:
                self.fail(
                    f"{name} multiplies an index on the left: only extents may, as in Y[n,|r|*i+r]", place
                )
        seen: set[str] = set()
        for name, place in self.plain:
            if name in seen:
                self.fail(f"index {name} stands on the left twice", place)
            seen.add(name)
        for subscript in left.subscripts:
            if not subscript.lone and not digits(subscript):
                self.fail(
                    f"{subscript!r} on the left must be an index, or digits that fill an axis as in |r|*i+r",
                    len(left.tensor),
                )

    def check_names(
        self,
        indices: tuple[str, ...],
        on_left: list[tuple[str, int]],
        right: Expression,
        settings: Collection[str] | None,
    ) -> None:
        known = {*indices, *self.summed}
        for value, place in self.numbers:
            for name in sorted(value.names & known):
                self.fail(
                    f"index {name} is used as a number: only settings and extents |{name}| are numbers", place
                )
        if settings is None:
            return
        for name, place in self.plain:
            if name in known and name not in settings:
                continue
            if name not in settings:
                self.fail(
                    f"{name} is neither an index on the left, nor summed, nor a setting: "
                    f"give its value ({name}=...) or sum over it",
                    place,
                )
        for name, place in self.extents:
            if name not in known and name not in settings and "." not in name:
                self.fail(f"|{name}| is the extent of an index, but there is no index {name}", place)
        used = free_names(right) | {name for name, _ in self.extents}
        for name, place in on_left:
            if name not in used:
                self.fail(f"index {name} stands on the left only: its size cannot be known", place)

    # ---- expressions

    def sum(self) -> Expression:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"more than {_MAX_DEPTH} brackets inside one another")
        minus_first = self.next_is("-")
        if minus_first:
            self.take()
        result = negative(self.product()) if minus_first else self.product()
        while self.next_is("+", "-"):
            sign = self.take().value
            term = self.product()
            result = plus(result, term) if sign == "+" else minus(result, term)
        self.depth -= 1
        return result

    def product(self) -> Expression:
        result = self.power()
        factors = 1
        while self.next_is("*", "/", "//", "%"):
            sign = self.take()
            factor = self.power()
            if sign.value == "*":
                result = times(result, factor)
            elif sign.value == "/":
                if factor == number(0):
                    self.fail("division by 0", sign.position)
                result = times(result, power(factor, -1))
            else:
                result = self.rounded(result, factor, sign, factors)
            factors += 1
        return result

    def rounded(self, above: Expression, below: Expression, sign: _Token, factors: int) -> Expression:
        if not (isinstance(above, Number) and isinstance(below, Number)):
            self.fail(
                f"{sign.value!r} needs indices, settings and whole numbers on both sides", sign.position
            )
        if factors > 1:
            self.fail(f"write (a*b){sign.value}c or a*(b{sign.value}c)", sign.position)
        if below.value.constant == 0:
            self.fail("division by 0", sign.position)
        combine = floor_divide if sign.value == "//" else remainder
        return Number(combine(above.value, below.value))

    def power(self) -> Expression:
        base = self.atom()
        if not self.next_is("^"):
            return base
        place = self.take().position
        sign = -1 if self.next_is("-") and self.take() else 1
        if self.token.kind != "number" or not self.token.value.isdigit():
            self.fail("an exponent is a whole number, as in X[i]^2")
        if len(self.token.value) > 3 or int(self.token.value) > _MAX_EXPONENT:
            self.fail(f"an exponent is at most {_MAX_EXPONENT}")
        exponent = sign * int(self.take().value)
        if base == number(0) and exponent <= 0:
            self.fail("0 has no such power", place)
        return power(base, exponent)

    def atom(self) -> Expression:
        token = self.token
        if token.kind == "number":
            if len(token.value) > 40 or abs(int(re.split("[eE]", token.value + "e0")[1])) > 400:
                self.fail("this number has too many digits")
            return number(Fraction(self.take().value))
        if token.kind == "name":
            return self.named()
        match token.value:
            case "(":
                self.take()
                inside = self.sum()
                self.close(")", token.position)
                return inside
            case "-":
                self.take()
                return negative(self.power())
            case "[":
                return self.bracket()
            case "|":
                return self.extent()
            case "∂":
                return self.jacobian()
        if token.kind == "end":
            self.fail("the formula ends here, but something is missing")
        self.fail(f"expected a tensor, a number, sum[...], max[...] or '(', {self.found()}")

    def named(self) -> Expression:
        token = self.take()
        name = token.value
        if name in _REDUCTIONS:
            return self.reduction(token)
        if self.next_is("["):
            return Access(name, self.subscripts())
        if self.next_is("("):
            if name not in FUNCTIONS:
                self.fail(
                    f"unknown function {name}: the functions are {', '.join(FUNCTIONS)}", token.position
                )
            opened = self.take().position
            argument = self.sum()
            self.close(")", opened)
            return Function(name, argument)
        if name in FUNCTIONS:
            self.fail(f"function {name} needs its argument in brackets, as in {name}(X[i])", token.position)
        if name[0].isupper() or re.match(r"d+[A-Z]", name):
            self.fail(f"{name} is a tensor and needs its subscripts, as in {name}[i]", token.position)
        self.plain.append((name, token.position))
        value = Polynomial.of(name)
        self.numbers.append((value, token.position))
        return Number(value)

    def reduction(self, word: _Token) -> Expression:
        if not self.next_is("["):
            self.fail(f"{word.value} needs its indices, as in {word.value}[u,v]")
        opened = self.take().position
        if self.next_is("]"):
            self.fail(f"an empty {word.value}: name the indices that it runs over", word.position)
        names: list[str] = []
        while True:
            token = self.token
            if token.kind != "name" or token.value in _REDUCTIONS:
                self.fail(f"expected the name of an index, {self.found()}")
            if token.value in names or (word.value != FIRST and token.value in self.scope):
                self.fail(f"index {token.value} is used twice: give this one another name")
            names.append(token.value)
            self.summed.setdefault(token.value, token.position)
            self.take()
            if not self.next_is(","):
                break
            self.take()
        self.close("]", opened)
        if self.token.kind == "end" or self.next_is(")", "]", "+", "*", "/"):
            self.fail(
                f"an empty {word.value}: nothing follows it to be taken over {', '.join(names)}",
                word.position,
            )
        self.scope += names
        body = self.product()
        self.scope = self.scope[: -len(names)]
        for name in names:
            if name not in free_names(body):
                self.fail(
                    f"{word.value} over {name}, but {name} does not occur in what follows", word.position
                )
        return reduce(word.value, names, body)

    def bracket(self) -> Expression:
        opened = self.take().position
        sides, relations = [self.side()], []
        while self.next_is(*_RELATIONS):
            relations.append(self.take().value)
            sides.append(self.side())
        if not relations:
            self.fail("a condition in brackets compares two sides, as in [0 <= i+u-t]", opened)
        self.close("]", opened)
        if all(relation in (">", ">=") for relation in relations):
            sides.reverse()
            relations = [relation.replace(">", "<") for relation in reversed(relations)]
        elif any(relation in (">", ">=") for relation in relations):
            self.fail("write a chain of comparisons in one direction, as in [0 <= i < 5]", opened)
        return Bracket(tuple(sides), tuple(relations))

    def side(self) -> Expression:
        # whole numbers made of indices may be compared, so they are no numbers in the sense of `numbers`
        before = len(self.numbers)
        expression = self.sum()
        if isinstance(expression, Number):
            del self.numbers[before:]
        return expression

    def extent(self) -> Expression:
        opened = self.take().position
        token = self.token
        if token.kind != "name":
            self.fail("expected an index or a tensor's axis between bars, as in |u| or |X.2|")
        name = self.take().value
        if self.next_is("."):
            self.take()
            if self.token.kind != "number" or not self.token.value.isdigit():
                self.fail("expected the number of an axis, counted from 0, as in |X.2|")
            name = f"{name}.{int(self.take().value)}"
        self.close("|", opened)
        self.extents.append((name, token.position))
        return number(f"|{name}|")

    def jacobian(self) -> Expression:
        def entry() -> Access:
            if self.token.kind != "name":
                self.fail("expected a tensor after ∂")
            tensor = self.take().value
            return Access(tensor, self.subscripts() if self.next_is("[") else ())

        self.take()
        of = entry()
        self.expect("/", "between ∂Y[...] and ∂X[...]")
        self.expect("∂", "before the tensor below the line")
        return Jacobian(of, entry())

    # ---- subscripts

    def subscripts(self) -> tuple[Polynomial, ...]:
        opened = self.take().position
        found: list[Polynomial] = []
        before = len(self.numbers)
        if self.next_is("]"):
            self.fail("empty subscripts: a tensor needs one subscript for each axis", opened)
        while True:
            found.append(self.subscript())
            if not self.next_is(","):
                break
            self.take()
        self.close("]", opened)
        del self.numbers[before:]
        return tuple(found)

    def subscript(self) -> Polynomial:
        place, first = self.token.position, self.at
        expression = self.sum()
        if not isinstance(expression, Number):
            self.fail("a subscript is made of indices, settings and whole numbers", place)
        for token in self.tokens[first : self.at]:
            if token.kind == "number" and not token.value.isdigit():
                self.fail(f"{token.value} is not a whole number: subscripts count entries", token.position)
        subscript = expression.value
        constant = subscript.terms.get(frozenset(), Fraction(0))
        if constant.denominator != 1 and not (subscript - constant).has_division:
            self.fail("this subscript is never a whole number", place)
        for monomial, _ in subscript:
            bound = [atom for atom, exponent in monomial if exponent > 0 and atom in self.scope]
            if len(bound) > 1 or any(exponent > 1 for atom, exponent in monomial if atom in bound):
                names = " and ".join(map(str, bound)) if len(bound) > 1 else f"{bound[0]} and itself"
                self.fail(
                    f"indices {names} are multiplied: a subscript is a sum of multiples of indices", place
                )
            if any(exponent < 0 and atom in self.scope for atom, exponent in monomial):
                self.fail("a subscript cannot be divided by an index", place)
        return subscript


def extent_names(expression: Expression) -> frozenset[str]:
    """The names inside bars, ``u`` of ``|u|`` and ``X.2`` of ``|X.2|``, that an expression mentions."""
    from closedform.formula.tree import walk

    found: set[str] = set()
    for node in walk(expression):
        for value in _polynomials(node):
            found |= {atom[1:-1] for atom in value.atoms if isinstance(atom, str) and is_extent(atom)}
    return frozenset(found)


def _polynomials(node: Expression) -> tuple[Polynomial, ...]:
    match node:
        case Number(value):
            return (value,)
        case Access(_, subscripts):
            return subscripts
        case Jacobian():
            return node.access.subscripts
        case _:
            return ()
