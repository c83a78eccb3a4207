"""How well a network tells classes apart: accuracy, precision, recall, F1 and who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.errors import DataError, ShapeError

Array = NDArray[Any]
Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

_TOP = 5
_LONGEST_NAME = 24
_MOST_CONFUSED = 12


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
        """The figures as a table, and the confusion matrix where there are few classes."""
        lines = [*self._heads(), "", *self._table()]
        if len(self.classes) <= _MOST_CONFUSED:
            lines += ["", *self._matrix()]
        return "\n".join(lines)

    def _heads(self) -> list[str]:
        examples = int(self.support.sum())
        right = int(np.trace(self.confusion))
        lines = [f"accuracy {self.accuracy:.2%} ({right} of {examples})"]
        if self.top_5_accuracy is not None:
            lines.append(f"among the first five {self.top_5_accuracy:.2%}")
        if self.loss is not None:
            lines.append(f"loss {self.loss:.4f}")
        return lines

    def _names(self) -> list[str]:
        return [
            name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in self.classes
        ]

    def _table(self) -> list[str]:
        names = self._names()
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
        names = self._names()
        width = max(map(len, names))
        cell = max(3, *(len(str(value)) for value in self.confusion.ravel()))
        letters = [name[:cell] for name in names]
        lines = [
            "rows: the class; columns: what it was taken for",
            " " * width + "  " + " ".join(f"{letter:>{cell}}" for letter in letters),
        ]
        for name, row in zip(names, self.confusion, strict=True):
            lines.append(f"{name:<{width}}  " + " ".join(f"{value:>{cell}}" for value in row))
        return lines


def measure(
    outputs: Array, labels: Array, loss: float | None = None, classes: Sequence[str] | None = None
) -> Metrics:
    """The figures of some outputs.

    Parameters
    ----------
    outputs : array
        Probabilities or logits (N, K); of one column, the probability of class 1, which is taken from 0.5 on.
    labels : array of integers
        (N,), from 0 to K − 1.
    loss : float, optional
        The mean loss.
    classes : sequence of str, optional
        The names of the classes; their numbers where it is None.

    Raises
    ------
    ShapeError, DataError
        For outputs and labels that do not fit each other.

    Notes
    -----
    Of equal outputs the first counts.  An example whose outputs hold NaN counts as wrong, taken for the first
    class that is not its own.
    """
    outputs, labels = np.asarray(outputs, np.float64), np.asarray(labels)
    if outputs.ndim != 2 or labels.shape != (len(outputs),) or not len(outputs):
        raise ShapeError(
            f"outputs must be (N, classes) and labels (N,), at least one, got {outputs.shape} and "
            f"{labels.shape}"
        )
    if outputs.shape[1] == 1:
        outputs = np.concatenate([1 - outputs, outputs], 1)
    count = outputs.shape[1]
    if labels.dtype.kind not in "iub" or labels.min() < 0 or labels.max() >= count:
        raise DataError(f"labels must be whole numbers from 0 to {count - 1}")
    labels = labels.astype(np.int64)
    if classes is not None and len(classes) != count:
        raise DataError(f"there are {len(classes)} names for {count} classes: give one for each")
    lost = np.isnan(outputs).any(1)
    taken = np.where(lost, (labels == 0).astype(np.int64), np.nan_to_num(outputs, nan=-np.inf).argmax(1))
    confusion = np.bincount(labels * count + taken, minlength=count * count).reshape(count, count)
    right, support, claimed = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    precision, recall = _share(right, claimed), _share(right, support)
    top = None
    if count > _TOP:
        own = outputs[np.arange(len(labels)), labels]
        preferred = (outputs > own[:, None]).sum(1)
        top = float(np.mean((preferred < _TOP) & ~lost))
    return Metrics(
        loss,
        float(right.sum() / len(labels)),
        top,
        precision,
        recall,
        _share(2 * precision * recall, precision + recall),
        support.astype(np.int64),
        confusion.astype(np.int64),
        tuple(map(str, range(count))) if classes is None else tuple(classes),
    )


def _share(part: Array, whole: Array) -> Floats:
    """part / whole, 0 where the whole is 0."""
    result = np.zeros(len(whole))
    np.divide(part, whole, out=result, where=whole != 0)
    return result
