"""What a run is, with everything that it was not told: seen to fit before anything is trained or written."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedform.architecture import Architecture
from closedform.errors import SettingError, ShapeError
from closedform.formula.extents import Shape
from closedform.layers import Loss, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from closedform.layers.base import shape_text
from closedform.network import Network
from closedform.runs import defaults, settings
from closedform.runs.examples import Examples, class_weights, divided, load_own
from closedform.runs.run_file import PACKAGED, RunFile

if TYPE_CHECKING:
    from closedform.training.callbacks import Callback
    from closedform.training.schedules import Schedule

_DIGITS_THREADS = 1  # products this small gain nothing from a second thread, and lose much on a busy machine
_DEFAULT_VALIDATION = 0.1
_FREE = ("threads", "checkpoint_seconds")  # what decides no bit of the weights


@dataclass(frozen=True, eq=False)
class Training:
    """A run that is ready to begin.

    Attributes
    ----------
    run
        The run file with every setting, the data seen from the current folder.
    examples
        The images.
    network
        The network that is trained, with fresh parameters.
    network_name
        What the network is called where none was named; None where one was.
    """

    run: RunFile
    examples: Examples
    network: Network
    network_name: str | None

    @property
    def architecture(self) -> Architecture:
        """The network without its parameters."""
        return self.network.architecture

    def text(self, folder: Path) -> str:
        """The run file that repeats the run from its folder."""
        from closedform import __version__

        path = _seen_from(self.run.data["path"], folder)
        head = f"A run of closedform {__version__}: closedform train {folder / 'run.toml'} repeats it."
        return self.run.changed("data", path=path).to_toml(self.architecture, head)


def prepared(run: RunFile) -> Training:
    """Read a run's data, fill in what it does not say, and see that everything fits.

    Raises
    ------
    ClosedformError
        For what does not fit, before anything is trained or written.
    """
    data = load_own(run)
    run = replace(run, data={**run.data, "path": run.data_path()})
    run = _filled_data(run, tuple(data.x_train.shape[1:]), data.kind)
    training = dict(run.training)
    try:
        examples = divided(data, run.data["validation"], training.get("seed", 0))
        class_weights(training.get("class_weight"), examples.train[1], data.classes)
    except SettingError as error:
        raise SettingError(f"{run.place}{error}") from None
    run = replace(run, training=_filled_training(run, len(examples.train[1])))
    _check_watching(run)
    _check_augmentation(run, examples.shape)
    name, architecture = _network(run, examples)
    return Training(run, examples, _made(run, examples, architecture), name)


# ---- what is not said


def _filled_data(run: RunFile, shape: tuple[int, ...], kind: str) -> RunFile:
    """With every setting of the data: chosen by us where flags describe the run, off where a file does."""
    by_flags = run.source is None
    chosen: dict[str, Any] = {
        "strict": False,
        "validation": _DEFAULT_VALIDATION if by_flags else 0,
        "standardize": by_flags and run.data["path"] != PACKAGED,
    }
    if kind == "folder of images":
        chosen["image_size"] = list(shape[1:])
        chosen["color_mode"] = {1: "grayscale", 3: "rgb", 4: "rgba"}[shape[0]]
    if by_flags and run.data["path"] != PACKAGED:
        chosen["augment"] = defaults.augmentation(shape)
    filled = {**chosen, **run.data}
    return replace(run, data={key: filled[key] for key in settings.DATA if filled.get(key) not in (None, {})})


def _filled_training(run: RunFile, examples: int) -> dict[str, Any]:
    given = dict(run.training)
    if run.data["path"] == PACKAGED:
        given.setdefault("threads", _DIGITS_THREADS)
    elif run.source is None:
        given.setdefault("schedule", {"type": "OneCycle"})
    filled = defaults.training_settings(examples, given)
    filled["optimizer"] = _whole_optimizer(filled["optimizer"])
    if "steps" in filled:
        filled["epochs"] = -(-filled["steps"] // -(-examples // filled["batch_size"]))
    return {key: filled[key] for key in settings.TRAINING if filled.get(key) is not None}


def _whole_optimizer(values: Mapping[str, Any]) -> dict[str, Any]:
    """With the learning rate, where the optimiser's own was meant."""
    rate = settings.optimizer(values).learning_rate
    return {"type": values["type"], "learning_rate": rate, **values}


def _check_watching(run: RunFile) -> None:
    if run.data["validation"]:
        return
    for callback in made_callbacks(run.training):
        monitor = getattr(callback, "monitor", "")
        looks_at_it = getattr(callback, "save_best_only", True)
        if str(monitor).startswith("val_") and looks_at_it:
            raise SettingError(
                f"{run.place}[training]: {type(callback).__name__} watches {monitor}, and nothing is "
                f"validated: add validation = 0.1 below [data], or let it watch another figure"
            )


def _check_augmentation(run: RunFile, shape: Shape) -> None:
    if "augment" not in run.data:
        return
    try:
        settings.augmentation(run.data["augment"]).check(shape)
    except ShapeError as error:
        raise ShapeError(f"{run.place}{error}") from None


# ---- the network


