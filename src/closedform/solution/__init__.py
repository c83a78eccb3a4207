"""What a worked solution states: every quantity of a network in order, and its value for given numbers.

No engine runs here: each line is evaluated as it is written, in fractions where the numbers are exact.
"""

from closedform.solution.quantities import Calculation, Quantity, Solution
from closedform.solution.values import Values

__all__ = ["Calculation", "Quantity", "Solution", "Values"]
