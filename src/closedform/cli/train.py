"""``closedform train``: a network from examples."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from closedform.cli.options import path, rate, whole
from closedform.errors import FileError, SettingError

if TYPE_CHECKING:
    from closedform.cli.options import Commands
    from closedform.data.split import Split
    from closedform.network import Network


_DATA_SETS = ("digits",)
_MODEL = "model.safetensors"
_THREADS = 1  # products this small gain nothing from a second thread, and lose much on a busy machine
_VALIDATION_SHARE = 10  # one example in ten is kept from training to watch it


def add(commands: Commands) -> None:
    """Add the command to the others."""
    from closedform.network import ENGINES

    train = commands.add_parser("train", help="train a network and say how good it is", allow_abbrev=False)
    train.add_argument(
        "data", metavar="DATA", choices=_DATA_SETS, help="digits: the packaged handwritten digits"
    )
    train.add_argument("--net", metavar="FILE.toml", type=path, help="the network (default: a small one)")
    train.add_argument("--epochs", metavar="N", type=whole(1), default=40, help="default: %(default)s")
    train.add_argument("--batch-size", metavar="N", type=whole(1), default=64, help="default: %(default)s")
    train.add_argument(
        "--lr", metavar="X", type=rate, default=3e-3, help="learning rate of Adam, default: %(default)s"
    )
    train.add_argument("--seed", metavar="N", type=whole(0, 1 << 64), default=0, help="default: %(default)s")
    train.add_argument(
        "--out", metavar="DIR", type=path, help="where the model goes (default: a fresh runs/digits)"
    )
    train.add_argument(
        "--engine", choices=ENGINES, help="default: compiled, or reference where llvmlite is missing"
    )
    train.add_argument(
        "--threads", metavar="N", type=whole(1, 1 << 12), default=_THREADS, help="default: %(default)s"
    )
    train.add_argument("--json", action="store_true", help="print one JSON object on one line instead")
    train.set_defaults(run=_train)


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