def _network(run: RunFile, examples: Examples) -> tuple[str | None, Architecture]:
    """The network of the run, which must take the images and tell the classes apart."""
    shape, classes = examples.shape, len(examples.data.classes)
    if not run.network:
        return defaults.default_network(shape, classes)
    architecture = run.architecture(shape, SoftmaxCrossEntropy())
    where, source = run.network_place, examples.data.source
    if architecture.input_shape != shape:
        raise SettingError(
            f"{where}the network takes images {shape_text(architecture.input_shape)}, those of {source} are "
            f"{shape_text(shape)}: {_mend_size(run, architecture)}"
        )
    wanted = _outputs(where, architecture.loss, source, classes)
    if architecture.output_shape != (wanted,):
        given = architecture.output_shape
        outputs = f"{given[0]} numbers" if len(given) == 1 else f"an array {shape_text(given)}"
        raise SettingError(
            f"{where}the network gives {outputs} for each image, {source} has {classes} classes: end it with "
            f"a Dense layer of out_features = {wanted}"
        )
    return None, architecture


def _made(run: RunFile, examples: Examples, architecture: Architecture) -> Network:
    words = run.training
    try:
        network = Network.from_architecture(
            architecture, words["seed"], words.get("engine"), words.get("threads")
        )
    except SettingError as error:
        raise SettingError(f"{run.network_place}{error}") from None
    network.classes = examples.data.classes
    return network


def _outputs(where: str, loss: Loss | None, source: str, classes: int) -> int:
    """How many numbers the network gives for an image."""
    mend = 'write loss = "SoftmaxCrossEntropy"'
    if isinstance(loss, SoftmaxCrossEntropy):
        return classes
    if not isinstance(loss, SigmoidBinaryCrossEntropy):
        raise SettingError(f'{where}loss = "{type(loss).__name__}" tells no classes apart: {mend}')
    if classes != 2:
        raise SettingError(
            f"{where}SigmoidBinaryCrossEntropy tells two classes apart, {source} has {classes}: {mend}"
        )
    return 1


def _mend_size(run: RunFile, architecture: Architecture) -> str:
    if len(architecture.input_shape) != 3 or run.data["path"] == PACKAGED:
        return "leave input_shape out"
    channels, height, width = architecture.input_shape
    mode = {1: "grayscale", 3: "rgb", 4: "rgba"}.get(channels)
    if mode is None or "image_size" not in run.data:
        return "leave input_shape out"
    if run.source is None:
        return f"leave input_shape out, or pass --image-size {height}x{width} --color-mode {mode}"
    wanted = f'image_size = [{height}, {width}] and color_mode = "{mode}"'
    return f"leave input_shape out, or set {wanted} below [data]"


def made_callbacks(words: Mapping[str, Any], folder: Path | None = None, verbose: int = 0) -> list[Callback]:
    """The callbacks that a run names; files that they write lie in its folder."""
    found = []
    for values in words.get("callbacks", []):
        places = {
            word: str((folder or Path()) / values[word])
            for word in ("filepath", "filename")
            if word in values
        }
        found.append(settings.callback({**values, **places}))
    if "early_stopping" in words:
        early_stopping = settings.early_stopping(words["early_stopping"])
        found.append(settings.callback({"verbose": verbose, **early_stopping}))
    return found


# ---- going on


def adopted(training: Training, folder: Path) -> Training:
    """A run that is to go on in a folder, with that run's schedule where it is this one begun anew."""
    from closedform.training.schedules import Restarts

    before = RunFile.read(folder / "run.toml").training.get("schedule")
    schedule = training.run.training.get("schedule")
    if before is None or schedule is None:
        return training
    then = settings.schedule(before)
    is_it = isinstance(then, Restarts) and then.schedule == settings.schedule(schedule)
    return _scheduled(training, then) if is_it else training


def raised(training: Training, before: int) -> Training:
    """A run that goes on for more epochs than it had.

    A schedule that went over all of them begins anew for those that are added.
    """
    words = training.run.training
    if "schedule" not in words:
        return training
    steps = -(-len(training.examples.train[1]) // words["batch_size"])
    return _scheduled(training, settings.schedule(words["schedule"]).raised(steps, before, words["epochs"]))


def _scheduled(training: Training, schedule: Schedule) -> Training:
    return replace(training, run=training.run.changed("training", schedule=schedule.to_dict()))


def epochs_before(folder: Path) -> int | None:
    """How many epochs the run in a folder was to have."""
    found: int | None = RunFile.read(folder / "run.toml").training.get("epochs")
    return found


def difference(training: Training, folder: Path) -> str | None:
    """In words, the first setting that is not that of the run that is to go on; None where all are.

    The data may lie elsewhere.
    """
    before = RunFile.read(folder / "run.toml")
    text = tomllib.loads(training.text(folder))
    for table in ("data", "training"):
        then, now = getattr(before, table), text[table]
        for key in {**then, **now}:
            if key == "path" or key in _FREE or then.get(key) == now.get(key) or _is_longer(key, then, now):
                continue
            return f"[{table}] {key} is {_said(now.get(key))}, that run has {_said(then.get(key))}"
    if before.architecture().to_dict() != training.architecture.to_dict():
        return "the network is another"
    return None


def _is_longer(key: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return key == "epochs" and now[key] >= then.get(key, 0)


def _said(value: Any) -> str:
    from closedform.files import toml_value

    return "not set" if value is None else toml_value(value)


def _seen_from(path: str, folder: Path) -> str:
    """A path for a file in a folder: relative where both lie below the current folder."""
    if path == PACKAGED:
        return path
    here, place, target = Path.cwd(), folder.resolve(), Path(path).resolve()
    if place.is_relative_to(here) and target.is_relative_to(here):
        return Path(os.path.relpath(target, place)).as_posix()
    return str(target)
