"""Native jobs run on our own workers: all threads at once, and interruptible."""

import _thread
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from native_jobs import COUNT, MEET, UNTIL_STOPPED, met, no_stop, waiting
from processes import environment, python

from closedform.engine.threads import Workers, quota, shared, thread_count
from closedform.errors import SettingError

TESTS = str(Path(__file__).parent)
PRELUDE = f"import sys; sys.path.insert(0, {TESTS!r})\n"

posix = pytest.mark.skipif(os.name != "posix", reason="signals and fork are POSIX's")


@pytest.fixture
def workers():
    return Workers()


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("closedform-")]


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def in_background(function):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    yield
    thread.join(20)
    assert not thread.is_alive()


# ---- how many threads


def files(folder, contents):
    """The control groups' files, of which `own` stands for /proc/self/cgroup."""
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"own": folder / "own", "folder": folder}


def test_the_argument_says_how_many_threads_there_are(monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_THREADS", "5")
    assert thread_count(3) == 3


def test_without_an_argument_the_environment_says_it(monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_THREADS", "5")
    assert thread_count() == 5


@pytest.mark.parametrize("text", ["0", "-1", "2.0", "many", "", "٣", "9" * 5000])
def test_an_environment_that_says_no_number_of_threads_is_an_error(monkeypatch, text):
    monkeypatch.setenv("CLOSEDFORM_THREADS", text)
    with pytest.raises(SettingError) as error:
        thread_count()
    assert str(error.value) == f"CLOSEDFORM_THREADS must be a whole number from 1, got {text!r}"


@pytest.mark.parametrize("count", [0, -1, True, 2.0, "2"])
def test_an_argument_that_is_no_number_of_threads_is_an_error(count):
    with pytest.raises(SettingError) as error:
        thread_count(count)
    assert str(error.value) == f"threads must be a whole number from 1, got {count!r}"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system with processor affinity")
def test_otherwise_it_is_the_number_of_processors_that_the_process_may_use(monkeypatch):
    monkeypatch.delenv("CLOSEDFORM_THREADS", raising=False)
    monkeypatch.setattr("closedform.engine.threads.quota", lambda: None)
    before = os.sched_getaffinity(0)
    assert thread_count() == len(before)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert thread_count() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(("granted", "count"), [(1, 1), (3, 3), (4, 4), (100, 4), (None, 4)])
def test_a_container_may_grant_less_than_its_machine_has(monkeypatch, granted, count):
    monkeypatch.delenv("CLOSEDFORM_THREADS", raising=False)
    monkeypatch.setattr("closedform.engine.threads._processors", lambda: 4)
    monkeypatch.setattr("closedform.engine.threads.quota", lambda: granted)
    assert thread_count() == count


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("200000 100000", 2),
        ("150000 100000\n", 2),
        ("1000 100000", 1),
        ("max 100000", None),
        ("100001 100000", 2),
    ],
)
def test_the_quota_is_rounded_up_to_whole_processors(tmp_path, text, limit):
    assert quota(**files(tmp_path, {"own": "0::/job\n", "job/cpu.max": text})) == limit


def test_the_narrowest_group_around_the_process_counts(tmp_path):
    contents = {
        "own": "0::/a/b/c\n",
        "a/b/c/cpu.max": "900000 100000",
        "a/b/cpu.max": "max 100000",
        "a/cpu.max": "300000 100000",
        "a/b/other/cpu.max": "100000 100000",
        "cpu.max": "600000 100000",
    }
    assert quota(**files(tmp_path, contents)) == 3


def test_inside_a_container_the_path_may_be_the_hosts_and_only_the_top_is_there(tmp_path):
    assert quota(**files(tmp_path, {"own": "0::/../../docker/0123\n", "cpu.max": "200000 100000"})) == 2
    assert quota(**files(tmp_path, {"own": "0::/docker/0123\n"})) == 2


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_quotas_of_version_1_count_too(tmp_path, mount):
    contents = {
        "own": "9:name=systemd:/job\n4:cpu,cpuacct:/job\n1:cpuset:/\n0::/\n",
        f"{mount}/job/cpu.cfs_quota_us": "250000\n",
        f"{mount}/job/cpu.cfs_period_us": "100000\n",
        f"{mount}/cpu.cfs_quota_us": "-1\n",
        f"{mount}/cpu.cfs_period_us": "100000\n",
    }
    assert quota(**files(tmp_path, contents)) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100000",
        "x y",
        "100000 0",
        "-5 100000",
        "0 100000",
        "1e5 100000",
        b"\xff\x00 1",
        "9" * 5000 + " 1",
    ],
)
def test_a_file_that_makes_no_sense_is_no_limit(tmp_path, text):
    assert quota(**files(tmp_path, {"own": "0::/\n", "cpu.max": text})) is None


