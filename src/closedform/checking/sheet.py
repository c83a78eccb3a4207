"""Marking a whole solution: named claims in order, each right, wrong, or right given an earlier mistake."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from closedform.checking.bases import STANDARD, Base, Convention, Numbers, one_hot
from closedform.checking.blame import Blame, Case, blame, of_other_shape
from closedform.checking.conventions import followed
from closedform.checking.put_in import check_constants, without_mixed
from closedform.checking.sheet_entries import Entries
from closedform.checking.sheet_verdict import SheetVerdict, StepVerdict, WrongEntry
from closedform.checking.sizes import judged_size, size_text
from closedform.checking.stated import stated
from closedform.checking.subgradients import accepted, without_ties
from closedform.checking.taught import through_probabilities
from closedform.checking.writing import Writer
from closedform.errors import ShapeError
from closedform.formula.extents import Shape
from closedform.formula.notation import text
from closedform.layers.base import shape_text
from closedform.solution.names import LOSS, PROBABILITIES
from closedform.worksheet.claims import Claim
from closedform.worksheet.sheet import Worksheet

Array = npt.NDArray[Any]

_DRAWN = "The numbers are drawn for the comparison."
_NOT_AT_OWN = "At the sheet's numbers nothing differs: these are drawn for the comparison."
_RATE = "The learning rate is not given: {} is taken for the comparison."
_FREE = 100  # the first of the sets of numbers that are drawn whatever the sheet says


def check_sheet(worksheet: Worksheet) -> SheetVerdict:
    """Mark the claims of a worksheet, in order.

    Parameters
    ----------
    worksheet
        The network, its numbers and the claims, as `closedform.worksheet.read_worksheet` reads them.

    Returns
    -------
    SheetVerdict

    Raises
    ------
    ShapeError, FormulaError, DataError
        For a claim that cannot be judged, with its number.
    """
    conventions = followed(worksheet)
    return _Marking(worksheet, conventions).verdict()


@dataclass
class _Student:
    """What the sheet states, where that is wrong: by the set of numbers, the values that it goes on with."""

    values: dict[int, dict[str, Array]] = field(default_factory=dict)
    unrounded: dict[int, dict[str, Array]] = field(default_factory=dict)  # where the mistake is known
    origin: dict[str, int] = field(default_factory=dict)  # which claim each wrong quantity stems from
    shapes: dict[int, Shape] = field(default_factory=dict)
    shape_origin: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reading:
    """How earlier claims may have been gone on with: as they are written, or in full; see `_readings`."""

    through_probabilities: bool = False
    unrounded: bool = False


class _Marking:
    def __init__(self, worksheet: Worksheet, convention: Convention = STANDARD):
        self.worksheet, self.convention = worksheet, convention
        self.numbers = Numbers(worksheet, convention)
        self.solution = self.numbers.solution
        self.symbols = worksheet.symbols
        self.bases: dict[int, Base] = {}  # what is right, by the set of numbers; 0 is the sheet's own
        self.student = _Student()
        self.claimed: set[str] = set()

    def verdict(self) -> SheetVerdict:
        """The verdict on every claim, in order."""
        found = []
        for claim in self.worksheet.claims:
            found.append(self.judged(claim))
            if claim.kind not in ("size", "count"):
                self.claimed.add(claim.quantity)
        conventions = tuple(filter(None, self.convention.sentence.split("\n")))
        if self.worksheet.index_note:
            conventions = (*conventions, self.worksheet.index_note)
        return SheetVerdict(self.worksheet.title, tuple(found), conventions, self.worksheet.first_index)

    def judged(self, claim: Claim) -> StepVerdict:
        """The verdict on one claim."""
        if claim.kind in ("size", "count"):
            return self._sized(claim)
        if claim.given_shape is not None:
            return self._of_other_shape(claim)
        return self._valued(claim)

    # ---- sizes and counts

    def _sized(self, claim: Claim) -> StepVerdict:
        right = judged_size(claim, self.solution, self.symbols, {})
        common: dict[str, Any] = {
            "number": claim.number,
            "name": claim.of,
            "statement": claim.kind,
            "compared": 1,
        }
        if right.is_right:
            return StepVerdict(status="right", notes=_notes(claim, right.notes), **common)
        entry = WrongEntry((), right.given, right.expected, self._arithmetic(claim))
        common["entries"] = (entry,) if right.given != right.expected else ()
        status, follows = "wrong", tuple[int, ...]()
        if self.student.shapes and right.given != right.expected:
            given = judged_size(claim, self.solution, self.symbols, self.student.shapes)
            if given.is_right:
                status, follows = "carried", self._shape_origins(claim)
        if claim.kind == "size":
            self._keep_shape(claim)
        mistakes = right.mistakes if status == "wrong" else ()
        return StepVerdict(
            status=status,  # type: ignore[arg-type]
            mistakes=mistakes,
            follows_from=self._names(follows),
            notes=_notes(claim, right.notes),
            **common,
        )

    def _arithmetic(self, claim: Claim) -> str:
        """How the right size is worked out."""
        quantity = self.solution[claim.quantity]
        if claim.kind == "count" or quantity.calculation is None:
            shape = quantity.shape
            return f"{'·'.join(map(str, shape))} = {claim_count(shape)}" if len(shape) > 1 else ""
        found = [
            line for line in quantity.calculation.sizes.arithmetic.values() if "//" in line or "-" in line
        ]
        if found:
            return found[-1].replace("*", "·")
        read = next(iter(quantity.calculation.reads.values()), "")
        before = self.solution[read].shape[1:] if read else ()
        total = claim_count(before)
        if quantity.role == "value" and len(before) > 1 and quantity.shape[1:] == (total,):
            return f"{'·'.join(map(str, before))} = {total}"
        return ""

    def _keep_shape(self, claim: Claim) -> None:
        quantity = self.solution[claim.quantity]
        if quantity.role != "value" or quantity.layer is None:
            return
        axes = self.symbols.axes(claim.quantity)
        told = claim.size if len(claim.size) == len(axes.shape) - 1 else None
        if told is None and len([n for n in axes.size[1:] if n != 1]) == len(claim.size):
            filled = iter(claim.size)
            told = tuple(next(filled) if n != 1 else 1 for n in axes.size[1:])
        if told is not None:
            order = [axis - 1 for axis in axes.order[1:]]
            shape = [0] * len(told)
            for place, axis in enumerate(order):
                shape[axis] = told[place]
            self.student.shapes[quantity.layer] = tuple(shape)
            self.student.shape_origin[quantity.layer] = claim.number

    def _shape_origins(self, claim: Claim) -> tuple[int, ...]:
        position = self.solution[claim.quantity].layer or 0
        before = [place for place in self.student.shapes if place < position]
        return (self.student.shape_origin[max(before)],) if before else ()

    # ---- values

    def _base(self, key: int) -> Base:
        if key not in self.bases:
            if key == 0:
                self.bases[key] = self.numbers.own
            elif key < _FREE:
                self.bases[key] = self.numbers.completed[key - 1]
            else:
                self.bases[key] = self.numbers.free[key - _FREE]
        return self.bases[key]

    def _keys(self, claim: Claim) -> list[int]:
        """The sets of numbers at which the claim is judged."""
        own = [0] if self._base(0)[claim.quantity] is not None else []
        if claim.gradient_of is not None:
            own = [0] if self._with_upstream(claim, self._base(0))[claim.quantity] is not None else []
        if claim.function is not None and own:
            return own
        if claim.kind in ("formula", "function"):
            return [*own, _FREE, _FREE + 1, _FREE + 2]
        if not own:
            return [1, 2, 3]
        return [*own, _FREE, _FREE + 1] if claim.is_symbolic and self.numbers.is_smooth else own

    def _with_upstream(self, claim: Claim, base: Base) -> Base:
        if claim.gradient_of is None:
            return base
        name, written = claim.gradient_of
        place = self.symbols.axes(name).place(written)
        return base.with_given({"d" + name: one_hot(self.solution, name, place)})

    def _valued(self, claim: Claim) -> StepVerdict:
        axes = self.symbols.axes(claim.quantity)
        keys: list[int] = []
        cases: list[Case] = []
        for key in self._keys(claim):
            base = self._with_upstream(claim, self._base(key))
            said = stated(claim, base, self.solution, self.symbols)
            if said is not None and base[claim.quantity] is not None:
                if claim.kind == "values" and key >= _FREE:
                    said = said.only([p for p, e in claim.entries.items() if e.equation is not None])
                if claim.kind in ("formula", "function"):
                    said = without_ties(said, base, self.solution, self.solution[claim.quantity], axes)
                keys.append(key)
                cases.append(Case(base, said, axes, claim.quantity))
        if not cases:
            raise ShapeError(f"claim {claim.number} ({claim.of}): there are no numbers to judge it at")
        if keys[0] != 0:
            check_constants(claim, cases, self.worksheet)
        cases, mixed = without_mixed(claim, cases) if keys[0] == 0 else (cases, ())
        writer = Writer(self.symbols, self.solution)
        entries = Entries(claim, cases, writer, not self.convention.is_flipped)
        count = int(cases[0].stated.filled.sum())
        common: dict[str, Any] = {
            "number": claim.number,
            "name": claim.of,
            "statement": _statement(claim),
            "compared": count,
            "shape": axes.written_shape[len(claim.place) :],
        }
        if claim.index_base is not None:
            return self._of_other_indices(claim, common)
        if all(case.is_right for case in cases):
            notes = _notes(claim, (*mixed, *entries.rounding()))
            cells = entries.cells(cases[0])
            return StepVerdict(status="right", notes=notes, cells=cells, **common)
        tie = self._by_ties(claim, cases)
        if tie:
            for key, case in zip(keys, cases, strict=True):
                self._accept(key, claim, case)
            cells = entries.cells(cases[0], is_right=True)
            return StepVerdict(status="right", notes=_notes(claim, (tie,)), cells=cells, **common)
        found = self._wrong(claim, keys, cases, common, entries)
        if claim.mixed and keys[0] == 0 and found.status == "wrong" and not found.mistakes:
            return self._wrong(claim, keys[:1], cases[:1], common, entries)
        return found

    def _wrong(
        self,
        claim: Claim,
        keys: Sequence[int],
        cases: Sequence[Case],
        common: dict[str, Any],
        entries: Entries,
    ) -> StepVerdict:
        shown = next(case for case in cases if not case.is_right)
        common["entries"] = entries.wrong()
        common["cells"] = entries.cells(shown)
        follows = self._follows_from(claim, keys)
        carried: list[Case] = []
        for origins in self._ways(follows):
            for reading in self._readings(origins):
                carried = [
                    self._carried(claim, key, case, origins, reading)
                    for key, case in zip(keys, cases, strict=True)
                ]
                if all(case.is_right for case in carried):
                    self._keep(claim, keys, cases, None, [case.base[case.target] for case in carried])
                    names = self._names(sorted(origins & set(follows)))
                    return StepVerdict(
                        status="carried", follows_from=names, notes=_notes(claim, ()), **common
                    )
        notes = self._on_numbers(claim, keys, cases.index(shown))
        certain = self._is_certain(claim, cases, shown)
        found = blame(cases, self.solution, self.claimed - {claim.quantity}, is_certain=certain)
        if found is None and carried and self._are_apart(cases, carried):
            behind = self.claimed - {claim.quantity}
            found = blame(carried, self.solution, behind, with_pairs=False, is_certain=certain)
            if found is not None:
                notes.append(f"It carries forward what is wrong in {' and '.join(self._names(follows))} too.")
        self._keep(claim, keys, cases, found)
        if found is None and keys[0] == 0:
            notes += entries.few_digits()
        if found is not None:
            common["mistakes"] = found.mistakes
            common["where"] = found.where if found.where != claim.quantity else ""
        return StepVerdict(status="wrong", notes=_notes(claim, tuple(notes)), **common)

    def _on_numbers(self, claim: Claim, keys: Sequence[int], shown: int) -> list[str]:
        """What is said of the numbers at which entries are shown, where they are not the sheet's own."""
        notes = []
        if not claim.is_symbolic and keys[shown] != 0:
            notes.append(_NOT_AT_OWN if keys[0] == 0 else _DRAWN)
        is_update = self.solution[claim.quantity].role == "update"
        if is_update and self.worksheet.learning_rate is None and not claim.is_symbolic:
            notes.append(_RATE.format(self.solution.learning_rate))
        return notes

    @staticmethod
    def _is_certain(claim: Claim, cases: Sequence[Case], shown: Case) -> bool:
        """Whether what differs is judged at several sets of numbers, where nothing agrees by chance."""
        if claim.kind != "values" or len(cases) < 2:
            return claim.kind != "values"
        return all(claim.entries[place].equation is not None for place in shown.differing)

    def _ways(self, follows: Sequence[int]) -> list[set[int]]:
        """Which earlier claims may be carried forward: each alone, and at last all that are wrong."""
        if not follows:
            return []
        alone = [{number} for number in follows] if len(follows) > 1 else []
        return [*alone, set(self.student.origin.values())]

    def _readings(self, origins: Collection[int]) -> Iterator[_Reading]:
        """How earlier claims may have been gone on with; last as they are written, line by line."""
        probabilities = self.solution.names.get(PROBABILITIES, "")
        is_read = self.student.origin.get(probabilities) in origins
        is_rounded = any(self.student.unrounded.values())
        for through, unrounded in ((True, True), (True, False), (False, True), (False, False)):
            if (is_read or not through) and (is_rounded or not unrounded):
                yield _Reading(through, unrounded)

    def _names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        claims = {claim.number: claim.of for claim in self.worksheet.claims}
        return tuple(claims[number] for number in numbers)

    @staticmethod
    def _are_apart(cases: Sequence[Case], carried: Sequence[Case]) -> bool:
        """Whether what is carried forward changes what the claim is compared with."""
        for case, other in zip(cases, carried, strict=True):
            one, two = case.base[case.target], other.base[case.target]
            if one is not None and two is not None and not np.array_equal(one, two):
                return True
        return False

    # ---- what is carried forward

    def _carried(
        self, claim: Claim, key: int, case: Case, origins: Collection[int], reading: _Reading
    ) -> Case:
        """The claim where the wrong values of earlier claims are taken for granted."""
        own = self.student.values.get(key, {})
        if reading.unrounded:
            own = {**own, **self.student.unrounded.get(key, {})}
        wrong = {n: v for n, v in own.items() if n != claim.quantity and self.student.origin[n] in origins}
        if not wrong:
            return case
        base = case.base.with_given(wrong)
        if reading.through_probabilities:
            base = base.with_calculations(through_probabilities(self.solution, base.values))
        if claim.gradient_of is not None:
            base = self._with_upstream(claim, base)
        said = stated(claim, base, self.solution, self.symbols) if claim.kind != "formula" else case.stated
        return case if said is None else Case(base, said, case.axes, case.target)

    def _follows_from(self, claim: Claim, keys: Sequence[int]) -> tuple[int, ...]:
        """The claims whose wrong values the claim's quantity depends on, without those behind them."""
        wrong = {name for key in keys for name in self.student.values.get(key, {})}
        found: set[int] = set()
        seen, waiting = {claim.quantity}, [claim.quantity]
        while waiting:
            for name in self._read_by(waiting.pop()):
                if name in seen:
                    continue
                seen.add(name)
                if name in wrong:
                    found.add(self.student.origin[name])
                else:
                    waiting.append(name)
        return tuple(sorted(found - {claim.number}))

    def _read_by(self, name: str) -> tuple[str, ...]:
        """What a quantity's line reads, derived or as it is taught: the probabilities of a fused loss."""
        calculation = self.solution[name].calculation
        reads = tuple(calculation.reads.values()) if calculation is not None else ()
        if name in (self.solution.names.get(LOSS), "d" + self.solution.output):
            probabilities = self.solution.names.get(PROBABILITIES, "")
            reads += (probabilities,) if probabilities in self.solution else ()
        return reads

    def _keep(
        self,
        claim: Claim,
        keys: Sequence[int],
        cases: Sequence[Case],
        found: Blame | None,
        unrounded: Sequence[Array | None] = (),
    ) -> None:
        """Go on with what the sheet states, and with what it comes to before it is rounded."""
        if claim.gradient_of is not None or not all(case.stated.is_finite for case in cases):
            return
        self.student.origin[claim.quantity] = claim.number
        for place, (key, case) in enumerate(zip(keys, cases, strict=True)):
            own = self.student.values.setdefault(key, {})
            expected = case.base[claim.quantity]
            if expected is None:
                continue
            kept = own.get(claim.quantity, expected)
            whole = case.axes.to_formula(case.stated.completed(case.axes.to_sheet(kept)))
            if whole is not None:
                own[claim.quantity] = whole
            if found is not None and found.where not in (claim.quantity, *self.claimed):
                own[found.where] = found.values[place]
                self.student.origin.setdefault(found.where, claim.number)
            exact = unrounded[place] if unrounded else None
            if found is not None:
                exact = case.base.floats.with_given({found.where: found.values[place]})[claim.quantity]
            if exact is not None and case.stated.within.any():
                self.student.unrounded.setdefault(key, {})[claim.quantity] = exact

    def _accept(self, key: int, claim: Claim, case: Case) -> None:
        """Go on with another subgradient as with what is right."""
        expected = case.base[claim.quantity]
        if expected is None or claim.gradient_of is not None:
            return
        whole = case.axes.to_formula(case.stated.completed(case.axes.to_sheet(expected)))
        if whole is not None:
            self.bases[key] = self.bases[key].with_given({claim.quantity: whole})

    def _by_ties(self, claim: Claim, cases: Sequence[Case]) -> str:
        """Why a claim that differs is right all the same; empty where it is not."""
        if claim.kind == "formula":
            return ""
        said = ""
        for case in cases:
            if not case.is_right:
                said = accepted(case, self.solution, self.claimed)
                if not said:
                    return ""
        return said

    # ---- claims that cannot be compared entry by entry

    def _of_other_shape(self, claim: Claim) -> StepVerdict:
        """A claim of another shape, which is wrong where a mistake explains it and else malformed."""
        axes = self.symbols.axes(claim.quantity)
        shape = claim.given_shape or ()
        key = 0 if self._base(0)[claim.quantity] is not None else 1
        base = self._with_upstream(claim, self._base(key))
        found = None
        if all(entry.number is not None for entry in claim.entries.values()) and len(
            claim.entries
        ) == claim_count(shape):
            values = np.zeros(shape)
            for place, entry in claim.entries.items():
                values[place] = float(entry.number or 0)
            found = of_other_shape(values, base, self.solution, self.solution[claim.quantity])
        if found is None:
            raise ShapeError(
                f"claim {claim.number} ({claim.of}): expects shape {shape_text(axes.written_shape)}, "
                f"got {shape_text(shape)}"
            )
        return StepVerdict(
            claim.number,
            claim.of,
            _statement(claim),
            "wrong",
            (WrongEntry((), size_text(shape), size_text(axes.written_shape)),),
            len(claim.entries),
            found[0],
            notes=_notes(claim, ("The shape is another than the quantity's.",)),
            shape=axes.written_shape,
        )

    def _of_other_indices(self, claim: Claim, common: dict[str, Any]) -> StepVerdict:
        """A claim that alone counts its entries from another number than the sheet."""
        note = (
            f"Entries are counted from {claim.index_base} here, and from {self.symbols.first_index} in the "
            f"rest of the sheet."
        )
        return StepVerdict(status="wrong", mistakes=("off-by-one",), notes=_notes(claim, (note,)), **common)


def claim_count(shape: Shape) -> int:
    """How many entries an array of this shape has."""
    return int(np.prod(shape, dtype=np.int64))


def _statement(claim: Claim) -> str:
    if claim.kind == "formula" and claim.equation is not None:
        return text(claim.equation)
    return {"values": "entries" if claim.entries else "values", "function": "function"}.get(
        claim.kind, claim.kind
    )


def _notes(claim: Claim, notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(notes)
