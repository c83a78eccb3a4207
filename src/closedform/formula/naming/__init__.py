"""What a gradient is called, as words and as a recipe that NumPy executes."""

from closedform.formula.naming.affine import recipe_of
from closedform.formula.naming.name import Name, name_of
from closedform.formula.naming.recipe import Axis, Operand, Recipe

__all__ = ["Axis", "Name", "Operand", "Recipe", "name_of", "recipe_of"]
