"""How well a network tells classes apart: accuracy, precision, recall, F1 and who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError, ShapeError
from closedform.layers.base import shape_text
from closedform.layers.losses import integer_labels

Array = NDArray[Any]
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_TOP = 5
_LONGEST_NAME = 24
_WIDTH = 100  # columns that a matrix may take


@dataclass(frozen=True, eq=False)
class Metrics:
    """Figures of a classification.

    Attributes
    ----------
    loss
        The mean loss; None where it was not asked for.
    accuracy
        The share of examples whose class was found.
    top_5_accuracy
        The share of examples to whose class fewer than five others are preferred; None below six classes.
    precision, recall, f1 : arrays of float64 (K,)
        For each class: of the examples that were taken for it, the share that are of it; of its examples, the
        share that were found; the harmonic mean of both.  0 where it would be 0/0, as in scikit-learn.
    support : array of int64 (K,)
        How many examples each class has.
    confusion : array of int64 (K, K)
        How many examples of the row's class were taken for the column's.
    classes
        The names of the classes.
    """

    loss: float | None
    accuracy: float
    top_5_accuracy: float | None
    precision: Floats
    recall: Floats
    f1: Floats
    support: Whole
    confusion: Whole
    classes: tuple[str, ...]

    @property
    def macro_precision(self) -> float:
        """The mean of the classes' precisions."""
        return float(self.precision.mean())

    @property
    def macro_recall(self) -> float:
        """The mean of the classes' recalls."""
        return float(self.recall.mean())

    @property
    def macro_f1(self) -> float:
        """The mean of the classes' F1."""
        return float(self.f1.mean())

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "top_5_accuracy": self.top_5_accuracy,
            "classes": list(self.classes),
            "precision": self.precision.tolist(),
            "recall": self.recall.tolist(),
            "f1": self.f1.tolist(),
            "support": self.support.tolist(),
            "confusion": self.confusion.tolist(),
        }

    def __str__(self) -> str:
        """The figures as a table, and the confusion matrix where 100 columns hold it."""
        return "\n".join([*self._heads(), "", *self._table(), *self._matrix()])

    def _heads(self) -> list[str]:
        examples = int(self.support.sum())
        right = int(np.trace(self.confusion))
        lines = [f"accuracy {self.accuracy:.2%} ({right} of {examples})"]
        if self.top_5_accuracy is not None:
            lines.append(f"among the first five {self.top_5_accuracy:.2%}")
        if self.loss is not None:
            lines.append(f"loss {self.loss:.4f}")
        return lines

    def _table(self) -> list[str]:
        names = [_cut(name, _LONGEST_NAME) for name in self.classes]
        width = max(len("class"), *map(len, names))
        lines = [f"{'class':<{width}}  precision  recall     f1  examples"]
        for k, name in enumerate(names):
            lines.append(
                f"{name:<{width}}  {self.precision[k]:9.3f}  {self.recall[k]:6.3f}  {self.f1[k]:5.3f}  "
                f"{self.support[k]:8d}"
            )
        lines.append(
            f"{'mean':<{width}}  {self.macro_precision:9.3f}  {self.macro_recall:6.3f}  "
            f"{self.macro_f1:5.3f}  {int(self.support.sum()):8d}"
        )
        return lines

    def _matrix(self) -> list[str]:
        names = [_cut(name, _LONGEST_NAME) for name in self.classes]
        width, digits = max(map(len, names)), max(3, len(str(self.confusion.max())))
        room = (_WIDTH - width - 1) // len(names) - 1
        if room < digits:
            return []
        cell = min(room, max(digits, *map(len, names)))
        rows = zip(["", *names], [[_cut(name, cell) for name in names], *self.confusion], strict=True)
        return [
            "",
            "rows: the class; columns: what it was taken for",
            *(f"{name:<{width}}  " + " ".join(f"{value:>{cell}}" for value in row) for name, row in rows),
        ]


def measure(
    outputs: Array,
    labels: Array,
    loss: float | None = None,
    classes: Sequence[str] | None = None,
    threshold: float = 0.5,
) -> Metrics:
    """The figures of some outputs.

    Parameters
    ----------
    outputs : array
        Probabilities or logits (N, K), or (N, 1) for two classes, those of class 1.
    labels : array of integers
        (N,), from 0 to K − 1.
    loss : float, optional
        The mean loss.
    classes : sequence of str, optional
        The names of the classes; their numbers where it is None.
    threshold : float
        Above which a single output is taken for class 1: 0.5 for probabilities, 0 for logits.

    Raises
    ------
    ShapeError, DataError
        For outputs, labels and names that do not fit each other.

    Notes
    -----
    Of equal outputs the first is preferred.  An example whose outputs hold NaN counts as wrong, taken for the
    first class that is not its own.
    """
    outputs = np.asarray(outputs, np.float64)
    if outputs.ndim != 2 or not outputs.size:
        raise ShapeError(f"outputs must be (N, classes), at least one, got {shape_text(outputs.shape)}")
    if outputs.shape[1] == 1:
        outputs = np.concatenate([np.full_like(outputs, threshold), outputs], 1)
    count = outputs.shape[1]
    labels = integer_labels(labels, len(outputs), count)
    names = tuple(map(str, range(count) if classes is None else classes))
    if len(names) != count:
        raise DataError(f"there are {len(names)} names for {count} classes: give one for each")
    is_lost = np.isnan(outputs).max(1)
    taken = np.where(is_lost, labels == 0, outputs.argmax(1))
    confusion = np.bincount(labels * count + taken, minlength=count * count).reshape(count, count)
    right, support, claimed = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    return Metrics(
        loss,
        float(right.sum() / len(labels)),
        _top(outputs, labels, is_lost) if count > _TOP else None,
        precision=_share(right, claimed),
        recall=_share(right, support),
        f1=_share(2 * right, claimed + support),
        support=support,
        confusion=confusion,
        classes=names,
    )


def _top(outputs: Floats, labels: Whole, is_lost: NDArray[np.bool_]) -> float:
    """The share of examples to whose class fewer than five others are preferred."""
    own = outputs[np.arange(len(labels)), labels][:, None]
    is_before = np.arange(outputs.shape[1]) < labels[:, None]
    preferred = ((outputs > own) | (is_before & (outputs == own))).sum(1)
    return float(np.mean((preferred < _TOP) & ~is_lost))


def _share(part: Array, whole: Array) -> Floats:
    """part / whole, 0 where the whole is 0."""
    result = np.zeros(len(whole))
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
