"""Folders of images: which files become which examples, what pixels become, and what goes wrong, in words."""

import csv
import io
import os
import struct
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile
from processes import ordinary_user, printed

from closedform.data.images import is_image, is_image_folder, read_image_folder, read_image_inputs
from closedform.data.recognise import load_data
from closedform.errors import DataError, SettingError

SHARED = Path(__file__).parents[2] / "shared" / "data" / "image-folder"
ODD = SHARED / "odd-files"
MANIFEST = ODD / "manifest.csv"
ROWS = list(csv.DictReader(MANIFEST.read_text().splitlines())) if MANIFEST.exists() else []
KINDS = "PNG, JPEG, BMP, GIF, WebP, PPM, PGM and PBM"


def put(root, name, value=0, size=(4, 4), mode="L", **settings):
    """Write an image of one colour; the path of its folder."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **settings)
    return root


def put_bytes(root, name, data=b""):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return root


def two(root):
    """A folder of two classes."""
    return put(put(root, "cat/1.png", 10), "dog/1.png", 20)


def pixels(path, size=None, mode=None):
    return read_image_inputs(path, image_size=size, color_mode=mode).x


def message(action, *arguments, **settings):
    with pytest.raises(DataError) as caught:
        action(*arguments, **settings)
    assert type(caught.value) is DataError
    return str(caught.value)


# which files, of which class


def test_classes_and_files_are_sorted_and_nested_files_are_taken(tmp_path):
    for name, value in [("dog/b.PNG", 4), ("dog/a/z.png", 3), ("cat/10.png", 1), ("cat/9.png", 2)]:
        put(tmp_path, name, value)
    for name in (
        ".DS_Store",
        "cat/.hidden.png",
        "cat/Thumbs.db",
        "__MACOSX/cat/1.png",
        ".git/1.png",
        "cat/a.txt",
    ):
        put_bytes(tmp_path, name)
    data = read_image_folder(tmp_path)
    assert data.classes == ("cat", "dog")
    assert data.names_train == ("cat/10.png", "cat/9.png", "dog/a/z.png", "dog/b.PNG")
    assert data.y_train.tolist() == [0, 0, 1, 1]
    assert data.y_train.dtype == np.int64
    assert data.x_train.dtype == np.uint8
    assert data.x_train.shape == (4, 1, 4, 4)
    assert data.x_train[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert (data.x_test, data.y_test, data.names_test) == (None, None, None)
    assert (data.kind, data.source, data.left_out) == ("folder of images", str(tmp_path), ())


@pytest.mark.parametrize("name", ["test", "Test", "val", "valid", "validation"])
def test_a_part_to_test_on_has_the_classes_of_train(tmp_path, name):
    put(put(put(two(tmp_path / "train").parent, f"{name}/dog/7.png", 70), f"{name}/dog/8.png", 80), "x/1.png")
    data = read_image_folder(tmp_path)
    assert data.x_train[:, 0, 0, 0].tolist() == [10, 20]
    assert data.x_test[:, 0, 0, 0].tolist() == [70, 80]
    assert data.y_test.tolist() == [1, 1]
    assert data.names_test == (f"{name}/dog/7.png", f"{name}/dog/8.png")
    assert data.left_out == ("x: is no part that is read, as train and test are",)


def test_train_alone_is_a_part_and_train_among_others_is_a_class(tmp_path):
    assert read_image_folder(two(tmp_path / "a" / "train").parent).classes == ("cat", "dog")
    put(put(tmp_path / "b", "train/1.png"), "plane/1.png")
    assert read_image_folder(tmp_path / "b").classes == ("plane", "train")


def test_of_test_and_validation_the_former_is_taken_and_the_latter_named(tmp_path):
    for part in ("train", "test", "validation"):
        two(tmp_path / part)
    data = read_image_folder(tmp_path)
    assert data.names_test == ("test/cat/1.png", "test/dog/1.png")
    assert data.left_out == ("validation: is not read, as test is there",)


def test_images_beside_the_classes_are_left_out_and_named(tmp_path):
    put(two(tmp_path), "stray.png")
    assert read_image_folder(tmp_path).left_out == ("stray.png: lies outside the folders of the classes",)
    assert message(read_image_folder, tmp_path, strict=True) == (
        f"{tmp_path}/stray.png: lies outside the folders of the classes"
    )


def test_links_that_lead_back_end_and_other_links_are_followed(tmp_path):
    two(tmp_path / "data")
    put(tmp_path, "elsewhere/5.png", 50)
    os.symlink(tmp_path / "data", tmp_path / "data" / "dog" / "back")
    os.symlink(tmp_path / "elsewhere", tmp_path / "data" / "bird")
    os.symlink("itself.png", tmp_path / "data" / "cat" / "itself.png")
    data = read_image_folder(tmp_path / "data")
    assert data.classes == ("bird", "cat", "dog")
    assert data.x_train[0, 0, 0, 0] == 50
    assert "cat/itself.png: cannot be read: Too many levels of symbolic links" in data.left_out


def test_names_that_cannot_be_printed_are_escaped(tmp_path):
    two(tmp_path)
    strange = os.fsdecode(b"caf\xe9\n")
    put(tmp_path, f"{strange}/1.png", 5)
    data = read_image_folder(tmp_path)
    assert data.classes == ("caf\\udce9\\n", "cat", "dog")
    assert data.names_train[0] == "caf\\udce9\\n/1.png"


# what pixels become


def test_grey_images_have_one_channel_and_colours_three(tmp_path):
    put(put(tmp_path, "a/1.png", 7), "b/1.png", (9, 9, 9), mode="RGB")
    assert read_image_folder(tmp_path).x_train[:, :, 0, 0].tolist() == [[7], [9]]
    put(tmp_path, "b/2.png", (1, 2, 3), mode="RGB")
    assert read_image_folder(tmp_path).x_train[:, :, 0, 0].tolist() == [[7, 7, 7], [9, 9, 9], [1, 2, 3]]
    assert read_image_folder(tmp_path, color_mode="rgba").x_train[2, :, 0, 0].tolist() == [1, 2, 3, 255]
    red = put(tmp_path / "red", "a.png", (255, 0, 0), mode="RGB") / "a.png"
    assert pixels(red, mode="grayscale")[0, :, 0, 0].tolist() == [76]  # 0.299 of 255


@pytest.mark.parametrize(
    ("mode", "value", "settings", "expected"),
    [
        ("1", 1, {}, [255]),
        ("LA", (100, 0), {}, [255]),
        ("LA", (100, 255), {}, [100]),
        ("RGBA", (0, 0, 255, 0), {}, [255]),
        ("RGBA", (0, 0, 255, 51), {}, [204, 204, 255]),
        ("RGB", (1, 2, 3), {"transparency": (1, 2, 3)}, [255]),
        ("L", 9, {"transparency": 9}, [255]),
        ("I;16", 65535, {}, [255]),
        ("I;16", 32768, {}, [128]),
        ("I;16", 257, {}, [1]),
        ("I;16", 40, {"transparency": 40}, [255]),
    ],
)
def test_every_mode_of_png_is_read_and_transparency_lies_on_white(tmp_path, mode, value, settings, expected):
    put(tmp_path, "a.png", value, mode=mode, **settings)
    assert pixels(tmp_path / "a.png")[0, :, 1, 1].tolist() == expected


def png(depth, colour, row, transparent):
    """A PNG file of two pixels, with the sample or samples that are transparent."""
    chunks = [
        (b"IHDR", struct.pack(">2I5B", 2, 1, depth, colour, 0, 0, 0)),
        (b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)),
        (b"IDAT", zlib.compress(b"\0" + row)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


@pytest.mark.parametrize(
    ("depth", "colour", "row", "transparent", "expected"),
    [
        (1, 0, b"\x40", [0], [[255, 255], [0, 255]]),
        (2, 0, b"\x60", [1], [[255, 170], [0, 255]]),
        (2, 0, b"\x60", [2], [[85, 255], [255, 0]]),
        (2, 0, b"\x60", [0xFFFD], [[255, 170], [0, 255]]),  # the bits that count are the lowest
        (4, 0, b"\x58", [5], [[255, 136], [0, 255]]),
        (4, 0, b"\x58", [85], [[255, 136], [0, 255]]),
        (8, 0, b"\x55\x58", [5], [[85, 88], [255, 255]]),
        (8, 0, b"\x55\x58", [85], [[255, 88], [0, 255]]),
        (16, 0, b"\x03\xe8\x03\xe9", [1000], [[255, 4], [0, 255]]),
        (16, 2, bytes(range(12)), [1, 515, 1029], [[2, 8], [255, 255]]),
    ],
)
def test_what_is_transparent_is_told_before_greys_are_scaled(
    tmp_path, depth, colour, row, transparent, expected
):
    put_bytes(tmp_path, "a.png", png(depth, colour, row, transparent))
    on_white, alpha = (pixels(tmp_path, mode=mode)[0] for mode in ("grayscale", "rgba"))
    assert [on_white[0, 0].tolist(), alpha[3, 0].tolist()] == expected


def test_alpha_is_kept_where_it_is_wanted(tmp_path):
    put(tmp_path, "a.png", (0, 0, 255, 51), mode="RGBA")
    assert pixels(tmp_path, mode="rgba")[0, :, 1, 1].tolist() == [0, 0, 255, 51]


def test_transparent_pixels_do_not_bleed_into_their_neighbours(tmp_path):
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))  # red where nobody sees it
    image.paste((0, 0, 0, 255), (0, 0, 32, 64))
    image.save(tmp_path / "a.png")
    assert (np.ptp(pixels(tmp_path, size=5, mode="rgb"), axis=1) == 0).all()


def test_a_16_bit_pgm_and_a_palette_and_cmyk_are_read(tmp_path):
    Image.fromarray(np.full((3, 3), 25700, np.uint16)).save(tmp_path / "a.pgm")
    assert pixels(tmp_path / "a.pgm")[0, :, 0, 0].tolist() == [100]
    palette = Image.new("P", (3, 3), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    palette.save(tmp_path / "clear.png", transparency=1)
    assert pixels(tmp_path / "clear.png")[0, :, 0, 0].tolist() == [255]
    for suffix in ("png", "gif", "bmp"):
        palette.save(tmp_path / f"p.{suffix}")
        assert pixels(tmp_path / f"p.{suffix}")[0, :, 0, 0].tolist() == [200, 100, 50]
    put(tmp_path, "c.jpg", (0, 255, 255, 0), size=(16, 16), mode="CMYK", quality=100)
    red, green, blue = pixels(tmp_path / "c.jpg")[0, :, 8, 8].tolist()
    assert red > 250
    assert max(green, blue) < 5


def test_an_animation_gives_its_first_image(tmp_path):
    first, second = Image.new("L", (3, 3), 40), Image.new("L", (3, 3), 90)
    for suffix, settings in (("gif", {}), ("webp", {"lossless": True}), ("png", {})):
        path = tmp_path / f"a.{suffix}"
        first.save(path, save_all=True, append_images=[second], **settings)
        assert pixels(path)[0, :, 1, 1].tolist() == [40]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("turn", "corner"),
    [(1, (0, 0)), (2, (0, 1)), (3, (1, 1)), (4, (1, 0)), (5, (0, 0)), (6, (0, 1)), (7, (1, 1)), (8, (1, 0))],
)
def test_images_are_turned_as_exif_says(tmp_path, suffix, turn, corner):
    """The stored image's first corner is white; EXIF says where it belongs: 6 is a quarter turn clockwise."""
    image = Image.new("L", (32, 16))
    image.paste(255, (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = turn
    image.convert("RGB").save(tmp_path / f"a.{suffix}", exif=exif)
    x = pixels(tmp_path / f"a.{suffix}")[0, 0]
    assert x.shape == ((16, 32) if turn < 5 else (32, 16))
    height, width = x.shape
    quarters = x.reshape(2, height // 2, 2, width // 2).mean(axis=(1, 3))
    assert quarters[corner] > 240
    assert quarters.sum() < 280


def test_the_middle_is_cut_out_and_scaled(tmp_path):
    image = Image.new("L", (12, 4), 0)
    image.paste(200, (4, 0, 8, 4))  # the middle square
    image.save(tmp_path / "a.png")
    assert (pixels(tmp_path, size=2) == 200).all()
    assert pixels(tmp_path, size=(2, 6)).shape == (1, 1, 2, 6)
    upright = image.rotate(90, expand=True)
    upright.save(tmp_path / "a.png")
    assert (pixels(tmp_path, size=8) == 200).all()


def test_a_large_image_is_averaged_not_sampled(tmp_path):
    checks = np.indices((3000, 2000)).sum(axis=0) % 2 * 255
    for mode in ("L", "RGB", "P"):
        Image.fromarray(checks.astype(np.uint8)).convert(mode).save(tmp_path / "a.png", compress_level=1)
        x = pixels(tmp_path / "a.png", size=(30, 20))
        assert x.shape[1:] == (1, 30, 20)
        assert np.abs(x.astype(int) - 127.5).max() < 2


def test_a_photograph_of_24_million_pixels_is_read(tmp_path):
    steps = np.linspace(0, 255, 60, dtype=np.uint8)
    photo = Image.fromarray(np.stack([np.tile(steps, (40, 1))] * 3, axis=2)).resize((6000, 4000))
    for progressive in (False, True):
        photo.save(tmp_path / "photo.jpg", quality=95, progressive=progressive)
        if progressive:
            put_bytes(tmp_path, "photo.jpg", (tmp_path / "photo.jpg").read_bytes() + bytes(30_000_000))
        x = pixels(tmp_path / "photo.jpg", size=6, mode="grayscale")[0, 0, 3]
        assert np.abs(x - np.array([57, 85, 113, 142, 170, 198])).max() < 4


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(20, 30), (20, 30)], (30, 20)),
        ([(256, 256), (256, 256)], (256, 256)),
        ([(300, 300), (300, 300)], (64, 64)),
        ([(80, 90), (70, 200)], (64, 64)),
        ([(28, 28), (30, 90)], (32, 32)),
    ],
)
def test_without_a_size_images_keep_theirs_or_get_a_usual_one(tmp_path, sizes, expected):
    for number, size in enumerate(sizes):
        put(tmp_path, f"{number}/1.png", size=size)
    assert read_image_folder(tmp_path).x_train.shape[2:] == expected


