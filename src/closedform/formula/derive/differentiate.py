"""The derivative of an expression in one entry of a tensor: linearity, product rule, table of functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from closedform.formula.derive.terms import equal
from closedform.formula.derive.working import Working
from closedform.formula.subscripts import Polynomial
from closedform.formula.tree import (
    FIRST,
    MINUS_ONE,
    ONE,
    SUM,
    ZERO,
    Access,
    Bracket,
    Expression,
    Function,
    Plus,
    Power,
    Reduce,
    Times,
    accesses,
    children,
    minus,
    number,
    power,
    rebuild,
    reduce,
    substitute_free,
    times,
    walk,
)

Product = tuple[tuple[str, ...], tuple[Expression, ...]]  # summed indices, factors

_DERIVATIVES: dict[str, Callable[[Expression], Expression]] = {
    "relu": lambda a: Function("step", a),
    "step": lambda a: ZERO,
    "abs": lambda a: minus(Function("step", a), Function("step", times(MINUS_ONE, a))),
    "exp": lambda a: Function("exp", a),
    "log": lambda a: power(a, -1),
    "sqrt": lambda a: times(number(Fraction(1, 2)), power(Function("sqrt", a), -1)),
    "sigmoid": lambda a: times(Function("sigmoid", a), minus(ONE, Function("sigmoid", a))),
    "tanh": lambda a: minus(ONE, power(Function("tanh", a), 2)),
    "softplus": lambda a: Function("sigmoid", a),
}
_TABLE = {
    "relu": "step(x)",
    "step": "0",
    "abs": "step(x) - step(-x)",
    "exp": "exp(x)",
    "log": "1/x",
    "sqrt": "1/(2*sqrt(x))",
    "sigmoid": "sigmoid(x)*(1 - sigmoid(x))",
    "tanh": "1 - tanh(x)^2",
    "softplus": "sigmoid(x)",
}


@dataclass
class Differentiation:
    """Differentiates expressions, no two sums of which have an index in common, in the entry `by`.

    What a function or a power leaves standing beside its derivative gets index names of its own, so that
    the sums inside it can be pulled out.
    """

    by: Access
    working: Working
    behind: dict[str, str] = field(default_factory=dict)

    def products(self, expression: Expression) -> list[Product]:
        """The derivative, one product for each occurrence of the tensor."""
        match expression:
            case Access(tensor, subscripts) if tensor == self.by.tensor:
                return [((), tuple(map(equal, self.by.subscripts, subscripts)))]
            case Plus(terms):
                return [product for term in terms for product in self.products(term)]
            case Times(factors):
                return [
                    (indices, (*factors[:k], *inside, *factors[k + 1 :]))
                    for k, factor in enumerate(factors)
                    for indices, inside in self.products(factor)
                ]
            case Power(base, exponent):
                outer = (number(exponent), power(self.left_behind(base), exponent - 1))
                return [(indices, (*outer, *inside)) for indices, inside in self.products(base)]
            case Function(name, argument):
                slope = _DERIVATIVES[name](self.left_behind(argument))
                return [(indices, (slope, *inside)) for indices, inside in self.products(argument)]
            case Reduce(operation, summed, body) if operation == SUM:
                return [((*summed, *indices), inside) for indices, inside in self.products(body)]
            case _:
                return []

    def left_behind(self, expression: Expression) -> Expression:
        if not isinstance(expression, Reduce) or expression.operation == FIRST:
            return rebuild(expression, self.left_behind)
        own: dict[str, Polynomial] = {}
        for index in expression.indices:
            if index not in self.behind:
                self.behind[index] = self.working.again(index)
            own[index] = Polynomial.of(self.behind[index])
        body = substitute_free(self.left_behind(expression.body), own)
        return reduce(expression.operation, [self.behind[index] for index in expression.indices], body)


def rule_and_reason(tensor: str, expression: Expression) -> tuple[str, str]:
    """Which rule of differentiation an expression needs, and one sentence on why the outcome is so."""
    holding = _holding(tensor, expression)
    place = "at the one place where the subscripts agree"
    table = ", ".join(dict.fromkeys(line for line in map(_table_line, holding) if line))
    if not holding:
        rule, reason = "linearity", f"What compares or selects entries of {tensor} has no derivative"
    elif any(_holds_twice(tensor, node, Times) for node in holding):
        rule = "product rule"
        reason = f"Where several factors of a product hold {tensor}, each in turn is differentiated, {place}"
        reason += f"; from the table, {table}" if table else ""
    elif table:
        rule, reason = "point-wise", f"From the table, {table}, {place}"
    elif any(_holds_twice(tensor, node, Plus) for node in holding):
        rule = "linearity"
        reason = f"Each term that holds {tensor} adds what {tensor} is multiplied by, {place}"
    else:
        rule = "linearity"
        reason = f"{tensor} occurs once, as a factor: its derivative is what it is multiplied by, {place}"
    compares = any(isinstance(node, Bracket) and _reads(tensor, node) for node in walk(expression))
    return rule, reason + ("; a bracket has the derivative 0." if compares and holding else ".")


def _reads(tensor: str, expression: Expression) -> bool:
    return any(access.tensor == tensor for access in accesses(expression))


def _holding(tensor: str, expression: Expression) -> list[Expression]:
    """The expression and what is inside it, as far as the tensor occurs in it and is differentiated."""
    stops = isinstance(expression, Bracket) or (
        isinstance(expression, Reduce) and expression.operation != SUM
    )
    if stops or not _reads(tensor, expression):
        return []
    inside = [node for child in children(expression) for node in _holding(tensor, child)]
    return [expression, *inside] if inside or isinstance(expression, Access) else []


def _holds_twice(tensor: str, node: Expression, kind: type) -> bool:
    return isinstance(node, kind) and sum(bool(_holding(tensor, child)) for child in children(node)) > 1


def _table_line(node: Expression) -> str:
    """The derivative of a function or a power, as it stands in tables; of anything else nothing."""
    match node:
        case Function(name, _):
            return f"{name}'(x) = {_TABLE[name]}"
        case Power(_, exponent) if exponent < 0:
            above, below = -exponent, 1 - exponent
            return f"(1/x{_raised(above)})' = -{above}/x{_raised(below)}"
        case Power(_, exponent):
            return f"(x{_raised(exponent)})' = {exponent}*x{_raised(exponent - 1)}"
    return ""


def _raised(exponent: int) -> str:
    return "" if exponent == 1 else f"^{exponent}"
