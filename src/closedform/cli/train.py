"""``closedform train``: a network from examples."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedform.cli.options import path, setting
from closedform.cli.output import say, tell_left_out, tell_report
from closedform.errors import SettingError

if TYPE_CHECKING:
    from closedform.cli.options import Commands
    from closedform.runs.folder import RunFolder
    from closedform.runs.preparing import Training
    from closedform.runs.run_file import RunFile
    from closedform.runs.train import Outcome

_INTERRUPTED = 130
_SHOWN_KEYS = (
    "data", "test_accuracy", "test_loss", "test_examples", "epochs", "batch_size", "learning_rate", "seed",
    "parameters", "seconds", "model",
)  # fmt: skip
_EPILOG = """DATA is digits (handwritten digits that come with the library), a run file (.toml), or
a path to data of your own: folders of images, IDX, CIFAR's binary version, .npz or CSV.  Options count more
than the run file.  Ctrl-C saves what is done, and --resume goes on.  exit codes: 0 done, 1 failed, 2 wrong
usage, 130 interrupted"""

# each option of a run file that is an option of the command too: its table, its name there, and help
_SETTINGS = (
    ("--epochs", "N", "training", "epochs", "how often all images are used, default: 40 for digits"),
    ("--batch-size", "N", "training", "batch_size", "images in one step, default: 64, or 128 of many"),
    ("--seed", "N", "training", "seed", "default: 0"),
    ("--engine", "E", "training", "engine", "compiled, or reference, the default where llvmlite is missing"),
    ("--threads", "N", "training", "threads", "default: all processors, for digits 1"),
    ("--validation", "X", "data", "validation", "share of the images to watch it by, or how many: 0.1"),
    (
        "--image-size",
        "N",
        "data",
        "image_size",
        "of folders of images or CSV, in pixels: 64, or 48x64, height first",
    ),
    ("--color-mode", "M", "data", "color_mode", "of folders of images or CSV: grayscale, rgb or rgba"),
    ("--augment", "A", "data", "augment", 'how images are varied, as in "shift=2,flip"; "" for not at all'),
)


def add(commands: Commands) -> None:
    """Add the command to the others."""
    from closedform.runs.settings import POSITIVE, TABLES, choice

    parser = commands.add_parser(
        "train", help="train a network and say how good it is", epilog=_EPILOG, allow_abbrev=False
    )
    parser.add_argument("data", metavar="DATA", nargs="?", type=path, help="digits, RUN.toml, or data")
    parser.add_argument("--data", metavar="PATH", dest="data_path", type=path, help="data of your own")
    parser.add_argument(
        "--net", metavar="FILE.toml", type=path, help="the network (default: one for the size of the images)"
    )
    for flag, metavar, table, key, words in _SETTINGS:
        parser.add_argument(
            flag, metavar=metavar, dest=f"{table}.{key}", type=setting(TABLES[table][key]), help=words
        )
    parser.add_argument(
        "--lr", metavar="X", type=setting(POSITIVE), help="learning rate, default: 0.003 of Adam"
    )
    parser.add_argument(
        "--optimizer", metavar="O", type=setting(choice(("Adam", "AdamW", "SGD"))), help="Adam, AdamW or SGD"
    )
    standardize = parser.add_mutually_exclusive_group()
    standardize.add_argument(
        "--standardize", dest="data.standardize", action="store_true", default=None,
        help="give each channel mean 0 and deviation 1 (default for data of your own)",
    )  # fmt: skip
    standardize.add_argument("--no-standardize", dest="data.standardize", action="store_false", default=None)
    parser.add_argument(
        "--strict", dest="data.strict", action="store_true", default=None,
        help="refuse data with a file that cannot be read",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR", type=path, help="the run's folder (default: a fresh one, runs/digits)"
    )
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--resume", action="store_true", help="go on with the run that is in the folder")
    before.add_argument("--overwrite", action="store_true", help="replace the run that is in the folder")
    parser.add_argument("--no-pictures", action="store_true", help="draw no pictures, and write no report")
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line instead")
    parser.set_defaults(run=_train, misused=parser.error)


def _train(options: argparse.Namespace) -> int:
    from closedform.runs.preparing import prepared
    from closedform.runs.train import Place, trained

    started = time.perf_counter()
    run = _wanted(options)
    training = prepared(run)
    data = training.examples.data
    tell_left_out(data.source, data.left_out)
    place = Place(options.out, options.resume, options.overwrite)
    folder = place.folder(training.run.data["path"])

    def begin() -> None:
        if not options.json:
            _introduce(training)

    def go_on(how: str) -> None:
        if not options.json:
            say(f"{folder.path} {how}")

    verbose = 0 if options.json else 1
    try:
        outcome = trained(training, folder, place, verbose=verbose, started=started, begin=begin, go_on=go_on)
    except KeyboardInterrupt as interrupt:
        _tell_stopped(folder, _where(interrupt), options.no_pictures)
        return _INTERRUPTED
    except BrokenPipeError:
        if folder.holds_a_checkpoint():
            _tell_stopped(folder, ", nobody reads what it prints", options.no_pictures)
        raise
    _tell(outcome, options)
    if options.no_pictures:
        return 0
    try:
        _show(outcome, is_quiet=options.json)
    except KeyboardInterrupt:
        again = f"closedform report {shlex.quote(str(folder.path))}"
        print(
            f"closedform: stopped while its pictures were drawn; the model is in {folder.model}; draw them "
            f"with: {again}",
            file=sys.stderr,
        )
        return _INTERRUPTED
    return 0


# ---- what is wanted


def _wanted(options: argparse.Namespace) -> RunFile:
    """The run that the command line describes: a run file, or none, under the options."""
    from closedform.runs.folder import RUN_FILE
    from closedform.runs.run_file import RunFile

    data: Path | None = options.data
    is_file = data is not None and data.suffix == ".toml"
    if options.overwrite and options.out is None:
        options.misused("--overwrite needs --out: without it every run has a fresh folder")
    if data is not None and not is_file and options.data_path is not None:
        options.misused(f"data are named twice, {data} and {options.data_path}: leave one out")
    for place in filter(None, (data, options.data_path)):
        if (place / RUN_FILE).is_file():
            again = f"closedform train --resume --out {shlex.quote(str(place))}"
            anew = f"closedform train {shlex.quote(str(place / RUN_FILE))}"
            raise SettingError(
                f"{place}: is the folder of a run: go on with it with {again}, or repeat it with {anew}"
            )
    if is_file and data is not None:
        run = RunFile.read(data)
    else:
        named = options.data_path or data
        path = None if named is None else str(named)
        run = _going_on(path, options) or RunFile(data={"path": path})
    return _with_options(run, options)


def _going_on(path: str | None, options: argparse.Namespace) -> RunFile | None:
    """The run that is to go on, with all of its settings; None where there is none to go on with."""
    from closedform.runs.run_file import RunFile
    from closedform.runs.train import Place

    if path is None and (not options.resume or options.out is None):
        options.misused("what to train on is missing: digits, RUN.toml, or --data PATH")
    folder = Place(options.out, options.resume).before(path)
    if folder is not None:
        return RunFile.read(folder.run_file).on(path)
    if path is None:
        raise SettingError(f"{options.out}: holds no run to go on with: say what to train on too")
    return None


def _with_options(run: RunFile, options: argparse.Namespace) -> RunFile:
    from dataclasses import replace

    from closedform.runs.run_file import RunFile

    given = vars(options)
    if options.data_path is not None:
        run = run.on(str(options.data_path))
    for name, value in given.items():
        table, _, key = name.partition(".")
        if key and value is not None:
            run = run.changed(table, **{key: value})
    if options.net is not None:
        network = RunFile.read(options.net)
        run = replace(run, network=network.network, network_source=options.net)
    if options.lr is not None or options.optimizer is not None:
        run = run.changed("training", optimizer=_optimizer(run.training.get("optimizer"), options))
    return run


def _optimizer(before: Mapping[str, Any] | None, options: argparse.Namespace) -> dict[str, Any]:
    from closedform.runs.defaults import optimizer_settings

    kind = options.optimizer or (before or {}).get("type", "Adam")
    settings = dict(before) if before and before["type"] == kind else optimizer_settings(kind)
    return settings if options.lr is None else {**settings, "learning_rate": options.lr}


# ---- what is said


def _introduce(training: Training) -> None:
    from closedform.runs.defaults import described, image_text
    from closedform.runs.run_file import PACKAGED

    examples, architecture, words = training.examples, training.architecture, training.run.training
    source = examples.data.source
    if training.network_name is not None and source != PACKAGED:
        shown = image_text(examples.shape)
        say(f"{shown}: {training.network_name}, {described(architecture)}")
    if examples.is_held_out:
        say(f"{source} has no part to test on: {len(examples.test[1])} images of it are held out for that")
    watched = 0 if examples.validation is None else len(examples.validation[1])
    say(
        f"{source}: {len(examples.train[1])} images to train on, {watched} to validate, "
        f"{len(examples.test[1])} to test; {architecture.parameter_count:,} parameters, seed {words['seed']}"
    )


def _tell(outcome: Outcome, options: argparse.Namespace) -> None:
    results = outcome.results
    if options.json:
        print(json.dumps({key: results[key] for key in _SHOWN_KEYS}))
        return
    accuracy, count = results["test_accuracy"], results["test_examples"]
    if outcome.has_learned_nothing:
        print(
            "closedform: it has learned nothing, guessing is as good: try another learning rate, with "
            "--lr, or more epochs",
            file=sys.stderr,
        )
    folder = outcome.folder
    share = f"test accuracy {accuracy:.2%} ({round(accuracy * count)} of {count})"
    if outcome.network is None:
        print(f"{folder.path}: this run is finished: {share}; the model is in {folder.model}")
        if not options.no_pictures and not folder.report.exists():
            print(f"its pictures are drawn with: closedform report {shlex.quote(str(folder.path))}")
        return
    if not outcome.has_trained:
        print(f"{folder.path}: its training was over after epoch {results['epochs_trained']}, and stays so")
    print(f"{share}, in {results['seconds']:.1f} s; the model is in {folder.model}", flush=True)


def _where(interrupt: KeyboardInterrupt) -> str:
    """Where a training was interrupted, as the rest of a sentence."""
    from closedform.training.interrupts import Interrupted

    if isinstance(interrupt, Interrupted) and interrupt.step:
        return f" in epoch {interrupt.epoch + 1}, after step {interrupt.step} of {interrupt.steps}"
    if isinstance(interrupt, Interrupted) and interrupt.epoch:
        return f" after epoch {interrupt.epoch}"
    return ""


def _tell_stopped(folder: RunFolder, how: str, without_pictures: bool) -> None:
    if not folder.holds_a_checkpoint():
        print(f"closedform: stopped{how}; nothing was saved", file=sys.stderr)
        return
    more = " --no-pictures" if without_pictures else ""
    again = f"closedform train --resume --out {shlex.quote(str(folder.path))}{more}"
    print(f"closedform: stopped{how}; go on with: {again}", file=sys.stderr)


def _show(outcome: Outcome, *, is_quiet: bool) -> None:
    """Leave pictures and report."""
    from closedform.runs.showing import show

    if outcome.network is None or outcome.history is None:
        return
    has_pictures = show(outcome.training, outcome.folder, outcome.results, outcome.network, outcome.history)
    if not is_quiet:
        tell_report(outcome.folder.report, has_pictures)