def test_a_broken_image_of_another_size_does_not_change_the_size_of_all(tmp_path):
    for number in range(40):
        put(tmp_path, f"{number % 2}/{number:02}.png", size=(20, 20))
    put(tmp_path, "1/99.png", size=(21, 20))
    assert read_image_folder(tmp_path).x_train.shape == (41, 1, 32, 32)
    path = tmp_path / "1" / "99.png"
    path.write_bytes(path.read_bytes()[:-20])
    data = read_image_folder(tmp_path)
    assert data.x_train.shape == (40, 1, 20, 20)
    assert data.left_out == ("1/99.png: is cut short",)


# files that cannot be read


def test_one_percent_of_broken_images_is_left_out_and_named(tmp_path):
    for number in range(200):
        put(tmp_path, f"{'cat' if number < 100 else 'dog'}/{number:03}.png", number)
    path = tmp_path / "cat" / "050.png"
    path.write_bytes(path.read_bytes()[:50])
    put_bytes(tmp_path, "dog/150.png")
    data = read_image_folder(tmp_path)
    assert data.left_out == ("cat/050.png: is cut short", "dog/150.png: is empty")
    assert data.x_train[:, 0, 0, 0].tolist() == [k for k in range(200) if k not in (50, 150)]
    assert data.y_train.tolist() == [0] * 99 + [1] * 99
    assert "cat/050.png" not in data.names_train
    assert len(data.names_train) == 198
    assert message(read_image_folder, tmp_path, strict=True) == f"{tmp_path}/cat/050.png: is cut short"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"hello", f"is no image: {KINDS} are read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is HEIC or AVIF, which is not read: save it as PNG or JPEG"),
        (b"II*\0\x08\0\0\0", "is TIFF, which is not read: save it as PNG"),
        (b"P3 1 1 255 1 2 3\n", "holds its pixels as text, which is not read: save it as PNG"),
        (b"\x89PNG\r\n\x1a\n", "is cut short"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "is cut short"),
        (b"\xff\xd8\xff", "is cut short"),
        (b"GIF89a\x01\0", "is damaged"),
        (
            b"P5 60000 60000 255\n" + bytes(80),
            "is damaged: it declares 3,600,000,000 pixels, more than 99 bytes can hold",
        ),
        (
            b"P5 9000 9000 255\n" + bytes(80),
            "is damaged: it declares 9,000 × 9,000 pixels, more than 97 bytes can hold",
        ),
        (
            b"BM" + struct.pack("<3I3i2H6I", 57, 0, 54, 40, 20_000, 9000, 1, 24, *bytes(6)) + bytes(3),
            "is damaged: it declares 180,000,000 pixels, more than 57 bytes can hold",
        ),
        (
            b"GIF89a"
            + struct.pack("<2H3B", 9000, 9000, 0x80, 0, 0)
            + bytes(6)
            + b","
            + struct.pack("<4HB", 0, 0, 9000, 9000, 0)
            + bytes(12)
            + b";",
            "is damaged: it declares 9,000 × 9,000 pixels, more than 42 bytes can hold",
        ),
    ],
    ids=range(13),
)
def test_each_broken_file_has_a_sentence(tmp_path, data, sentence):
    put_bytes(two(tmp_path), "cat/x.png", data)
    assert read_image_folder(tmp_path, image_size=4, color_mode="rgb").left_out == (f"cat/x.png: {sentence}",)
    assert read_image_folder(tmp_path).left_out == (f"cat/x.png: {sentence}",)
    assert message(pixels, tmp_path / "cat" / "x.png") == f"{tmp_path}/cat/x.png: {sentence}"


