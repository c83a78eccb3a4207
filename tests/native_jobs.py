"""Small native functions that stand in for a compiled network: `void f(int64_t *context, int64_t thread)`."""

import llvmlite.binding as llvm
import numpy as np

TEXT = """
declare i32 @sched_yield()

; context[0] += 1, context[1 + thread] += 1
define void @count(i64* %context, i64 %thread) {
  %all = atomicrmw add i64* %context, i64 1 seq_cst
  %place = add i64 %thread, 1
  %own = getelementptr i64, i64* %context, i64 %place
  %each = atomicrmw add i64* %own, i64 1 seq_cst
  ret void
}

; context[0] += 1, then wait until it is context[1]
define void @meet(i64* %context, i64 %thread) {
entry:
  %here = atomicrmw add i64* %context, i64 1 seq_cst
  %place = getelementptr i64, i64* %context, i64 1
  %expected = load i64, i64* %place, align 8
  br label %wait
wait:
  %now = load atomic i64, i64* %context seq_cst, align 8
  %all = icmp sge i64 %now, %expected
  %yielded = call i32 @sched_yield()
  br i1 %all, label %leave, label %wait
leave:
  ret void
}

; context[1] += 1, wait until the int32 at the address context[0] is not 0, context[2] += 1
define void @until_stopped(i64* %context, i64 %thread) {
entry:
  %begun = getelementptr i64, i64* %context, i64 1
  %ended = getelementptr i64, i64* %context, i64 2
  %address = load i64, i64* %context, align 8
  %flag = inttoptr i64 %address to i32*
  %first = atomicrmw add i64* %begun, i64 1 seq_cst
  br label %wait
wait:
  %now = load atomic i32, i32* %flag seq_cst, align 4
  %stopped = icmp ne i32 %now, 0
  %yielded = call i32 @sched_yield()
  br i1 %stopped, label %leave, label %wait
leave:
  %last = atomicrmw add i64* %ended, i64 1 seq_cst
  ret void
}
"""

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
_engine = llvm.create_mcjit_compiler(
    llvm.parse_assembly(TEXT), llvm.Target.from_default_triple().create_target_machine()
)
_engine.finalize_object()

COUNT = _engine.get_function_address("count")
MEET = _engine.get_function_address("meet")
UNTIL_STOPPED = _engine.get_function_address("until_stopped")


def no_stop():
    """A stop flag that nobody has set."""
    return np.zeros(1, np.int32)


def waiting(flag):
    """The context of a job that runs until an int32 array's first entry is set."""
    return np.array([flag.ctypes.data, 0, 0], np.int64)


def met(workers, threads):
    """Let so many threads wait for each other in native code; how many came."""
    context = np.array([0, threads], np.int64)
    workers.run(MEET, context.ctypes.data, threads, no_stop())
    return int(context[0])
