"""The verdict on a sheet for a terminal: ``✓`` right, ``✗`` wrong, ``→`` carried forward."""

from __future__ import annotations

import textwrap

from closedform.checking.mistakes import MISTAKES
from closedform.checking.sheet_verdict import SheetVerdict, StepVerdict, WrongEntry

MARKS = {"right": "✓", "wrong": "✗", "carried": "→"}
_LONGEST_NAME = 24


def text(verdict: SheetVerdict, width: int = 100) -> str:
    """The verdict in lines of at most `width` columns, but for words that are longer."""
    lines = [verdict.title, ""]
    if not verdict.steps:
        return "\n".join([*lines, "The sheet states nothing."])
    widest = min(max(len(label(step)) for step in verdict.steps), _LONGEST_NAME)
    for step in verdict.steps:
        lines += _step(step, widest, width)
    lines.append("")
    for convention in verdict.conventions:
        lines += textwrap.wrap(convention, width)
    lines += textwrap.wrap(summary(verdict), width)
    return "\n".join(lines)


def summary(verdict: SheetVerdict) -> str:
    """One sentence on the whole."""
    count = len(verdict.steps)
    first = verdict.first_wrong_step
    if first is None:
        return f"Right: {_claims(count)}." if count != 1 else "Right."
    wrong = sum(step.status == "wrong" for step in verdict.steps)
    carried = sum(step.carried for step in verdict.steps)
    parts = [f"{wrong} of {_claims(count)} {'is' if wrong == 1 else 'are'} wrong"]
    if carried:
        parts.append(f"{carried} {'carries' if carried == 1 else 'carry'} an error forward")
    return f"Wrong: {', '.join(parts)}. The first wrong step is {first.name} (claim {first.number})."


def _claims(count: int) -> str:
    return f"{count} {'claim' if count == 1 else 'claims'}"


def label(step: StepVerdict) -> str:
    """What a claim is about: ``dF``, ``size of Z1``."""
    words = {"size": "size of ", "count": "numbers in "}
    return words.get(step.statement, "") + step.name


def headline(step: StepVerdict) -> str:
    """A step's verdict in a few words."""
    if step.carried:
        return f"follows from {' and '.join(step.follows_from)}: an error carried forward"
    if step.right:
        return f"right, {stated(step)}" if step.compared > 1 and not is_formula(step) else "right"
    if step.compared > 1 and step.differing:
        return f"wrong in {step.differing} of {stated(step)}"
    return "wrong"


def stated(step: StepVerdict) -> str:
    """How many entries a step states."""
    return f"{step.compared} {'entry' if step.compared == 1 else 'entries'}"


def is_formula(step: StepVerdict) -> bool:
    """Whether the claim is a formula."""
    return " = " in step.statement


def explanations(step: StepVerdict) -> list[str]:
    """The mistakes in sentences, with where they were made."""
    where = f" (in {step.where})" if step.where else ""
    return [f"{mistake}{where}: {MISTAKES[mistake].description}" for mistake in step.mistakes]


def entry_name(step: StepVerdict, entry: WrongEntry) -> str:
    """What an entry is called: ``dF[2,1]``."""
    return f"{step.name}[{','.join(map(str, entry.index))}]" if entry.index else step.name


def _step(step: StepVerdict, widest: int, width: int) -> list[str]:
    start = f"{MARKS[step.status]} {step.number:>2}  {label(step):<{widest}}  "
    lines = textwrap.wrap(start + headline(step), width, subsequent_indent=" " * 7)
    indent = " " * 7
    if is_formula(step) and not step.right:
        lines += _wrapped(step.statement, width, indent)
    for sentence in (*explanations(step), *step.notes):
        lines += _wrapped(sentence, width, indent)
    for entry in step.shown:
        name = f"{entry_name(step, entry)}: "
        lines += _wrapped(f"{name}given {entry.given}, expected {entry.expected}", width, indent)
        if entry.expansion and not step.carried:
            lines += _wrapped(f"= {entry.expansion}", width, indent + "  ")
    rest = step.differing - len(step.shown)
    if rest > 0:
        lines.append(f"{indent}and {rest} more")
    return lines


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
