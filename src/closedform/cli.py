"""The command ``closedform``.

Exit codes: 0 done, 1 failed (with one sentence), 2 wrong usage.  Of ``explain`` and ``check`` every failure
is 2, since 1 is the verdict of ``check`` that something is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from closedform.architecture import nearest
from closedform.errors import ClosedformError, FileError, SettingError

if TYPE_CHECKING:
    from closedform.data.split import Split
    from closedform.network import Network

_DATA_SETS = ("digits",)
_MODEL = "model.safetensors"
_THREADS = 1  # products this small gain nothing from a second thread, and lose much on a busy machine
_WIDEST = 100  # columns of a text
_SUFFIXES = {"text": "txt", "latex": "tex"}
_OTHER_SUFFIXES = {"txt": "text", "tex": "latex", "htm": "html"}
_CODES = "exit codes: 0 done, 1 failed, 2 wrong usage; those of explain and check are in their own help"
_EXPLAIN_CODES = "exit codes: 0 done; 2 where a file cannot be read or written, and for wrong usage"
_CHECK_CODES = """exit codes: 0 where everything is right, 1 where something is wrong; 2 where a file cannot
be read or written or a claim cannot be judged, and for wrong usage"""
_PLAIN_MARKS = str.maketrans({"✓": "+", "✗": "x", "→": ">"})
_VALIDATION_SHARE = 10  # one example in ten is kept from training to watch it


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, then how the command is used."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action, f"{value!r} is unknown; {nearest(str(value), action.choices)}"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table is still a table without its signs
    failure = 1
    try:
        options = _parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = options.run
        failure = options.failure
        code = run(options)
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except ClosedformError as error:
        code = _failed(str(error), failure)
    except KeyboardInterrupt:
        code = _failed("stopped; nothing was saved", failure)
    except BrokenPipeError:
        code = failure
    except MemoryError:
        code = _failed("there is not enough memory: make the network or the batch smaller", failure)
    except OSError as error:
        code = _failed(_reason(error), failure)
    except Exception as error:
        kind = type(error).__name__
        code = _failed(f"a mistake of closedform's own, please report it: {kind}: {error}", failure)
    return _flushed(code, failure)


def _failed(message: str, code: int) -> int:
    print(f"closedform: {message}", file=sys.stderr)
    return code


def _reason(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _flushed(code: int, failure: int) -> int:
    """Write what was printed; where that cannot be done, nothing is tried again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return failure
        return code if code in (failure, 2) else _failed(_reason(error), failure)


