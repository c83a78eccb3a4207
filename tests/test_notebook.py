"""An explanation as a Jupyter notebook."""

import json
import sys

import pytest
from written_documents import odd, worked

from closedform.errors import MissingError
from closedform.explanation.document import Document, Paragraph, Section

nbformat = pytest.importorskip("nbformat", reason="install closedform[notebook] to make notebooks")


def test_each_section_is_a_cell():
    book = json.loads(worked.notebook())
    assert [(cell["cell_type"], cell["id"], cell["source"][0]) for cell in book["cells"]] == [
        ("markdown", "0-opening", "*Sheet C.4 · worked solution*\n"),
        ("markdown", "1-sizes", "## 1 Sizes and parameters\n"),
        ("markdown", "2-forward", "## 2 Forward"),
        ("markdown", "3-convolution", "### 2.1 Convolution\n"),
        ("markdown", "4-gradient-O", "## 3 Gradient in $O$\n"),
    ]


@pytest.mark.parametrize("document", [worked, odd], ids=["worked", "odd"])
def test_the_cells_are_the_document_and_it_is_valid(document):
    text = document.notebook()
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert "\n\n".join(cell["source"] for cell in book.cells) + "\n" == document.markdown()
    assert (book.nbformat, text[-2:]) == (4, "}\n")


def test_the_same_document_gives_the_same_notebook():
    assert worked.notebook() == worked.notebook()


def test_any_key_names_a_cell():
    sections = (Section(("A",), (Paragraph(("a",)),), "a key, ∂L/∂W " * 10), Section(("B",), (), ""))
    book = json.loads(Document("T", sections).notebook())
    assert [cell["id"] for cell in book["cells"]] == [
        "0-opening",
        "1-a-key-L-W-a-key-L-W-a-key-L-W-a-key-L-W-a-key-L-W-a-key-L-W-a-",
        "2-opening",
    ]


def test_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nbformat", None)
    with pytest.raises(MissingError) as error:
        worked.notebook()
    assert str(error.value) == "a notebook needs nbformat: pip install nbformat"
