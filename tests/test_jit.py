"""IR becomes machine code that gives the right numbers at every vector width that the machine can run."""

import ctypes
import os
import platform
import re
import threading

import numpy as np
import pytest
from processes import printed, python

from closedform.engine import jit
from closedform.errors import SettingError

pytest.importorskip("llvmlite")

WIDTHS = jit.widths()
X86 = platform.machine().lower() in ("x86_64", "amd64")
X86_ONLY = pytest.mark.skipif(not X86, reason="looks for x86's registers")
each_width = pytest.mark.parametrize("width", WIDTHS)


def vector(lanes):
    return "float" if lanes == 1 else f"<{lanes} x float>"


def multiply_add(target, body):
    """The text of ``void entry(float *x, float *y)``, which works on one register of each."""
    kind = vector(target.lanes)
    fma = "llvm.fma.f32" if target.lanes == 1 else f"llvm.fma.v{target.lanes}f32"
    return f"""
define void @entry(ptr %xs, ptr %ys) #0 {{
  %x = load {kind}, ptr %xs, align 4
  %y = load {kind}, ptr %ys, align 4
  {body.format(kind=kind, fma=fma)}
  store {kind} %r, ptr %ys, align 4
  ret void
}}
declare {kind} @{fma}({kind}, {kind}, {kind})
attributes #0 = {{ {target.attributes} }}
"""


FUSED = "%r = call {kind} @{fma}({kind} %x, {kind} %x, {kind} %y)"
SEPARATE = "%p = fmul {kind} %x, %x\n  %r = fadd {kind} %p, %y"


def run(text, target, *arrays, level=0):
    library = jit.Library(jit.compile_ir(text, target, level), target)
    entry = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays))(library.address("entry"))
    entry(*(array.ctypes.data for array in arrays))


@each_width
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_fused_multiply_add_rounds_once(width, level):
    """(1 + 2⁻¹²)² − 1 is 2⁻¹¹ + 2⁻²⁴, of which the product in float32 loses the second part."""
    target = jit.host(width)
    for body, expected in ((FUSED, 2.0**-11 + 2.0**-24), (SEPARATE, 2.0**-11)):
        x = np.full(target.lanes, 1 + 2.0**-12, np.float32)
        y = np.full(target.lanes + 1, -1, np.float32)
        run(multiply_add(target, body), target, x, y, level=level)
        assert y.tolist() == [expected] * target.lanes + [-1.0]


@each_width
def test_constants_in_memory_are_found(width):
    target = jit.host(width)
    text = f"""
@table = private unnamed_addr constant [3 x float] [float 1.5, float 2.5, float 4.0], align 64
define void @entry(ptr %at, ptr %out) #0 {{
  %i = load i64, ptr %at
  %place = getelementptr float, ptr @table, i64 %i
  %value = load float, ptr %place
  %sum = fadd float %value, 0x3FC99999A0000000
  store float %sum, ptr %out
  ret void
}}
attributes #0 = {{ {target.attributes} }}
"""
    out = np.zeros(1, np.float32)
    run(text, target, np.array([2]), out)
    assert out[0] == np.float32(4.2)


@each_width
@pytest.mark.skipif(os.name != "posix", reason="calls functions of POSIX")
def test_functions_of_the_process_are_called(width):
    target = jit.host(width)
    text = """
declare i32 @getpid()
declare i32 @sched_yield()
declare i32 @usleep(i32)
define void @entry(ptr %out) {
  %own = call i32 @getpid()
  %yielded = call i32 @sched_yield()
  %slept = call i32 @usleep(i32 1)
  %failed = or i32 %yielded, %slept
  store i32 %own, ptr %out
  %next = getelementptr i32, ptr %out, i64 1
  store i32 %failed, ptr %next
  ret void
}
"""
    out = np.full(2, -1, np.int32)
    run(text, target, out)
    assert out.tolist() == [os.getpid(), 0]


