"""Damaged and hostile data files: one DataError that names the file, in under 2 s, in bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = os.environ.get("CLOSEDFORM_SLOW") == "1"
CASES = 20_000 if SLOW else 300
SECONDS = 2.0
MEMORY = 64_000_000  # bytes besides 4 times the file
WORKER = Path(__file__).with_name("data_mutants.py")


@pytest.mark.parametrize("reader", ["idx", "cifar", "npz", "csv", "bombs"])
def test_a_damaged_file_is_one_plain_error_soon_and_in_little_memory(reader, tmp_path):
    command = [sys.executable, "-W", "error", str(WORKER), reader, "0", str(CASES), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=7200 if SLOW else 300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["cases"] == (44 if reader == "bombs" else CASES)
    assert found["refused"] > found["reads"] // 2
    assert found["slowest"][0] < SECONDS, found["slowest"]
    assert found["excess"][0] < MEMORY, found["excess"]
