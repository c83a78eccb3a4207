"""The gradient of a formula in one of its tensors, by a short closed list of rules.

Each step is an equality that a student can read and that evaluation confirms.  In order:

    settings      settings that are 0 or 1 are written into the formula
    write out     names that depend on the tensor (from an earlier derivation) are written out
    maximum       max[u] E = sum[u] M * E with M = first[u] E, whose derivative is 0
    chain rule    dT[A] = sum over Y's indices of dY * ∂Y/∂T[A]
    linearity, product rule, point-wise
                  ∂T[e]/∂T[A] is the product of the brackets [A = e]
    rename        [x = y'] with y' summed: write x for y'
    cancel, given, recognise, collect
                  arithmetic on point-wise factors
    replace       under [a = e] write a for e
    name          a factor that is no entry of a tensor gets a name before its index goes
    unfold        [c = (y+e)//k] becomes y = k*c - e + r
    solve         [A = c*y + r] becomes y = (A-r)/c
    re-index      a sum runs over the entries that are read
    fold          of k consecutive numbers exactly one is divisible by k
    take out      a factor that no index of a sum touches stands before it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from closedform.errors import FormulaError
from closedform.formula import rules
from closedform.formula.extents import Sizes
from closedform.formula.notation import latex, subscript_text, text
from closedform.formula.simplify import simplify
from closedform.formula.subscripts import Polynomial, digits, is_extent
from closedform.formula.terms import Term, equal, fresh_index, renamed, taken_out, total
from closedform.formula.tree import (
    FIRST,
    MAX,
    ONE,
    SUM,
    ZERO,
    Access,
    Equation,
    Expression,
    Function,
    Jacobian,
    Number,
    Plus,
    Power,
    Reduce,
    Times,
    accesses,
    free_names,
    minus,
    number,
    power,
    rebuild,
    reduce,
    times,
    walk,
)

_DERIVATIVES: dict[str, Callable[[Expression], Expression]] = {
    "relu": lambda a: Function("step", a),
    "step": lambda a: ZERO,
    "abs": lambda a: minus(Function("step", a), Function("step", times(number(-1), a))),
    "exp": lambda a: Function("exp", a),
    "log": lambda a: power(a, -1),
    "sqrt": lambda a: times(number(Fraction(1, 2)), power(Function("sqrt", a), -1)),
    "sigmoid": lambda a: times(Function("sigmoid", a), minus(ONE, Function("sigmoid", a))),
    "tanh": lambda a: minus(ONE, power(Function("tanh", a), 2)),
    "softplus": lambda a: Function("sigmoid", a),
}


@dataclass(frozen=True)
class Step:
    """One step of a derivation.

    Attributes
    ----------
    rule
        The rule's name, one of those listed in this module.
    equation
        What stands after the step.
    reason
        One sentence.
    """

    rule: str
    equation: Equation
    reason: str

    def __str__(self) -> str:
        return f"{self.rule:13s}{self.equation}\n{'':13s}{self.reason}"


@dataclass(frozen=True)
class Derivation:
    """How a gradient follows from a formula.

    Attributes
    ----------
    of
        The formula that was differentiated.
    by
        The tensor in which it was.
    steps
        In order; the last one's equation is the gradient.
    definitions
        What the names that the derivation introduced stand for (``M``, the first maxima; ``R``, a named
        factor), in the order in which they are computed.
    sizes
        Extents and shapes of everything that the steps mention.
    """

    of: Equation
    by: str
    steps: tuple[Step, ...]
    definitions: tuple[Equation, ...]
    sizes: Sizes

    @property
    def result(self) -> Equation:
        """The gradient's formula."""
        return self.steps[-1].equation

    @property
    def gradient(self) -> str:
        """The gradient's own name, ``dX``."""
        return self.result.left.tensor

    @property
    def upstream(self) -> str | None:
        """The name of the gradient that comes from above, ``dY``; None where the formula is the loss."""
        return upstream_name(self.of) if self.of.left.subscripts else None

    @cached_property
    def saved(self) -> tuple[str, ...]:
        """The tensors that the backward pass must have from the forward pass: those that the result reads."""
        return tuple(tensor for tensor in self.result.tensors if tensor != self.upstream)

    def derive(self, by: str, *, facts: Sequence[str] = ()) -> Derivation:
        """The gradient of this gradient, in any tensor that its formula or a definition mentions."""
        known = self.definitions
        if self.of.left.subscripts:
            known = (Equation(self.of.left, self.of.right), *known)
        return derive(self.result, by, self.sizes, definitions=known, facts=facts)

    def latex(self) -> str:
        """The steps as an ``aligned`` LaTeX block, one line a step with its rule, then the definitions."""
        lines = [rf"{_aligned(step.equation)} && \text{{{step.rule}}}" for step in self.steps]
        lines += [rf"{_aligned(definition)} && \text{{where}}" for definition in self.definitions]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps]
        lines += [f"{'where':13s}{definition}" for definition in self.definitions]
        return "\n".join(lines)


