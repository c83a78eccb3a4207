"""Image files that are damaged or hostile, from a seed; run as a program, it reads them and measures how."""

import io
import os
import random
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
LIMIT = 4 << 30  # whatever goes wrong here, the machine goes on
ENORMOUS = (0, 1, 0x7F, 0x80, 0xFF)


def chunk(name, data):
    """A chunk of a PNG file, with the checksum that it should have."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, rows, depth=8, colour=0, before=b""):
    """A PNG file that declares a size and holds these compressed rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + before + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(count):
    """So many zeros, compressed."""
    packing = zlib.compressobj(9)
    part = b"\0" * min(count, 1 << 20)
    packed = b"".join(packing.compress(part[: min(len(part), count - k)]) for k in range(0, count, len(part)))
    return packed + packing.flush()


def sounds():
    """Small images of every kind that is read: the suffix, and the file."""
    values = np.random.default_rng(5).integers(0, 256, (24, 20, 4), np.uint8)
    colour = Image.fromarray(np.repeat(values[:6, :5], 4, axis=0).repeat(4, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = [
        (".png", colour, {}),
        (".png", colour.convert("RGB"), {"exif": exif}),
        (".png", colour.convert("L"), {}),
        (".png", colour.convert("P"), {"transparency": 3}),
        (".png", colour.convert("LA"), {}),
        (".png", Image.fromarray(values.view(np.uint16)[:, :, 0]), {}),
        (".jpg", colour.convert("RGB"), {"exif": exif}),
        (".jpg", colour.convert("RGB"), {"progressive": True}),
        (".jpg", colour.convert("L"), {}),
        (".jpg", colour.convert("CMYK"), {}),
        (".gif", colour.convert("P"), {"save_all": True, "append_images": [colour.convert("L")]}),
        (".gif", colour.convert("L"), {"interlace": 1}),
        (".bmp", colour.convert("RGB"), {}),
        (".bmp", colour.convert("P"), {}),
        (".webp", colour, {"lossless": True, "exif": exif}),
        (".webp", colour.convert("RGB"), {"quality": 50}),
        (".webp", colour, {"save_all": True, "append_images": [colour.rotate(90)]}),
        (".ppm", colour.convert("RGB"), {}),
        (".pgm", Image.fromarray(values.view(np.uint16)[:, :, 0]), {}),
    ]
    return [(suffix, _saved(image, suffix, settings)) for suffix, image, settings in pictures]


def bombs():
    """Files that declare or unpack to far more than they hold: the suffix, and the file."""
    text = chunk(b"zTXt", b"a\0\0" + zeros(1_000_000))
    profile = chunk(b"iCCP", b"a\0\0" + zeros(50_000_000))
    tags = struct.pack(">I", 5000)[2:] + b"".join(
        struct.pack(">HHII", 300 + k, 7, 60_000, 8) for k in range(5000)
    )
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + tags
    marker = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    jpeg = _saved(Image.new("RGB", (16, 16)), ".jpg", {"progressive": True})
    return [
        (".png", png(65535, 65535, zeros(1000), colour=6)),
        (".png", png(8000, 8000, zeros(8000 * 24001), colour=2)),
        (".png", png(5000, 5000, zeros(5000 * 20001), colour=6)),
        (".png", png(3660, 3660, zeros(3660 * 14641), colour=6)),
        (".png", png(8, 8, zeros(72), before=300 * text)),
        (".png", png(8, 8, zeros(72), before=profile)),
        (".png", png(8, 8, zeros(72), before=chunk(b"eXIf", exif[6:]))),
        (".png", png(0, 8, zeros(72))),
        (".gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + _gif_frame(65535, 65535)),
        (".gif", b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0) + _gif_frame(65535, 65535)),
        (".bmp", _bmp(30_000, 30_000, 0, b"")),
        (".bmp", _bmp(1400, 1400, 1, b"\0\2\xff\xff" * 200)),
        (".bmp", _bmp(13_000_000, 1, 1, b"\0\2\xff\xff" * 200)),
        (".bmp", _bmp(-8, 8, 0, b"\0" * 64)),
        (".webp", _webp(16383, 16383)),
        (".webp", _saved(Image.new("RGB", (4000, 4000)), ".webp", {"lossless": True})),
        (".webp", _saved(Image.new("RGB", (1830, 1830)), ".webp", {"lossless": True})),
        (".jpg", jpeg[:2] + marker * 20 + jpeg[2:]),
        (".jpg", _resized(jpeg, 65500, 65500)),
        (".jpg", _resized(jpeg, 4200, 4200)),
        (".jpg", _resized(_saved(Image.new("RGB", (16, 16)), ".jpg", {}), 65500, 65500)),
        (".jpg", jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * 5000 + b"\xff\xd9"),
        (".ppm", b"P6 60000 60000 255\n" + b"\0" * 99),
        (".pgm", b"P5 99999999999 1 255\n"),
        (".pgm", b"P5 5000 5000 1000\n" + b"\0" * 99),
        (".ppm", b"P3 2 2 255\n" + b"#\n" * 90_000),
        (".ppm", b"Pf 2 2 1.0\n" + b"\0" * 99),
        (".png", b""),
    ]


def mutant(source, files):
    """A damaged file, decided by a source of random numbers."""
    suffix, data = source.choice(files)
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4))):
        if not changed:
            break
        way, place = source.randrange(7), source.randrange(len(changed))
        head = source.randrange(min(64, len(changed)))
        if way == 0:
            changed[place] ^= 1 << source.randrange(8)
        elif way == 1:
            del changed[place:]
        elif way == 2:
            changed[head : head + 4] = bytes(source.choices(ENORMOUS, k=4))
        elif way == 3:
            del changed[place : place + source.randrange(1, 40)]
        elif way == 4:
            changed[place:place] = source.choice(files)[1][: source.randrange(1, 200)]
        elif way == 5:
            changed[place : place + source.randrange(1, 30)] = source.randbytes(source.randrange(1, 30))
        else:
            changed[head] = source.choice(ENORMOUS)
    return suffix, _checked(bytes(changed)) if source.random() < 0.7 else bytes(changed)


