"""Small data sets in files, for the tests of the command."""

from pathlib import Path

import numpy as np

COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 60), "red": (230, 30, 20)}


def save_images(folder, counts, *, size=(12, 16), first=0):
    """Folders of PNG files, one for each class: images of one colour each, with some noise."""
    from PIL import Image

    rng = np.random.default_rng(first)
    for name, count in counts.items():
        place = Path(folder, name)
        place.mkdir(parents=True, exist_ok=True)
        colour = np.array(COLOURS.get(name, (128, 128, 128)))
        for number in range(first, first + count):
            noise = rng.integers(-20, 21, (*size, 3))
            Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8)).save(place / f"{number:03d}.png")


def save_arrays(path, *, shape=(12, 12), classes=3, train=60, test=30, first_label=0):
    """An .npz file of grey images in which a bright row says the class."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        if not count:
            continue
        y = np.arange(count) % classes
        x = rng.integers(0, 60, (count, *shape), dtype=np.uint8)
        x[np.arange(count), y] = 255
        arrays |= {f"x_{part}": x, f"y_{part}": y + first_label}
    np.savez(path, **arrays)
