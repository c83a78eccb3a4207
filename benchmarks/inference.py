"""One forward pass next to ONNX Runtime and PyTorch's best mode, on two threads.

    python benchmarks/inference.py [NETS...] [--batches 1 32 128] [--runs 9] [--json FILE]

Claimed: at least as fast as ONNX Runtime on every network and batch.  The outputs of all sides are compared
before anything is timed.  Processes, batches and samples are as in `train_step.py`.
"""

from __future__ import annotations

from functools import partial

import workers

workers.pin()  # before NumPy, in this process and in those to come

import ours  # noqa: E402
import table  # noqa: E402
import with_onnxruntime  # noqa: E402
import with_pytorch  # noqa: E402
from table import Cell  # noqa: E402
from workers import Worker  # noqa: E402

BATCHES = (1, 32, 128)
LIBRARIES = ("ONNX Runtime", "PyTorch")


def bar(cell: Cell) -> tuple[float, str] | None:
    """Not slower than ONNX Runtime."""
    mode = cell.best("ONNX Runtime")
    return (cell.minimum[mode], "ONNX Runtime") if mode else None


def main() -> None:
    """Measure."""
    options = table.arguments(__doc__, BATCHES)
    sides = [Worker("ours", ours.inference)]
    if not options.only_ours:
        torch_side = partial(with_pytorch.inference, compiled=not options.no_compile)
        sides += [Worker("ONNX Runtime", with_onnxruntime.inference), Worker("PyTorch", torch_side)]
    table.measure(options, sides, LIBRARIES, bar, BATCHES, training=False)


if __name__ == "__main__":
    main()
