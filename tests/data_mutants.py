"""Damaged and hostile files for one reader, read in this process; a line of JSON says how it went.

python data_mutants.py READER FIRST COUNT FOLDER
"""

import json
import random
import re
import struct
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from data_files import (
    PACKERS,
    cifar_bytes,
    csv_text,
    idx_bytes,
    images,
    labels,
    npy_bytes,
    npy_header,
    npz_bytes,
    zip_bytes,
)

from closedform.data.recognise import load_data, read_inputs
from closedform.errors import DataError

ENDINGS = tuple(PACKERS)
ZEROS = 72 << 20
BELOW = 60 << 20  # the readers allow this much of any file that is so long
CLEAR = Path("/proc/self/clear_refs")
LARGE = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 1 << 24, 60_000, 0)


def mutated(data, random):
    """Bytes with one to three pieces of damage."""
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not data:
            break
        at = random.choice((random.randrange(len(data)), random.randrange(min(64, len(data)))))
        size = random.choice((1, 2, 4, 8, 100))
        what = random.randrange(9)
        if what == 0:
            data = data[:at]
        elif what == 1:
            data[at] ^= 1 << random.randrange(8)
        elif what == 2:
            data[at] = random.randrange(256)
        elif what == 3:
            data[at : at + 4] = struct.pack(random.choice((">I", "<I")), random.choice(LARGE))
        elif what == 4:
            data[at : at + size] = b""
        elif what == 5:
            data[at:at] = random.randbytes(size)
        elif what == 6:
            data[at:at] = data[at : at + size]
        elif what == 7:
            data += random.choice((bytes(size), random.randbytes(size)))
        else:
            data[at : at + 8] = struct.pack("<Q", random.choice((1 << 40, (1 << 63) - 1, (1 << 64) - 1, 0)))
    return bytes(data)


def packed(data, random, ending):
    """Content damaged before it is compressed, or its compressed bytes damaged, or both."""
    when = random.randrange(8)
    content = data if when < 3 else mutated(data, random)
    result = PACKERS[ending](content)
    return mutated(result, random) if when < 4 else result


def idx_files(random):
    """MNIST's four files, some of them damaged, or one that promises too much."""
    x, y = images(6, 5, random.choice((4, 5))), labels(6)
    if random.random() < 0.3:
        x = x.astype(random.choice(("i1", "i2", "i4", "f4", "f8")))
    ending = random.choice(ENDINGS)
    files = {
        f"train-images-idx3-ubyte{ending}": idx_bytes(x),
        f"train-labels-idx1-ubyte{ending}": idx_bytes(y),
        f"t10k-images-idx3-ubyte{ending}": idx_bytes(x[:3]),
        f"t10k-labels-idx1-ubyte{ending}": idx_bytes(y[:3]),
    }
    chosen = random.choice(list(files))
    promise = struct.pack(
        ">BBBBIII", 0, 0, random.choice((8, 13, 14)), 3, *random.choices((*LARGE, 28, 1000), k=3)
    )
    return {
        name: PACKERS[ending](data)
        if name != chosen
        else packed(promise + data if random.random() < 0.2 else data, random, ending)
        for name, data in files.items()
    }