def test_every_prefix_of_an_image_is_cut_short_or_damaged(tmp_path):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP"):
        file = io.BytesIO()
        image.save(file, kind)
        whole = file.getvalue()
        assert pixels(put_bytes(tmp_path, "a.png", whole)).shape == (1, 3, 4, 4)
        for length in range(0, len(whole) - (2 if kind in ("JPEG", "GIF") else 0), 7):
            assert message(pixels, put_bytes(tmp_path, "a.png", whole[:length]) / "a.png")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(two(tmp_path) / "cat" / "pipe.png")
    assert read_image_folder(tmp_path).left_out == ("cat/pipe.png: is no regular file",)


def test_files_and_folders_that_may_not_be_read_are_named():
    Image.init()  # an ordinary user may not reach Pillow's own files
    with tempfile.TemporaryDirectory() as name:
        root = two(Path(name))
        root.chmod(0o755)
        put(root, "cat/2.png").joinpath("cat/2.png").chmod(0)
        with ordinary_user():
            assert read_image_folder(root).left_out == ("cat/2.png: cannot be read: Permission denied",)
        (root / "dog").chmod(0)
        with ordinary_user():
            assert message(read_image_folder, root) == f"{root}/dog: cannot be read: Permission denied"


def test_a_folder_that_may_not_be_read_is_not_taken_for_one_without_data():
    from closedform.runs.trained_model import _can_be_made_to_fit

    Image.init()
    with tempfile.TemporaryDirectory() as name:
        root = two(Path(name))
        root.chmod(0o755)
        (root / "dog").chmod(0)
        with ordinary_user():
            assert message(load_data, root) == f"{root}/dog: cannot be read: Permission denied"
            assert not _can_be_made_to_fit(root)  # whoever reads it says so


