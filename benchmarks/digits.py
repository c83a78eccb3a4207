"""The main job: ``closedform train digits`` with its default network and settings, for five seeds.

    python benchmarks/digits.py

Claimed: at least 98 % test accuracy as the median of the seeds, each in at most 15 s on two cores.  Every run
is a process of its own, so that starting Python and reading the data count.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEEDS = range(5)


def main() -> None:
    """Run the seeds one after the other and print a line for each."""
    accuracies, walls = [], []
    print("seed  test accuracy  seconds")
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            out = str(Path(folder) / str(seed))
            command = [sys.executable, "-m", "closedform", "train", "digits", "--json"]
            started = time.perf_counter()
            done = subprocess.run(
                [*command, "--seed", str(seed), "--out", out], capture_output=True, text=True, check=True
            )
            walls.append(time.perf_counter() - started)
            accuracies.append(json.loads(done.stdout)["test_accuracy"])
            print(f"{seed:4d}  {accuracies[-1]:13.4f}  {walls[-1]:7.2f}")
    print(f"median accuracy {statistics.median(accuracies):.4f}, slowest {max(walls):.2f} s")


if __name__ == "__main__":
    main()
