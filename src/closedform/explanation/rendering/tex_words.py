"""Words for TeX: what has a meaning there is escaped, and signs get the commands that draw them."""

from __future__ import annotations

import unicodedata

_SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon"
_LARGE = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
_GREEK = {
    sign: "\\" + name
    for signs, names in (
        ("αβγδεζηθικλμνξπρστυφχψω", f"{_SMALL} phi chi psi omega"),
        ("ΓΔΘΛΞΠΣΥΦΨΩ", _LARGE),
    )
    for sign, name in zip(signs, names.split(), strict=True)
}
_SIGNS = {
    "×": r"\times",
    "·": r"\cdot",
    "−": "-",
    "±": r"\pm",
    "∗": r"\ast",
    "⊙": r"\odot",
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "↦": r"\mapsto",
    "≤": r"\le",
    "≥": r"\ge",
    "≠": r"\ne",
    "≈": r"\approx",
    "∂": r"\partial",
    "∞": r"\infty",
    "√": r"\surd",
    "⌊": r"\lfloor",
    "⌋": r"\rfloor",
    "°": r"^{\circ}",
    "′": r"{}^{\prime}",
    "²": "^{2}",
    "³": "^{3}",
    "⁻": "^{-}",
    "¹": "^{1}",
    "∈": r"\in",
    "ᵀ": r"^{\mathsf{T}}",
    "✓": r"\checkmark",
    "✗": r"\otimes",
    "…": r"\ldots",
    "⋮": r"\vdots",
    "⋱": r"\ddots",
    "∇": r"\nabla",
}
MATHEMATICS = {**_GREEK, **_SIGNS}
"""Signs and the commands that draw them in mathematics."""

_WORDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{\vert}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "„": ",,",
    "‘": "`",
    "’": "'",
    "\N{NO-BREAK SPACE}": "~",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "§": r"\S{}",
    "©": r"\copyright{}",
}
_ACCENTS = {
    "\u0300": r"\`",
    "\u0301": r"\'",
    "\u0302": r"\^",
    "\u0303": r"\~",
    "\u0304": r"\=",
    "\u0306": r"\u",
    "\u0307": r"\.",
    "\u0308": r"\"",
    "\u030a": r"\r",
    "\u030b": r"\H",
    "\u030c": r"\v",
    "\u0327": r"\c",
    "\u0328": r"\k",
}
_IN_MATHEMATICS = {
    "\\": r"\backslash ",
    "{": r"\lbrace ",
    "}": r"\rbrace ",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\wedge ",
    "~": r"\sim ",
    "<": "< ",
    ">": "> ",
    "|": r"\vert ",
}


def words(text: str) -> str:
    """Words outside mathematics.  A letter that the fonts of TeX lack is written by its number."""
    return "".join(map(_word, unicodedata.normalize("NFC", text)))


def code_words(text: str) -> str:
    r"""Code in ``\texttt``, whose font has every sign of ASCII at its number."""
    return "".join(
        rf"\symbol{{{ord(sign)}}}" if sign in "\\{}$&#%_^~<>|`\"'" else _word(sign)
        for sign in unicodedata.normalize("NFC", text)
    )


def words_in_mathematics(text: str) -> str:
    r"""Words inside mathematics, for TeX and for MathJax: ``\text{...}`` around what is only letters."""
    parts: list[str] = []
    letters = ""
    for sign in unicodedata.normalize("NFC", text) + "\0":
        command = _IN_MATHEMATICS.get(sign, MATHEMATICS.get(sign, "") and MATHEMATICS[sign] + " ")
        if not command and sign != "\0":
            letters += f"U+{ord(sign):04X}" if r"\texttt" in _word(sign) else sign
            continue
        parts += ([rf"\text{{{letters}}}"] if letters else []) + [command]
        letters = ""
    return "".join(parts).strip()


def _word(sign: str) -> str:
    if sign in _WORDS:
        return _WORDS[sign]
    if sign.isascii():
        return sign if sign.isprintable() else " "
    if sign in MATHEMATICS:
        return rf"\ensuremath{{{MATHEMATICS[sign]}}}"
    whole = unicodedata.normalize("NFD", sign)
    base, accents = whole[0], whole[1:]
    if base.isascii() and accents in _ACCENTS:
        dotless = {"i": r"\i", "j": r"\j"}.get(base, base) if accents not in "\u0327\u0328" else base
        return rf"{_ACCENTS[accents]}{{{dotless}}}"
    return rf"\texttt{{U+{ord(sign):04X}}}"