def test_what_is_left_out_is_told_in_order_however_it_was_found(tmp_path):
    two(tmp_path)
    put(tmp_path, "cat/zebra.png").joinpath("cat/zebra.png").write_bytes(b"")
    cut = put(tmp_path, "dog/ant.png", size=(64, 64)).joinpath("dog/ant.png")
    cut.write_bytes(cut.read_bytes()[:60])
    put(tmp_path, "cat/bee.png").joinpath("cat/bee.png").write_bytes(b"text")
    found = [sentence.split(":")[0] for sentence in read_image_folder(tmp_path).left_out]
    assert found == ["cat/bee.png", "cat/zebra.png", "dog/ant.png"]


def test_a_single_image_that_cannot_be_read(tmp_path):
    put(tmp_path, "cat/1.png").joinpath("cat/1.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read_image_inputs(tmp_path, image_size=3, color_mode="rgb")
    assert str(caught.value) == f"{tmp_path}: its one image cannot be read; cat/1.png: is empty"


def test_pillow_is_left_as_it_was(tmp_path):
    limit = Image.MAX_IMAGE_PIXELS
    put(two(tmp_path), "cat/large.jpg", size=(9500, 9500))  # of which Pillow warns
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = read_image_folder(tmp_path)
    assert (caught, data.left_out) == ([], ())
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_size_that_a_progressive_jpeg_declares_is_named(tmp_path):
    put(two(tmp_path), "cat/large.jpg", size=(8000, 5000), mode="RGB", progressive=True)
    size = (tmp_path / "cat" / "large.jpg").stat().st_size
    assert read_image_folder(tmp_path).left_out == (
        f"cat/large.jpg: declares 8,000 × 5,000 pixels, too many for a file of {size:,} bytes: make the "
        f"image smaller, or save it as a JPEG that is not progressive",
    )


# folders that are laid out wrong


def empty_class(root):
    two(root).joinpath("bird").mkdir()


def only_other_files(root):
    put_bytes(two(root), "bird/notes.txt")


def only_folders(root):
    two(root).joinpath("bird", "a").mkdir(parents=True)


def flat(root):
    put(put(root, "1.png"), "2.png")


def one_class(root):
    put(root, "cat/1.png")


def no_train(root):
    two(root / "test")


def strange_class(root):
    two(root / "train")
    put(root, "test/fish/1.png")


def strange_classes(root):
    two(root / "train")
    for name in "fghijk":
        put(root, f"test/{name}/1.png")


def all_broken(root):
    put_bytes(put_bytes(root, "cat/1.png"), "dog/1.png")


def broken_class(root):
    put_bytes(put(root, "cat/1.png"), "dog/1.png")


def broken_test(root):
    two(root / "train")
    put_bytes(root, "test/cat/1.png")


def empty_train(root):
    (root / "train").mkdir()
    two(root / "test")


WAYS = "such as cat/1.png and dog/1.png"
WRONG = [
    (
        lambda root: None,
        "ROOT: holds no images: expected a folder of images for each class, " + WAYS,
    ),
    (
        flat,
        "ROOT: holds 2 images and no folders: put each class's images into a folder of its own, " + WAYS,
    ),
    (empty_class, "ROOT/bird: is empty: put images of the class there, or remove the folder"),
    (only_other_files, f"ROOT/bird: has no image, only files such as notes.txt: {KINDS} are read"),
    (
        only_folders,
        "ROOT/bird: has folders but no image: put images of the class there, or remove the folder",
    ),
    (one_class, "ROOT: has one class only, cat: at least two are needed, each in a folder of its own"),
    (no_train, "ROOT: has test but no train: name the folder to train on train"),
    (
        strange_class,
        "ROOT/test: has the class fish, which train lacks: give it a folder in train, or remove it from here",
    ),
    (
        strange_classes,
        "ROOT/test: has the classes f, g, h, i and 2 more, which train lacks: give them a folder in train, "
        "or remove them from here",
    ),
    (all_broken, "ROOT: none of the 2 images can be read; dog/1.png: is empty"),
    (broken_class, "ROOT: no image of the class dog can be read; dog/1.png: is empty"),
    (broken_test, "ROOT: no image to test on can be read; test/cat/1.png: is empty"),
    (empty_train, "ROOT/train: is empty: put images of the class there, or remove the folder"),
]


@pytest.mark.parametrize(("make", "words"), WRONG, ids=[make.__name__ for make, _ in WRONG])
def test_a_folder_that_is_laid_out_wrong_is_explained(tmp_path, make, words):
    make(tmp_path)
    assert message(read_image_folder, tmp_path) == words.replace("ROOT", str(tmp_path))


def test_a_path_that_is_no_folder_is_explained(tmp_path):
    two(tmp_path)
    assert message(read_image_folder, tmp_path / "no") == f"{tmp_path}/no: there is no such folder"
    assert message(read_image_folder, tmp_path / "cat" / "1.png") == (
        f"{tmp_path}/cat/1.png: is a file: expected a folder that has one folder of images for each class"
    )
    assert message(read_image_folder, "a\0b") == "a\\x00b: cannot be read: no file has such a name"


@pytest.mark.parametrize("size", [0, -1, 4097, True, 2.5, "32", (32,), (32, 0), (1, 2, 3)])
def test_an_image_size_is_one_or_two_numbers(tmp_path, size):
    with pytest.raises(SettingError) as caught:
        read_image_folder(two(tmp_path), image_size=size)
    assert str(caught.value) == (
        f"image_size must be a height and a width from 1 to 4096 pixels, or one number for both, got {size!r}"
    )


def test_a_color_mode_is_one_of_three_words(tmp_path):
    with pytest.raises(SettingError) as caught:
        read_image_folder(two(tmp_path), color_mode="gray")
    assert str(caught.value) == 'color_mode must be "grayscale", "rgb" or "rgba", got \'gray\''


# images to predict


def test_one_file_a_flat_folder_and_class_folders_are_inputs(tmp_path):
    two(tmp_path)
    one = read_image_inputs(tmp_path / "dog" / "1.png", image_size=3, color_mode="rgb")
    assert (one.x.shape, one.names, one.y, one.classes) == ((1, 3, 3, 3), ("1.png",), None, None)
    flat = read_image_inputs(tmp_path / "dog", image_size=3, color_mode="rgb")
    assert (flat.x.shape, flat.names, flat.y) == ((1, 3, 3, 3), ("1.png",), None)
    deep = read_image_inputs(tmp_path, image_size=3, color_mode="grayscale")
    assert (deep.names, deep.y.tolist(), deep.classes) == (("cat/1.png", "dog/1.png"), [0, 1], ("cat", "dog"))
    put(tmp_path, "3.png", 30)
    mixed = read_image_inputs(tmp_path, image_size=3, color_mode="grayscale")
    assert (mixed.names, mixed.y) == (("3.png", "cat/1.png", "dog/1.png"), None)
    assert mixed.x[:, 0, 0, 0].tolist() == [30, 10, 20]


def test_parts_are_no_classes_of_inputs(tmp_path):
    two(tmp_path / "train")
    two(tmp_path / "test")
    inputs = read_image_inputs(tmp_path, image_size=3, color_mode="grayscale")
    assert inputs.classes == ("cat", "dog")
    assert inputs.y.tolist() == [0, 1, 0, 1]


def test_inputs_that_cannot_be_read_are_left_out_or_named(tmp_path):
    put_bytes(two(tmp_path), "cat/2.png")
    assert read_image_inputs(tmp_path, image_size=3, color_mode="rgb").left_out == ("cat/2.png: is empty",)
    settings = {"image_size": 3, "color_mode": "rgb"}
    assert message(read_image_inputs, tmp_path, strict=True, **settings) == f"{tmp_path}/cat/2.png: is empty"
    (tmp_path / "none").mkdir()
    assert message(read_image_inputs, tmp_path / "none", **settings) == f"{tmp_path}/none: holds no images"
    assert (
        message(read_image_inputs, tmp_path / "no", **settings) == f"{tmp_path}/no: there is no such folder"
    )


def test_images_and_folders_of_images_are_recognised(tmp_path):
    image = Image.new("RGB", (2, 2))
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM"):
        file = io.BytesIO()
        image.save(file, kind)
        assert is_image(file.getvalue()[:32])
    assert not is_image(b"PK\x03\x04 no image at all")
    assert not is_image(b"BMW,Audi,Opel,and other cars")
    assert not is_image_folder(tmp_path)
    assert not is_image_folder(tmp_path / "no")
    assert is_image_folder(put(tmp_path, "a/b/c.jpg"))


# Pillow


def test_pillow_is_imported_when_an_image_is_read():
    code = "import sys, closedform, closedform.data.images; print('PIL' in sys.modules)"
    assert printed(code) == "False\n"


def test_a_missing_pillow_is_named(tmp_path):
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from closedform.data.images import read_image_folder\n"
        "try: read_image_folder(sys.argv[0])\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    assert printed(code) == "MissingError images need Pillow, which is not installed: pip install Pillow\n"


# real files


@pytest.mark.parametrize("root", [SHARED / "clothing"] if (SHARED / "clothing").exists() else [])
def test_photographs_in_class_folders_are_read(root):
    data = read_image_folder(root)
    assert data.classes[:3] == ("dress", "hat", "longsleeve")
    assert data.classes[3:] == ("outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")
    assert (data.x_train.shape, data.x_test.shape) == ((400, 3, 64, 64), (120, 3, 64, 64))
    assert np.bincount(data.y_train).tolist() == [40] * 10
    assert np.bincount(data.y_test).tolist() == [12] * 10
    assert data.left_out == ()


@pytest.mark.parametrize("row", [row for row in ROWS if row["decodes"] == "yes"], ids=lambda row: row["file"])
def test_odd_files_are_read(row):
    x = read_image_inputs(ODD / row["file"], image_size=None, color_mode="rgb").x[0]
    sides = int(row["height"]), int(row["width"])
    turn = row["exif_orientation"]
    wanted = sides[::-1] if turn in ("5", "6", "7", "8") else sides
    assert x.shape == (3, *wanted)
    with Image.open(ODD / row["file"]) as image:
        if (
            image.mode in ("L", "RGB", "CMYK", "1")
            and "transparency" not in image.info
            and turn in ("", "1", "3")
        ):
            decoded = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            turned = decoded[:, ::-1, ::-1] if turn == "3" else decoded
            assert (x == turned).all()


@pytest.mark.parametrize("row", [row for row in ROWS if row["decodes"] == "no"], ids=lambda row: row["file"])
def test_odd_files_that_are_broken_are_named(row):
    words = message(read_image_inputs, ODD / row["file"], image_size=8, color_mode="rgb")
    reasons = ("is cut short", "is damaged", "is empty", "is no image", "declares")
    assert words.startswith(tuple(f"{ODD / row['file']}: {reason}" for reason in reasons))
