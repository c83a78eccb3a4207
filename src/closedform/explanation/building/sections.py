"""The sections of a worked solution, in the order in which one works."""

from __future__ import annotations

from closedform.explanation.building.backward import backward, kept
from closedform.explanation.building.difference import numerical_check
from closedform.explanation.building.forward import flow, forward, loss, sizes
from closedform.explanation.building.grids import Limits, grids, is_partial
from closedform.explanation.building.lines import Setting
from closedform.explanation.building.pictures import shown_quantity
from closedform.explanation.document import Block, Display, Expansions, Paragraph, Picture, Section, blocks_of
from closedform.explanation.line import math_text
from closedform.explanation.math import Add, Chain, Math, Multiply, Negative, Symbol


def sections(setting: Setting, only: int | None = None) -> tuple[Block, ...]:
    """The whole solution, or what concerns one layer."""
    solution = setting.writer.solution
    positions = range(len(solution.architecture.layers)) if only is None else (only,)
    found: list[Block] = []
    if only is None:
        if solution.architecture.layers:
            found += [flow(setting), sizes(setting), forward(setting, positions)]
        if solution.architecture.loss is not None:
            found.append(loss(setting))
    else:
        found.append(forward(setting, positions))
    if any(q.role == "gradient" for q in solution.quantities):
        found.append(backward(setting, positions, with_chain=only is None))
        found.append(kept(setting, positions))
    if only is None:
        if any(q.role == "update" for q in solution.quantities):
            found.append(descent(setting))
        checked = numerical_check(setting)
        if checked is not None:
            found.append(Section(("Numerical check",), (checked,), "check"))
    return tuple(found)


def descent(setting: Setting) -> Section:
    """The update of every parameter, with numbers where there is a learning rate."""
    solution, writer = setting.writer.solution, setting.writer
    rate = solution.learning_rate
    eta: Math = Symbol("η")
    blocks: list[Block] = [
        Paragraph(
            ("Every parameter takes a small step against its gradient",
             *((", here with the rate ", Chain((eta, writer.numeral(rate)))) if rate is not None else
               (", as long as the rate ", eta, " is small")),
             ". All gradients belong to the old parameters: they are computed before the first is changed.")
        )
    ]  # fmt: skip
    for quantity in solution.quantities:
        if quantity.role != "update":
            continue
        old = quantity.name.removesuffix("_new")
        step = Negative(Multiply((eta, writer.symbol("d" + old))))
        line = Chain((writer.symbol(quantity.name), Add((writer.symbol(old), step))))
        blocks.append(Display(line))
        if setting.values[quantity.name] is not None:
            own = [solution[old], solution["d" + old], quantity]
            shown = [grids(shown_quantity(setting, q), writer, setting.limits) for q in own]
            number = math_text(writer.numeral(rate)) if rate is not None else "η"
            blocks.append(Picture((shown[0], f"− {number} ·", shown[1], "=", shown[2])))
    return Section(("Gradient descent",), tuple(blocks), "descent")


def is_elided(blocks: tuple[Block, ...]) -> bool:
    """Whether anything in the blocks is shown only in part."""
    for block in blocks_of(blocks):
        match block:
            case Expansions(found, _, left_out):
                if left_out or any(one.left_out for one in found):
                    return True
            case Picture(items):
                shown = [grid for item in items if not isinstance(item, str) for grid in item]
                if any(is_partial(grid) for grid in shown):
                    return True
    return False


def elision(limits: Limits) -> str:
    """One sentence on how much is shown of what is large."""
    return (
        f"Of an axis of more than {limits.rows} entries the first {limits.head} and the last are shown, of "
        f"more than {limits.stack} grids of one array the first {limits.stack - 1} and the last; of more "
        f"than {2 * limits.entries} entries the first {limits.entries - 1} and the last are written out, of "
        f"more than {limits.terms} terms of a sum the first {limits.terms - 1} and the last. "
        "What is left out is counted; of an axis, the size above its grid says how long it is."
    )
