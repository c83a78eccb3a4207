"""Marks every submission of an exercise: a TOML file with claims, or an .npz file with NumPy arrays.

    python autograder.py assignment.toml submissions feedback

prints a line for each submission, and writes a page of feedback for each and all results as JSON.
The claims in the assignment say what is asked: their values are the teacher's own, and are not shown.
Nothing of a submission is run: claims are read, and pickled arrays are refused.
"""

import json
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import numpy as np

import closedform as cf
from closedform.checking.sheet import check_sheet
from closedform.worksheet import read_worksheet


class Refused(Exception):
    """A submission that cannot be marked, and why."""


def asked(assignment):
    """The quantities that the assignment asks for."""
    found = list(dict.fromkeys(claim.quantity for claim in read_worksheet(assignment).claims))
    if not found:
        sys.exit(f"{assignment.name} asks for nothing: write a [[claim]] for each quantity")
    return found


def network(assignment):
    """The assignment without the teacher's claims, which stand at its end."""
    return assignment.read_text("utf-8").partition("[[claim]]")[0]


def marked(assignment, submission):
    """The verdict on one submission."""
    sheet = read_worksheet(assignment)
    if submission.suffix == ".npz":
        numbers = dict(sheet.given)
        x = numbers.pop(sheet.solution.input)
        weights = {name: numbers[name] for name in numbers if sheet.solution[name].role == "parameter"}
        return cf.check(
            arrays(submission, asked(assignment)), of=sheet.architecture, x=x, weights=weights,
            names=sheet.solution.given, first_index=sheet.first_index,
        )  # fmt: skip
    text = submission.read_text("utf-8")
    check_claims(tomllib.loads(text), sheet.symbols, asked(assignment))
    with tempfile.TemporaryDirectory() as folder:
        together = Path(folder, submission.name)
        together.write_text(f"{network(assignment)}\n{text}", "utf-8")
        return check_sheet(read_worksheet(together))


def arrays(submission, quantities):
    """The arrays of an .npz file by name."""
    try:
        with np.load(submission, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile):
        raise Refused("the file holds something else than arrays of numbers") from None
    for name in found:
        if name not in quantities:
            raise Refused(f"{name} is not asked for; asked are {', '.join(quantities)}")
    return found


def check_claims(tables, symbols, quantities):
    """Refuse what is no claim with values for a quantity that is asked for."""
    for name in tables:
        if name != "claim":
            raise Refused(f"[{name}] belongs to the assignment: a submission holds [[claim]]s only")
    for number, claim in enumerate(tables.get("claim", []), 1):
        of = str(claim.get("of", ""))
        part = symbols.part(of)
        if part is None or part.quantity not in quantities:
            raise Refused(f"claim {number}: {of or 'of'} is not asked for; asked are {', '.join(quantities)}")
        for key in claim:
            if key not in ("of", "values", "entries", "note"):
                raise Refused(f"claim {number} ({of}): {key} is not asked for, only values and entries")


def points(verdict, quantities, symbols):
    """One for each quantity that is asked for and right, also given an earlier mistake."""
    reached = {}
    for step in verdict.steps:
        name = symbols.part(step.name).quantity
        reached[name] = reached.get(name, True) and (step.right or step.carried)
    return sum(reached.get(name, False) for name in quantities), len(quantities)


def handed_in(folder):
    """The files to mark; the others are named and left out."""
    found = []
    for file in sorted(folder.iterdir()):
        if file.suffix in (".toml", ".npz") and not file.name.startswith("."):
            found.append(file)
        else:
            print(f"{file.name} is skipped: submissions are .toml and .npz files")
    return found


def main(assignment, submissions, feedback):
    """Mark all submissions; the exit code is 0 where every one could be read."""
    feedback.mkdir(parents=True, exist_ok=True)
    quantities, symbols = asked(assignment), read_worksheet(assignment).symbols
    results = {}
    for submission in handed_in(submissions):
        name = submission.stem
        try:
            verdict = marked(assignment, submission)
        except (cf.ClosedformError, Refused, ValueError) as error:
            reason = str(error).splitlines()[0]
            results[name] = {"error": reason.rpartition(f"{submission.name}: ")[2]}
            print(f"{name:10} cannot be marked")
            continue
        reached, possible = points(verdict, quantities, symbols)
        mistakes = [mistake for step in verdict.steps for mistake in step.mistakes]
        results[name] = {"points": reached, "of": possible, "mistakes": mistakes}
        (feedback / f"{name}.html").write_text(verdict.html(), "utf-8")
        print(f"{name:10} {reached} of {possible}  {', '.join(mistakes)}".rstrip())
    (feedback / "results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return int(any("error" in result for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
