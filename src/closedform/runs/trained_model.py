"""A trained model, named by its file or by the folder of its run, and data for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from closedform.errors import DataError, FileError
from closedform.network import Network, load
from closedform.runs.folder import MODEL, RUN_FILE, RunFolder
from closedform.runs.pixels import as_trained
from closedform.runs.run_file import RunFile

_MODES = {1: "grayscale", 3: "rgb", 4: "rgba"}


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model that was read.

    Attributes
    ----------
    path
        Its file.
    network
        The network.
    classes
        The names of the classes, by label.
    """

    path: Path
    network: Network
    classes: tuple[str, ...]

    @classmethod
    def read(cls, place: Path, *, engine: str | None = None, threads: int | None = None) -> TrainedModel:
        """Read a model's file, or that of the run in a folder.

        Raises
        ------
        FileError
            Where there is none, it cannot be read, or it tells no classes apart.
        """
        if not place.exists():
            raise FileError(f"{place}: there is no such model: name the folder of a run, or its {MODEL}")
        path = place / MODEL if place.is_dir() else place
        if place.is_dir() and not path.exists():
            raise FileError(f"{place}: holds no {MODEL}: name the folder of a run that is finished")
        network = load(path, engine, threads)
        if network.loss is None or not network.loss.classifies or len(network.output_shape) != 1:
            raise FileError(
                f"{path}: is a model that tells no classes apart: train one with SoftmaxCrossEntropy"
            )
        count = max(2, network.output_shape[0])
        classes = network.classes or tuple(map(str, range(count)))
        return cls(path, network, classes)

    @property
    def run_file(self) -> RunFile | None:
        """The run file that lies beside it; None where there is none."""
        place = self.path.parent / RUN_FILE
        return RunFile.read(place) if place.is_file() else None

    def as_trained(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images on the scale of those that it was trained on, where the results of its run lie beside it."""
        return as_trained(images, RunFolder(self.path.parent).results())

    def image_settings(self, path: str | Path) -> dict[str, Any]:
        """The size and colours that images at a path are to be made to, for readers that can do that.

        Raises
        ------
        FileError
            Where the model takes no images.
        """
        shape = self.network.input_shape
        if len(shape) != 3:
            raise FileError(
                f"{self.path}: takes rows of numbers {shape}, no images: use closedform.load in Python"
            )
        if shape[0] not in _MODES or not _can_be_made_to_fit(Path(path)):
            return {}
        return {"image_size": (shape[1], shape[2]), "color_mode": _MODES[shape[0]]}

    def check_shape(self, shape: tuple[int, ...], source: str) -> None:
        """See that images of a shape (C, H, W) are those that it takes.

        Raises
        ------
        DataError
            For other images.
        """
        wanted = self.network.input_shape
        if tuple(shape) != wanted:
            raise DataError(
                f"{source}: holds images {tuple(shape)} (channels, height, width), {self.path} was trained "
                f"on images {wanted}: give it images of that size, or train on these"
            )


def _can_be_made_to_fit(path: Path) -> bool:
    """Whether what lies there is images in files, or CSV; arrays have a shape of their own."""
    from closedform.data.images import is_image_folder
    from closedform.data.opened import opened
    from closedform.data.recognise import kind_of
    from closedform.data.table import is_csv_folder

    if path.is_file() and path.stat().st_size:
        return kind_of(opened(path)) in ("image", "csv")
    if path.is_dir() and is_csv_folder(place.name for place in path.iterdir()):
        return True
    try:
        return is_image_folder(path)
    except DataError:  # what cannot be read in it need not matter to what it holds
        return False