def cifar_files(random):
    """A batch, or a folder of them, some damaged."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    rows = [labels(3)] if random.random() < 0.6 else [labels(3), labels(3) + 7]
    data = cifar_bytes(pixels, *rows)
    ending = random.choice(ENDINGS)
    if len(rows) == 2:
        return {f"train.bin{ending}": packed(data, random, ending)}
    files = {
        f"data_batch_1.bin{ending}": packed(data, random, ending),
        f"data_batch_2.bin{ending}": PACKERS[ending](data),
        f"test_batch.bin{ending}": PACKERS[ending](data),
    }
    if random.random() < 0.2:
        files["batches.meta.txt"] = mutated(b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", random)
    return files


def npz_files(random):
    """Arrays with damaged headers, members, lists of members, or names that lead out of the folder."""
    x, y = images(6), labels(6)
    ending = random.choice(("", "", "", "", ".gz", ".xz"))
    if random.random() < 0.5:
        if random.random() < 0.3:
            x = x.astype(random.choice(("i2", "<f4", ">f4", "f8", "?")))
        data = npz_bytes(random.random() < 0.5, x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    else:
        shape = tuple(random.choices((*LARGE, 6, 5, -1), k=random.randrange(5)))
        name = random.choice(("../../x_train.npy", "/x_train.npy", "x_train.npy", "..\\x_train.npy"))
        array = npy_header(random.choice(("|u1", "<f8", "|O", "<U9", "nonsense")), shape) + bytes(
            random.randrange(200)
        )
        members = {
            name: random.choice((array, mutated(npy_bytes(x), random))),
            "y_train.npy": mutated(npy_bytes(y), random) if random.random() < 0.3 else npy_bytes(y),
        }
        data = zip_bytes(members, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    return {f"data.npz{ending}": packed(data, random, ending)}


def csv_files(random):
    """A table with damaged text."""
    words = random.random() < 0.3
    table = [
        [("cat", "dog", "owl")[k % 3] if words else k % 3, *image.ravel()]
        for k, image in enumerate(images(6))
    ]
    if random.random() < 0.3:
        table = [[row[0], *(value / 255 for value in row[1:])] for row in table]
    header = ["label", *(f"p{k}" for k in range(25))] if random.random() < 0.5 else None
    text = csv_text(table, header, random.choice((",", ";", "\t")), random.choice(("\n", "\r\n")))
    if random.random() < 0.3:
        strange = random.choice(
            ('"', "nan", "1e999", "-1", "_", "\r", "\n\n", "é", "9" * 5000, ",", "inf", "\ufeff")
        )
        at = random.randrange(len(text))
        text = text[:at] + strange + text[at:]
    ending = random.choice(ENDINGS)
    data = text.encode()
    when = random.random()
    content = data if when < 0.2 else mutated(data, random)
    result = PACKERS[ending](content)
    return {f"train.csv{ending}": mutated(result, random) if when < 0.3 and ending else result}


def bombs():
    """Small files that unpack to 72 MiB: what each is called, and its files."""
    y, text, found = idx_bytes(labels(6)), b"1" + b",0" * 25 + b"\n", {}
    heads = {
        "exact": (6, ZEROS // 6, 1),
        "small": (6, 2, 2),
        "large": (6, 1 << 28, 1),
        "below": (6, BELOW // 6, 1),
    }
    tables = {"line": (text, b"1"), "rows": (text, text), "floats": (text, b"1,.5" + b",0" * 24 + b"\n")}
    tables |= {"empty": (text, b"\n"), "one": (b"1,.5\n", b"1,.5\n")}
    for ending in (".gz", ".xz"):
        for name, sizes in heads.items():
            images_file = bomb(ending, struct.pack(">BBBBIII", 0, 0, 8, 3, *sizes), b"\0")
            found[f"idx-{name}{ending}"] = {
                f"train-images-idx3-ubyte{ending}": images_file,
                "train-labels-idx1-ubyte": y,
            }
        for name, (head, unit) in tables.items():
            found[f"csv-{name}{ending}"] = {f"train.csv{ending}": bomb(ending, head, unit)}
        found[f"cifar{ending}"] = {f"data_batch_1.bin{ending}": bomb(ending, b"", bytes(3073))}
        found[f"zeros{ending}"] = {f"zeros{ending}": bomb(ending, b"", b"\0")}
        for name, content in (("none", b""), ("byte", b"1")):
            found[f"streams-{name}{ending}"] = {f"train.csv{ending}": PACKERS[ending](content) * 50_000}
    for name, parts in hidden_tables().items():
        data = b"".join(bomb(".xz", b"", unit, size) for unit, size in parts)
        found[f"csv-hidden-{name}"] = {"train.csv.xz": data}
    above, below = (npy_header("|u1", (6, size // 6, 1)) for size in (ZEROS, BELOW))
    deflated = {"method": zipfile.ZIP_DEFLATED, "level": 1}
    member = {"y_train.npy": npy_bytes(labels(6))}
    found["zip"] = {"data.npz": zip_bytes({"x_train.npy": above + bytes(ZEROS), **member}, **deflated)}
    found["zip-more"] = {"data.npz": zip_bytes({"x_train.npy": below + bytes(ZEROS), **member}, **deflated)}
    found["zip-exact"] = {"data.npz": zip_bytes({"x_train.npy": below + bytes(BELOW), **member}, **deflated)}
    lying = bytearray(found["zip"]["data.npz"])
    for match in re.finditer(b"PK\1\2", bytes(lying)):  # the list says 228 bytes; the stream, 72 MiB
        lying[match.start() + 24 : match.start() + 28] = struct.pack("<I", 228)
    found["zip-lies"] = {"data.npz": bytes(lying)}
    found["csv-labels"] = {"train.csv": b"".join(b"%d,1\n" % (7919 * k % 100_003) for k in range(100_000))}
    found["csv-words"] = {"train.csv": b"".join(b"a%d,1\n" % (7919 * k % 100_003) for k in range(100_000))}
    found["csv-short"] = {"train.csv": b"1,.5\n2,.5\n" * 50_000}
    found["csv-quoted"] = {"train.csv": b'"1",5\n"2",5\n' * 50_000}
    found["zip-members"] = {"data.npz": zip_bytes({f"{k:04}.npy": b"" for k in range(5000)})}
    return found


def hidden_tables():
    """Tables below the limits on text, as pieces: a unit, and how many MiB of it follow each other."""
    row, spaced, short = b"%d" + b",0" * 784 + b"\n", b"1" + b", 0" * 784 + b"\n", b"1,0\n"
    first, digits, word = row % 0, row % 1, b"a" + row[2:]
    real = digits.replace(b"0", b".5", 1)
    return {
        "digits": [(first, 1), (digits, 60)],
        "both": [(first, 1), (digits, 44), (spaced, 15)],
        "real": [(first, 1), (real, 15)],
        "turned": [(first, 1), (digits, 19), (real, 1)],
        "turned-late": [(first, 1), (digits, 60), (real, 1)],
        "words": [(word, 15)],
        "quotes": [(first, 1), (digits.replace(b"0", b'"0"'), 14)],
        "lines": [(b"\n", 60), (first, 1)],
        "rows": [(b"0,0\n", 1), (short, 60)],
    }


def bomb(ending, head, unit, size=ZEROS >> 20):
    """A file of a head and, in a compressed stream for each of so many MiB, one unit repeated."""
    return PACKERS[ending](head) + PACKERS[ending](unit * ((1 << 20) // len(unit))) * size


FILES = {"idx": idx_files, "cifar": cifar_files, "npz": npz_files, "csv": csv_files}


def peak():
    """The largest resident memory since it was last reset, in bytes, and what it is now."""
    if not CLEAR.exists():  # only Linux tells
        return 0, 0
    status = Path("/proc/self/status").read_text()
    return tuple(int(re.search(rf"{word}:\s+(\d+) kB", status)[1]) * 1024 for word in ("VmHWM", "VmRSS"))


def read(folder, files, where):
    """Write the files and read them by every way in: what is wrong, CPU seconds, bytes above 4 × size."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    size = sum(map(len, files.values()))
    wrong, refused, slowest, excess = [], 0, 0.0, 0
    first = folder / next(iter(files))
    for call, place in ((load_data, folder), (load_data, first), (read_inputs, first)):
        if CLEAR.exists():
            CLEAR.write_text("5")
        before, start = peak()[1], time.process_time()
        try:
            result = call(place)
            x = result.x_train if call is load_data else result.x
            if x.ndim != 4 or not len(x) or x.dtype not in (np.uint8, np.float32):
                wrong.append(f"{where}: gave {x.dtype} of shape {x.shape}")
            del result, x
        except DataError as error:
            refused += 1
            message = str(error)
            if not any(name in message for name in (*files, str(folder))):
                wrong.append(f"{where}: names no file: {message}")
            if error.__cause__ is not None or len(message) > 600 or "\n" in message:
                wrong.append(f"{where}: is no plain sentence: {message[:600]!r}")
        except BaseException as error:
            wrong.append(f"{where}: {type(error).__name__}: {str(error)[:300]}")
        slowest = max(slowest, time.process_time() - start)
        excess = max(excess, peak()[0] - before - 4 * size)
    for name in files:
        (folder / name).unlink()
    if escaped := [path.name for path in folder.parent.iterdir() if path != folder]:
        wrong.append(f"{where}: wrote {escaped}")
    return wrong, refused, slowest, excess


def run(reader, first, count, folder):
    """All cases of a reader: a dictionary of what went wrong and what was measured."""
    cases = bombs() if reader == "bombs" else dict.fromkeys(range(first, first + count))
    wrong, refused, slowest, excess = [], 0, (0.0, ""), (0, "")
    for case, files in cases.items():
        if files is None:
            files = FILES[reader](random.Random(f"{reader} {case}"))
        found = read(folder, files, f"{reader} {case}")
        wrong += found[0]
        refused += found[1]
        slowest, excess = max(slowest, (found[2], str(case))), max(excess, (found[3], str(case)))
    return {
        "wrong": wrong[:20],
        "cases": len(cases),
        "reads": 3 * len(cases),
        "refused": refused,
        "slowest": slowest,
        "excess": excess,
    }


if __name__ == "__main__":
    place = Path(sys.argv[4]) / "inside"
    place.mkdir()
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), place)))
