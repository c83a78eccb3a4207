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
    one fraction  fractions over one denominator, where that is shorter
    take out      a factor that no index of a sum touches stands before it
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from closedform.errors import FormulaError
from closedform.formula.derive import rules
from closedform.formula.derive.definitions import depending, in_order, written_out
from closedform.formula.derive.differentiate import Differentiation, rule_and_reason
from closedform.formula.derive.reasons import Formula, Reason
from closedform.formula.derive.settings import trivial_settings
from closedform.formula.derive.simplify import collect, one_fraction, simplify
from closedform.formula.derive.terms import Term, fresh_index, taken_out, total
from closedform.formula.derive.working import Working, with_few_primes, with_reductions_apart
from closedform.formula.extents import Sizes
from closedform.formula.notation import latex, text
from closedform.formula.subscripts import Polynomial, digits, is_extent, unprimed
from closedform.formula.tree import (
    FIRST,
    MAX,
    ONE,
    SUM,
    Access,
    Equation,
    Expression,
    Jacobian,
    Reduce,
    accesses,
    free_names,
    rebuild,
    reduce,
    times,
)

if TYPE_CHECKING:
    from closedform.formula.naming.name import Name


@dataclass(frozen=True, repr=False)
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
    reason: Reason

    def __repr__(self) -> str:
        return f"<Step {self.rule}: {self.equation}>"

    def __str__(self) -> str:
        return f"{self.rule:13s}{self.equation}\n{'':13s}{self.reason}"


@dataclass(frozen=True, repr=False)
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
        What names stand for: those that the derivation introduced (``M``, the first maxima; ``R``, a named
        factor), and of a gradient's gradient those that the formula and the steps read (``Y``, ``M``).
        Each stands after those that it needs itself.
    sizes
        Extents and shapes of everything that the steps mention.
    keep
        Settings that stayed symbols though they are 0 or 1.
    """

    of: Equation
    by: str
    steps: tuple[Step, ...]
    definitions: tuple[Equation, ...]
    sizes: Sizes
    keep: tuple[str, ...] = ()

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

    @cached_property
    def name(self) -> Name | None:
        """What the result is called, as words and as steps for plain NumPy; None where no name fits."""
        from closedform.formula.naming.name import name_of

        return name_of(self)

    def derive(self, by: str, *, facts: Sequence[str] = ()) -> Derivation:
        """The gradient of this gradient, in any tensor that its formula or a definition mentions."""
        known = self.definitions
        if self.of.left.subscripts:
            known = (Equation(self.of.left, self.of.right), *known)
        return derive(self.result, by, self.sizes, definitions=known, facts=facts, keep=self.keep)

    def latex(self) -> str:
        """The formula, the steps and the definitions as an ``aligned`` LaTeX block, a rule beside each."""
        lines = [rf"{_aligned(self.of)} && \text{{formula}}"]
        lines += [rf"{_aligned(step.equation)} && \text{{{step.rule}}}" for step in self.steps]
        lines += [rf"{_aligned(definition)} && \text{{where}}" for definition in self.definitions]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __repr__(self) -> str:
        return f"<Derivation in {len(self.steps)} steps: {self.result}>"

    def __str__(self) -> str:
        lines = [f"{'formula':13s}{self.of}", *map(str, self.steps)]
        lines += [f"{'where':13s}{definition}" for definition in self.definitions]
        return "\n".join(lines)


def _aligned(equation: Equation) -> str:
    return f"{latex(equation.left)} &= {latex(equation).removeprefix(latex(equation.left) + ' = ')}"


def upstream_name(equation: Equation) -> str:
    """The name of the loss's gradient in what a formula defines: ``dY``, or one that it does not read."""
    return _fresh_tensor("d" + equation.left.tensor, equation.tensors)


