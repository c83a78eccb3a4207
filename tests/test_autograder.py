"""The example of an autograder marks its submissions as its page says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from processes import python

FOLDER = Path(__file__).parents[1] / "examples" / "autograder"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="installed without its examples")


@pytest.fixture
def marked(tmp_path):
    """Runs the autograder on the submissions, with one more as NumPy arrays."""
    submissions = tmp_path / "submissions"
    shutil.copytree(FOLDER / "submissions", submissions)
    np.savez(
        submissions / "cleo.npz", Z=[[-7, 5], [6, -2]], dZ=[[0.0, -1.0], [2.0, 0.0]], dK=[[4, -2], [1, 1]]
    )
    return python(FOLDER / "autograder.py", FOLDER / "assignment.toml", submissions, tmp_path / "feedback")


def test_the_autograder(marked, tmp_path):
    assert marked.stdout == (
        "ada        5 of 5\n"
        "ben        2 of 5  relu-mask-missing\n"
        "cleo       2 of 5\n"
        "dan        cannot be marked\n"
    )
    assert (marked.stderr, marked.returncode) == ("", 1)
    results = json.loads((tmp_path / "feedback" / "results.json").read_text(encoding="utf-8"))
    assert results["ben"] == {"points": 2, "of": 5, "mistakes": ["relu-mask-missing"]}
    assert "claim 1 (dZ): entry [2,1]: two in 'two' is no entry" in results["dan"]["error"]
    page = (tmp_path / "feedback" / "ben.html").read_text(encoding="utf-8")
    assert "The mask of ReLU is missing" in page
    assert "Follows from dZ: an error carried forward." in page


def test_a_submission_may_only_claim_values_of_what_is_asked(tmp_path):
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    for name, text in {
        "anna": 'of = "dK"\nformula = "dK[u,v] = sum[i,j] dZ[i,j] * X[i+u,j+v]"',
        "bert": 'of = "dX"\nvalues = 0',
        "carl": 'of = "y"\nvalues = 7\n[[layer]]\ntype = "ReLU"',
        "dora": 'of = "y"\nvalues = 7\n[parts]\nv = "dK[1]"',
    }.items():
        (submissions / f"{name}.toml").write_text(f"[[claim]]\n{text}\n", encoding="utf-8")
    (submissions / "emma.toml").write_text("", encoding="utf-8")
    np.savez(submissions / "finn.npz", dK=np.array([{}], object))
    (submissions / ".notes").write_text("", encoding="utf-8")
    (submissions / "gina.py").write_text("", encoding="utf-8")
    done = python(FOLDER / "autograder.py", FOLDER / "assignment.toml", submissions, tmp_path / "feedback")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        ".notes is skipped: submissions are .toml and .npz files",
        "gina.py is skipped: submissions are .toml and .npz files",
        *(f"{name:10} cannot be marked" for name in ("anna", "bert", "carl", "dora")),
        "emma       0 of 5",
        "finn       cannot be marked",
    ]
    results = json.loads((tmp_path / "feedback" / "results.json").read_text(encoding="utf-8"))
    assert {name: result.get("error") for name, result in results.items()} == {
        "anna": "claim 1 (dK): formula is not asked for, only values and entries",
        "bert": "claim 1: dX is not asked for; asked are Z, y, dW, dZ, dK",
        "carl": "[layer] belongs to the assignment: a submission holds [[claim]]s only",
        "dora": "[parts] belongs to the assignment: a submission holds [[claim]]s only",
        "emma": None,
        "finn": "the file holds something else than arrays of numbers",
    }


def test_its_page_shows_what_it_prints(marked):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for line in marked.stdout.splitlines():
        assert line.startswith("cleo") or f"    {line}\n" in page


def test_the_example_for_pytest():
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_student.py", folder=FOLDER)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
