"""The command ``closedform``.

Exit codes: 0 done, 1 failed (with one sentence), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import NoReturn

from closedform.errors import ClosedformError, FileError, SettingError

_DATA_SETS = ("digits",)
_VALIDATION_SHARE = 10  # one example in ten is kept from training to watch it


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, then how the command is used."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
        sys.stdout.flush()
        return code
    except ClosedformError as error:
        print(f"closedform: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("closedform: stopped; nothing was saved", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # whoever read our output has gone; what is left must not be flushed into nothing at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        print(f"closedform: {error or 'out of memory'}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    from closedform import __version__

    parser = _Parser(
        prog="closedform", description="Networks in which a layer is one line of index notation."
    )
    parser.add_argument("--version", action="version", version=f"closedform {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    train = commands.add_parser("train", help="train a network and say how good it is")
    train.add_argument("data", choices=_DATA_SETS, help="what to train on: the packaged handwritten digits")
    train.add_argument("--net", metavar="FILE.toml", type=Path, help="the network (default: a small one)")
    train.add_argument("--epochs", metavar="N", type=_whole(1), default=20, help="default: %(default)s")
    train.add_argument("--batch-size", metavar="N", type=_whole(1), default=32, help="default: %(default)s")
    train.add_argument(
        "--lr", metavar="X", type=_rate, default=1e-3, help="learning rate of Adam, default: %(default)s"
    )
    train.add_argument("--seed", metavar="N", type=_whole(0), default=0, help="default: %(default)s")
    train.add_argument(
        "--out", metavar="DIR", type=Path, help="where the model goes (default: a fresh runs/digits)"
    )
    train.add_argument("--json", action="store_true", help="print one JSON object on one line instead")
    train.set_defaults(run=_train)

    summary = commands.add_parser("summary", help="print a network's layers, sizes and parameters")
    summary.add_argument("net", metavar="NET.toml", type=Path)
    summary.set_defaults(run=_summary)
    return parser


def _train(options: argparse.Namespace) -> int:
    from closedform.data.digits import load_digits
    from closedform.data.split import stratified_split
    from closedform.files import read_toml
    from closedform.layers import SoftmaxCrossEntropy
    from closedform.network import Network
    from closedform.training.optimisers import Adam

    started = time.perf_counter()
    data = load_digits()
    classes = int(data.y_train.max()) + 1
    default = resources.files("closedform.data").joinpath("digits.toml")
    with resources.as_file(default) as packaged:
        architecture = read_toml(
            options.net or packaged, input_shape=data.x_train.shape[1:], loss=SoftmaxCrossEntropy()
        )
    if architecture.input_shape != data.x_train.shape[1:] or architecture.output_shape != (classes,):
        raise SettingError(
            f"{options.net}: digits are images {data.x_train.shape[1:]} of {classes} classes, "
            f"the network takes {architecture.input_shape} and gives {architecture.output_shape}"
        )
    folder = _run_folder(options.out, options.data)
    network = Network.from_architecture(architecture, options.seed)
    rest, kept = stratified_split(data.y_train, len(data.y_train) // _VALIDATION_SHARE, options.seed)
    if not options.json:
        print(
            f"{options.data}: {len(rest)} images to train on, {len(kept)} to validate, "
            f"{len(data.y_test)} to test; {architecture.parameter_count:,} parameters, seed {options.seed}"
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
    model = folder / "model.safetensors"
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
            "parameters": architecture.parameter_count,
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
    from closedform.files import read_toml
    from closedform.summary import summary

    print(summary(read_toml(options.net)))
    return 0


def _run_folder(wanted: Path | None, name: str) -> Path:
    """The folder for a run: the one wanted, if it holds no model, or a fresh one below ``runs``."""
    if wanted is not None:
        if (wanted / "model.safetensors").exists():
            raise FileError(f"{wanted}: already holds a model: choose another --out")
        _make(wanted)
        return wanted
    for number in range(1, 1_000_000):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise FileError(f"{folder}: cannot be made: {error.strerror}") from None
        return folder
    raise FileError("runs: there are a million runs already")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made: {error.strerror}") from None


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value < 1 << 32:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {text!r}")
        return value

    return read


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value
