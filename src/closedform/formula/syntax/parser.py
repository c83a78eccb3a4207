"""Text to tree: the grammar of the formula language.

    formula    = tensor "[" subscripts "]" "=" sum
               | name "=" sum
    sum        = ["-"] product { ("+" | "-") product }
    product    = power { ("*" | "/" | "//" | "%") power }
    power      = atom [ "^" ["-"] whole number ]
    atom       = number | setting | "|" index "|" | "|" tensor "." axis "|"
               | tensor "[" subscripts "]" | function "(" sum ")"
               | ("sum" | "max" | "first") "[" indices "]" product
               | "∂" tensor [ "[" subscripts "]" ] "/" "∂" tensor [ "[" subscripts "]" ]
               | "[" sum relation sum { relation sum } "]" | "(" sum ")" | "-" power

A sum reaches to the end of its product.  Tensors are names before ``[``, functions names before ``(``;
every other name is an index or a setting, written without a capital.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from fractions import Fraction
from typing import TypeVar

from closedform.errors import FormulaError
from closedform.formula.notation import text
from closedform.formula.subscripts import (
    Atom,
    Floor,
    Modulo,
    Polynomial,
    floor_divide,
    remainder,
    unprimed,
)
from closedform.formula.syntax.limits import MAX_DIGITS, MAX_EXPONENT, Limits, TooLargeError
from closedform.formula.syntax.names import Mentions, Subscript, Use, check_layer, check_left, check_uses
from closedform.formula.syntax.tokens import Cursor, Token
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
    negative,
    number,
    power,
    reduce,
)

_REDUCTIONS = (SUM, MAX, FIRST)
_NO_REDUCTIONS = ("mean", "avg", "average", "min", "prod", "argmax")
_RELATIONS = ("=", "<", "<=", ">", ">=", "!=")
_TURNED = {">": "<", ">=": "<=", "=": "=", "!=": "!="}
_MAX_LENGTH = 5_000
_MAX_DEPTH = 50

_Result = TypeVar("_Result")


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
        raise FormulaError(f"a formula is text, not {type(source).__name__}", repr(source)[:80], 0)
    if len(source) > _MAX_LENGTH:
        raise FormulaError(
            f"a formula has at most {_MAX_LENGTH} characters, this has {len(source)}", source[:80], 0
        )
    parser = _Parser(source)
    equation = parser.formula(settings)
    if parser.is_large:
        _check_printed(equation, source)
    return equation


def _check_printed(equation: Equation, source: str) -> None:
    """Raise where a formula near the limits, multiplied out and bracketed, is past them."""
    written = text(equation)
    if len(written) <= _MAX_LENGTH:
        with suppress(FormulaError):
            _Parser(written).formula(None)
            return
    raise FormulaError(
        f"this formula is too large: in full it has over {_MAX_LENGTH} characters or {_MAX_DEPTH} brackets",
        source,
        0,
    )


class _Parser(Cursor):
    def __init__(self, source: str):
        super().__init__(source)
        self.limits = Limits()
        self.depth = self.deepest = 0
        self.scope: set[str] = set()  # the indices that are bound where we are
        self.mentions = Mentions()

    @property
    def is_large(self) -> bool:
        """Whether the formula, printed, may be past the limits."""
        is_long = len(self.source) > _MAX_LENGTH // 5
        return is_long or self.deepest > _MAX_DEPTH // 4 or self.limits.is_near

    def limited(self, place: int, compute: Callable[[], _Result]) -> _Result:
        try:
            return compute()
        except TooLargeError as error:
            self.fail(str(error), place)

    # the formula

    def formula(self, settings: Collection[str] | None) -> Equation:
        if self.is_at_end:
            self.fail("the formula is empty: write one such as Y[n,i] = 2 * X[n,i]")
        if self.token.kind != "name":
            self.fail("a formula begins with the tensor that it defines, as in Y[n,i] = 2 * X[n,i]")
        word = self.take()
        self.check_tensor_name(word)
        if self.next_is("("):
            self.fail(f"subscripts stand in square brackets, as in {word.value}[n,i]")
        subscripts = self.subscripts() if self.next_is("[") else []
        check_left(self, subscripts, self.mentions.uses)
        left = Access(word.value, tuple(subscript.value for subscript in subscripts))
        on_left, self.mentions.uses = self.mentions.uses, []
        self.mentions.ranks[left.tensor] = len(left.subscripts)
        self.scope.update(left_indices(left))
        if self.is_at_end:
            self.fail("the right side is missing: expected '=' and what the tensor equals")
        if not self.next_is("="):
            self.fail(f"expected '=' after the left side, found {self.token.value!r}")
        self.take()
        if self.is_at_end:
            self.fail("the right side is missing: nothing stands behind '='")
        if self.next_is("="):
            self.fail("write '=' once")
        right = self.sum()
        if not self.is_at_end:
            self.misplaced()
        check_uses(self, self.mentions, settings)
        if settings is not None:
            check_layer(self, self.mentions, left, on_left, right, settings)
        return Equation(left, right)

    def check_tensor_name(self, word: Token) -> None:
        if word.value in _REDUCTIONS or word.value in FUNCTIONS:
            kind = "an operation" if word.value in _REDUCTIONS else "a function"
            self.fail(f"{word.value} is {kind} and cannot name a tensor", word.position)

    # expressions

    def sum(self) -> Expression:
        place = self.token.position
        sign = self.take().value if self.next_is("-") else "+"
        terms = []
        while True:
            term = self.product()
            terms.append(negative(term) if sign == "-" else term)
            if not self.next_is("+", "-"):
                break
            sign = self.take().value
        return terms[0] if len(terms) == 1 else self.limited(place, lambda: self.limits.sum(terms))

    def product(self) -> Expression:
        place = self.token.position
        factors = [self.power()]
        is_rounded = False
        while self.next_is("*", "/", "//", "%"):
            sign = self.take()
            if sign.value == "*" and self.next_is("*"):
                self.fail("a power is written with ^, as in X[i]^2")
            factor = self.power()
            if sign.value in ("//", "%"):
                if len(factors) > 1 or is_rounded:
                    self.fail(
                        f"use brackets to say what is rounded: (a*b){sign.value}c or a*(b{sign.value}c)",
                        sign.position,
                    )
                factors, is_rounded = [self.rounded(factors[0], factor, sign)], True
            elif sign.value == "/":
                if factor == number(0):
                    self.fail("division by 0", sign.position)
                factors.append(power(factor, -1))
            else:
                factors.append(factor)
        return factors[0] if len(factors) == 1 else self.limited(place, lambda: self.limits.product(factors))

    def rounded(self, above: Expression, below: Expression, sign: Token) -> Expression:
        if not (isinstance(above, Number) and isinstance(below, Number)):
            self.fail(
                f"{sign.value!r} is for indices, settings and whole numbers, not for tensors", sign.position
            )
        if below.value.constant == 0:
            self.fail("division by 0", sign.position)
        for name in sorted(below.value.names):
            if name in self.scope:
                self.fail(
                    f"{sign.value!r} by index {name}: only numbers, settings and extents divide",
                    sign.position,
                )
        combine = floor_divide if sign.value == "//" else remainder
        result = combine(above.value, below.value)
        return Number(self.limited(sign.position, lambda: self.limits.checked(result)))

    def power(self) -> Expression:
        base = self.atom()
        if not self.next_is("^"):
            return base
        place = self.take().position
        sign = -1 if self.next_is("-") and self.take() else 1
        if self.token.kind != "number" or not self.token.value.isdigit():
            self.fail("an exponent is a whole number, as in X[i]^2")
        if len(self.token.value) > 3 or int(self.token.value) > MAX_EXPONENT:
            self.fail(f"an exponent is at most {MAX_EXPONENT}")
        exponent = sign * int(self.take().value)
        if base == number(0) and exponent <= 0:
            self.fail("0 has no such power", place)
        return self.limited(place, lambda: self.limits.power(base, exponent))

    def atom(self) -> Expression:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        if self.depth > _MAX_DEPTH:
            self.fail(f"more than {_MAX_DEPTH} brackets, sums and signs inside one another")
        result = self.unit()
        self.depth -= 1
        return result

    def unit(self) -> Expression:
        token = self.token
        if token.kind == "number":
            return self.constant()
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
        if self.is_at_end:
            self.fail("the formula ends too early: a tensor or a number is missing here")
        if token.value == ".":
            self.misplaced()
        self.fail(f"expected a tensor, a number, sum[...], max[...] or '(', found {token.value!r}")

    def constant(self) -> Expression:
        place = self.token.position
        mantissa, _, exponent = self.token.value.lower().partition("e")
        if len(mantissa) > MAX_DIGITS or len(exponent) > 5 or abs(int(exponent or 0)) > MAX_DIGITS:
            self.fail("this number has too many digits")
        value = Polynomial.of(Fraction(self.take().value))
        return Number(self.limited(place, lambda: self.limits.checked(value)))

    def named(self) -> Expression:
        word = self.take()
        name = word.value
        if name in _REDUCTIONS:
            return self.reduction(word)
        if name in FUNCTIONS:
            return self.function(word)
        if self.next_is("["):
            read = self.access(word)
            if name in _NO_REDUCTIONS and self.token.kind == "name":
                self.fail(f"unknown reduction {name}: there are {', '.join(_REDUCTIONS)}", word.position)
            return read
        if self.next_is("("):
            self.fail(f"unknown function {name}: the functions are {', '.join(FUNCTIONS)}", word.position)
        if name[0].isupper() or re.match("d+[A-Z]", name):
            self.fail(
                f"tensor {name} needs its subscripts, as in {name}[i] (a setting has no capital)",
                word.position,
            )
        self.mentions.uses.append(Use(name, word.position, name in self.scope))
        return number(name)

    def function(self, word: Token) -> Expression:
        name, opened = word.value, self.token.position
        if not self.next_is("("):
            self.fail(f"function {name} needs its argument in round brackets, as in {name}(X[i])", opened)
        self.take()
        self.mentions.values.append((f"function {name}", word.position))
        if self.next_is(")"):
            self.fail(f"function {name} needs an argument, as in {name}(X[i])")
        argument = self.sum()
        if self.next_is(","):
            self.fail(f"function {name} takes one argument")
        self.close(")", opened)
        return Function(name, argument)

    def reduction(self, word: Token) -> Expression:
        what = word.value
        if not self.next_is("["):
            self.fail(f"{what} needs its indices in square brackets, as in {what}[u,v]")
        self.mentions.values.append((what, word.position))
        names = self.reduced_indices(what)
        if self.is_at_end or self.next_is(")", "]", ",", "=", "+", "*", "/"):
            inside = ",".join(names)
            self.fail(f"{what}[{inside}] has no terms: write them behind it, as in {what}[u] X[i+u]")
        bound = () if what == FIRST else names
        self.scope.update(bound)
        body = self.product()
        self.scope.difference_update(bound)
        free = free_names(body)
        for name in names:
            if name not in free:
                self.fail(f"{what} over {name}, but {name} does not occur in what follows", word.position)
        return reduce(what, names, body)

    def reduced_indices(self, what: str) -> list[str]:
        opened = self.take().position
        names: list[str] = []
        while True:
            token = self.token
            if not names and self.next_is("]"):
                self.fail(f"{what}[] is empty: name the indices that it runs over, as in {what}[u,v]")
            if self.is_at_end:
                self.close("]", opened)
            if token.kind != "name":
                self.fail(f"expected the name of an index, found {token.value!r}")
            if token.value in _REDUCTIONS or token.value in FUNCTIONS:
                self.fail(f"{token.value} is a word of the language: give the index another name")
            if what == FIRST and token.value not in self.scope:
                self.fail(
                    f"first marks a place along {token.value}, which must be on the left or summed around it"
                )
            if token.value in names or (what != FIRST and token.value in self.scope):
                self.fail(f"index {token.value} is in use already: give this one another name")
            names.append(token.value)
            if what != FIRST:
                self.mentions.reduced.setdefault(token.value, what)
            self.take()
            if self.next_is(","):
                self.take()
                continue
            if self.token.kind in ("name", "number"):
                self.misplaced(", or ]")
            if self.next_is("="):
                self.fail(
                    f"{what}[...] takes names only: give the extent as {names[-1]}=... beside the formula"
                )
            self.close("]", opened)
            return names

    def bracket(self) -> Expression:
        opened = self.take().position
        self.mentions.values.append(("a comparison", opened))
        sides, relations = [self.side()], list[Token]()
        while self.next_is(*_RELATIONS):
            relations.append(self.take())
            if self.next_is("="):
                self.fail("write '=' once")
            sides.append(self.side())
        if not relations and (self.next_is("]") or self.is_at_end):
            self.fail("a condition in square brackets compares two sides, as in [0 <= i-t]", opened)
        self.close("]", opened)
        signs = [relation.value for relation in relations]
        upward, downward = ([r.position for r in relations if r.value[0] == sign] for sign in "<>")
        if upward and downward:
            self.fail(
                "a chain of comparisons runs in one direction, as in [0 <= i < 5]",
                max(upward[0], downward[0]),
            )
        if downward:
            sides.reverse()
            signs = [_TURNED[sign] for sign in reversed(signs)]
        return Bracket(tuple(sides), tuple(signs))

    def side(self) -> Expression:
        place, before = self.token.position, len(self.mentions.uses)
        side = self.sum()
        if isinstance(side, Number):
            # a comparison of whole numbers, which may be made of indices
            self.check_affine(side.value, place)
            for use in self.mentions.uses[before:]:
                use.is_number = False
        return side

    def extent(self) -> Expression:
        opened = self.take().position
        token = self.token
        if self.is_at_end:
            self.close("|", opened)
        if token.kind != "name":
            self.fail("between bars stands an index or an axis, as in |u| or |X.2|")
        name = unprimed(self.take().value)
        if self.next_is("."):
            self.take()
            axis = self.token.value
            if self.token.kind != "number" or not axis.isdigit() or len(axis) > 2:
                self.fail("expected the number of an axis, counted from 0, as in |X.2|")
            self.take()
            name = f"{name}.{int(axis)}"
        if not self.next_is("|") and any(token.value == "|" for token in self.tokens[self.at :]):
            self.fail(
                "between bars stands one index or axis, as in |u| or |X.2|; the absolute value is abs(...)"
            )
        if not self.next_is("|"):
            self.fail("this '|' is never closed", opened)
        self.take()
        self.mentions.extents.append((name, token.position))
        return number(f"|{name}|")

    def jacobian(self) -> Expression:
        self.mentions.values.append(("∂", self.token.position))
        of = self.differential()
        if not self.next_is("/"):
            self.fail("a derivative is written ∂Y[...]/∂X[...]: '/' is missing")
        self.take()
        if not self.next_is("∂"):
            self.fail("a derivative is written ∂Y[...]/∂X[...]: '∂' is missing")
        return Jacobian(of, self.differential())

    def differential(self) -> Access:
        self.take()
        if self.token.kind != "name":
            self.fail("expected a tensor behind ∂")
        word = self.take()
        self.check_tensor_name(word)
        return self.access(word) if self.next_is("[") else Access(word.value, ())

    def access(self, word: Token) -> Access:
        tensor = word.value
        self.mentions.values.append((f"tensor {tensor}", word.position))
        subscripts = tuple(subscript.value for subscript in self.subscripts())
        rank = self.mentions.ranks.setdefault(tensor, len(subscripts))
        if rank != len(subscripts):
            self.fail(
                f"the number of {tensor}'s subscripts changes: {len(subscripts)} here, {rank} before",
                word.position,
            )
        return Access(tensor, subscripts)

    # subscripts

    def subscripts(self) -> list[Subscript]:
        opened, before = self.take().position, len(self.mentions.uses)
        if self.next_is("]"):
            self.fail("empty subscripts: a tensor needs one subscript for each axis", opened)
        found: list[Subscript] = []
        while True:
            if self.next_is(",", "]"):
                self.fail(f"a subscript is missing before {self.token.value!r}")
            if self.is_at_end:
                self.close("]", opened)
            found.append(self.subscript())
            if self.next_is(","):
                self.take()
                continue
            if self.token.kind in ("name", "number") or self.next_is("|"):
                self.misplaced("* or , or ]")
            self.close("]", opened)
            for use in self.mentions.uses[before:]:
                use.is_number = False
            return found

    def subscript(self) -> Subscript:
        place, first, before = self.token.position, self.at, len(self.mentions.values)
        expression = self.sum()
        if len(self.mentions.values) > before:
            what, position = self.mentions.values[before]
            self.fail(
                f"{what} in a subscript: only indices, settings and whole numbers stand there", position
            )
        if not isinstance(expression, Number):
            self.fail("a subscript can be divided by a product, not by a sum", place)
        for token in self.tokens[first : self.at]:
            if token.kind == "number" and not token.value.isdigit():
                self.fail(f"{token.value} is not a whole number: subscripts count entries", token.position)
        subscript = expression.value
        constant = subscript.terms.get(frozenset(), Fraction(0))
        if constant.denominator != 1 and not (subscript - constant).has_division:
            self.fail(f"this subscript is never a whole number: it contains {constant}", place)
        self.check_affine(subscript, place)
        return Subscript(subscript, place, self.source[place : self.token.position].rstrip())

    def check_affine(self, value: Polynomial, place: int) -> None:
        """Raise where indices multiply or divide one another."""
        for monomial, _ in value:
            moving = [(atom, exponent) for atom, exponent in monomial if self.moves(atom)]
            for atom, exponent in moving:
                if exponent < 0:
                    self.fail("division by an index: only numbers, settings and extents divide", place)
                if isinstance(atom, Floor | Modulo):
                    self.check_affine(atom.numerator, place)
            if len(moving) > 1 or any(exponent > 1 for _, exponent in moving):
                names = sorted(self.scope & Polynomial({monomial: Fraction(1)}).names)
                which = (
                    f"index {names[0]} is multiplied by itself"
                    if len(names) == 1
                    else f"indices {' and '.join(names)} are multiplied"
                )
                self.fail(f"{which}: only numbers, settings and extents multiply an index", place)

    def moves(self, atom: Atom) -> bool:
        """Whether an index is in the atom."""
        return atom in self.scope if isinstance(atom, str) else bool(self.scope & Polynomial.of(atom).names)
