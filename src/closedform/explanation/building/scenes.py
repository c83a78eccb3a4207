"""One quantity as a scene: its formula or derivation, the grids that it is made of, entries written out."""

from __future__ import annotations

from collections.abc import Sequence

from closedform.explanation.building.lines import QuantityLine, Setting
from closedform.explanation.building.pictures import Pictures
from closedform.explanation.building.steps import Steps
from closedform.explanation.document import Block, Display, Scene
from closedform.explanation.line import math_text
from closedform.solution import Quantity


class QuantityScene:
    """The scene of one calculated quantity."""

    def __init__(self, setting: Setting, quantity: Quantity):
        self.line = QuantityLine(setting, quantity)
        self.pictures = Pictures(self.line)
        self.steps = Steps(self.line, self.pictures.zeros)

    def scene(self, key: str, blocks: Sequence[Block]) -> Scene:
        """The blocks with the grids and expansions of the quantity after them."""
        name = math_text(self.line.writer.symbol(self.line.quantity.name))
        prompt = f"Choose an entry of {name} to see what it is made of." if self.pictures.makers else ""
        return Scene(key, (*blocks, self.pictures.picture(), self.pictures.expansions()), prompt)

    def forward(self, key: str) -> Scene:
        """The scene of a value: the formula with this network's sizes."""
        return self.scene(key, (Display(self.line.own()),))

    def backward(self, key: str) -> Scene:
        """The scene of a gradient: its derivation and its taught name."""
        taught = self.steps.taught()
        return self.scene(key, (self.steps.derivation(), *([taught] if taught else [])))
