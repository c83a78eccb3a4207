"""One training step next to PyTorch's best mode and JAX: forward, backward, SGD, on two threads.

    python benchmarks/train_step.py [NETS...] [--batches 1 8 32 128 512] [--runs 9] [--json FILE]

Claimed: at batch 32 and 128 the ratio of the table `workloads.WANTED`, or 75 % of the processor's peak
where the ratio would need more; never slower than PyTorch at any batch; a geometric mean of at least 3.5.

Every side runs in a process of its own on the same two cores, asked in turn while the others rest.  Batches
are resident in memory, in the side's own layout; a sample is as many steps as take 30 ms, timed as a whole.
"""

from __future__ import annotations

from functools import partial

import workers

workers.pin()  # before NumPy, in this process and in those to come

import ours  # noqa: E402
import table  # noqa: E402
import with_jax  # noqa: E402
import with_pytorch  # noqa: E402
from table import Cell  # noqa: E402
from workers import Worker  # noqa: E402
from workloads import WANTED  # noqa: E402

BATCHES, WITH_BAR = (1, 8, 32, 128, 512), (32, 128)
SHARE = 0.75
LIBRARIES = ("PyTorch", "JAX")


def bar(cell: Cell) -> tuple[float, str] | None:
    """The wanted ratio, at most 75 % of peak, and never slower than PyTorch."""
    mode = cell.best("PyTorch")
    if mode is None:
        return None
    theirs = cell.minimum[mode]
    if cell.batch not in WITH_BAR:
        return theirs, "never slower"
    by_ratio = theirs / WANTED[cell.net]
    by_peak = min(theirs, cell.operations / (SHARE * cell.peak * 1e9))
    return max((by_ratio, f"ratio {WANTED[cell.net]:g}"), (by_peak, f"{SHARE:.0%} of peak"))


def main() -> None:
    """Measure."""
    options = table.arguments(__doc__, BATCHES)
    sides = [Worker("ours", ours.training)]
    if not options.only_ours:
        torch_side = partial(with_pytorch.training, compiled=not options.no_compile)
        sides += [Worker("PyTorch", torch_side), Worker("JAX", with_jax.training)]
    table.measure(options, sides, LIBRARIES, bar, WITH_BAR, training=True)


if __name__ == "__main__":
    main()
