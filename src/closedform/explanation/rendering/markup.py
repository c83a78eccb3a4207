"""Elements of HTML and MathML as text, everything from outside escaped."""

from __future__ import annotations

from html import escape

__all__ = ["element", "escape", "opening"]

Value = str | int | bool | None


def opening(tag: str, **attributes: Value) -> str:
    """A start tag.

    An underscore in an attribute's name stands for a hyphen, except a last one (``class_``).  True writes the
    bare name; False, None and the empty string leave the attribute out.

    Examples
    --------
    >>> opening("td", class_="zero", data_name='x"1', hidden=True, id=None)
    '<td class="zero" data-name="x&quot;1" hidden>'
    """
    written = [tag]
    for name, value in attributes.items():
        name = name.removesuffix("_").replace("_", "-")
        if value is True:
            written.append(name)
        elif value is not False and value is not None and value != "":
            written.append(f'{name}="{escape(str(value))}"')
    return "<" + " ".join(written) + ">"


def element(tag: str, *inside: str, **attributes: Value) -> str:
    """An element around what is inside, which is markup already.

    Examples
    --------
    >>> element("p", "one ", element("b", escape("a < b")), class_="note")
    '<p class="note">one <b>a &lt; b</b></p>'
    """
    return "".join((opening(tag, **attributes), *inside, f"</{tag}>"))