# ---- targets

AVX512 = dict.fromkeys(("avx512f", "avx512vl", "avx512bw", "avx512dq", "avx2", "avx", "fma", "sse2"), True)
AVX2 = {"avx512f": False, "avx2": True, "avx": True, "fma": True, "f16c": True, "sse4.1": True}
FAMILIES = [
    ("x86_64-unknown-linux-gnu", AVX512, ["avx512", "avx2", "sse", "scalar"]),
    ("x86_64-unknown-linux-gnu", {**AVX512, "avx512vl": False}, ["avx2", "sse", "scalar"]),
    ("x86_64-pc-windows-msvc", AVX2, ["avx2", "sse", "scalar"]),
    ("x86_64-apple-darwin23", {**AVX2, "fma": False}, ["sse", "scalar"]),
    ("x86_64-unknown-linux-gnu", {}, ["sse", "scalar"]),
    ("arm64-apple-darwin23", {"neon": True}, ["neon", "scalar"]),
    ("aarch64-unknown-linux-gnu", {"neon": True}, ["neon", "scalar"]),
    ("riscv64-unknown-linux-gnu", {"v": True}, ["scalar"]),
]


@pytest.mark.parametrize(("triple", "features", "names"), FAMILIES)
def test_what_a_processor_can_run(triple, features, names):
    assert list(jit.targets_of(triple, "some-cpu", features)) == names


def test_lanes_and_registers():
    x86 = jit.targets_of("x86_64-unknown-linux-gnu", "znver5", AVX512)
    arm = jit.targets_of("arm64-apple-darwin23", "apple-m1", {"neon": True})
    found = [(one.name, one.lanes, one.registers, one.has_fma) for one in (*x86.values(), *arm.values())]
    assert found == [
        ("avx512", 16, 32, True),
        ("avx2", 8, 16, True),
        ("sse", 4, 16, False),
        ("scalar", 1, 16, False),
        ("neon", 4, 32, True),
        ("scalar", 1, 32, True),
    ]


def test_a_narrower_target_has_no_wider_features():
    x86 = jit.targets_of("x86_64-unknown-linux-gnu", "znver5", AVX512)
    assert [one.features for one in x86.values()] == [
        "+avx,+avx2,+avx512bw,+avx512dq,+avx512f,+avx512vl,+fma,+sse2",
        "+avx,+avx2,-avx512bw,-avx512dq,-avx512f,-avx512vl,+fma,+sse2",
        "-avx,-avx2,-avx512bw,-avx512dq,-avx512f,-avx512vl,-fma,+sse2",
        "",
    ]
    assert [one.cpu for one in x86.values()] == ["znver5", "znver5", "znver5", "x86-64"]


def test_attributes_name_the_width():
    x86 = jit.targets_of("x86_64-unknown-linux-gnu", "znver5", AVX512)
    assert [one.attributes for one in x86.values()] == [
        '"prefer-vector-width"="512" nounwind',
        '"prefer-vector-width"="256" nounwind',
        '"prefer-vector-width"="128" nounwind',
        "nounwind noimplicitfloat",
    ]


@pytest.fixture
def four_widths(monkeypatch):
    monkeypatch.setattr(jit, "_targets", lambda: jit.targets_of("x86_64-unknown-linux-gnu", "znver5", AVX512))
    monkeypatch.delenv("CLOSEDFORM_VECTORS", raising=False)


def test_the_widest_is_taken_unless_another_is_named(four_widths, monkeypatch):
    assert jit.widths() == ("avx512", "avx2", "sse", "scalar")
    assert jit.host().name == "avx512"
    assert jit.host("sse").name == "sse"
    monkeypatch.setenv("CLOSEDFORM_VECTORS", "avx2")
    assert jit.host().name == "avx2"
    assert jit.host("scalar").name == "scalar"
    monkeypatch.setenv("CLOSEDFORM_VECTORS", "")
    assert jit.host().name == "avx512"


