"""Stride tables: a formula as loops over memory, for the engines."""

from closedform.formula.table.lowering import lower
from closedform.formula.table.stable import stabilise
from closedform.formula.table.tables import Buffer, Program, Slot, Table

__all__ = ["Buffer", "Program", "Slot", "Table", "lower", "stabilise"]
