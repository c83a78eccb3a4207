"""An explanation as a LaTeX document, and as TeX that Jupyter shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from closedform.explanation.document import (
    Block,
    Code,
    Derivation,
    Display,
    Document,
    Expansion,
    Expansions,
    Flow,
    Listing,
    Paragraph,
    Picture,
    Prose,
    Scene,
    Section,
    Step,
    Strong,
    Table,
)
from closedform.explanation.line import math_text
from closedform.explanation.math import Chain, Math, Word
from closedform.explanation.rendering.latex_grids import picture_array, picture_latex
from closedform.explanation.rendering.plain_tables import column_sizes
from closedform.explanation.rendering.reading import continued, section_numbers, sides
from closedform.explanation.rendering.tex import (
    AT_PRODUCT,
    AT_RELATION,
    AT_SUM,
    breakable,
    inline,
    inline_latex,
    math_latex,
    rows,
)
from closedform.explanation.rendering.tex_words import code_words, words, words_in_mathematics

__all__ = ["latex_document", "latex_fragment", "math_latex"]

_PREAMBLE = r"""\documentclass[10pt,a4paper]{article}
\usepackage[margin=22mm]{geometry}
\usepackage{amsmath,amssymb,array,color}
\definecolor{gray}{gray}{0.6}
\raggedright
\raggedbottom
\binoppenalty=10000
\relpenalty=10000
\lineskip=3pt
\lineskiplimit=2pt
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt plus 2pt}
\setlength{\arraycolsep}{4pt}
\setlength{\jot}{1pt}
\renewcommand{\arraystretch}{1.4}
% #1 the formula; it is broken where it says so, and what follows is indented
\newcommand{\formula}[1]{{\leftskip=2em\hangindent=2.5em\hangafter=1 $\displaystyle #1$\par}}
% #1 the rule, #2 the formula, #3 the reason
\newcommand{\step}[3]{\parbox[t]{0.12\linewidth}{\raggedright\small\textsf{#1}}\hfill
  \parbox[t]{0.54\linewidth}{\raggedright\hangindent=2em\hangafter=1 $\displaystyle #2$}\hfill
  \parbox[t]{0.31\linewidth}{\raggedright\small #3}\par}
\newenvironment{note}{\small\leftskip=1em }{\par}
\newenvironment{listing}{\ttfamily\small\leftskip=2em\hangindent=2em }{\par}
\begin{document}
"""
_HEADING = {1: "section", 2: "subsection"}
_SIDE_BY_SIDE = 78  # so many signs of an expansion stand next to one another
_TABLE = 92  # and so many letters of a table


def latex_document(document: Document) -> str:
    """A document for ``pdflatex``, which needs no more than the packages of texlive-latex-base."""
    over = rf"{{\small\textsf{{{words(document.over)}}}\par}}" + "\n" if document.over else ""
    title = rf"{{\LARGE\bfseries {words(document.title)}\par}}" + "\n"
    body = "\n\n".join(_Writer(section_numbers(document)).blocks(document.blocks))
    return f"{_PREAMBLE}{over}{title}\n{body}\n\n\\end{{document}}\n"


def prose_latex(prose: Prose) -> str:
    """Words with formulas that may be broken over lines."""
    return "".join(_inline(part) for part in prose)


def _inline(part: str | Math | Code | Strong) -> str:
    if isinstance(part, str):
        return words(part)
    if isinstance(part, Code):
        return rf"\texttt{{{_code(part.text)}}}"
    return rf"\textbf{{{words(part.text)}}}" if isinstance(part, Strong) else f"${_breaking(inline(part))}$"


def _code(text: str) -> str:
    """Code may be broken after its commas and operators."""
    return re.sub(r"([,=*+/])", r"\1\\allowbreak{}", code_words(text))


def _breaking(tex: str) -> str:
    tex = tex.replace(AT_RELATION, r"\allowbreak ").replace(AT_SUM, r"\allowbreak ")
    return tex.replace(AT_PRODUCT, r"\penalty700 ").strip()


class _Writer:
    def __init__(self, numbers: dict[str, str]):
        self.numbers = numbers

    def blocks(self, blocks: Iterable[Block]) -> list[str]:
        return [part for block in blocks for part in self._block(block)]

    def _block(self, block: Block) -> list[str]:
        match block:
            case Scene(_, inside):
                return self.blocks(inside)
            case Section(title, inside, key):
                number = self.numbers[key]
                command = _HEADING.get(number.count(".") + 1, "subsubsection")
                return [rf"\{command}*{{{number}\quad {prose_latex(title)}}}", *self.blocks(inside)]
            case Paragraph(prose, kind):
                return [_paragraph(prose_latex(prose), kind)]
            case Listing(lines):
                return [
                    rf"\begin{{listing}}{_spaces(line)}{_code(line.strip())}\end{{listing}}" for line in lines
                ]
            case Display(math):
                return [rf"\formula{{{_breaking(breakable(math))}}}"]
            case Derivation(steps):
                return [_step(step, before) for step, before in zip(steps, (None, *steps), strict=False)]
            case Flow():
                return [_flow(block)]
            case Table():
                return [_table(block)]
            case Picture():
                return [picture_latex(block, prose_latex)]
            case Expansions():
                return _expansions(block)


def _paragraph(text: str, kind: str) -> str:
    match kind:
        case "lead":
            return rf"{{\large {text}\par}}"
        case "note":
            return rf"\begin{{note}}{text}\end{{note}}"
        case "taught":
            return rf"{{\leftskip=1em\rightskip=1em plus 1fil\itshape {text}\par}}"
        case _:
            return text


def _spaces(line: str) -> str:
    return r"\ " * (len(line) - len(line.lstrip(" ")))


def _step(step: Step, before: Step | None) -> str:
    shared = continued(step, before)
    if shared is None:
        formula = _breaking(breakable(step.math))
    else:
        left, relation, others = shared
        rest = _breaking(breakable(Chain((left, *others.sides), (relation, *others.relations))))
        written = _breaking(breakable(left))
        is_narrow = len(math_text(left)) <= 12
        formula = (rf"\phantom{{{written}}}" if is_narrow else r"\quad ") + rest.removeprefix(written)
    return rf"\step{{{words(step.rule)}}}{{{formula}}}{{{prose_latex(step.reason)}}}"


def _flow(flow: Flow) -> str:
    line = ""
    for station in flow.stations:
        shape = r" \times ".join(map(str, station.shape))
        line += f"${math_latex(station.symbol)}$" + (rf"{{\small\ (${shape}$)}}" if shape else "")
        if station.step:
            about = rf"[\text{{{words(station.about)}}}]" if station.about else ""
            line += rf" $\xrightarrow{about}{{\text{{{words(station.step)}}}}}$ "
    return line


def _table(table: Table) -> str:
    rows = [row for row in (table.head, *table.rows, table.foot) if row]
    if not rows:
        return ""
    texts = [[_seen(cell) for cell in row] for row in rows]
    count = max(map(len, rows))
    shares = _shares(texts)
    letters = ["r" if c in table.numeric else "l" for c in range(count)]
    if shares:
        align = {"r": "raggedleft", "l": "raggedright"}
        letters = [
            rf">{{\{align[letter]}\arraybackslash}}p{{{share:.3f}\linewidth}}"
            for letter, share in zip(letters, shares, strict=True)
        ]
    lines = [" & ".join(prose_latex(cell) for cell in row) + r" \\" for row in rows]
    if table.head:
        lines[0] = r"\hline " + lines[0] + r" \hline"
    if table.foot:
        lines[-1] = r"\hline " + lines[-1]
    ruled = "\n".join(lines)
    return rf"\begin{{tabular}}{{@{{}}{''.join(letters)}@{{}}}}" + f"\n{ruled} \\hline\n\\end{{tabular}}"


def _seen(prose: Prose) -> str:
    return "".join(
        part if isinstance(part, str) else part.text if isinstance(part, Code | Strong) else math_text(part)
        for part in prose
    )


def _shares(texts: list[list[str]]) -> list[float]:
    """The shares of the line that columns get where they do not fit as they are."""
    natural = column_sizes(texts, sys.maxsize) or []
    sizes = column_sizes(texts, _TABLE)
    if sizes == natural:
        return []
    sizes = sizes or natural
    return [(1 - 0.03 * (len(sizes) - 1)) * size / sum(sizes) for size in sizes]


def _expansions(block: Expansions) -> list[str]:
    more = [rf"\ldots{{}} and {block.left_out} more in the same way."] if block.left_out else []
    count = max(block.columns, 1)
    if count > 1 and all(_size(e) <= _SIDE_BY_SIDE // count - 3 for e in block.expansions):
        boxes = [rf"\parbox[t]{{{0.98 / count:.3f}\linewidth}}{{{_expansion(e)}}}" for e in block.expansions]
        starts = range(0, len(boxes), count)
        return ["%\n".join(boxes[start : start + count]) for start in starts] + more
    return [_expansion(e) for e in block.expansions] + more


def _size(e: Expansion) -> int:
    return len(math_text(e.left)) + max((len(math_text(side)) for side in sides(e)), default=0)


def _expansion(e: Expansion) -> str:
    found = sides(e)
    if _size(e) > _SIDE_BY_SIDE:
        phantom = rf"\phantom{{{math_latex(e.left)}}}"
        lines = [_breaking(breakable(Chain((e.left, *found[:1]))))]
        lines += [rf"{phantom} = {_breaking(breakable(side))}" for side in found[1:]]
        caption = [rf"{{\small {_places(e.at)}}}\par\nobreak"] if e.at else []
        return "\n".join([*caption, *(rf"\formula{{{line}}}" for line in lines)])
    caption_above = rf"{{\small {_places(e.at)}}}\\*[2pt]" if e.at else ""
    equal = [f"& = {math_latex(side)}" for side in found]
    aligned = r" \\ ".join([math_latex(e.left) + " " + " ".join(equal[:1]), *equal[1:]])
    return rf"{caption_above}\hspace*{{2em}}$\begin{{aligned}}{aligned}\end{{aligned}}$"


def _places(at: str) -> str:
    """The place of an entry, its indices in italics."""
    return re.sub(r"(?<!\w)([a-z])(?!\w)", r"\\textit{\1}", words(at))


def latex_fragment(document: Document) -> str:
    """The mathematics of a document in displays that MathJax shows: formulas, derivations, grids, entries."""
    displays = [rf"\Large {words_in_mathematics(document.title)}"]
    displays += _displays(document.blocks, section_numbers(document))
    return "\n\n".join(f"$$\n{display}\n$$" for display in displays)


def _displays(blocks: Iterable[Block], numbers: dict[str, str]) -> list[str]:
    found: list[str] = []
    for block in blocks:
        match block:
            case Section(title, inside, key):
                found += [rf"\large \text{{{numbers[key]} }}{prose_in_mathematics(title)}"]
                found += _displays(inside, numbers)
            case Scene(_, inside):
                found += _displays(inside, numbers)
            case Display(math):
                found.append(aligned_latex(math))
            case Derivation(steps):
                found += [
                    rf"{aligned_latex(step.math)} \qquad {words_in_mathematics(step.rule)}" for step in steps
                ]
            case Picture():
                found += [picture_array(block, prose_in_mathematics)]
            case Expansions(expansions):
                found += [expansion_latex(e) for e in expansions]
    return found


def prose_in_mathematics(prose: Prose) -> str:
    """A short piece of prose inside mathematics: a title."""
    return "".join(
        words_in_mathematics(part)
        if isinstance(part, str)
        else words_in_mathematics(part.text)
        if isinstance(part, Code | Strong)
        else inline_latex(part)
        for part in prose
    )


def aligned_latex(math: Math, width: int = 70) -> str:
    """A formula for a display, over several rows where it is long."""
    broken = rows(math, width)
    if len(broken) == 1:
        return broken[0].replace("&", "", 1)
    return "\\begin{aligned}\n" + " \\\\\n".join(broken) + "\n\\end{aligned}"


def expansion_latex(e: Expansion, width: int = 70) -> str:
    """An entry written out for a display: symbols, numbers and the value on rows of their own."""
    lines: list[str] = []
    for side in sides(e):
        first, *others = rows(Chain((Word(""), side)), width)
        lines += [first, *others]
    if not lines:
        return math_latex(e.left)
    lines[0] = f"{math_latex(e.left)} {lines[0].strip()}"
    if len(lines) == 1:
        return lines[0].replace("&", "", 1)
    return "\\begin{aligned}\n" + " \\\\\n".join(line.strip() for line in lines) + "\n\\end{aligned}"
