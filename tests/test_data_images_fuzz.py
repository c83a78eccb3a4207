"""No image file, however damaged or hostile, does more harm than one DataError that names it."""

import os
from pathlib import Path

from processes import python

SLOW = os.environ.get("CLOSEDFORM_SLOW") == "1"
PROGRAM = Path(__file__).with_name("image_mutants.py")


def test_damaged_and_hostile_images_are_read_or_named_in_two_seconds_and_64_megabytes():
    """Bombs, and mutants of every kind: the program prints a line for each that breaks the promise."""
    for seed in range(20 if SLOW else 1):
        done = python("-W", "error", PROGRAM, 1000 if SLOW else 300, seed)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        read = int(done.stderr.split()[0])
        assert 50 < read < 700, "some mutants must be whole, and some not"