def derive(
    equation: Equation,
    by: str,
    sizes: Sizes,
    *,
    definitions: Sequence[Equation] = (),
    facts: Sequence[str] = (),
    keep: Collection[str] = (),
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
    keep
        Settings that stay symbols though they are 0 or 1, because other sizes give them other values.

    Raises
    ------
    FormulaError
        Where the formula does not read the tensor.
    """
    return _Derivation(equation, by, sizes, definitions, facts, keep).run()


class _Derivation:
    def __init__(
        self,
        equation: Equation,
        by: str,
        sizes: Sizes,
        definitions: Sequence[Equation],
        facts: Sequence[str],
        keep: Collection[str],
    ):
        self.original, self.by, self.facts, self.keep = equation, by, facts, keep
        self.working = Working(sizes, list(definitions))
        self.steps: list[Step] = []
        self.left = Access("", ())

    def record(self, terms: Sequence[Term], rule: str, reason: str) -> None:
        """Keep a step unless it changed nothing."""
        shown = [self.working.tidied(term) for term in terms]
        self.record_equation(Equation(self.left, total(shown)), rule, reason)

    def record_equation(self, equation: Equation, rule: str, reason: str) -> None:
        if not self.steps or self.steps[-1].equation != equation:
            whole = reason if isinstance(reason, Reason) else Reason(reason)
            self.steps.append(Step(rule, equation, whole))

    def run(self) -> Derivation:
        working = self.working
        written = self.settings_written_in(self.original)
        selected = self.maxima_selected(self.definitions_written_out(written))
        working.taken |= set(selected.indices)
        recognisable = [
            equation
            for equation in (written, selected, *working.known)
            if equation.left.subscripts and equation.left.tensor != self.by
        ]
        terms = self.differentiated(selected)
        terms = self.applied("rename", *rules.rename(terms, working))
        terms = simplify(terms, recognisable, self.facts, working.sizes, self.record)
        terms = self.applied("replace", *rules.replace(terms, working))
        terms = self.applied("name", *rules.name(terms, working))
        terms = self.applied("unfold", *rules.unfold(terms, working))
        terms = self.applied("solve", *rules.solve(terms, working))
        if _has_quotients(self.original):
            terms = self.applied("re-index", *rules.reindex(terms, working))
        terms = self.applied("fold", *rules.fold(terms, working, self.original.tensors))
        terms = collect(terms, working.sizes, self.record)
        terms = one_fraction(terms, working.sizes, self.record)
        outside = Equation(self.left, taken_out(map(working.tidied, terms)))
        if outside != self.steps[-1].equation:
            outside = Equation(self.left, with_few_primes(outside.right, working.outer))
        self.record_equation(
            outside,
            "take out",
            "What a sum does not touch stands before it, and a common factor is written once.",
        )
        equations = [self.original, *(step.equation for step in self.steps)]
        mentioned = dict.fromkeys(tensor for equation in equations for tensor in equation.tensors)
        definitions = [d for d in (*working.known, *working.definitions) if d.left.tensor != self.by]
        return Derivation(
            self.original,
            self.by,
            tuple(self.steps),
            in_order(definitions, mentioned),
            working.sizes,
            tuple(self.keep),
        )

    def applied(self, rule: str, terms: list[Term], reason: str) -> list[Term]:
        if reason:
            self.record(terms, rule, reason)
        return terms

    def settings_written_in(self, equation: Equation) -> Equation:
        """The formula with the settings that are 0 or 1, and the definitions likewise."""
        settings = {n: v for n, v in self.working.sizes.settings.items() if n not in self.keep}
        values = trivial_settings(equation, settings)
        if not values:
            return equation
        self.working.known = [definition.substitute(values) for definition in self.working.known]
        simpler = equation.substitute(values)
        given = ", ".join(f"{name} = {value}" for name, value in values.items())
        self.record_equation(simpler, "settings", f"Here {given}.")
        return simpler

    def definitions_written_out(self, equation: Equation) -> Equation:
        working = self.working
        working.taken |= set(equation.indices)
        right, names = written_out(equation.right, depending(working.known, self.by), working.sizes)
        if self.by not in {access.tensor for access in accesses(right)}:
            reads = ", ".join(equation.tensors) or "nothing"
            raise FormulaError(
                f"{self.by} does not occur in this formula, which reads {reads}", str(equation), 0
            )
        if not names:
            return equation
        what = "depends" if len(names) == 1 else "depend"
        changed = Equation(equation.left, with_few_primes(right, equation.left_indices))
        self.record_equation(
            changed, "write out", f"{', '.join(names)} {what} on {self.by}, and so must be written out."
        )
        return changed

    def maxima_selected(self, equation: Equation) -> Equation:
        added: dict[str, None] = {}

        def select(expression: Expression) -> Expression:
            expression = rebuild(expression, select)
            if not isinstance(expression, Reduce) or expression.operation != MAX:
                return expression
            if self.by not in {access.tensor for access in accesses(expression.body)}:
                return expression
            free = [i for i in equation.indices if i in free_names(expression.body)]
            order = [i for i in free if i not in expression.indices] + list(expression.indices)
            chosen = self.working.define("MS", order, Reduce(FIRST, expression.indices, expression.body))
            added[chosen.tensor] = None
            return reduce(SUM, expression.indices, times(chosen, expression.body))

        selected = Equation(equation.left, select(equation.right))
        if added:
            names, one = " and ".join(added), len(added) == 1
            self.record_equation(
                selected,
                "maximum",
                f"{names} {'is' if one else 'are'} 1 at the first maximum in row order and 0 elsewhere, and "
                f"{'does' if one else 'do'} not change when {self.by} moves a little.",
            )
        return selected

    def differentiated(self, equation: Equation) -> list[Term]:
        working = self.working
        right = with_reductions_apart(equation.right, set(equation.left_indices))
        equation = Equation(equation.left, right)
        axes, kept = self.gradient_axes(equation)
        working.taken |= {*kept, *equation.indices}
        clashes = {
            index: Polynomial.of(working.again(index))
            for index in dict.fromkeys(equation.indices)
            if index in kept
        }
        equation = equation.substitute(clashes)
        reserved = {*equation.tensors, equation.left.tensor, upstream_name(self.original)}
        reserved |= {definition.left.tensor for definition in working.known}
        self.left = Access(_fresh_tensor("d" + self.by, reserved), axes)
        working.inner = equation.left_indices
        working.outer = Equation(self.left, ONE).left_indices
        terms = self.chained(equation)
        rule, reason = rule_and_reason(self.by, equation.right)
        upstream = terms[0].factors[:-1]
        by = Access(self.by, axes)
        products = Differentiation(by, working).products(equation.right)
        derived = [
            self.own_names(Term((*working.inner, *indices), (*upstream, *factors)))
            for indices, factors in products
        ]
        every = {index for term in derived for index in term.indices}
        derived = [Term.of(term.indices, term.factors) for term in derived]
        counted = sorted(every - {index for term in derived for index in term.indices})
        if counted:
            reason = f"{reason[:-1]}; what does not depend on {', '.join(counted)} is added up so many times."
        derived = [term for term in derived if not term.is_zero]
        self.record(derived, rule, reason)
        return derived

    def own_names(self, term: Term) -> Term:
        """The term with as few primes on the indices that were pulled out of sums as keep them apart."""
        used = {*self.working.outer, *self.working.inner}
        names: dict[str, str] = {}
        for index in term.indices:
            if index not in self.working.inner:
                names[index] = fresh_index(unprimed(index), used)
                used.add(names[index])
        return term.renamed(names)

    def chained(self, equation: Equation) -> list[Term]:
        """The chain rule's one term."""
        working = self.working
        jacobian = Jacobian(equation.left, Access(self.by, self.left.subscripts))
        own = working.sizes.shapes.get(equation.left.tensor, ())
        shape = working.sizes.shapes[self.by]
        shapes = {self.left.tensor: shape, jacobian.name: own + shape}
        factors: list[Expression] = [jacobian]
        reason = Reason(f"{equation.left.tensor} is the loss itself, one number.")
        if equation.left.subscripts:
            name = upstream_name(self.original)
            shapes[name] = own
            factors.insert(0, Access(name, equation.left.subscripts))
            entry = Formula(jacobian.by, text(jacobian.by))
            reason = Reason(entry, f" acts on the loss through every entry of {equation.left.tensor}.")
        working.sizes = working.sizes.extended(shapes=shapes)
        terms = [Term(working.inner, tuple(factors))]
        self.record(terms, "chain rule", reason)
        return terms

    def gradient_axes(self, equation: Equation) -> tuple[tuple[Polynomial, ...], set[str]]:
        """The entries of the tensor: its own bare indices where they fill the axis, else new letters."""
        working = self.working
        shape = working.sizes.shapes[self.by]
        first = next(access for access in equation.accesses if access.tensor == self.by)
        axes: list[Polynomial] = []
        kept: set[str] = set()
        for axis, subscript in enumerate(first.subscripts):
            own = [subscript.lone] if subscript.lone in equation.indices else digits(subscript) or []
            names = {name: unprimed(name) for name in own if name}
            filled = math.prod(map(working.sizes.extent, names)) == shape[axis]
            plain = set(names.values())
            if names and not kept & plain and len(plain) == len(names) and filled:
                axes.append(subscript.substitute({old: Polynomial.of(new) for old, new in names.items()}))
                kept |= plain
            else:
                letter = working.new_index("", shape[axis])
                axes.append(Polynomial.of(letter))
                kept.add(letter)
        return tuple(axes), kept


def _fresh_tensor(tensor: str, taken: Collection[str]) -> str:
    name, count = tensor, 2
    while name in taken:
        name, count = f"{tensor}{count}", count + 1
    return name


def _has_quotients(equation: Equation) -> bool:
    """Whether a subscript is divided by something other than an extent."""
    return any(
        factor.denominator != 1
        or any(k < 0 and not (isinstance(atom, str) and is_extent(atom)) for atom, k in monomial)
        for access in equation.accesses
        for subscript in access.subscripts
        for monomial, factor in subscript
    )
