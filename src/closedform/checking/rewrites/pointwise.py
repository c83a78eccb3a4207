"""Mistakes with derivatives of point-wise functions, softmax and the fused losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from closedform.checking.lines import Line
from closedform.checking.rewrites.parts import Rewrites, terms_of
from closedform.formula.tree import (
    ONE,
    SUM,
    ZERO,
    Access,
    Bracket,
    Expression,
    Function,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    accesses,
    minus,
    negative,
    plus,
    rebuild,
    times,
    walk,
)
from closedform.layers.losses import TARGET


def masks(line: Line) -> Rewrites:
    """ReLU's mask missing, from the wrong array, or the wrong way round."""
    right = line.equation.right
    steps = [node for node in walk(right) if isinstance(node, Function) and node.name == "step"]
    if line.wrt is None:
        if any(isinstance(node, Function) and node.name == "relu" for node in walk(right)):
            yield "relu-mask-missing", line.rewritten(_each(right, _relu, lambda node: _argument(node)))
        return
    if not steps:
        return
    yield "relu-mask-missing", line.rewritten(_each(right, _mask, lambda _: ONE))
    yield "relu-mask-inverted", line.rewritten(_each(right, _mask, _inverted))
    yield "leak-missing", line.rewritten(_each(right, _negative_side, lambda _: ZERO))
    inside = {access for step in steps for access in accesses(step)}
    entries = {a for a in accesses(right) if a.tensor == line.upstream}
    if line.derivation is not None:
        entries |= {a for a in accesses(right) if a.tensor not in {i.tensor for i in inside}}
    for entry in sorted(entries, key=str):

        def taken_from(node: Expression, entry: Access = entry) -> Expression:
            return _with_argument(node, entry)

        yield "relu-mask-wrong-array", line.rewritten(_each(right, _mask, taken_from))
    for step in steps:
        value = Function("relu", step.argument)
        changed = _each(right, lambda node, step=step: node == step, lambda _, value=value: value)  # type: ignore[misc]
        yield "activation-instead-of-derivative", line.rewritten(changed)


def _relu(node: Expression) -> bool:
    return isinstance(node, Function) and node.name == "relu"


def _argument(node: Expression) -> Expression:
    return node.argument if isinstance(node, Function) else node


def _mask(node: Expression) -> bool:
    """Whether the node is ReLU's derivative, or a leaky one's."""
    if isinstance(node, Function):
        return node.name == "step"
    return isinstance(node, Plus) and any(_mask(term) for term in node.terms)


def _negative_side(node: Expression) -> bool:
    return isinstance(node, Bracket) and not node.compares_subscripts


def _with_argument(node: Expression, entry: Expression) -> Expression:
    """The mask with another entry where its own is read."""
    if isinstance(node, Function) and node.name == "step":
        return Function("step", entry)
    if _negative_side(node) and isinstance(node, Bracket):
        sides = tuple(side if isinstance(side, Number) else entry for side in node.sides)
        return Bracket(sides, node.relations)
    return rebuild(node, lambda inner: _with_argument(inner, entry))


def _inverted(node: Expression) -> Expression:
    """1 where the mask has less, and the other way round."""
    if isinstance(node, Function) and node.name == "step":
        return Bracket((node.argument, ZERO), ("<=",))
    if _negative_side(node) and isinstance(node, Bracket):
        argument = next(side for side in node.sides if not isinstance(side, Number))
        return Function("step", argument)
    return rebuild(node, _inverted)


def _each(
    expression: Expression, chosen: Callable[[Expression], bool], change: Callable[[Expression], Expression]
) -> Expression:
    """The expression with every chosen node changed, outermost first."""
    if chosen(expression):
        return change(expression)
    return rebuild(expression, lambda inner: _each(inner, chosen, change))