@pytest.mark.parametrize("name", ["neon", "AVX2", "avx-512", " sse"])
def test_a_width_that_the_machine_cannot_run(four_widths, monkeypatch, name):
    rest = f"must be one that this machine can run (avx512, avx2, sse, scalar), got {name!r}"
    with pytest.raises(SettingError) as caught:
        jit.host(name)
    assert str(caught.value) == f"width {rest}"
    monkeypatch.setenv("CLOSEDFORM_VECTORS", name)
    with pytest.raises(SettingError) as caught:
        jit.host()
    assert str(caught.value) == f"CLOSEDFORM_VECTORS {rest}"


# ---- instructions

WIDE = """
define void @entry(ptr %xs, ptr %ys, i64 %n) #0 {{
  %x = load <32 x float>, ptr %xs, align 4
  %y = load <32 x float>, ptr %ys, align 4
  %count = trunc i64 %n to i32
  %first = insertelement <32 x i32> poison, i32 %count, i32 0
  %all = shufflevector <32 x i32> %first, <32 x i32> poison, <32 x i32> zeroinitializer
  %mask = icmp slt <32 x i32> {numbers}, %all
  %p = fmul <32 x float> %x, %x
  %s = fadd <32 x float> %p, %y
  %r = select <32 x i1> %mask, <32 x float> %s, <32 x float> %y
  store <32 x float> %r, ptr %ys, align 4
  ret void
}}
attributes #0 = {{ {attributes} }}
"""
NUMBERS = "<" + ", ".join(f"i32 {number}" for number in range(32)) + ">"


def registers(text):
    """Which of x86's vector registers occur, and the names of all instructions."""
    return set(re.findall(r"%([xyz]mm|k[1-7])", text)), set(re.findall(r"^\t([a-z]\w*)", text, re.MULTILINE))


@X86_ONLY
@each_width
@pytest.mark.parametrize("level", [0, 3])
def test_no_wider_register_is_used(width, level):
    target = jit.host(width)
    text = WIDE.format(attributes=target.attributes, numbers=NUMBERS)
    found, instructions = registers(jit.assembly(text, target, level))
    widest = {"avx512": "zmm", "avx2": "ymm", "sse": "xmm", "scalar": "xmm"}[width]
    wider = {"xmm": {"ymm", "zmm"}, "ymm": {"zmm"}, "zmm": set()}[widest]
    assert widest in found
    assert not found & wider
    assert any(word.startswith("k") for word in found) is (width == "avx512")
    assert any(word.startswith("v") for word in instructions) is (width in ("avx512", "avx2"))


SCALAR_LOOP = """
define void @entry(ptr %xs, ptr %ys, i64 %n) #0 {{
entry:
{zeros}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %xp = getelementptr float, ptr %xs, i64 %i
  %yp = getelementptr float, ptr %ys, i64 %i
  %x = load float, ptr %xp
  %y = load float, ptr %yp
  %p = fmul float %x, %x
  %s = fadd float %p, %y
  store float %s, ptr %yp
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
attributes #0 = {{ {attributes} }}
"""
ZEROS = "\n".join(
    f"  %z{k} = getelementptr float, ptr %xs, i64 {k}\n  store float 0.0, ptr %z{k}" for k in range(16)
)
PACKED = re.compile(r"^v?(p|mov[au]p|movdq|\w+p[sd]$)")


@X86_ONLY
@pytest.mark.parametrize("level", [0, 3])
def test_scalar_code_stays_scalar(level):
    target = jit.host("scalar")
    text = SCALAR_LOOP.format(zeros=ZEROS, attributes=target.attributes)
    _, instructions = registers(jit.assembly(text, target, level))
    assert {"mulss", "addss", "movss"} <= instructions
    assert not {word for word in instructions if PACKED.match(word)}