def _aligned(equation: Equation) -> str:
    return f"{latex(equation.left)} &= {latex(equation).removeprefix(latex(equation.left) + ' = ')}"


def upstream_name(equation: Equation) -> str:
    """The name of the loss's gradient in what a formula defines: ``dY``."""
    return "d" + equation.left.tensor


def derive(
    equation: Equation,
    by: str,
    sizes: Sizes,
    *,
    definitions: Sequence[Equation] = (),
    facts: Sequence[str] = (),
) -> Derivation:
    """The gradient of the loss in one tensor of a formula.

    Parameters
    ----------
    equation
        A layer's formula, a loss (a scalar on the left), or a gradient's formula.
    by
        The tensor.
    sizes
        The formula's sizes.  The result depends on them only where extents coincide with settings.
    definitions
        What names in the formula stand for, where they may depend on the tensor.
    facts
        Tensors that sum to 1 along the last axis (labels).

    Raises
    ------
    FormulaError
        Where the formula does not read the tensor.
    """
    return _Derivation(equation, by, sizes, definitions, facts).run()


class _Derivation:
    def __init__(
        self,
        equation: Equation,
        by: str,
        sizes: Sizes,
        definitions: Sequence[Equation],
        facts: Sequence[str],
    ):
        self.original, self.by, self.facts = equation, by, facts
        self.known = list(definitions)
        self.steps: list[Step] = []
        self.names = rules.Names(sizes, set(), (), ())
        self.left = Access("", ())
        mentioned = {*equation.tensors, *(t for d in self.depending() for t in d.tensors)}
        if by not in mentioned:
            line = str(equation)
            raise FormulaError(
                f"{by} does not occur in this formula, which reads {', '.join(equation.tensors)}", line, 0
            )

    # ---- bookkeeping

    def record(self, terms: Sequence[Term], rule: str, reason: str) -> None:
        """Keep a step unless it changed nothing."""
        self.record_equation(Equation(self.left, total(terms)), rule, reason)

    def record_equation(self, equation: Equation, rule: str, reason: str) -> None:
        if not self.steps or self.steps[-1].equation != equation:
            self.steps.append(Step(rule, equation, reason))

    def depending(self) -> list[Equation]:
        """The definitions that depend on the tensor, directly or through others."""
        found: dict[str, Equation] = {}
        growing = True
        while growing:
            growing = False
            for definition in self.known:
                selects = isinstance(definition.right, Reduce) and definition.right.operation == FIRST
                reads = {self.by, *found} & set(definition.tensors)
                if reads and not selects and definition.left.tensor not in found:
                    found[definition.left.tensor] = definition
                    growing = True
        return list(found.values())

    # ---- the steps

    def run(self) -> Derivation:
        equation = self.settings_written_in(self.original)
        equation = self.definitions_written_out(equation)
        equation = self.maxima_selected(equation)
        terms = self.differentiated(equation)

        terms, done = rules.rename(terms, self.names)
        if done:
            self.record(terms, "rename", f"Of these sums only the term with {', '.join(done)} is left.")
        recognisable = [
            e for e in (self.original, *self.known) if e.left.subscripts and self.by != e.left.tensor
        ]
        terms = simplify(terms, recognisable, self.facts, self.names.sizes, self.record)
        terms, done = rules.replace(terms, self.names)
        if done:
            self.record(terms, "replace", f"Where the bracket is not 0, {', '.join(done)}.")
        terms, named = rules.name(terms, self.names)
        if named:
            self.record(terms, "name", _name_reason(named))
        terms, done = rules.unfold(terms, self.names)
        if done:
            self.record(terms, "unfold", f"Rounding down leaves a remainder r: {', '.join(done)}.")
        terms, solutions = rules.solve(terms, self.names)
        if solutions:
            self.record(terms, "solve", _solve_reason(solutions))
        if _has_quotients(self.original):
            terms, done = rules.reindex(terms, self.names)
            if done:
                self.record(
                    terms, "re-index", f"The sum runs over the entries that are read: {', '.join(done)}."
                )
        terms, done = rules.fold(terms, self.names, self.original.tensors)
        if done:
            self.record(
                terms,
                "fold",
                f"Of as many consecutive numbers as the divisor exactly one is divisible: {', '.join(done)}.",
            )
        outside = Equation(self.left, taken_out(terms))
        self.record_equation(
            outside, "take out", "A factor that no index of the sum touches stands before it."
        )
        used = self.definitions_used()
        return Derivation(self.original, self.by, tuple(self.steps), used, self.names.sizes)

    def settings_written_in(self, equation: Equation) -> Equation:
        sizes = self.names.sizes
        alone = {
            atom
            for value in _polynomials(equation)
            for monomial, _ in value
            for atom, exponent in monomial
            if exponent > 0 and sum(k > 0 for _, k in monomial) == 1
        }
        trivial = {
            name: value
            for name, value in sizes.settings.items()
            if name in equation.settings and (value == 0 or (value == 1 and name not in alone))
        }
        if not trivial:
            return equation
        simpler = equation.substitute({name: Polynomial.of(Fraction(v)) for name, v in trivial.items()})
        values = ", ".join(f"{name} = {value}" for name, value in trivial.items())
        self.record_equation(simpler, "settings", f"Here {values}.")
        return simpler

    def definitions_written_out(self, equation: Equation) -> Equation:
        depending = self.depending()
        if not depending:
            return equation
        self.names.taken |= set(equation.indices)
        right = equation.right
        written = []
        for definition in reversed(depending):
            if any(access.tensor == definition.left.tensor for access in accesses(right)):
                right = rules.inline(right, definition, self.names)
                written.append(definition.left.tensor)
        if not written:
            return equation
        self.known = [d for d in self.known if d.left.tensor not in written] + [
            d for d in self.known if d.left.tensor in written
        ]
        verb = "depends" if len(written) == 1 else "depend"
        changed = Equation(equation.left, right)
        self.record_equation(
            changed, "write out", f"{', '.join(written)} {verb} on {self.by} and must be written out."
        )
        return changed

    def maxima_selected(self, equation: Equation) -> Equation:
        added: list[Access] = []

        def select(expression: Expression) -> Expression:
            expression = rebuild(expression, select)
            if not isinstance(expression, Reduce) or expression.operation != MAX:
                return expression
            if self.by not in {access.tensor for access in accesses(expression.body)}:
                return expression
            free = [i for i in equation.indices if i in free_names(expression.body)]
            order = [i for i in free if i not in expression.indices] + list(expression.indices)
            chosen = self.names.define("MS", order, Reduce(FIRST, expression.indices, expression.body))
            added.append(chosen)
            return reduce(SUM, expression.indices, times(chosen, expression.body))

        self.names.taken |= set(equation.indices)
        selected = Equation(equation.left, select(equation.right))
        if added:
            names = " and ".join(access.tensor for access in added)
            self.record_equation(
                selected,
                "maximum",
                f"The maximum is the term at which {names} is 1; {names} does not change when "
                f"{self.by} moves a little.",
            )
        return selected

    def differentiated(self, equation: Equation) -> list[Term]:
        names = self.names
        equation = self.with_sums_apart(equation)
        axes, kept = self.gradient_axes(equation)
        names.taken |= set(kept) | set(equation.indices)
        clashes = {index: names.again(index) for index in dict.fromkeys(equation.indices) if index in kept}
        left = renamed(equation.left, clashes)
        right = renamed(equation.right, clashes)
        if not isinstance(left, Access):
            raise TypeError("an equation defines an entry of a tensor")
        names.inner = Equation(left, right).left_indices
        reserved = {*equation.tensors, equation.left.tensor, *(d.left.tensor for d in self.known)}
        self.left = Access(_fresh_tensor("d" + self.by, reserved), axes)
        names.outer = Equation(self.left, ONE).left_indices
        upstream = [Access(upstream_name(equation), left.subscripts)] if left.subscripts else []
        jacobian = Jacobian(left, Access(self.by, axes))
        shapes = {self.left.tensor: names.sizes.shapes[self.by]}
        own = names.sizes.shapes.get(equation.left.tensor, ())
        if upstream:
            shapes[upstream[0].tensor] = own
        shapes[jacobian.name] = own + names.sizes.shapes[self.by]
        names.sizes = names.sizes.extended(shapes=shapes)

        entry = f"{self.by}[{','.join(map(subscript_text, axes))}]" if axes else self.by
        reason = (
            f"{entry} acts on the loss through every entry of {equation.left.tensor}."
            if upstream
            else f"{equation.left.tensor} is the loss itself, one number."
        )
        self.record([Term(names.inner, (*upstream, jacobian))], "chain rule", reason)
        inside = self.differentiate(right, axes, False)
        terms = [
            Term.of((*names.inner, *indices), (*upstream, *factors))
            for indices, factors in inside
            if ZERO not in factors
        ]
        self.record(terms, *_differentiate_reason(self.by, right, terms))
        return terms

    def with_sums_apart(self, equation: Equation) -> Equation:
        """Every sum with index names of its own, so that a sum can be pulled outward."""
        seen = set(equation.left_indices)

        def apart(expression: Expression) -> Expression:
            if isinstance(expression, Reduce) and expression.operation == SUM:
                own = {}
                for index in expression.indices:
                    own[index] = fresh_index(index, seen)
                    seen.add(own[index])
                changed = {old: new for old, new in own.items() if old != new}
                body = renamed(expression.body, changed) if changed else expression.body
                return reduce(SUM, [own[index] for index in expression.indices], apart(body))
            return rebuild(expression, apart)

        return Equation(equation.left, apart(equation.right))

    def gradient_axes(self, equation: Equation) -> tuple[tuple[Polynomial, ...], set[str]]:
        """The entries of the tensor: its own bare indices where they fill the axis, else a, b, ..."""
        sizes = self.names.sizes
        shape = sizes.shapes[self.by]
        first = next(access for access in equation.accesses if access.tensor == self.by)
        used = {*sizes.extents, *sizes.settings, *equation.indices, *self.names.taken}
        letters = (c for c in "abcdefghijklmnopqrstuvwxyz" if c not in used)
        axes: list[Polynomial] = []
        kept: set[str] = set()
        for axis, subscript in enumerate(first.subscripts):
            own = [subscript.lone] if subscript.lone in equation.indices else digits(subscript) or []
            names = [name for name in own if name]
            count = 1
            for name in names:
                count *= sizes.extent(name)
            if names and not kept & set(names) and count == shape[axis]:
                axes.append(subscript)
                kept |= set(names)
            else:
                letter = next(letters)
                self.names.sizes = sizes = sizes.extended(extents={letter: shape[axis]})
                axes.append(Polynomial.of(letter))
                kept.add(letter)
        return tuple(axes), kept

    def differentiate(
        self, expression: Expression, axes: Sequence[Polynomial], stays: bool
    ) -> list[tuple[tuple[str, ...], tuple[Expression, ...]]]:
        """The derivative in the tensor's entry `axes`, as ``(summed indices, factors)``.

        Where `stays`, the expression is left standing beside its derivative (under a power or a function),
        so that a sum pulled out of it needs names of its own.
        """
        match expression:
            case Access(tensor, subscripts) if tensor == self.by:
                return [((), tuple(map(_bracket, axes, subscripts)))]
            case Plus(terms):
                return [part for term in terms for part in self.differentiate(term, axes, stays)]
            case Times(factors):
                return [
                    (indices, (*factors[:k], *inside, *factors[k + 1 :]))
                    for k, factor in enumerate(factors)
                    for indices, inside in self.differentiate(factor, axes, stays)
                ]
            case Power(base, exponent):
                outer = (number(exponent), power(base, exponent - 1))
                return [(i, (*outer, *inside)) for i, inside in self.differentiate(base, axes, True)]
            case Function(function, argument):
                slope = _DERIVATIVES[function](argument)
                return [(i, (slope, *inside)) for i, inside in self.differentiate(argument, axes, True)]
            case Reduce(operation, indices, body) if operation == SUM:
                if stays:
                    own = {index: self.names.again(index) for index in indices}
                    indices, body = tuple(own.values()), renamed(body, own)
                return [((*indices, *i), inside) for i, inside in self.differentiate(body, axes, stays)]
            case _:
                return []

    def definitions_used(self) -> tuple[Equation, ...]:
        """The definitions that the steps mention, each after those that it needs."""
        new = {d.left.tensor: d for d in (*self.known, *self.names.definitions)}
        needed: dict[str, Equation] = {}

        def need(tensor: str) -> None:
            if tensor in new and tensor not in needed and tensor != self.by:
                for inner in new[tensor].tensors:
                    if inner != tensor:
                        need(inner)
                needed[tensor] = new[tensor]

        for step in self.steps:
            for tensor in step.equation.tensors:
                need(tensor)
        return tuple(needed.values())