def derivatives(line: Line) -> Rewrites:
    """The derivative of sigmoid or tanh missing, there once more, or taken elsewhere."""
    if line.wrt is None:
        return
    right = line.equation.right
    for value, factors, mistake in _derivatives(right):

        def without(put: Expression, factors: tuple[Expression, ...] = factors) -> Expression:
            def change(node: Expression) -> Expression:
                own = node.factors if isinstance(node, Times) else (node,)
                if not all(factor in own for factor in factors):
                    return rebuild(node, change)
                return times(put, *[factor for factor in own if factor not in factors])

            return change(right)

        yield mistake, line.rewritten(without(ONE))
        yield "activation-instead-of-derivative", line.rewritten(without(value))
        for other in _wrong_places(line, value):
            product = times(*[_each(f, lambda n: n == value, lambda _, o=other: o) for f in factors])  # type: ignore[misc] # noqa: B023
            yield "derivative-at-wrong-array", line.rewritten(without(product))
    if line.is_loss:
        for value in dict.fromkeys(_probabilities(right)):
            extra = times(value, minus(ONE, value), right)
            yield "activation-derivative-extra", line.rewritten(extra)


def _derivatives(right: Expression) -> Iterator[tuple[Expression, tuple[Expression, ...], str]]:
    """Each product ``F * (1 - F)`` and each factor ``1 - F^2``, with F."""
    for node in walk(right):
        own = node.factors if isinstance(node, Times) else (node,)
        for factor in own:
            if minus(ONE, factor) in own and not isinstance(factor, Number):
                yield factor, (factor, minus(ONE, factor)), "sigmoid-derivative-missing"
            if isinstance(factor, Plus) and isinstance(node, Times):
                for term in factor.terms:
                    base = negative(term)
                    if isinstance(base, Power) and base.exponent == 2 and factor == minus(ONE, base):
                        yield base.base, (factor,), "tanh-derivative-missing"


def _wrong_places(line: Line, value: Expression) -> Iterator[Expression]:
    """The input where the output belongs, and the function of the output."""
    own = [access for access in accesses(line.formula.right) if access.tensor == line.wrt]
    is_output = isinstance(value, Access) and value.tensor == line.formula.left.tensor
    if not (is_output and isinstance(line.formula.right, Function) and own and isinstance(value, Access)):
        return
    yield Access(own[0].tensor, value.subscripts)
    yield Function(line.formula.right.name, value)


def _probabilities(right: Expression) -> Iterator[Expression]:
    """Sigmoids and softmaxes that the line holds."""
    for node in walk(right):
        if isinstance(node, Function) and node.name == "sigmoid":
            yield node
        if isinstance(node, Times) and _is_softmax(node):
            yield times(*[factor for factor in node.factors if _part_of_softmax(factor)])


def _part_of_softmax(factor: Expression) -> bool:
    if isinstance(factor, Function):
        return factor.name == "exp"
    return isinstance(factor, Power) and factor.exponent == -1 and isinstance(factor.base, Reduce)


def _is_softmax(expression: Expression) -> bool:
    """Whether it holds exp(x) over a sum of such."""
    factors = expression.factors if isinstance(expression, Times) else ()
    return sum(map(_part_of_softmax, factors)) == 2


def labels(line: Line) -> Rewrites:
    """The labels left out of probabilities minus labels."""
    if line.wrt is None or TARGET not in line.equation.tensors:
        return

    def reads_labels(expression: Expression) -> bool:
        return any(access.tensor == TARGET for access in accesses(expression))

    def drop(node: Expression) -> Expression:
        kept = [term for term in terms_of(node) if not reads_labels(term)]
        if isinstance(node, Plus) and kept:
            return plus(*kept)
        return rebuild(node, drop)

    yield "labels-not-subtracted", line.rewritten(drop(line.equation.right))


def softmax(line: Line) -> Rewrites:
    """Only part of softmax's Jacobian."""
    right, output = line.equation.right, line.formula.left
    if line.wrt is None or not _is_softmax(line.formula.right) or line.upstream is None:
        return
    if not any(isinstance(node, Reduce) and node.operation == SUM for node in walk(right)):
        return
    upstream = next((a for a in accesses(right) if a.tensor == line.upstream), None)
    own = next((a for a in accesses(right) if a.tensor == output.tensor), None)
    if upstream is None or own is None:
        return
    y = Access(output.tensor, line.equation.left.subscripts)
    dy = Access(line.upstream, line.equation.left.subscripts)
    yield "softmax-jacobian-diagonal", line.rewritten(times(dy, y, minus(ONE, y)))
    yield "softmax-sum-missing", line.rewritten(times(dy, y))
    yield "softmax-derivative-missing", line.rewritten(dy)