FOUR = "\n".join(
    f"""  %xp{k} = getelementptr float, ptr %xs, i64 {k}
  %yp{k} = getelementptr float, ptr %ys, i64 {k}
  %x{k} = load float, ptr %xp{k}
  %y{k} = fmul float %x{k}, %x{k}
  store float %y{k}, ptr %yp{k}"""
    for k in range(4)
)
STRAIGHT = "define void @entry(ptr noalias %xs, ptr noalias %ys) {{\n" + FOUR + "\n  ret void\n}}\n"


@X86_ONLY
@each_width
def test_llvm_leaves_loops_and_vectors_as_they_come(width):
    """They are scheduled before, and another order of adding would change bits."""
    target = jit.host(width)
    loop = SCALAR_LOOP.format(zeros="", attributes=target.attributes)
    for text, products in ((loop, 1), (STRAIGHT.format(), 4)):
        found = jit.assembly(text, target, level=3)
        assert len(re.findall(r"\bv?mulss\b", found)) == products
        assert not re.findall(r"\bv?mulps\b", found)


# ---- libraries


def test_a_name_that_is_not_there():
    target = jit.host()
    library = jit.Library(jit.compile_ir("define void @entry() { ret void }", target), target)
    with pytest.raises(LookupError) as caught:
        library.address("entri")
    assert str(caught.value) == "the machine code has no function 'entri'"
    assert library.address("entry") == library.address("entry") != 0


@pytest.mark.parametrize("length", [0, 4, 100, 300])
def test_bytes_that_are_no_object(length):
    target = jit.host()
    whole = jit.compile_ir("define void @entry() { ret void }", target)
    assert len(whole) > 300
    with pytest.raises(ValueError, match="no object file") as caught:
        jit.Library(whole[:length], target)
    assert str(caught.value) == f"these {length} bytes are no object file of this machine's kind"


def test_text_that_is_no_module():
    with pytest.raises(ValueError, match="expected type") as caught:
        jit.compile_ir("define nonsense", jit.host())
    assert str(caught.value).startswith("LLVM IR parsing error\n<string>:1:8: error: expected type")


def test_a_module_that_is_not_sound():
    text = """
define i64 @entry(i1 %c) {
  br i1 %c, label %a, label %b
a:
  %v = add i64 1, 2
  br label %b
b:
  ret i64 %v
}
"""
    with pytest.raises(ValueError, match="Instruction does not dominate all uses!") as caught:
        jit.compile_ir(text, jit.host())
    assert str(caught.value).startswith("LLVM IR is not sound\n")


def test_a_function_that_nobody_has():
    text = """
declare void @closedform_has_no_such_function()
define void @entry() {
  call void @closedform_has_no_such_function()
  ret void
}
"""
    with pytest.raises(ValueError, match="declared") as caught:
        jit.compile_ir(text, jit.host())
    assert str(caught.value) == (
        "the function 'closedform_has_no_such_function' is declared, and this process has none"
    )


def test_threads_compile_and_load_at_once():
    target = jit.host()
    results = {}

    def work(number):
        text = f"define i64 @entry() {{ ret i64 {number} }}"
        for _ in range(5):
            library = jit.Library(jit.compile_ir(text, target), target)
            results.setdefault(number, []).append(
                ctypes.CFUNCTYPE(ctypes.c_int64)(library.address("entry"))()
            )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [number] * 5 for number in range(6)}


# ---- llvmlite


def test_llvmlite_is_imported_when_it_is_needed():
    code = """
import sys
from closedform.engine import cache, jit
print("llvmlite" in sys.modules)
jit.widths()
print("llvmlite" in sys.modules)
"""
    assert printed(code).split() == ["False", "True"]


def test_without_llvmlite_there_is_one_sentence():
    code = """
import sys
sys.modules["llvmlite"] = None
from closedform.engine import jit
jit.host()
"""
    done = python("-c", code)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "closedform.errors.MissingError: engine='compiled' needs llvmlite: pip install llvmlite, "
        "or pass engine='reference'"
    )