def _bracket(axis: Polynomial, subscript: Polynomial) -> Expression:
    return equal(axis, subscript)


def _fresh_tensor(tensor: str, taken: set[str]) -> str:
    name, count = tensor, 2
    while name in taken:
        name, count = f"{tensor}{count}", count + 1
    return name


def _polynomials(equation: Equation) -> list[Polynomial]:
    found = [s for access in (equation.left, *equation.accesses) for s in access.subscripts]
    return found + [node.value for node in walk(equation.right) if isinstance(node, Number)]


def _has_quotients(equation: Equation) -> bool:
    """Whether a subscript is divided by something other than an extent."""
    return any(
        factor.denominator != 1
        or any(k < 0 and not (isinstance(atom, str) and is_extent(atom)) for atom, k in monomial)
        for access in equation.accesses
        for subscript in access.subscripts
        for monomial, factor in subscript
    )


def _differentiate_reason(by: str, right: Expression, terms: Sequence[Term]) -> tuple[str, str]:
    once = (
        f"{by} occurs once, as a factor: its derivative is what it is multiplied by, at the one place where "
        f"the subscripts agree."
    )
    if len(terms) > 1:
        return "product rule", "Each factor in turn is differentiated, the others stay."
    reads = [node for node in walk(right) if isinstance(node, Function | Power)]
    if any(by in {access.tensor for access in accesses(node)} for node in reads):
        return "point-wise", "The derivative of the function, at the one place where the subscripts agree."
    return "linearity", once


def _name_reason(named: Sequence[Equation]) -> str:
    return (
        f"What is not an entry of a tensor gets a name, {'; '.join(map(text, named))}, "
        f"so that it is 0 outside its own range."
    )


def _solve_reason(solutions: Sequence[rules.Solution]) -> str:
    what = ", ".join(dict.fromkeys(solution.text for solution in solutions))
    reason = f"The {'bracket is' if len(solutions) == 1 else 'brackets are'} solved: {what}."
    if any(solution.divides for solution in solutions):
        reason += (
            " Where that is not a whole number nothing is read: "
            "zeros stand between the entries (zero insertion)."
        )
    if any(solution.value.lone is None for solution in solutions):
        reason += " Outside its range nothing is read: zeros stand around it (padding)."
    return reason
