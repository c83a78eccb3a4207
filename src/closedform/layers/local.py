"""The locally connected layer: a convolution without shared kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from closedform.errors import SettingError
from closedform.formula.extents import Value
from closedform.layers.base import whole
from closedform.layers.windows import Padding, Pair, Windowed


@dataclass(frozen=True, repr=False)
class LocallyConnected2d(Windowed):
    """Convolution whose every output position has its own filters and bias.

    "Convolution" is cross-correlation, as in `Conv2d`.

    Parameters
    ----------
    out_channels, kernel_size, stride, padding
        As in `Conv2d`.
    bias : bool or "shared"
        A bias for every output position (True), one for each output channel ("shared"), or none (False).
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x (N, C, H, W), y (N, K, P, Q), weight (P, Q, K, C, R, S), bias (K, P, Q) or (K,)

    Raises
    ------
    SettingError, ShapeError
        As in `Conv2d`.

    References
    ----------
    K. Gregor, Y. LeCun, "Emergence of complex-like cells in a temporal product network with local receptive
    fields", 2010.

    Examples
    --------
    >>> LocallyConnected2d(1, 2).parameter_shapes((1, 3, 3))
    {'weight': (2, 2, 1, 1, 2, 2), 'bias': (1, 2, 2)}
    """

    out_channels: int
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0)
    bias: bool | str = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "out_channels", whole(self, "out_channels", self.out_channels))
        if not isinstance(self.bias, bool | np.bool_) and self.bias != "shared":
            raise SettingError(f'LocallyConnected2d: bias must be True, False or "shared", got {self.bias!r}')
        if self.bias != "shared":
            object.__setattr__(self, "bias", bool(self.bias))

    def line(self) -> str:
        """The weights know the output position."""
        bias = {"shared": "b[q] + ", True: "b[q,i,j] + ", False: ""}[self.bias]
        return f"Y[n,q,i,j] = {bias}sum[p,u,v] W[i,j,q,p,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"

    def fixed(self) -> dict[str, Value]:
        """The filters of a position."""
        return {"q": self.out_channels}
