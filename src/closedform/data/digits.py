"""The handwritten digits that come with the library: 1,797 images of 8×8 pixels."""

import numpy as np

from closedform.data.split import Split, stratified_split

_TEST_COUNT = 360
_SPLIT_SEED = 0
_LARGEST_PIXEL = 16


def load_digits() -> Split:
    """Real handwritten digits, always divided in the same way: 1,437 to train on, 360 to test on.

    Returns
    -------
    Split
        Images of shape (N, 1, 8, 8), float32 from 0 (paper) to 1 (ink), in steps of 1/16; labels of shape
        (N,), int64 from 0 to 9.  Both parts hold every digit in the same proportion.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, doi 10.24432/C50P49.  Licence: CC BY 4.0.

    Examples
    --------
    >>> x_train, y_train, x_test, y_test = load_digits()
    >>> x_train.shape, y_test.shape
    ((1437, 1, 8, 8), (360,))
    """
    from importlib import resources

    source = resources.files("closedform.data").joinpath("digits.npz")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    x = images[:, None].astype(np.float32) / np.float32(_LARGEST_PIXEL)
    train, test = stratified_split(labels, _TEST_COUNT, _SPLIT_SEED)
    return Split(x[train], labels[train], x[test], labels[test])
