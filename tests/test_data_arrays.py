"""Files of NumPy arrays: which are read, where their pixels end up, and what is said of wrong ones."""

import struct
import zipfile

import numpy as np
import pytest
from bad import assert_message, bad
from data_files import PACKERS, images, labels, npy_bytes, npy_header, npz_bytes, zip_bytes

from closedform.data.image_arrays import on_scale
from closedform.data.recognise import load_data, read_inputs
from closedform.errors import DataError

X, Y = images(6), labels(6)


def file(folder, ending="", compressed=False, **arrays):
    path = folder / f"data.npz{ending}"
    path.write_bytes(PACKERS[ending](npz_bytes(compressed, **arrays)))
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("ending", PACKERS)
def test_four_arrays_are_a_set_in_two_parts(tmp_path, ending, compressed):
    data = load_data(file(tmp_path, ending, compressed, x_train=X, y_train=Y, x_test=X[:3], y_test=Y[:3]))
    assert (data.kind, data.classes) == ("npz", ("0", "1", "2"))
    np.testing.assert_array_equal(data.x_train, X[:, None])
    np.testing.assert_array_equal(data.y_train, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(data.x_test, X[:3, None])
    np.testing.assert_array_equal(data.y_test, [0, 1, 2])
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("keys", [("x_train", "y_train"), ("x", "y")])
def test_the_part_to_test_on_may_be_missing(tmp_path, keys):
    data = load_data(file(tmp_path, **dict(zip(keys, (X, Y), strict=True)), other=X))
    assert (data.x_train.shape, data.x_test, data.y_test) == ((6, 1, 5, 5), None, None)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("u1", "u1"),
        ("<i8", "u1"),
        (">i2", "u1"),
        ("?", "f4"),
        ("<f4", "f4"),
        (">f4", "f4"),
        ("f8", "f4"),
        ("f2", "f4"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_every_kind_become_uint8_or_float32(tmp_path, dtype, result, order):
    x = np.asarray(X % 100, dtype=dtype, order=order)
    data = load_data(file(tmp_path, x_train=x, y_train=Y))
    assert data.x_train.dtype == np.dtype(result)
    np.testing.assert_array_equal(data.x_train, x[:, None])


SCALES = [  # to train on, to test on, and the type of both
    ("large", X.astype("i2") * 4, (X // 2).astype("i2"), np.float32),
    ("large-to-test-on", (X // 2).astype("i2"), X.astype("i2") * 4, np.float32),
    ("whole", X, X.astype("f4"), np.uint8),
    ("whole-to-train-on", X.astype("f8"), X, np.uint8),
    ("bits", X / np.float32(255), X // 128, np.float32),
    ("negative", X.astype("f4") - 1, X, np.float32),
    ("floats", X / np.float32(255), X.astype("f4"), np.float32),
]


@pytest.mark.parametrize(("x", "x_test", "dtype"), [pytest.param(*row, id=name) for name, *row in SCALES])
def test_both_parts_have_one_type_and_so_one_scale(tmp_path, x, x_test, dtype):
    data = load_data(file(tmp_path, x_train=x, y_train=Y, x_test=x_test, y_test=Y))
    assert (data.x_train.dtype, data.x_test.dtype) == (dtype, dtype)
    np.testing.assert_array_equal(data.x_train, x[:, None].astype("f4"))
    np.testing.assert_array_equal(data.x_test, x_test[:, None].astype("f4"))


@pytest.mark.parametrize("bytes_first", [True, False])
def test_bytes_beside_fractions_of_them_are_divided(tmp_path, bytes_first):
    parts = [X, X / np.float32(255)]
    x, x_test = parts if bytes_first else parts[::-1]
    data = load_data(file(tmp_path, x_train=x, y_train=Y, x_test=x_test, y_test=Y))
    assert (data.x_train.dtype, data.x_test.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(data.x_train, data.x_test)
    np.testing.assert_array_equal(data.x_train, parts[1][:, None])


def uint8(*values):
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1)


def float32(*values):
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("given", "dtype", "largest", "expected"),
    [
        (uint8(0, 200), np.uint8, 255, uint8(0, 200)),
        (float32(0, 200), np.uint8, 255, uint8(0, 200)),
        (float32(0, 1), np.uint8, 255, float32(0, 1)),  # bytes that were divided
        (float32(0, 0.5), np.uint8, 255, float32(0, 0.5)),
        (float32(0, 300), np.uint8, 255, float32(0, 300)),
        (float32(0, 300), np.float32, 1, float32(0, 300)),
        (uint8(0, 51), np.float32, 1, float32(0, 51 / 255)),
        (uint8(0, 1), np.float32, 1, float32(0, 1)),
        (uint8(0, 200), np.float32, 1000, float32(0, 200)),
    ],
)
def test_images_on_the_scale_of_others(given, dtype, largest, expected):
    found = on_scale(given, np.dtype(dtype), largest)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_one_number_in_a_long_part_decides_the_type_of_both(tmp_path):
    test = images(6, 20, 20)
    x = images(3000, 20, 20).astype("f4")  # longer than what is looked at in one go
    data = load_data(file(tmp_path, x_train=x, y_train=labels(3000), x_test=test, y_test=Y))
    assert (data.x_train.dtype, data.x_test.dtype) == (np.uint8, np.uint8)
    x[2999, 19, 19] += 0.5
    data = load_data(file(tmp_path, x_train=x, y_train=labels(3000), x_test=test, y_test=Y))
    assert (data.x_train.dtype, data.x_test.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(data.x_train, x[:, None])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_at_the_end_are_moved(tmp_path, channels):
    x = np.random.default_rng(0).integers(0, 256, (6, 5, 7, channels), dtype=np.uint8)
    data = load_data(file(tmp_path, x_train=x, y_train=Y[:, None]))
    assert data.x_train.shape == (6, channels, 5, 7)
    np.testing.assert_array_equal(data.x_train[2, channels - 1, 3], x[2, 3, :, channels - 1])
    np.testing.assert_array_equal(data.y_train, Y)


def test_whole_floats_are_labels(tmp_path):
    np.testing.assert_array_equal(load_data(file(tmp_path, x=X, y=Y.astype("f4"))).y_train, Y)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_of_the_format_is_read(tmp_path, version):
    content = npy_header("|u1", X.shape, version) + X.tobytes()
    path = tmp_path / "data.npz"
    path.write_bytes(zip_bytes({"x.npy": content, "y.npy": npy_bytes(Y)}))
    np.testing.assert_array_equal(load_data(path).x_train, X[:, None])


def test_large_arrays_that_are_stored_are_mapped(tmp_path):
    x = np.zeros((2, 5800, 5800), np.uint8)  # 67.3 MB
    x[1, -1, -1] = 7
    data = load_data(file(tmp_path, x_train=x, y_train=Y[:2]))
    assert isinstance(data.x_train, np.memmap)
    assert (data.x_train.shape, data.x_train[1, 0, -1, -1]) == ((2, 1, 5800, 5800), 7)


def test_to_predict_x_is_taken_before_the_part_to_test_on_and_that_before_the_other(tmp_path):
    arrays = {"x_train": X, "y_train": Y, "x_test": X[:3], "y_test": Y[:3]}
    inputs = read_inputs(file(tmp_path, **arrays))
    assert inputs.names == ("data.npz[0]", "data.npz[1]", "data.npz[2]")
    np.testing.assert_array_equal(inputs.y, [0, 1, 2])
    assert len(read_inputs(file(tmp_path, **arrays, x=X[:2])).x) == 2
    assert read_inputs(file(tmp_path, x=X[:2])).y is None
    assert len(read_inputs(file(tmp_path, x_train=X)).x) == 6


OBJECTS = np.array([[1, "a"], [2, None]], dtype=object)
NAN = X.astype("f8")
NAN[3, 0, 0] = np.inf
RECORDS = np.zeros(6, dtype=[("a", "u1")])
RANGE = "labels must be whole numbers from 0 to the number of classes less 1, and no more than 65,535"
SHAPES = "images must have the shape (N, H, W), (N, C, H, W) or (N, H, W, C)"
WRONG = [
    bad(
        "no-keys",
        {"images": X, "labels": Y},
        DataError,
        "must hold x_train and y_train, and may hold x_test and y_test; it holds images, labels: "
        "rename them, as in "
        "numpy.savez('data.npz', x_train=..., y_train=...)",
    ),
    bad(
        "only-to-test",
        {"x_test": X, "y_test": Y},
        DataError,
        "must hold x_train and y_train, and may hold x_test and y_test; it holds x_test, y_test: "
        "rename them, as in "
        "numpy.savez('data.npz', x_train=..., y_train=...)",
    ),
    bad(
        "no-labels",
        {"x_train": X, "y": Y},
        DataError,
        "has no y_train; it holds x_train, y: name them as in numpy.savez('data.npz', x_train=..., "
        "y_train=...)",
    ),
    bad(
        "large-letter",
        {"X": X, "y": Y},
        DataError,
        "has no x; it holds X, y: name them as in numpy.savez('data.npz', x=..., y=...)",
    ),
    bad(
        "no-images-to-test-on",
        {"x": X, "y": Y, "y_test": Y},
        DataError,
        "has no x_test; it holds x, y, y_test: name them as in numpy.savez('data.npz', x_train=..., "
        "y_train=..., x_test=..., y_test=...)",
    ),
    bad(
        "objects",
        {"x": OBJECTS, "y": Y},
        DataError,
        "x: holds Python objects, which are a pickle and are never read: save arrays of numbers, as in "
        "x.astype('uint8')",
    ),
    bad("text", {"x": X, "y": Y.astype(str)}, DataError, "y: must hold whole or real numbers, holds text"),
    bad(
        "records",
        {"x": X, "y": RECORDS},
        DataError,
        "y: must hold whole or real numbers, holds numbers of the type [('a', '|u1')]",
    ),
    bad(
        "complex",
        {"x": X.astype("c8"), "y": Y},
        DataError,
        "x: must hold whole or real numbers, holds numbers of the type <c8",
    ),
    bad(
        "flat",
        {"x": X.reshape(6, 25), "y": Y},
        DataError,
        f"x: {SHAPES}, got (6, 25): give each image its rows and columns, as in x.reshape(-1, 28, 28)",
    ),
    bad("one-axis", {"x": Y, "y": Y}, DataError, f"x: {SHAPES}, got (6,)"),
    bad("no-images", {"x": X[:0], "y": Y[:0]}, DataError, "x: holds no images, its shape is 0 × 5 × 5"),
    bad(
        "counts",
        {"x": X, "y": Y[:5]},
        DataError,
        "y: 5 labels for the 6 images of x: each image needs one label",
    ),
    bad(
        "one-hot",
        {"x": X, "y": np.eye(3)[Y]},
        DataError,
        "y: labels must be a row (N,) of class numbers, got the shape 6 × 3: where each row marks its "
        "class, pass "
        "y.argmax(axis=1)",
    ),
    bad(
        "infinite",
        {"x": NAN, "y": Y},
        DataError,
        "x: image 3 has a pixel that is inf: pixels must be finite numbers in float32; leave the "
        "image out or "
        "replace the number (numpy.nan_to_num)",
    ),
    bad(
        "too-large",
        {"x": X * 1e300, "y": Y},
        DataError,
        "x: image 0 has a pixel that is inf: pixels must be finite numbers in float32; leave the "
        "image out or "
        "replace the number (numpy.nan_to_num)",
    ),
    bad("fraction", {"x": X, "y": Y + 0.5}, DataError, f"y: label 0 is 0.5: {RANGE}"),
    bad("nan-label", {"x": X, "y": Y * np.nan}, DataError, f"y: label 0 is nan: {RANGE}"),
    bad(
        "enormous-label",
        {"x": X, "y": Y.astype("u8") << np.uint64(63)},
        DataError,
        f"y: label 1 is 9223372036854775808: {RANGE}",
    ),
    bad(
        "labels-from-1",
        {"x": X, "y": Y + 1},
        DataError,
        "y: labels begin at 1: subtract 1, class numbers count from 0",
    ),
    bad(
        "one-class",
        {"x": X, "y": Y * 0},
        DataError,
        "y: every label is 0: training needs images of at least two classes",
    ),
    bad(
        "other-size",
        {"x": X, "y": Y, "x_test": X[:, :4], "y_test": Y},
        DataError,
        "x_test: images to test on must be as those to train on, 1 × 5 × 5 (channels × height × width), got "
        "1 × 4 × 5",
    ),
    bad(
        "other-classes",
        {"x": X, "y": Y, "x_test": X, "y_test": Y + 1},
        DataError,
        "y_test: has images of class 3, of which the training set has none ({}: y): leave them out, "
        "or train on "
        "such images too",
    ),
]


@pytest.mark.parametrize(("arrays", "error", "message"), WRONG)
def test_a_wrong_array_is_named(tmp_path, arrays, error, message):
    path = file(tmp_path, **arrays)
    assert_message(lambda: load_data(path), error, f"{path}: {message.replace('{}', str(path))}")


def changed(content, find, at, value):
    """Other bytes at a distance from where some first stand."""
    place = content.index(find) + at
    return content[:place] + value + content[place + len(value) :]


def archive(x, method=zipfile.ZIP_STORED):
    return zip_bytes({"x.npy": x, "y.npy": npy_bytes(Y)}, method)


GOOD = archive(npy_bytes(X))
DEFLATED = archive(npy_bytes(X), zipfile.ZIP_DEFLATED)
ENTRY = GOOD.rindex(b"PK\1\2")  # of y.npy, in the list of members
DAMAGED = [
    bad(
        "gigabytes",
        archive(npy_header("|u1", (60_000, 1000, 1000)) + bytes(9)),
        DataError,
        "x: its header promises 60,000,000,000 bytes of numbers after byte 83, there are 9",
    ),
    bad("no-array", archive(b"text"), DataError, "x: is no array of NumPy's formats 1 to 3"),
    bad(
        "version", archive(npy_header("|u1", (6,), 9)), DataError, "x: is no array of NumPy's formats 1 to 3"
    ),
    bad(
        "header",
        archive(npy_header("|u1", (6, "__import__('os')"))),
        DataError,
        "x: its header, from byte 10, is none that NumPy writes for an array",
    ),
    bad(
        "negative",
        archive(npy_header("|u1", (6, -5, 5))),
        DataError,
        "x: its header, from byte 10, is none that NumPy writes for an array",
    ),
    bad(
        "axes",
        archive(npy_header("|u1", (1,) * 40)),
        DataError,
        "x: has 40 axes: images have 3 or 4, labels have 1",
    ),
    bad("cut-short", GOOD[:-30], DataError, "is cut short: the list of members at its end is missing"),
    bad(
        "list-outside",
        changed(GOOD, b"PK\5\6", 16, struct.pack("<I", 1 << 30)),
        DataError,
        "is damaged: its list of members does not lie inside the file",
    ),
    bad(
        "list-long",
        zip_bytes({f"{k:04}.npy": b"" for k in range(5000)}),
        DataError,
        "lists more members than a file of images and labels has",
    ),
    bad(
        "checksum",
        changed(GOOD, X.tobytes()[:9], 0, b"123456789"),
        DataError,
        "x.npy: is damaged: its checksum is wrong",
    ),
    bad(
        "member-outside",
        changed(GOOD, b"PK\1\2", 42, struct.pack("<I", 1 << 30)),
        DataError,
        "x.npy: is damaged: it does not begin at byte 1,073,741,824",
    ),
    bad(
        "members-overlap",
        changed(GOOD, GOOD[ENTRY : ENTRY + 20], 42, bytes(4)),
        DataError,
        "is damaged: its members y.npy and x.npy overlap",
    ),
    bad(
        "size",
        changed(GOOD, b"PK\1\2", 24, struct.pack("<I", 1 << 30)),
        DataError,
        "x.npy: is damaged: it is stored in 278 bytes and promises 1,073,741,824",
    ),
    bad(
        "promise",
        changed(DEFLATED, b"PK\1\2", 24, struct.pack("<I", 1 << 26)),
        DataError,
        "x: its header promises 150 bytes of numbers after byte 128, there are 67,108,736",
    ),
    bad(
        "encrypted",
        changed(GOOD, b"PK\1\2", 8, b"\1"),
        DataError,
        "x.npy: is encrypted: unpack it with its password and save it anew",
    ),
    bad(
        "bzip2",
        archive(npy_bytes(X), zipfile.ZIP_BZIP2),
        DataError,
        "x.npy: is compressed in a way that is not read (12): use numpy.savez",
    ),
    bad(
        "no-arrays",
        zip_bytes({"cat/1.png": b"", "a\nb": b""}),
        DataError,
        "is a zip archive without arrays, it holds cat/1.png, a\\nb: unpack it first and name the folder",
    ),
    bad(
        "nothing",
        zip_bytes({}),
        DataError,
        "is a zip archive without arrays, it holds nothing: unpack it first and name the folder",
    ),
]


@pytest.mark.parametrize(("content", "error", "message"), DAMAGED)
def test_a_damaged_archive_is_named_with_its_place(tmp_path, content, error, message):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    assert_message(lambda: load_data(path), error, f"{path}: {message}")


def test_a_member_whose_name_leads_out_of_the_folder_is_no_array_of_the_set(tmp_path):
    path = tmp_path / "inside" / "data.npz"
    path.parent.mkdir()
    path.write_bytes(zip_bytes({"../x.npy": npy_bytes(X), "y.npy": npy_bytes(Y)}))
    assert_message(
        lambda: load_data(path),
        DataError,
        f"{path}: has no x; it holds ../x, y: name them as in numpy.savez('data.npz', x=..., y=...)",
    )
    assert [found.name for found in tmp_path.iterdir()] == ["inside"]


def test_an_archive_of_large_members_is_read(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as target:
        for name, array in (("x.npy", X), ("y.npy", Y)):
            with target.open(name, "w", force_zip64=True) as member:
                member.write(npy_bytes(array))
    np.testing.assert_array_equal(load_data(path).x_train, X[:, None])
    extended = path.read_bytes()
    at = extended.index(b"PK\1\2")  # the first member's sizes and place in the extra field, as above 4 GiB
    entry = bytearray(extended[at : at + 46])
    (size,) = struct.unpack_from("<I", entry, 24)
    entry[20:28], entry[42:46], entry[30:32] = b"\xff" * 8, b"\xff" * 4, struct.pack("<H", 28)
    extra = struct.pack("<2H3Q", 1, 24, size, size, 0)
    rest = extended[at + 51 : -22]
    directory = bytes(entry) + b"x.npy" + extra + rest
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 2, 2, len(directory), at)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(extended[:at] + directory + record + locator + end)
    with zipfile.ZipFile(path) as oracle:
        assert oracle.testzip() is None
    np.testing.assert_array_equal(load_data(path).x_train, X[:, None])
