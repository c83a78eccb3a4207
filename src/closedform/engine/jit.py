"""LLVM IR to machine code: what this machine can run, compiling for it, and loading what was compiled.

llvmlite is imported at the first call that needs it, never when this module is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from closedform.errors import MissingError, SettingError

VARIABLE = "CLOSEDFORM_VECTORS"
LEVEL = 0

_X86, _ARM = ("x86_64", "amd64"), ("aarch64", "arm64")
# a register of 512 bits is worth having with masks on it and in its narrower forms
_AVX512 = ("avx512f", "avx512vl", "avx512bw", "avx512dq")
_AVX2 = ("avx2", "fma")
_BEYOND_AVX2 = ("avx512", "avx10", "amx")
_BEYOND_SSE = (
    *_BEYOND_AVX2, "avx", "fma", "f16c", "xop", "vaes", "vpclmulqdq", "sha512", "sm3", "sm4"
)  # fmt: skip
_LANES = {"avx512": 16, "avx2": 8, "neon": 4, "sse": 4, "scalar": 1}


@dataclass(frozen=True)
class Target:
    """A processor as the compiled engine sees it.

    Attributes
    ----------
    name
        "avx512", "avx2", "neon", "sse" or "scalar".
    triple, cpu, features
        The same in LLVM's words.
    lanes
        How many float32 a vector register holds.
    registers
        How many vector registers there are.
    has_fma
        Whether one instruction multiplies and adds; elsewhere ``llvm.fma`` calls the C library's `fmaf`.
    """

    name: str
    triple: str
    cpu: str
    features: str
    lanes: int
    registers: int
    has_fma: bool

    @property
    def attributes(self) -> str:
        """What to put on every function: without it LLVM may split or widen vectors as it sees fit."""
        if self.lanes == 1:
            return "nounwind noimplicitfloat"
        return f'"prefer-vector-width"="{32 * self.lanes}" nounwind'


def widths() -> tuple[str, ...]:
    """The names of the targets that this machine can run, widest vectors first."""
    return tuple(_targets())


def host(width: str | None = None) -> Target:
    """The target with the widest vectors that this machine can run, or the one that is asked for.

    Parameters
    ----------
    width
        One of `widths`; None for what the environment variable CLOSEDFORM_VECTORS names, or for the widest.

    Raises
    ------
    SettingError
        Where the machine cannot run it.
    MissingError
        Where llvmlite is not installed.
    """
    name = width or os.environ.get(VARIABLE, "")
    targets = _targets()
    if not name:
        return next(iter(targets.values()))
    if name not in targets:
        what = "width" if width else VARIABLE
        raise SettingError(
            f"{what} must be one that this machine can run ({', '.join(targets)}), got {name!r}"
        )
    return targets[name]


def compile_ir(text: str, target: Target, level: int = LEVEL) -> bytes:
    """Machine code for the text of a module, as an object file.

    Parameters
    ----------
    text
        LLVM IR.  Functions of the C library may be declared and called.
    target
        What to compile for.
    level
        How much LLVM transforms the module before it selects instructions: 0 joins neighbouring instructions
        only, 1 to 3 are LLVM's own levels, which take longer and make the engine's loops no faster.  Loops
        are never unrolled or vectorised by LLVM: they come as they should be.

    Raises
    ------
    ValueError
        Where the text is no module, or calls a function that this process does not have.
    """
    with _compiled(text, target, level) as (machine, module):
        result: bytes = machine.emit_object(module)
        return result


def assembly(text: str, target: Target, level: int = LEVEL) -> str:
    """The machine code of `compile_ir` to be read by people."""
    with _compiled(text, target, level) as (machine, module):
        result: str = machine.emit_assembly(module)
        return result


class Library:
    """Machine code in memory, there as long as this object is.

    Parameters
    ----------
    machine_code
        An object file made by `compile_ir`.
    target
        What it was compiled for.

    Raises
    ------
    ValueError
        Where the bytes are no object file.
    """

    def __init__(self, machine_code: bytes, target: Target):
        llvm = _llvm()
        self._lock = threading.Lock()
        self._addresses: dict[str, int] = {}
        parsed = llvm.ObjectFileRef.from_data(machine_code)
        if not parsed:
            parsed.detach()
            raise ValueError(f"these {len(machine_code)} bytes are no object file of this machine's kind")
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(target))
        self._engine.add_object_file(parsed)
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function begins.

        Raises
        ------
        LookupError
            Where there is none of that name.
        """
        with self._lock:
            if name not in self._addresses:
                found: int = self._engine.get_function_address(name)
                if not found:
                    raise LookupError(f"the machine code has no function {name!r}")
                self._addresses[name] = found
            return self._addresses[name]