@pytest.mark.parametrize("own", ["", "0", "0::", "::::", "cpu", b"0::/\x00\n"])
def test_a_group_that_makes_no_sense_is_no_limit(tmp_path, own):
    assert quota(**files(tmp_path, {"own": own})) is None


def test_version_2_may_be_mounted_beside_version_1(tmp_path):
    assert quota(**files(tmp_path, {"own": "0::/job\n", "unified/job/cpu.max": "200000 100000"})) == 2


def test_nothing_outside_the_mount_is_read(tmp_path):
    files(tmp_path, {"job/cpu.max": "200000 100000"})
    assert quota(**files(tmp_path / "mount", {"own": "0::/../job\n"})) is None


@posix
def test_a_pipe_in_the_place_of_a_file_is_no_limit(tmp_path):
    os.mkfifo(tmp_path / "cpu.max")
    assert quota(**files(tmp_path, {"own": "0::/\n"})) is None


def test_an_endless_path_costs_no_time(tmp_path):
    settings = files(tmp_path, {"own": "0::/" + "a/" * 9000, "cpu.max": "200000 100000"})
    began = time.monotonic()
    assert quota(**settings) == 2
    assert time.monotonic() - began < 2


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert quota(tmp_path / "none", tmp_path) is None


# ---- one job


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_thread_enters_the_function_once_with_its_own_number(workers, threads):
    context = np.zeros(9, np.int64)
    workers.run(COUNT, context.ctypes.data, threads, no_stop())
    assert context.tolist() == [threads] + [1] * threads + [0] * (8 - threads)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_all_threads_are_inside_together(workers, threads):
    assert [met(workers, threads) for _ in range(20)] == [threads] * 20


def test_jobs_of_different_sizes_follow_each_other(workers):
    assert [met(workers, threads) for threads in (2, 1, 5, 3, 1, 4)] == [2, 1, 5, 3, 1, 4]


def test_a_short_job_is_one_call_on_the_thread_that_asks(workers):
    before, context = own_threads(), np.zeros(9, np.int64)
    workers.run(COUNT, context.ctypes.data, 4, no_stop(), short=True)
    assert context.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert own_threads() == before


def test_the_process_has_one_set_of_workers():
    assert shared() is shared()
    assert met(shared(), 2) == 2


def test_workers_end_with_the_object_that_owns_them():
    before = set(own_threads())
    workers = Workers()
    met(workers, 3)
    mine = set(own_threads()) - before
    assert len(mine) == 3
    del workers
    gc.collect()
    wait_until(lambda: not any(thread.is_alive() for thread in mine))


def test_workers_keep_nothing_of_a_job_that_is_over(workers):
    stop = no_stop()
    before = sys.getrefcount(stop)
    context = np.array([0, 2], np.int64)
    workers.run(MEET, context.ctypes.data, 2, stop)
    wait_until(lambda: sys.getrefcount(stop) == before, 2)


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="needs clocks of single threads")
def test_idle_workers_use_no_processor_time():
    before = set(own_threads())
    workers = Workers()
    met(workers, 3)
    clocks = [time.pthread_getcpuclockid(thread.ident) for thread in set(own_threads()) - before]
    assert len(clocks) == 3
    time.sleep(0.1)
    used = [time.clock_gettime(clock) for clock in clocks]
    time.sleep(0.5)
    assert [time.clock_gettime(clock) for clock in clocks] == used


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="needs clocks of single threads")
def test_the_waiting_thread_leaves_its_processor_to_the_workers(workers):
    stop = no_stop()
    context = waiting(stop)

    def end():
        time.sleep(0.5)
        stop[0] = 1

    with in_background(end):
        before = time.thread_time()
        workers.run(UNTIL_STOPPED, context.ctypes.data, 2, stop)
        assert time.thread_time() - before < 0.05


