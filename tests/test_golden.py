"""The worked solutions of the worksheets, as text, word by word.

After a change that is meant, write them anew, read what has changed, and commit it:

    CLOSEDFORM_GOLDEN=write scripts/test tests/test_golden.py
"""

import os
from pathlib import Path

import pytest

from closedform.cli import main
from closedform.explanation.explain import explain_worksheet
from closedform.worksheet import read_worksheet

FOLDER = Path(__file__).parent / "golden"
WORKSHEETS = Path(__file__).parents[1] / "worksheets"
WRITES = os.environ.get("CLOSEDFORM_GOLDEN") == "write"

STORED = (
    "a1", "a2", "b1", "b1-hadamard", "b2", "b3", "b4", "b5", "b6", "c1", "c3", "c4", "d1", "d2-pooling",
    "e2", "e3", "e4",
)  # fmt: skip
EVERY = tuple(sorted(path.stem for path in WORKSHEETS.glob("*.toml")))


def test_what_is_stored_is_compared():
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.txt" for name in STORED}
    assert set(STORED) <= set(EVERY)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000


@pytest.mark.parametrize("name", STORED)
def test_explain_writes_the_solution(name, capsys):
    assert main(["explain", str(WORKSHEETS / f"{name}.toml")]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    path = FOLDER / f"{name}.txt"
    if WRITES:
        path.write_text(output, encoding="utf-8")
    assert output == path.read_text(encoding="utf-8"), (
        "if the change is meant: CLOSEDFORM_GOLDEN=write scripts/test tests/test_golden.py, and read it"
    )


@pytest.mark.parametrize("name", STORED)
def test_no_line_is_wider_than_a_hundred_columns(name):
    for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        assert len(line) <= 100, line
        assert line == line.rstrip(), line


@pytest.mark.parametrize("name", EVERY)
def test_every_worksheet_is_explained_in_every_format(name):
    document = explain_worksheet(read_worksheet(WORKSHEETS / f"{name}.toml"))
    assert document.html().rstrip().endswith("</html>")
    assert document.latex().rstrip().endswith(r"\end{document}")
    assert document.markdown().startswith("*worked solution*\n\n# ")
    assert "The difference quotients agree with the derived gradients to 10⁻⁸." in " ".join(
        document.text().split()
    )
