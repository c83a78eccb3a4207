"""The same from pytest: the functions of `student.py` against the formulas that are derived."""

import sys
from pathlib import Path

import closedform as cf

sys.path.insert(0, str(Path(__file__).parent))
import student

LAYER = cf.Conv2d(out_channels=3, kernel_size=2)


def test_the_gradient_in_the_weights():
    verdict = cf.check(student.dweight, of=LAYER, wrt="W")
    assert verdict, verdict.text()


def test_the_gradient_in_the_bias():
    verdict = cf.check(student.dbias, of=LAYER, wrt="b")
    assert not verdict
    assert verdict.mistakes == ("bias-not-summed-over-batch",)  # what feedback tells the student