def test_a_failure_on_a_worker_reaches_the_caller_and_stops_the_others(workers):
    stop = no_stop()
    with pytest.raises(Exception, match="argument 1") as error:
        workers.run(COUNT, 0.5, 2, stop)
    assert type(error.value).__name__ == "ArgumentError"
    assert stop[0] == 1
    assert met(workers, 2) == 2


def test_threads_that_the_system_refuses_are_an_error(workers, monkeypatch):
    begin = threading.Thread.start

    def start(thread):
        if thread.name == "closedform-2":
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(SettingError) as error:
        met(workers, 4)
    expected = "threads=4: the system starts no more than 2 (can't start new thread); use fewer"
    assert str(error.value) == expected
    assert met(workers, 2) == 2


# ---- progress and interrupts


def test_the_thread_that_asked_is_called_back_while_it_waits(workers):
    stop, seen = no_stop(), []
    context = waiting(stop)

    def poll():
        seen.append((threading.get_ident(), time.monotonic()))
        if len(seen) == 5:
            stop[0] = 1

    workers.run(UNTIL_STOPPED, context.ctypes.data, 2, stop, poll=poll)
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    gaps = np.diff([moment for _, moment in seen])
    assert min(gaps) > 0.03
    assert np.median(gaps) < 0.2


def test_what_the_callback_raises_stops_the_job_and_waits_for_its_threads(workers):
    stop = no_stop()
    context = waiting(stop)

    def poll():
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        workers.run(UNTIL_STOPPED, context.ctypes.data, 3, stop, poll=poll)
    assert stop[0] == 1
    assert context.tolist() == [stop.ctypes.data, 3, 3]


def test_the_callback_may_ask_for_a_job_itself(workers):
    stop, answers = no_stop(), []
    context = waiting(stop)

    def poll():
        stop[0] = 1
        answers.append(met(workers, 3))

    workers.run(UNTIL_STOPPED, context.ctypes.data, 2, stop, poll=poll)
    assert answers == [3]


@posix
@pytest.mark.parametrize("way", ["to the process", "noticed by another thread"])
def test_an_interrupt_is_served_within_a_fifth_of_a_second(workers, way):
    delays = []
    for _ in range(3):
        stop, sent = no_stop(), []
        context = waiting(stop)

        def interrupt(context=context, sent=sent):
            wait_until(lambda: context[1] == 2)
            time.sleep(0.02)
            sent.append(time.monotonic())
            if way == "to the process":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                _thread.interrupt_main()

        with in_background(interrupt):
            with pytest.raises(KeyboardInterrupt):
                workers.run(UNTIL_STOPPED, context.ctypes.data, 2, stop)
            delays.append(time.monotonic() - sent[0])
        assert stop[0] == 1
        assert context.tolist() == [stop.ctypes.data, 2, 2]
        assert met(workers, 2) == 2
    # the least of three, for other programs may have the processors for a while
    assert min(delays) < 0.2


@posix
def test_an_impatient_second_interrupt_does_not_leave_threads_inside(workers):
    # the function looks at its own flag, not at the one that the interrupt sets
    flag, stop = no_stop(), no_stop()
    context = waiting(flag)

    def interrupt():
        wait_until(lambda: context[1] == 2)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        assert context[2] == 0
        flag[0] = 1

    with in_background(interrupt):
        with pytest.raises(KeyboardInterrupt):
            workers.run(UNTIL_STOPPED, context.ctypes.data, 2, stop)
        assert context[2] == 2
    assert stop[0] == 1
    assert met(workers, 2) == 2


@posix
def test_a_job_that_is_interrupted_in_the_queue_never_begins(workers):
    first, second = no_stop(), no_stop()
    long, short = waiting(first), np.zeros(3, np.int64)

    def interrupt():
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    with in_background(lambda: workers.run(UNTIL_STOPPED, long.ctypes.data, 2, first)):
        wait_until(lambda: long[1] == 2)
        with in_background(interrupt), pytest.raises(KeyboardInterrupt):
            workers.run(COUNT, short.ctypes.data, 2, second)
        first[0] = 1
    assert met(workers, 2) == 2
    assert short.tolist() == [0, 0, 0]


