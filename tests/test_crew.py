"""Helpers take part in short jobs while they are awake, and sleep when there is nothing to do."""

import threading
import time

import numpy as np
import pytest
from native_jobs import COUNT
from processes import printed

from closedform.engine.context import Word
from closedform.engine.crew import Crew, text
from closedform.engine.jit import targets_of

LONG = 400_000  # turns in which whoever has a job gets a processor, though it be the only one


def counted(crew, helpers):
    """Run a job in which every thread counts itself; how many there were."""
    context, counter = np.zeros(len(Word), np.int64), np.full(1, 99, np.int64)
    threads = crew.run(COUNT, context.ctypes.data, helpers, counter.ctypes.data, 0)
    assert context[0] == threads
    assert context[1 : 1 + threads].tolist() == [1] * threads
    assert context[Word.THREADS] == threads
    return threads


def within(seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
    return False


def test_helpers_join_when_they_have_woken_up():
    crew = Crew(LONG)
    assert counted(crew, 1) == 1  # nobody is there yet, and the job does not wait
    assert within(10, lambda: counted(crew, 1) == 2)
    assert counted(crew, 0) == 1


def test_helpers_go_to_sleep():
    crew = Crew(LONG)
    assert within(10, lambda: counted(crew, 1) == 2)
    assert within(10, lambda: not crew.states.any())
    used = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - used < 0.1
    assert within(10, lambda: counted(crew, 1) == 2)  # and wake up again


def test_everybody_who_has_jobs_shares_the_helpers():
    crew, failed = Crew(), []

    def use():
        try:
            for _ in range(500):
                counted(crew, 2)
        except AssertionError as error:
            failed.append(error)

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not failed


def test_who_goes_leaves_no_helper_in_code_that_is_freed():
    code = """
import os, sys, time
sys.path.insert(0, FOLDER)
import numpy as np
from native_jobs import COUNT
from closedform.engine.crew import Crew
crew = Crew(TURNS)
context, counter = np.zeros(64, np.int64), np.zeros(1, np.int64)
def joined():
    end = time.monotonic() + 10
    while crew.run(COUNT, context.ctypes.data, 1, counter.ctypes.data, 0) < 2:
        assert time.monotonic() < end
joined()
child = os.fork()
joined()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("done")
"""
    folder = repr(str(__file__).rpartition("test_crew")[0])
    for _ in range(3):
        assert printed(code.replace("FOLDER", folder).replace("TURNS", str(LONG))) == "done\n"


@pytest.mark.parametrize("triple", ["x86_64-pc-linux-gnu", "aarch64-apple-darwin", "riscv64-linux-gnu"])
def test_the_functions_are_sound_for_every_processor(triple):
    import llvmlite.binding as llvm

    target = next(iter(targets_of(triple, "generic", {}).values()))
    with llvm.create_context() as context:
        llvm.parse_assembly(text(target), context=context).verify()
