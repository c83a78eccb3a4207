"""Make src/closedform/data/digits.npz from scikit-learn's copy of the UCI digits.

    python -m pip install scikit-learn
    python scripts/make_digits.py

Run again with the same zlib, it writes the same bytes.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[1] / "src" / "closedform" / "data" / "digits.npz"


def write_npz(path: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    """Write what `numpy.savez_compressed` writes, but without the time of writing."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(
                content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
            )
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content.getvalue(), compresslevel=9)


def as_bytes(values: NDArray[np.generic], largest: int) -> NDArray[np.uint8]:
    """Convert to unsigned bytes, or say that something would be lost."""
    result = values.astype(np.uint8)
    if not np.array_equal(result, values) or result.max() != largest:
        raise SystemExit(f"expected whole numbers from 0 to {largest}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Make digits.npz from scikit-learn's copy.")
    parser.add_argument("target", nargs="?", type=Path, default=TARGET)
    target = parser.parse_args().target
    digits = load_digits()
    write_npz(target, {"images": as_bytes(digits.images, 16), "labels": as_bytes(digits.target, 9)})
    print(f"{target}: {target.stat().st_size} bytes, {len(digits.target)} images")


if __name__ == "__main__":
    main()
