"""What numbers the images were that a run was trained on, so that others are put on their scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closedform.data.image_arrays import largest_of, on_scale

Array = NDArray[Any]

PIXELS = "pixels"
"""Under what name the results of a run keep it."""

_TYPES = ("uint8", "float32")


def pixels_of(images: Array) -> dict[str, Any]:
    """The type of the numbers in images (N, C, H, W), and the largest."""
    largest = 255.0 if images.dtype == np.uint8 else largest_of(images)
    return {"type": images.dtype.name, "largest": largest}


def as_trained(images: Array, results: Mapping[str, Any] | None) -> Array:
    """Images on the scale of those that a run was trained on; as they are where its results do not say it."""
    found = (results or {}).get(PIXELS)
    if not isinstance(found, Mapping) or found.get("type") not in _TYPES:
        return images
    largest = found.get("largest")
    return on_scale(images, np.dtype(found["type"]), largest if isinstance(largest, float) else 255.0)
