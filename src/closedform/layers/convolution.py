"""Convolutions with shared kernels.  "Convolution" is cross-correlation, as in the whole field."""

from __future__ import annotations

from dataclasses import dataclass

from closedform.errors import SettingError, ShapeError
from closedform.formula.extents import Shape, Value
from closedform.layers.base import flag, whole
from closedform.layers.windows import Padding, Pair, Windowed


@dataclass(frozen=True, repr=False)
class Conv2d(Windowed):
    """Convolution of images with filters, one for each output channel.

    "Convolution" is cross-correlation, as in the whole field: the kernel is not turned around.

    Parameters
    ----------
    out_channels : int
        The number of filters, K.
    kernel_size, stride, dilation : int or (int, int)
        Height and width R×S of the kernels, the step from one window to the next, and the step inside one.
    padding : int, (int, int), "valid" or "same"
        Zeros around the image; "valid" is none; with "same" the output's height and width are the image's,
        divided by the stride and rounded up.
    groups : int
        Input and output channels are split into that many groups, each convolved alone.
    bias : bool
        Whether a number is added to each output channel.
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x (N, C, H, W), y (N, K, P, Q), weight (K, C/groups, R, S), bias (K,)

    Raises
    ------
    SettingError
        For a setting outside its range, or `groups` that does not divide K.
    ShapeError
        Where the input is not an image, its channels do not divide by `groups`, or the window is larger than
        the padded image.

    References
    ----------
    Y. LeCun et al., "Backpropagation applied to handwritten zip code recognition", 1989.

    Examples
    --------
    >>> Conv2d(16, 3, stride=2, padding=1).output_shape((1, 28, 28))
    (16, 14, 14)
    >>> print(Conv2d(16, 3, stride=2, padding=1).formula)
    Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+d*u-t,s*j+d*v-t]
    """

    out_channels: int
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "out_channels", whole(self, "out_channels", self.out_channels))
        object.__setattr__(self, "groups", whole(self, "groups", self.groups))
        object.__setattr__(self, "bias", flag(self, "bias", self.bias))
        if self.out_channels % self.groups:
            raise SettingError(
                f"Conv2d: groups must divide out_channels, got groups={self.groups} "
                f"and out_channels={self.out_channels}"
            )

    def line(self) -> str:
        """With one group, the channel is one index."""
        filters, channels = ("q", "p") if self.groups == 1 else ("|q|*g+q", "|p|*g+p")
        bias = f"b[{filters}] + " if self.bias else ""
        return (
            f"Y[n,{filters},i,j] = {bias}sum[p,u,v] W[{filters},p,u,v] "
            f"* X[n,{channels},s1*i+d1*u-t1,s2*j+d2*v-t2]"
        )

    def fixed(self) -> dict[str, Value]:
        """The filters of a group, and the groups."""
        found: dict[str, Value] = {"q": self.out_channels // self.groups}
        return found | ({"g": self.groups} if self.groups > 1 else {})

    @property
    def sample_input_shape(self) -> Shape:
        """Two channels in each group, four without groups."""
        return 4 if self.groups == 1 else 2 * self.groups, *super().sample_input_shape[1:]

    def check_input(self, input_shape: Shape) -> None:
        """The channels divide by the groups, and the window fits."""
        super().check_input(input_shape)
        if input_shape[0] % self.groups:
            raise ShapeError(
                f"Conv2d: groups={self.groups} must divide the input channels, got {input_shape[0]}"
            )


@dataclass(frozen=True, repr=False)
class DepthwiseConv2d(Windowed):
    """Convolution of each channel with a kernel of its own.

    "Convolution" is cross-correlation, as in `Conv2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, bias, name
        As in `Conv2d`.

    Shapes
    ------
    x (N, C, H, W), y (N, C, P, Q), weight (C, 1, R, S), bias (C,)

    Raises
    ------
    SettingError, ShapeError
        As in `Conv2d`.

    References
    ----------
    L. Sifre, "Rigid-motion scattering for image classification", 2014.

    Examples
    --------
    >>> DepthwiseConv2d(3, padding=1).parameter_shapes((8, 14, 14))
    {'weight': (8, 1, 3, 3), 'bias': (8,)}
    """

    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0)
    dilation: Pair = (1, 1)
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "bias", flag(self, "bias", self.bias))

    def line(self) -> str:
        """The channel is never summed."""
        bias = "b[c] + " if self.bias else ""
        return f"Y[n,c,i,j] = {bias}sum[u,v] W[c,u,v] * X[n,c,s1*i+d1*u-t1,s2*j+d2*v-t2]"

    def stored_shape(self, shape: Shape) -> Shape:
        """PyTorch's (C, 1, R, S) for the formula's (C, R, S)."""
        return (shape[0], 1, *shape[1:]) if len(shape) == 3 else shape


@dataclass(frozen=True, repr=False)
class ChannelSummedConv2d(Windowed):
    """Convolution of the sum of the input channels with one kernel for each output channel.

    A variant for teaching: the kernels have no axis of input channels, and no standard layer of the field is
    like it; for the usual convolution use `Conv2d`.  The engines sum the channels first, once.
    "Convolution" is cross-correlation, as in `Conv2d`.

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, bias, name
        As in `Conv2d`.

    Shapes
    ------
    x (N, C, H, W), y (N, K, P, Q), weight (K, R, S), bias (K,)

    Raises
    ------
    SettingError, ShapeError
        As in `Conv2d`.

    Examples
    --------
    >>> ChannelSummedConv2d(2, 2).parameter_shapes((3, 3, 3))
    {'weight': (2, 2, 2), 'bias': (2,)}
    >>> print(ChannelSummedConv2d(2, 2).formula)
    Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,u,v] * X[n,p,s*i+u-t,s*j+v-t]
    """

    out_channels: int
    kernel_size: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0)
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "out_channels", whole(self, "out_channels", self.out_channels))
        object.__setattr__(self, "bias", flag(self, "bias", self.bias))

    def line(self) -> str:
        """The channel is summed, and the kernel does not know it."""
        bias = "b[q] + " if self.bias else ""
        return f"Y[n,q,i,j] = {bias}sum[p,u,v] W[q,u,v] * X[n,p,s1*i+u-t1,s2*j+v-t2]"

    def fixed(self) -> dict[str, Value]:
        """The filters."""
        return {"q": self.out_channels}
