"""Marks every submission of an exercise: a TOML file with claims, or an .npz file with NumPy arrays.

    python autograder.py assignment.toml submissions feedback

prints a line for each submission, and writes a page of feedback for each and all results as JSON.
Nothing of a submission is run: claims are read, and pickled arrays are refused.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import closedform as cf
from closedform.checking.sheet import check_sheet
from closedform.worksheet import read_worksheet


def marked(assignment, submission):
    """The verdict on one submission."""
    if submission.suffix == ".npz":
        sheet = read_worksheet(assignment)
        with np.load(submission, allow_pickle=False) as arrays:
            claims = {name: arrays[name] for name in arrays.files}
        numbers = dict(sheet.given)
        x = numbers.pop(sheet.solution.input)
        weights = {name: numbers[name] for name in numbers if sheet.solution[name].role == "parameter"}
        return cf.check(
            claims, of=sheet.architecture, x=x, weights=weights, names=sheet.solution.given, first_index=1
        )
    with tempfile.TemporaryDirectory() as folder:
        together = Path(folder, submission.name)
        together.write_text(assignment.read_text("utf-8") + "\n" + submission.read_text("utf-8"), "utf-8")
        return check_sheet(read_worksheet(together))


def points(verdict):
    """One for each claim that is right, also for one that carries an earlier mistake forward."""
    return sum(step.right or step.carried for step in verdict.steps), len(verdict.steps)


def main(assignment, submissions, feedback):
    """Mark all submissions; the exit code is 0 where every one could be read."""
    feedback.mkdir(parents=True, exist_ok=True)
    results = {}
    for submission in sorted(submissions.iterdir()):
        name = submission.stem
        try:
            verdict = marked(assignment, submission)
        except (cf.ClosedformError, ValueError) as error:
            reason = str(error).replace(tempfile.gettempdir(), "").splitlines()[0]
            results[name] = {"error": reason}
            print(f"{name:10} cannot be marked")
            continue
        reached, possible = points(verdict)
        mistakes = [mistake for step in verdict.steps for mistake in step.mistakes]
        results[name] = {"points": reached, "of": possible, "mistakes": mistakes}
        (feedback / f"{name}.html").write_text(verdict.html(), "utf-8")
        print(f"{name:10} {reached} of {possible}  {', '.join(mistakes)}".rstrip())
    (feedback / "results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return int(any("error" in result for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
