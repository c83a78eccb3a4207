"""What compiled code is told: one array of int64, which both sides read by these names."""

from __future__ import annotations

from enum import IntEnum, auto

ENTRY = "run"
SLOTS = 8  # int64 that a step counts in: shards taken, parts taken, whether it was stopped
SCALARS = 8  # float32 that the optimiser gets for a step


class Word(IntEnum):
    """What the words of a context are: numbers and addresses, each an int64."""

    STEPS = 0
    BATCH = auto()
    IMAGES = auto()  # of a block
    CAPACITY = auto()  # images that the batch's memory has room for
    THREADS = auto()
    SHARDS = auto()
    CHUNK = auto()  # shards that a thread takes at a time
    FIRST_STEP = auto()
    SEED = auto()
    OPTIMISER = auto()
    X = auto()
    ORDER = auto()
    TARGETS = auto()
    PARAMETERS = auto()
    GRADIENTS = auto()
    FIRST_MOMENT = auto()
    SECOND_MOMENT = auto()
    SCALARS = auto()
    BLOCK_MEMORY = auto()
    BLOCK_STRIDE = auto()  # elements from one thread's memory to the next
    BATCH_MEMORY = auto()
    SHARD_MEMORY = auto()
    SHARED_MEMORY = auto()
    WEIGHTS = auto()
    OUTPUTS = auto()
    LOSSES = auto()
    DY = auto()
    DX = auto()
    STOP = auto()
    SLOTS = auto()
    BARRIER = auto()
    YIELD = auto()
    SLEEP = auto()
    DONE = auto()  # steps that were finished
