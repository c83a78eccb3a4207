"""Pooling: the mean or the maximum of windows, or of whole images."""

from __future__ import annotations

from dataclasses import dataclass

from closedform.errors import SettingError
from closedform.formula.extents import Shape, Value
from closedform.layers.base import Layer, flag, needs_image
from closedform.layers.windows import Padding, Pair, Windowed


class _Pool(Windowed):
    """A pool's stride is its kernel size where none is given, and every window holds part of the image."""

    def __post_init__(self) -> None:
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel_size)
        super().__post_init__()
        if isinstance(self.padding, str):
            return
        for padding, kernel in zip(self.padding, self.kernel_size, strict=True):
            if padding >= kernel:
                raise SettingError(
                    f"{type(self).__name__}: padding must be smaller than the kernel, or a window holds no "
                    f"entry of the image; got padding={padding} and kernel_size={kernel}"
                )

    def to_dict(self) -> dict[str, object]:
        """Without the stride where it is the kernel size."""
        found = super().to_dict()
        if self.stride == self.kernel_size:
            del found["stride"]
        return found


@dataclass(frozen=True, repr=False)
class AvgPool2d(_Pool):
    """The mean of each window of each channel.

    Parameters
    ----------
    kernel_size, padding
        As in `Conv2d`.
    stride : int or (int, int), optional
        The kernel size where it is not given.
    count_include_pad : bool
        Whether a window at the border is divided by its whole size or by its entries inside the image.
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x (N, C, H, W), y (N, C, P, Q)

    Raises
    ------
    SettingError, ShapeError
        As in `Conv2d`; and a SettingError where the padding is not smaller than the kernel.

    References
    ----------
    Y. LeCun et al., "Handwritten digit recognition with a back-propagation network", 1990.

    Examples
    --------
    >>> print(AvgPool2d(2).formula)
    Y[n,c,i,j] = 1/(|u|*|v|) * sum[u,v] X[n,c,s*i+u-t,s*j+v-t]
    """

    kernel_size: Pair
    stride: Pair | None = None  # type: ignore[assignment]
    padding: Padding = (0, 0)
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "count_include_pad", flag(self, "count_include_pad", self.count_include_pad))

    def line(self) -> str:
        """Divided by the window's size, or by how many of its entries lie in the image."""
        total = "sum[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]"
        if self.count_include_pad or self.padding == (0, 0):
            return f"Y[n,c,i,j] = 1/(|u|*|v|) * {total}"
        inside = "[0 <= s1*i+u-t1 < |X.2|] * [0 <= s2*j+v-t2 < |X.3|]"
        return f"Y[n,c,i,j] = ({total}) / sum[u,v] {inside}"


@dataclass(frozen=True, repr=False)
class MaxPool2d(_Pool):
    """The maximum of each window of each channel.

    Padding takes no part in a maximum.  The gradient goes to the first maximum in row order; NaN is larger
    than any number.

    Parameters
    ----------
    kernel_size, stride, padding, name
        As in `AvgPool2d`.

    Shapes
    ------
    x (N, C, H, W), y (N, C, P, Q)

    Raises
    ------
    SettingError, ShapeError
        As in `AvgPool2d`.

    References
    ----------
    J. Weng, N. Ahuja, T. Huang, "Cresceptron: a self-organizing neural network which grows adaptively", 1992.

    Examples
    --------
    >>> print(MaxPool2d(2).formula)
    Y[n,c,i,j] = max[u,v] X[n,c,s*i+u-t,s*j+v-t]
    """

    kernel_size: Pair
    stride: Pair | None = None  # type: ignore[assignment]
    padding: Padding = (0, 0)

    def line(self) -> str:
        """What reads outside takes no part."""
        return "Y[n,c,i,j] = max[u,v] X[n,c,s1*i+u-t1,s2*j+v-t2]"


@dataclass(frozen=True, repr=False)
class _GlobalPool(Layer):
    """Pooling of whole images to one number for each channel."""

    def check_input(self, input_shape: Shape) -> None:
        """An image."""
        needs_image(self, input_shape)


@dataclass(frozen=True, repr=False)
class GlobalAvgPool2d(_GlobalPool):
    """The mean of each channel.

    Parameters
    ----------
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x (N, C, H, W), y (N, C)

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    ShapeError
        Where the input is not an image.

    References
    ----------
    M. Lin, Q. Chen, S. Yan, "Network in network", 2014.

    Examples
    --------
    >>> print(GlobalAvgPool2d().formula)
    Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]
    """

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """Every position counts the same."""
        return "Y[n,c] = 1/(|i|*|j|) * sum[i,j] X[n,c,i,j]", {}


@dataclass(frozen=True, repr=False)
class GlobalMaxPool2d(_GlobalPool):
    """The maximum of each channel; its gradient goes to the first one in row order.

    Parameters
    ----------
    name : str, optional
        The layer's name, used in parameter keys and messages.

    Shapes
    ------
    x (N, C, H, W), y (N, C)

    Raises
    ------
    SettingError
        For a name that does not begin with a letter, or holds more than letters, digits, - and _.
    ShapeError
        Where the input is not an image.

    References
    ----------
    M. Oquab, L. Bottou, I. Laptev, J. Sivic, "Is object localization for free? Weakly-supervised learning
    with convolutional neural networks", 2015.

    Examples
    --------
    >>> print(GlobalMaxPool2d().formula)
    Y[n,c] = max[i,j] X[n,c,i,j]
    """

    def written(self, input_shape: Shape) -> tuple[str, dict[str, Value]]:
        """One window, the whole image."""
        return "Y[n,c] = max[i,j] X[n,c,i,j]", {}
