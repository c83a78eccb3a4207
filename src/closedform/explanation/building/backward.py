"""The backward part of a solution: the chain rule, every gradient, and what had to be kept for them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from closedform.explanation.building.factors import PROBABILITY, factors
from closedform.explanation.building.grids import grids
from closedform.explanation.building.lines import Setting
from closedform.explanation.building.pictures import shown_quantity
from closedform.explanation.building.scenes import QuantityScene
from closedform.explanation.building.specialise import specialised
from closedform.explanation.building.writing import Context
from closedform.explanation.document import Block, Display, Inline, Paragraph, Picture, Prose, Section, Table
from closedform.explanation.math import Chain, Derivative, Math, Multiply
from closedform.formula.tree import FIRST, Access, Expression, Reduce, Times, accesses, times
from closedform.solution import Quantity, Solution


def backward(setting: Setting, positions: Iterable[int], *, with_chain: bool) -> Section:
    """The chain rule, then every gradient from the end to the start."""
    solution = setting.writer.solution
    blocks: list[Block] = []
    if with_chain and len(solution.architecture.layers) > 1:
        blocks.append(chain(setting))
    blocks += _upstream(setting)
    allowed = set(positions)
    for quantity in solution.quantities:
        if quantity.role != "gradient":
            continue
        if quantity.layer is None and not with_chain:
            continue
        if quantity.layer is not None and quantity.layer not in allowed:
            continue
        blocks.append(_gradient(setting, quantity))
    return Section(("Backward",), tuple(blocks), "backward")


def _upstream(setting: Setting) -> list[Block]:
    """Where the way back begins, without a loss."""
    solution, writer = setting.writer.solution, setting.writer
    if solution.architecture.loss is not None:
        return []
    output = solution[solution.output]
    symbol = writer.symbol(output.name)
    if solution.is_output_differentiated:
        if solution.batch > 1:
            return [Paragraph(("The gradients are those of the sum of ", symbol, " over the images."))]
        return [Paragraph(("There is no loss: ", symbol, " itself is one number, and is differentiated."))]
    upstream = solution["d" + output.name]
    if setting.values[upstream.name] is None:
        return [
            Paragraph(
                ("The gradient of the loss in ", symbol, " comes from what follows; it is given as ",
                 writer.symbol(upstream.name), ".")
            )
        ]  # fmt: skip
    shown = shown_quantity(setting, upstream)
    return [
        Paragraph(("The gradient of the loss in ", symbol, " is given:")),
        Picture((grids(shown, writer, setting.limits),)),
    ]


def chain(setting: Setting) -> Section:
    """The chain rule, factor by factor, for every gradient that is wanted."""
    solution, writer = setting.writer.solution, setting.writer
    lines: list[Block] = [
        Paragraph(
            ("Each quantity acts on ", writer.symbol(solution.differentiated),
             " only through those that are computed from it; the factors from the end on are found once and "
             "used for all:")
        )
    ]  # fmt: skip
    for quantity in solution.quantities:
        if quantity.name not in solution.wanted or "d" + quantity.name not in solution:
            continue
        position = quantity.layer if quantity.layer is not None else 0
        path = [solution.differentiated] if solution.architecture.loss is not None else []
        if "probabilities" in solution.names:
            path.append(solution.names["probabilities"])
        path += [
            solution.output_of(k) for k in range(len(solution.architecture.layers) - 1, position - 1, -1)
        ]
        path.append(quantity.name)
        path = list(dict.fromkeys(path))
        if len(path) < 3:
            continue
        symbols = [writer.symbol(name) for name in path]
        factors = tuple(Derivative(a, b) for a, b in pairwise(symbols))
        lines.append(Display(Chain((Derivative(symbols[0], symbols[-1]), Multiply(factors)))))
    lines += _loss_factors(setting)
    return Section(("The chain rule, factor by factor",), tuple(lines), "chain")


def _loss_factors(setting: Setting) -> list[Block]:
    """The first two factors of a fused loss by themselves; their product is the gradient that follows."""
    solution, writer = setting.writer.solution, setting.writer
    found = factors(solution)
    if found is None:
        return []
    total = writer.symbol(solution.differentiated)
    probabilities, output = solution.names["probabilities"], solution.output
    target = solution.names["target"]
    lines = []
    for derived, names, of, by in (
        (found.loss, {PROBABILITY: probabilities, "T": target}, None, probabilities),
        (found.activation, {"X": output, "Y": probabilities}, probabilities, output),
    ):
        special = specialised(derived.result, derived.sizes)
        right = special.right if of is None else _divided(special.right, derived.upstream)
        if right is None:
            continue
        context = Context(names, frozenset(derived.result.indices), derived.sizes)
        below = tuple(
            writer.subscript(s, derived.result.indices)
            for s, n in zip(special.left.subscripts, derived.sizes.shapes[derived.by], strict=True)
            if n > 1
        )
        above = total if of is None else writer.symbol(of, below)
        left = Derivative(above, writer.symbol(by, below))
        lines.append(Display(Chain((left, writer.expression(right, context)))))
    if len(lines) < 2:
        opening = "The first factor by itself; with the activation's derivative it gives the gradient in "
    else:
        opening = "The first two factors by themselves; their product is the gradient in "
    return [Paragraph((opening, writer.symbol(output), " below:")), *lines]


def _divided(right: Expression, upstream: str | None) -> Expression | None:
    """What the gradient from above is multiplied by; None where it is not one factor."""
    parts = right.factors if isinstance(right, Times) else (right,)
    above = [part for part in parts if isinstance(part, Access) and part.tensor == upstream]
    others = [part for part in parts if part not in above]
    inside = {access.tensor for part in others for access in accesses(part)}
    return times(*others) if len(above) == 1 and upstream not in inside else None


def _gradient(setting: Setting, quantity: Quantity) -> Section:
    scene = QuantityScene(setting, quantity)
    key = f"gradient-{quantity.name.removeprefix('d')}"
    title: Prose = ("Gradient in ", setting.writer.symbol(quantity.name.removeprefix("d")))
    blocks: list[Block] = []
    if "step(" in str(scene.line.calculation.equation):
        blocks.append(Paragraph(("step(x) is 1 where x is positive, and 0 elsewhere.",), "note"))
    if len(setting.writer.solution.architecture.layers) <= 1:
        blocks += [Paragraph(("In general:",)), scene.steps.derivation(own=False)]
        blocks.append(Paragraph(("With the sizes here:",)))
    return Section(title, (*blocks, scene.backward(f"scene-{key}")), key)


def kept(setting: Setting, positions: Iterable[int]) -> Section:
    """What the backward pass reads of the forward pass, and why."""
    solution, writer = setting.writer.solution, setting.writer
    allowed = set(positions)
    is_whole = len(allowed) == len(solution.architecture.layers)
    needed: dict[str, list[Inline]] = {}
    symbols: dict[str, Math] = {}
    reasons: dict[str, str] = {}
    for quantity in solution.quantities:
        calculation = quantity.calculation
        if quantity.role != "gradient" or calculation is None or calculation.derivation is None:
            continue
        if quantity.layer not in allowed and not (is_whole and quantity.layer is None):
            continue
        selecting = {
            d.left.tensor
            for d in calculation.definitions
            if isinstance(d.right, Reduce) and d.right.operation == FIRST
        }
        for tensor in calculation.derivation.saved:
            name = calculation.reads.get(tensor)
            label = name or solution.definition_name(quantity, tensor)
            scene = QuantityScene(setting, quantity)
            symbols[label] = (
                writer.symbol(name) if name else writer.definition(tensor, (), scene.line.entries.number)
            )
            needed.setdefault(label, [])
            needed[label] += [", "] if needed[label] else []
            needed[label].append(writer.symbol(quantity.name))
            by = quantity.name.removeprefix("d")
            is_factor = name is not None and solution[by].role == "parameter"
            reasons.setdefault(
                label,
                "the gradient of a weight is what the weight is multiplied by"
                if is_factor
                else _why(solution, name, tensor in selecting),
            )
    if not needed:
        prose: Prose = ("Nothing: the gradients here read only what comes from above.",)
        return Section(("What had to be kept",), (Paragraph(prose),), "kept")
    rows = tuple(((symbols[k],), tuple(needed[k]), (reasons[k],)) for k in needed)
    values = [q.name for q in solution.quantities if q.role == "value" and q.layer in allowed]
    unused = [name for name in values if name not in needed and name != solution.differentiated]
    unused = unused if is_whole else []  # another layer may read it
    blocks: list[Block] = [
        Paragraph(
            ("What a gradient's formula reads, besides what comes from above, must still be there when the "
             "backward pass reaches it:",)
        ),
        Table((("kept",), ("for",), ("because",)), rows),
    ]  # fmt: skip
    if unused:
        listed: list[Inline] = []
        for name in unused:
            listed += [", "] if listed else []
            listed.append(writer.symbol(name))
        verb = "is" if len(unused) == 1 else "are"
        blocks.append(Paragraph((*listed, f" {verb} read by no gradient and need not be kept."), "note"))
    return Section(("What had to be kept",), tuple(blocks), "kept")


def _why(solution: Solution, name: str | None, selects: bool) -> str:
    if selects:
        return "it says which entry was the maximum"
    if name is None:
        return "it is a factor of the gradient"
    role = solution[name].role
    return {
        "parameter": "weights carry the gradient back; the old ones, before the update",
        "target": "the gradient of the loss is a difference from it",
    }.get(role, "the derivative depends on this value")