def _checked(data):
    """A PNG file with its checksums put right, so that what is wrong in it is looked at."""
    if not data.startswith(PNG):
        return data
    result, place = data[:8], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if place + 12 + length > len(data):
            break
        result += data[place : place + 4] + chunk(data[place + 4 : place + 8], data[place + 8 :][:length])[4:]
        place += 12 + length
    return result + data[place:]


def _saved(image, suffix, settings):
    file = io.BytesIO()
    image.save(file, {".jpg": "JPEG", ".pgm": "PPM"}.get(suffix, suffix[1:].upper()), **settings)
    return file.getvalue()


def _gif_frame(width, height):
    return b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08\x02\x00\x01\x00;"


def _bmp(width, height, compression, pixels):
    palette = bytes(1024)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + header + palette + pixels


def _webp(width, height):
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _resized(jpeg, width, height):
    """A JPEG file whose frame declares another size."""
    place = next(k for k in range(len(jpeg)) if jpeg[k] == 0xFF and jpeg[k + 1] in (0xC0, 0xC2))
    return jpeg[: place + 5] + struct.pack(">HH", height, width) + jpeg[place + 9 :]


def _peak():
    """The most memory of this process so far, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def main(cases, seed):
    """Read the bombs and so many mutants; print a line for each thing that goes wrong, and figures."""
    from closedform.data.images import read_image_inputs
    from closedform.errors import DataError

    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    source = random.Random(seed)
    sound = sounds()
    hostile = bombs()
    memory = Path("/proc/self/clear_refs").exists()
    slowest = highest = read = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(len(hostile) + cases):
            suffix, data = hostile[number] if number < len(hostile) else mutant(source, sound)
            path = Path(folder, f"{number}{suffix}")
            path.write_bytes(data)
            size = source.choice((32, (7, 50), None))
            mode = source.choice(("rgb", "grayscale", "rgba", None))
            if memory:
                Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
                before = _peak()
            start = time.process_time()  # of all threads, however busy the machine is
            try:
                inputs = read_image_inputs(path, image_size=size, color_mode=mode)
                read += 1
                if inputs.x.dtype != np.uint8 or len(inputs.x) != 1:
                    print(f"{number}{suffix}: gives {inputs.x.dtype} {inputs.x.shape}")
            except DataError as error:
                if not str(error).startswith(f"{path}: "):
                    print(f"{number}{suffix}: is not named by: {error}")
            except BaseException as error:
                print(f"{number}{suffix}: raises {error!r}")
            seconds = time.process_time() - start
            growth = _peak() - before if memory else 0
            if seconds > 2:
                print(f"{number}{suffix}: takes {seconds:.1f} s")
            if growth > 4 * len(data) + 64_000_000:
                print(f"{number}{suffix}: takes {growth / 1e6:.0f} MB for {len(data)} bytes")
            slowest, highest = max(slowest, seconds), max(highest, (growth - 4 * len(data)) / 1e6)
            path.unlink()
    print(f"{int(read)} read, slowest {slowest:.2f} s, highest 4 files + {highest:.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