def _parser() -> argparse.ArgumentParser:
    from closedform import __version__
    from closedform.bench.networks import NAMES
    from closedform.network import ENGINES

    parser = _Parser(
        prog="closedform",
        description="Networks in which a layer is one line of index notation.",
        epilog=_CODES,
        allow_abbrev=False,
    )
    parser.set_defaults(failure=1)
    parser.add_argument("--version", action="version", version=f"closedform {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = commands.add_parser("train", help="train a network and say how good it is", allow_abbrev=False)
    train.add_argument(
        "data", metavar="DATA", choices=_DATA_SETS, help="digits: the packaged handwritten digits"
    )
    train.add_argument("--net", metavar="FILE.toml", type=_path, help="the network (default: a small one)")
    train.add_argument("--epochs", metavar="N", type=_whole(1), default=40, help="default: %(default)s")
    train.add_argument("--batch-size", metavar="N", type=_whole(1), default=64, help="default: %(default)s")
    train.add_argument(
        "--lr", metavar="X", type=_rate, default=3e-3, help="learning rate of Adam, default: %(default)s"
    )
    train.add_argument("--seed", metavar="N", type=_whole(0, 1 << 64), default=0, help="default: %(default)s")
    train.add_argument(
        "--out", metavar="DIR", type=_path, help="where the model goes (default: a fresh runs/digits)"
    )
    train.add_argument(
        "--engine", choices=ENGINES, help="default: compiled, or reference where llvmlite is missing"
    )
    train.add_argument(
        "--threads", metavar="N", type=_whole(1, 1 << 12), default=_THREADS, help="default: %(default)s"
    )
    train.add_argument("--json", action="store_true", help="print one JSON object on one line instead")
    train.set_defaults(run=_train)

    summary = commands.add_parser(
        "summary", help="print a network's layers, sizes and parameters", allow_abbrev=False
    )
    summary.add_argument("net", metavar="NET.toml", type=_path)
    summary.add_argument(
        "--plan", action="store_true", help="print the compiled engine's plan of a training step too"
    )
    summary.add_argument("--batch", metavar="N", type=_whole(1, 1 << 24), help="of the plan, default: 32")
    summary.add_argument("--threads", metavar="N", type=_whole(1, 1 << 12), help="of the plan")
    summary.set_defaults(run=_summary, misused=summary.error)

    bench = commands.add_parser(
        "bench", help="time training steps next to the processor's peak", allow_abbrev=False
    )
    bench.add_argument(
        "nets",
        metavar="NET",
        nargs="*",
        type=_benched,
        help=f"{', '.join(NAMES)}, or a FILE.toml; default: all of these",
    )
    bench.add_argument(
        "--batches", metavar="N", nargs="+", type=_whole(1, 1 << 24), default=[1, 32, 128],
        help="default: 1 32 128",
    )  # fmt: skip
    bench.add_argument("--threads", metavar="N", type=_whole(1, 1 << 12), help="default: all processors")
    bench.add_argument("--json", metavar="FILE", type=_path, help="write the figures there too")
    bench.set_defaults(run=_bench)

    explain = commands.add_parser(
        "explain",
        help="write out the solution of a network or a worksheet",
        epilog=_EXPLAIN_CODES,
        allow_abbrev=False,
    )
    explain.add_argument(
        "file", metavar="FILE.toml", type=_path, help="a worksheet, or a network without numbers"
    )
    explain.add_argument("--layer", metavar="NAME", help="one layer only, by its name or position")
    explain.add_argument("--wrt", metavar="W", help="one gradient only, by the quantity's name or key")
    explain.add_argument("--first-index", metavar="N", type=_whole(0, 2), help="count entries from 0 or 1")
    _add_output(explain, tuple(_EXPLAINED))
    explain.set_defaults(run=_explain, failure=2)

    check = commands.add_parser(
        "check",
        help="mark the claims of a worksheet: exit code 0 right, 1 wrong",
        epilog=_CHECK_CODES,
        allow_abbrev=False,
    )
    check.add_argument("file", metavar="FILE.toml", type=_path, help="a worksheet")
    _add_output(check, ("text", "json", "html"))
    check.set_defaults(run=_check, failure=2)
    return parser


def _add_output(parser: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    parser.add_argument("--format", choices=formats, help="default: by the name after --out, else text")
    parser.add_argument("--out", metavar="FILE", type=_path, help="write there instead of printing")
    parser.set_defaults(formats=formats)


def _format(options: argparse.Namespace) -> str:
    """The format that was asked for, or that the output file's name shows.

    Raises
    ------
    SettingError
        For an output that nothing is written to: the file that is read, or one of another format's name.
    """
    out: Path | None = options.out
    if out is None:
        return str(options.format or "text")
    if str(out) == "-":
        raise SettingError("--out -: leave --out out to print")
    _spare(out, options.file, "--out")
    if options.format is not None:
        return str(options.format)
    suffix = out.suffix.lower().lstrip(".")
    found = _OTHER_SUFFIXES.get(suffix, suffix) or "text"
    if found not in options.formats:
        known = ", ".join(f".{_SUFFIXES.get(name, name)}" for name in options.formats)
        raise SettingError(f"{out}: .{suffix} is the ending of no format; known are {known}: or add --format")
    return found


def _spare(out: Path, read: Path, option: str) -> None:
    """Nothing is written over the file that is read."""
    is_same = False
    with contextlib.suppress(OSError, ValueError):  # one of them is not there
        is_same = os.path.samefile(out, read)
    if is_same:
        raise SettingError(f"{out}: {option} is the file that is read: name another")


def _deliver(text: str, options: argparse.Namespace, format: str) -> None:
    """Print what was made, or write it whole."""
    from closedform.files import write_file
    from closedform.summary import writable

    if options.out is None:
        shown = text.rstrip("\n")
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        if "✓".encode(encoding, "ignore") == b"":
            shown = shown.translate(_PLAIN_MARKS)
        print(writable(shown, sys.stdout))
        return
    write_file(
        options.out,
        (text.rstrip("\n") + "\n").encode(),
        f"{options.file.stem}.{_SUFFIXES.get(format, format)}",
        makes_folders=False,
    )


def _width() -> int:
    """The columns of the terminal, from 40 to 100; 100 where there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return _WIDEST
    return max(40, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))


_EXPLAINED: dict[str, Callable[[Any], str]] = {
    "text": lambda document: document.text(_width()),
    "latex": lambda document: document.latex(),
    "html": lambda document: document.html(),
    "ipynb": lambda document: document.notebook(),
    "md": lambda document: document.markdown(),
}


def _explain(options: argparse.Namespace) -> int:
    from closedform.explanation.explain import explain_worksheet
    from closedform.worksheet import read_worksheet

    format = _format(options)
    worksheet = read_worksheet(options.file)
    document = explain_worksheet(worksheet, options.layer, options.wrt, options.first_index)
    _deliver(_EXPLAINED[format](document), options, format)
    return 0


def _check(options: argparse.Namespace) -> int:
    from closedform.checking.sheet import check_sheet
    from closedform.worksheet import read_worksheet

    format = _format(options)
    worksheet = read_worksheet(options.file)
    if not worksheet.claims:
        raise FileError(f"{options.file}: states nothing: add a [[claim]]")
    try:
        verdict = check_sheet(worksheet)
    except ClosedformError as error:
        raise FileError(f"{options.file}: {error}") from None
    made = {"text": lambda: verdict.text(_width()), "json": verdict.to_json, "html": verdict.html}
    _deliver(made[format](), options, format)
    return 0 if verdict.right else 1


def _train(options: argparse.Namespace) -> int:
    from closedform.data.digits import load_digits

    started = time.perf_counter()
    data = load_digits()
    network = _network(options, data)
    if options.out is not None:
        return _train_into(_wanted_folder(options.out), options, network, data, started)
    folder = _fresh_folder(options.data)
    try:
        return _train_into(folder, options, network, data, started)
    finally:
        with contextlib.suppress(OSError):  # it holds a model
            folder.rmdir()


def _network(options: argparse.Namespace, data: Split) -> Network:
    """The network in a file, or the packaged one, which must take the images and tell the classes apart."""
    from closedform.files import read_toml
    from closedform.layers import SoftmaxCrossEntropy
    from closedform.network import Network

    file = options.net
    image, classes = data.x_train.shape[1:], int(data.y_train.max()) + 1
    with resources.as_file(resources.files("closedform.data").joinpath("digits.toml")) as packaged:
        architecture = read_toml(file or packaged, input_shape=image, loss=SoftmaxCrossEntropy())
    if architecture.input_shape != image or architecture.output_shape != (classes,):
        raise SettingError(
            f"{file}: digits are images {image} of {classes} classes, "
            f"the network takes {architecture.input_shape} and gives {architecture.output_shape}"
        )
    if not isinstance(architecture.loss, SoftmaxCrossEntropy):
        kind = type(architecture.loss).__name__
        raise SettingError(f'{file}: digits need loss = "SoftmaxCrossEntropy", got {kind}')
    try:
        return Network.from_architecture(architecture, options.seed, options.engine, options.threads)
    except SettingError as error:
        raise SettingError(f"{file}: {error}") from None


def _train_into(
    folder: Path, options: argparse.Namespace, network: Network, data: Split, started: float
) -> int:
    from closedform.data.split import stratified_split
    from closedform.training.optimisers import Adam

    rest, kept = stratified_split(data.y_train, len(data.y_train) // _VALIDATION_SHARE, options.seed)
    count = network.architecture.parameter_count
    if not options.json:
        print(
            f"{options.data}: {len(rest)} images to train on, {len(kept)} to validate, "
            f"{len(data.y_test)} to test; {count:,} parameters, seed {options.seed}"
        )
    network.fit(
        data.x_train[rest],
        data.y_train[rest],
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=Adam(options.lr),
        validation_data=(data.x_train[kept], data.y_train[kept]),
        verbose=0 if options.json else 1,
    )
    found = network.evaluate(data.x_test, data.y_test)
    model = folder / _MODEL
    network.save(model)
    seconds = time.perf_counter() - started
    if options.json:
        report = {
            "data": options.data,
            "test_accuracy": found["accuracy"],
            "test_loss": found["loss"],
            "test_examples": len(data.y_test),
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "learning_rate": options.lr,
            "seed": options.seed,
            "parameters": count,
            "seconds": round(seconds, 3),
            "model": str(model),
        }
        print(json.dumps(report))
    else:
        right = round(found["accuracy"] * len(data.y_test))
        print(
            f"test accuracy {found['accuracy']:.2%} ({right} of {len(data.y_test)}), "
            f"in {seconds:.1f} s; the model is in {model}"
        )
    return 0


def _summary(options: argparse.Namespace) -> int:
    from closedform.files import load_model, read_toml
    from closedform.summary import summary, writable

    if not options.plan and (options.batch or options.threads):
        options.misused("--batch and --threads are settings of the plan: add --plan")
    is_model = options.net.suffix == ".safetensors"
    architecture = load_model(options.net).architecture if is_model else read_toml(options.net)
    text = summary(architecture)
    if options.plan:
        from closedform.engine.plan_table import plan_text
        from closedform.engine.threads import thread_count

        text += "\n\n" + plan_text(architecture, options.batch or 32, thread_count(options.threads))
    print(writable(text, sys.stdout))
    return 0


def _benched(text: str) -> str:
    from closedform.bench.networks import NAMES

    if text in NAMES or text.endswith(".toml"):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is unknown; {nearest(text, NAMES)}")


def _bench(options: argparse.Namespace) -> int:
    from closedform.bench.networks import NAMES, network
    from closedform.bench.steps import HEADER, Timing, machine, measured
    from closedform.engine.threads import thread_count
    from closedform.files import read_toml

    for name in options.nets if options.json is not None else ():
        if name.endswith(".toml"):
            _spare(options.json, Path(name), "--json")
    networks = [
        (Path(name).stem, read_toml(name)) if name.endswith(".toml") else (name, network(name))
        for name in options.nets or NAMES
    ]
    threads = thread_count(options.threads)
    found: list[Timing] = []

    def save() -> None:
        if options.json is not None:
            steps = [timing.to_dict() for timing in found]
            report = {"machine": machine(), "threads": threads, "steps": steps}
            options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    timings = measured(networks, options.batches, threads)
    save()  # where it cannot be written, nothing is measured
    print(f"{machine()}, {threads} {'thread' if threads == 1 else 'threads'}")
    print(f"training steps by fit and SGD, microseconds: minimum (median)\n\n{HEADER}", flush=True)
    for timing in timings:
        found.append(timing)
        print(timing, flush=True)
        save()
    return 0


def _wanted_folder(folder: Path) -> Path:
    """The folder that was asked for, which must hold no model yet."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = (folder / _MODEL).exists()
    except FileExistsError:
        raise FileError(f"{folder}: is no folder: name another folder with --out") from None
    except (OSError, ValueError) as error:
        raise _unmade(folder, error) from None
    if taken:
        raise FileError(f"{folder}: already holds a model: name another folder with --out")
    try:
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise FileError(
            f"{folder}: cannot be written: {error.strerror}; name another folder with --out"
        ) from None


def _fresh_folder(name: str) -> Path:
    """A new folder below ``runs``."""
    for number in itertools.count(1):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not folder.parent.is_dir():
                raise FileError(f"{folder.parent}: is no folder: name another folder with --out") from None
        except OSError as error:
            raise _unmade(folder, error) from None
    raise AssertionError("unreachable")


def _unmade(folder: Path, error: OSError | ValueError) -> FileError:
    from closedform.files import reason

    return FileError(f"{folder}: cannot be made: {reason(error)}; name another folder with --out")


def _whole(least: int, limit: int = 1 << 32) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value < limit:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} to {limit - 1}, got {text!r}"
            )
        return value

    return read


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must name a file or folder, got ''")
    return Path(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value