def compiler_version() -> str:
    """What compiles, with its version."""
    number = ".".join(str(part) for part in _llvm().llvm_version_info)
    return f"llvmlite {import_module('llvmlite').__version__}, LLVM {number}"


@cache
def _llvm() -> Any:
    try:
        llvm = import_module("llvmlite.binding")
    except ImportError:
        raise MissingError(
            "engine='compiled' needs llvmlite: pip install llvmlite, or pass engine='reference'"
        ) from None
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@cache
def _targets() -> dict[str, Target]:
    llvm = _llvm()
    features = dict(llvm.get_host_cpu_features())
    return targets_of(llvm.get_process_triple(), llvm.get_host_cpu_name(), features)


def targets_of(triple: str, cpu: str, features: dict[str, bool]) -> dict[str, Target]:
    """The targets that a processor can run, by name, widest vectors first.

    Parameters
    ----------
    triple, cpu
        LLVM's words for the system and the processor.
    features
        What the processor has, by LLVM's words.
    """
    family = triple.split("-")[0]
    whole = _written(features)

    def target(name: str, cpu: str, features: str, registers: int, has_fma: bool) -> Target:
        return Target(name, triple, cpu, features, _LANES[name], registers, has_fma)

    if family in _ARM:
        found = [target("neon", cpu, whole, 32, True), target("scalar", cpu, whole, 32, True)]
    elif family in _X86:
        found = []
        if all(features.get(word) for word in _AVX512):
            found.append(target("avx512", cpu, whole, 32, True))
        if all(features.get(word) for word in _AVX2):
            found.append(target("avx2", cpu, _written(features, _BEYOND_AVX2), 16, True))
        found.append(target("sse", cpu, _written(features, _BEYOND_SSE), 16, False))
        found.append(target("scalar", "x86-64", "", 16, False))
    else:
        found = [target("scalar", cpu, whole, 16, False)]
    return {one.name: one for one in found}


def _written(features: dict[str, bool], without: tuple[str, ...] = ()) -> str:
    """Features as LLVM reads them, those that begin with one of `without` switched off."""
    kept = {word: has and not word.startswith(without) for word, has in features.items()}
    return ",".join(("+" if kept[word] else "-") + word for word in sorted(kept))


def _machine(target: Target) -> Any:
    chosen = _llvm().Target.from_triple(target.triple)
    # the default for loading into memory: whole addresses, since code and constants may come to lie far apart
    return chosen.create_target_machine(cpu=target.cpu, features=target.features, opt=2, jit=True)


@contextmanager
def _compiled(text: str, target: Target, level: int) -> Iterator[tuple[Any, Any]]:
    """LLVM's machine and the module, checked and transformed; both are freed at the end."""
    llvm = _llvm()
    # a context of its own, so that a module's types and constants are freed with it
    with llvm.create_context() as context, _machine(target) as machine:
        try:
            module = llvm.parse_assembly(text, context=context)
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        with module:
            try:
                module.verify()
            except RuntimeError as error:
                raise ValueError(f"LLVM IR is not sound\n{error}") from None
            _check_calls(module, target)
            _transform(llvm, machine, module, level)
            yield machine, module


def _transform(llvm: Any, machine: Any, module: Any, level: int) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_unrolling = False
    options.loop_vectorization = False
    options.slp_vectorization = False
    with llvm.create_pass_builder(machine, options) as builder:
        passes = builder.getModulePassManager() if level else llvm.create_new_module_pass_manager()
        if not level:
            # address arithmetic in fewer instructions makes selecting them faster than this takes
            passes.add_instruction_combine_pass()
        with passes:
            passes.run(module, builder)


def _check_calls(module: Any, target: Target) -> None:
    """A call into the void would end the process, so refuse it here."""
    for function in module.functions:
        is_outside = function.is_declaration and not function.name.startswith("llvm.")
        if is_outside and not _finder(target)(function.name):
            raise ValueError(f"the function {function.name!r} is declared, and this process has none")


@cache
def _finder(target: Target) -> Callable[[str], int | None]:
    """LLVM's search for a function of this process."""
    llvm = _llvm()
    # LLVM looks into the process itself only after an engine was made
    llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine(next(iter(_targets().values())))).close()
    find: Callable[[str], int | None] = llvm.address_of_symbol
    return find