@posix
def test_ctrl_c_at_a_program_that_waits_for_a_job_ends_it():
    code = PRELUDE + (
        "import numpy as np\n"
        "from native_jobs import *\n"
        "from closedform.engine.threads import shared\n"
        "stop = no_stop(); context = waiting(stop)\n"
        "print('begun', flush=True)\n"
        "try:\n"
        "    shared().run(UNTIL_STOPPED, context.ctypes.data, 2, stop)\n"
        "finally:\n"
        "    print(context[1:].tolist(), met(shared(), 2), flush=True)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout.readline() == "begun\n"
        time.sleep(0.3)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=20)
    assert out == "[2, 2] 2\n"
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert program.returncode == -signal.SIGINT


# ---- many callers, fork, the interpreter's end


def test_several_threads_may_ask_for_jobs_at_once(workers):
    met_there = [[] for _ in range(4)]

    def call(place, sizes):
        met_there[place].extend(met(workers, threads) for threads in sizes * 30)

    sizes = [(2, 1), (3, 2), (1, 4), (2, 2)]
    callers = [threading.Thread(target=call, args=each, daemon=True) for each in enumerate(sizes)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert met_there == [list(each * 30) for each in sizes]


def test_an_idle_caller_of_short_jobs_does_not_wait_for_a_long_one(workers):
    stop = no_stop()
    long, short = waiting(stop), np.zeros(3, np.int64)
    with in_background(lambda: workers.run(UNTIL_STOPPED, long.ctypes.data, 2, stop)):
        wait_until(lambda: long[1] == 2)
        workers.run(COUNT, short.ctypes.data, 1, no_stop(), short=True)
        assert long[2] == 0
        stop[0] = 1
    assert short.tolist() == [1, 1, 0]


FORK = """
import os, threading, time
from native_jobs import *
from closedform.engine.threads import shared

def child():
    assert met(shared(), 3) == 3
    assert sum(thread.name.startswith("closedform-") for thread in threading.enumerate()) == 3

stop = no_stop()
context = waiting(stop)
caller = threading.Thread(target=lambda: shared().run(UNTIL_STOPPED, context.ctypes.data, 2, stop))
caller.start()
while context[1] < 2:
    time.sleep(0.001)
{fork}
assert context.tolist()[1:] == [2, 0]
stop[0] = 1
caller.join()
print(code, context.tolist()[1:], met(shared(), 2))
"""


@posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    "fork",
    [
        "process = os.fork()\n"
        "if not process:\n"
        "    child()\n"
        "    raise SystemExit(7)\n"
        "code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])",
        "import multiprocessing\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start(); process.join()\n"
        "code = 7 + process.exitcode",
    ],
    ids=["os.fork", "multiprocessing"],
)
def test_after_a_fork_the_child_has_workers_of_its_own_and_the_parent_goes_on(fork):
    done = python("-c", PRELUDE + FORK.replace("{fork}", fork))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "7 [2, 2] 2\n"


EXIT = """
import atexit, threading, time
from native_jobs import *

@atexit.register
def last():
    # registered first, so called after the library's own exit handler
    caller.join()
    print(context.tolist()[1:], met(shared(), 2), *ends)

from closedform.engine.threads import shared

stop = no_stop()
context = waiting(stop)
ends = []

def call():
    while len(ends) < 2:
        try:
            shared().run(UNTIL_STOPPED, context.ctypes.data, 2, stop)
            ends.append("returned")
        except SystemExit:
            ends.append("ended")

caller = threading.Thread(target=call, daemon=True)
caller.start()
while context[1] < 2:
    time.sleep(0.001)
"""


def test_at_the_interpreters_end_jobs_are_stopped_and_no_other_begins():
    done = python("-c", PRELUDE + EXIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[2, 2] 2 ended ended\n", "")


def test_a_job_that_does_not_look_at_its_flag_does_not_hold_the_interpreter():
    code = EXIT.replace("waiting(stop)", "waiting(no_stop_at_all := no_stop())").replace(
        "caller.join()", "return"
    )
    began = time.monotonic()
    done = python("-c", PRELUDE + code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - began < 20
