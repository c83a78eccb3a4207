"""Tables of pixels: where the label stands, what the numbers become, and which line is wrong."""

import random

import numpy as np
import pytest
from bad import assert_message, bad
from data_files import PACKERS, csv_text, images, labels

from closedform.data.recognise import load_data, read_inputs
from closedform.errors import DataError

X, Y = images(6), labels(6)
TABLE = np.column_stack([Y, X.reshape(6, 25)])
NAMES = [f"pixel{k}" for k in range(25)]


def file(folder, text, name="some.csv", ending=""):
    path = folder / (name + ending)
    path.write_bytes(PACKERS[ending](text if isinstance(text, bytes) else text.encode()))
    return path


@pytest.mark.parametrize("header", [None, ["label", *NAMES], ["what", *NAMES]])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("ending", PACKERS)
def test_a_row_is_an_image_and_its_label(tmp_path, header, separator, end, ending):
    data = load_data(file(tmp_path, csv_text(TABLE, header, separator, end), ending=ending))
    assert (data.kind, data.classes, data.x_test) == ("CSV", ("0", "1", "2"), None)
    np.testing.assert_array_equal(data.x_train, X[:, None])
    np.testing.assert_array_equal(data.y_train, Y)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("word", ["label", "Class", "TARGET", "y"])
def test_the_label_may_stand_in_any_column_that_is_named_so(tmp_path, word):
    table, names = np.roll(TABLE, -4, axis=1), [*NAMES[3:], word, *NAMES[:3]]
    shifted = np.roll(X.reshape(6, 25), -3, axis=1).reshape(6, 1, 5, 5)
    data = load_data(file(tmp_path, csv_text(table, names)))
    np.testing.assert_array_equal(data.y_train, Y)
    np.testing.assert_array_equal(data.x_train, shifted)


@pytest.mark.parametrize(
    "header",
    [
        ["label", *range(25)],
        ["label", *range(1, 26)],
        ["y", *range(25)],
        range(26),
        ["", *range(26)],
        ["", "label", *range(25)],
        ["", "class", *range(100, 125)],
    ],
)
def test_a_header_may_number_its_columns(tmp_path, header):
    header = list(map(str, header))
    table = np.column_stack([np.arange(6), TABLE]) if header[0] == "" else TABLE
    data = load_data(file(tmp_path, csv_text(table, header)))
    np.testing.assert_array_equal(data.x_train, X[:, None])
    np.testing.assert_array_equal(data.y_train, Y)


def test_a_numbered_column_of_labels_may_stand_last(tmp_path):
    table = np.column_stack([TABLE[:, 1:], Y])
    data = load_data(file(tmp_path, csv_text(table, [*map(str, range(25)), "target"])))
    np.testing.assert_array_equal(data.x_train, X[:, None])
    np.testing.assert_array_equal(data.y_train, Y)


@pytest.mark.parametrize("word", ["y", "label", "class", "target"])
def test_a_word_for_labels_before_an_images_numbers_is_its_class(tmp_path, word):
    rows = [[(word, "n", "o")[row[0]], *row[1:]] for row in TABLE.tolist()]
    data = load_data(file(tmp_path, csv_text(rows)))
    assert data.classes == tuple(sorted((word, "n", "o")))
    np.testing.assert_array_equal(data.y_train, [data.classes.index(row[0]) for row in rows])
    np.testing.assert_array_equal(data.x_train, X[:, None])


def test_two_counting_numbers_are_an_image(tmp_path):
    data = load_data(file(tmp_path, "0,1\n1,2\n"))
    np.testing.assert_array_equal(data.x_train.ravel(), [1, 2])


@pytest.mark.parametrize("word", ["", "id", "Index"])
def test_a_column_of_row_numbers_is_left_out(tmp_path, word):
    table = np.column_stack([np.arange(6), TABLE])
    data = load_data(file(tmp_path, csv_text(table, [word, "label", *NAMES])))
    np.testing.assert_array_equal(data.x_train, X[:, None])
    np.testing.assert_array_equal(data.y_train, Y)


def test_words_are_classes_in_the_order_of_the_alphabet(tmp_path):
    rows = [[("owl", "Äffchen, klein", "cat")[row[0]], *row[1:]] for row in TABLE.tolist()]
    text = csv_text(rows, separator=";")
    data = load_data(file(tmp_path, text))
    assert data.classes == ("cat", "owl", "Äffchen, klein")
    np.testing.assert_array_equal(data.y_train, [1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(data.x_train, X[:, None])


def test_an_underscore_may_stand_anywhere_but_in_a_pixel(tmp_path):
    rows = [[f"img_{k}", ("t_shirt", "bag", "1_0")[row[0]], *row[1:]] for k, row in enumerate(TABLE.tolist())]
    for quoted in (str, lambda field: f'"{field}"'):
        lines = [[quoted(field) for field in row] for row in rows]
        data = load_data(file(tmp_path, csv_text(lines, ["id", "label", *NAMES])))
        assert data.classes == ("1_0", "bag", "t_shirt")
        np.testing.assert_array_equal(data.x_train, X[:, None])
        assert data.x_train.dtype == np.uint8


def test_marks_blanks_quotation_and_empty_lines_are_no_part_of_the_numbers(tmp_path):
    lines = csv_text(TABLE, ["label", *NAMES]).splitlines()
    lines[2] = ",".join(f'"{field}"' for field in lines[2].split(","))
    lines[3] = ", ".join(lines[3].split(","))
    text = "\ufeff\n" + "\n\n".join(lines) + "\n  \n\n"
    data = load_data(file(tmp_path, text))
    np.testing.assert_array_equal(data.x_train, X[:, None])
    np.testing.assert_array_equal(data.y_train, Y)
    assert data.x_train.dtype == np.uint8


def test_the_last_line_needs_no_end(tmp_path):
    assert len(load_data(file(tmp_path, csv_text(TABLE).removesuffix("\n"))).x_train) == 6


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ("0.5 1 0 1e-3", [0.5, 1, 0, 0.001]),
        ("0 1 2 256", [0, 1, 2, 256]),
        ("-1 1 2 3", [-1, 1, 2, 3]),
        ("0 1 2 99999999999999999999", [0, 1, 2, 1e20]),
        ("0.0 255.0 1.0 2.0", [0, 255, 1, 2]),
    ],
)
def test_other_numbers_than_0_to_255_are_float32(tmp_path, pixels, expected):
    text = f"0,{pixels.replace(' ', ',')}\n1,4,5,6,7\n"
    data = load_data(file(tmp_path, text))
    assert data.x_train.dtype == np.float32
    np.testing.assert_array_equal(data.x_train, np.array([expected, [4, 5, 6, 7]], "f4").reshape(2, 1, 2, 2))


def test_a_row_is_divided_as_it_is_asked(tmp_path):
    table = np.column_stack([Y, np.arange(6 * 24).reshape(6, 24)])
    path = file(tmp_path, csv_text(table))
    colours = load_data(path, image_size=(2, 4), color_mode="rgb").x_train
    assert colours.shape == (6, 3, 2, 4)
    np.testing.assert_array_equal(colours[1, :, 0, 1], [27, 28, 29])  # the numbers of one pixel side by side
    np.testing.assert_array_equal(colours, load_data(path, image_size=(2, 4)).x_train)
    assert load_data(path, image_size=(4, 6)).x_train.shape == (6, 1, 4, 6)
    np.testing.assert_array_equal(load_data(path, image_size=(4, 6)).x_train[0, 0, 1], [6, 7, 8, 9, 10, 11])
    square = file(tmp_path, csv_text(np.column_stack([Y, np.arange(6 * 12).reshape(6, 12)])))
    assert load_data(square, color_mode="rgb").x_train.shape == (6, 3, 2, 2)


def test_a_long_table_is_the_same_whatever_its_numbers_are_read_by(tmp_path):
    x, y = images(3000, 10, 10), labels(3000, 7)
    table = np.column_stack([y, x.reshape(3000, 100)]).tolist()
    words = [[f"class {row[0]}", *row[1:]] for row in table]
    digits = load_data(file(tmp_path, csv_text(table))).x_train
    np.testing.assert_array_equal(digits, x[:, None])
    data = load_data(file(tmp_path, csv_text(words)))
    np.testing.assert_array_equal(data.x_train, x[:, None])
    np.testing.assert_array_equal(data.y_train, y)
    table[2500][50] = 0.25
    expected = x[:, None].astype("f4")
    expected[2500, 0, 4, 9] = 0.25
    np.testing.assert_array_equal(load_data(file(tmp_path, csv_text(table))).x_train, expected)


def test_a_folder_has_a_table_to_train_on_and_one_to_test_on(tmp_path):
    rows = [[("owl", "cat", "dog")[row[0]], *row[1:]] for row in TABLE.tolist()]
    file(tmp_path, csv_text(rows), "train.csv", ".gz")
    file(tmp_path, csv_text(rows[1:2]), "test.csv")
    data = load_data(tmp_path)
    assert data.classes == ("cat", "dog", "owl")
    np.testing.assert_array_equal(data.x_test, X[1:2, None])
    np.testing.assert_array_equal(data.y_test, [0])


@pytest.mark.parametrize(
    ("train", "test", "dtype"),
    [
        ("0 1 2 1000", "0 1 2 200", np.float32),
        ("0 1 2 200", "0 1 2 1000", np.float32),
        ("0 1 2 255", "0.0 255.0 1.0 2.0", np.uint8),
        ("0 0.5 1 1", "0 1 1 0", np.float32),
    ],
)
def test_both_tables_of_a_folder_have_one_type(tmp_path, train, test, dtype):
    for name, numbers in (("train.csv", train), ("test.csv", test)):
        file(tmp_path, "".join(f"{k},{numbers.replace(' ', ',')}\n" for k in range(2)), name)
    data = load_data(tmp_path)
    assert (data.x_train.dtype, data.x_test.dtype) == (dtype, dtype)
    np.testing.assert_array_equal(data.x_train[0].ravel(), np.array(train.split(), "f4"))
    np.testing.assert_array_equal(data.x_test[0].ravel(), np.array(test.split(), "f4"))


def test_a_label_of_digits_is_its_number_whatever_stands_beside_it(tmp_path):
    rows = ["a,1.5,1,1,1", *["01,1,2,3,4"] * 60_000, *["2,1,2,3,4"] * 60_000, "02,1,2,3,4", "00,1,2,3,4.5"]
    data = load_data(file(tmp_path, "\n".join(rows)))
    assert data.classes == ("0", "1", "2", "a")
    np.testing.assert_array_equal(np.bincount(data.y_train), [1, 60_000, 60_001, 1])


def test_both_tables_of_a_folder_call_a_label_the_same(tmp_path):
    file(tmp_path, "label,a,b,c,d\n01,1,2,3,4\n0x,1,2,3,4\n", "train.csv")
    file(tmp_path, "label,a,b,c,d\n01,1,2,3,4\n", "test.csv")
    data = load_data(tmp_path)
    assert data.classes == ("0x", "1")
    np.testing.assert_array_equal(data.y_train, [1, 0])
    np.testing.assert_array_equal(data.y_test, [1])


def test_a_table_without_labels_is_not_tested_on_but_predicted(tmp_path):
    file(tmp_path, csv_text(TABLE, ["label", *NAMES]), "train.csv")
    path = file(tmp_path, csv_text(TABLE[:, 1:], NAMES), "test.csv")
    data = load_data(tmp_path)
    assert (data.x_test, data.left_out) == (None, ("test.csv: has no labels, and is not tested on",))
    for place in (path, tmp_path):
        inputs = read_inputs(place)
        np.testing.assert_array_equal(inputs.x, X[:, None])
        assert (inputs.names[5], inputs.y) == ("test.csv[5]", None)


def test_labels_of_images_to_predict_are_kept(tmp_path):
    inputs = read_inputs(file(tmp_path, csv_text(TABLE)))
    np.testing.assert_array_equal(inputs.y, Y)
    assert inputs.classes is None
    words = [["cat" if row[0] else "ant", *row[1:]] for row in TABLE.tolist()]
    inputs = read_inputs(file(tmp_path, csv_text(words)))
    assert inputs.classes == ("ant", "cat")
    np.testing.assert_array_equal(inputs.y, [0, 1, 1, 0, 1, 1])


ROW = "1,2,3,4,5\n"
LABELS = "labels must be whole numbers from 0 to the number of classes less 1, and no more than 65,535"
FINITE = "pixels must be finite numbers in float32; leave the row out or replace the number"
WRONG = [
    bad(
        "ragged",
        "0,2,3,4,5\n\n" + ROW + "1,2,3,4\n",
        DataError,
        "line 4: must have 5 fields as the first line has, got 4",
    ),
    bad(
        "ragged-quoted",
        '0,2,3,4,5\n"1",2,3,4,5,6\n',
        DataError,
        "line 2: must have 5 fields as the first line has, got 6",
    ),
    bad(
        "ragged-words",
        "a,2,3,4,5\nb,2,3\n",
        DataError,
        "line 2: must have 5 fields as the first line has, got 3",
    ),
    bad(
        "word",
        "label,a,b,c,d\n0,2,3,4,5\n1,2,three,4,5\n",
        DataError,
        "line 3: the pixel in column 3 must be a number, got 'three'",
    ),
    bad(
        "empty-field",
        "0,2,3,4,5\n1,2,,4,5\n",
        DataError,
        "line 2: the pixel in column 3 must be a number, it is empty",
    ),
    bad("empty-label", "0,2,3,4,5\n,2,3,4,5\n", DataError, "line 2: its label, in column 1, is empty"),
    bad(
        "underscore",
        "0,2,3,4,5\n1,2,1_0,4,5\n",
        DataError,
        "line 2: the pixel in column 3 must be a number, got '1_0'",
    ),
    bad(
        "underscore-beside-others",
        "id,label,a,b,c,d\nimg_1,t_shirt,2,3,4,5\nimg_2,t_shirt,2,3,4,5_0\n",
        DataError,
        "line 3: the pixel in column 6 must be a number, got '5_0'",
    ),
    bad("nan", "0,2,3,4,5\n1,2,3,NaN,5\n", DataError, f"line 2: the pixel in column 4 is nan: {FINITE}"),
    bad(
        "too-large", "0,2,3,4,5\n1,2,3,4,1e99\n", DataError, f"line 2: the pixel in column 5 is inf: {FINITE}"
    ),
    bad(
        "quotation",
        '0,2,3,4,5\n1,2,3,4,"5\n',
        DataError,
        "line 2: has a quotation mark that is not closed, or stands inside a field",
    ),
    bad(
        "first-quotation",
        '"0,2,3,4,5\n',
        DataError,
        "line 1: has a quotation mark that is not closed, or stands inside a field",
    ),
    bad(
        "latin-1",
        b"a,2,3,4,5\n\xe4,2,3,4,5\n" + b"a,2,3,4,5\n" * 9,
        DataError,
        "line 2: is no text in UTF-8: save the file as UTF-8",
    ),
    bad(
        "one-field",
        "12345\n",
        DataError,
        "line 1: is '12345': of text only CSV is read, a row of numbers for each image, with commas, "
        "semicolons or tabs between them",
    ),
    bad(
        "no-square",
        "0,1,2\n",
        DataError,
        "line 1: 2 pixels are no square: pass image_size=(height, width), and color_mode='rgb' for colour, "
        "or the command's options --image-size and --color-mode",
    ),
    bad(
        "no-label",
        "2,3,4,5\n2,3,4,5\n",
        DataError,
        "line 1: has no label: its 4 numbers are 2 × 2 pixels: put each image's class into a column "
        "named label",
    ),
    bad("fraction", "0,2,3,4,5\n0.5,2,3,4,5\n", DataError, f"line 2: has the label 0.5: {LABELS}"),
    bad("negative", "0,2,3,4,5\n-1,2,3,4,5\n", DataError, f"line 2: has the label -1: {LABELS}"),
    bad(
        "enormous", "0,2,3,4,5\n999999999,2,3,4,5\n", DataError, f"line 2: has the label 999999999: {LABELS}"
    ),
]
WHOLE = [
    bad("only-header", "label,a,b,c,d\n", DataError, "holds no rows of numbers"),
    bad("only-lines", "\n\n\n", DataError, "holds no rows of numbers"),
    bad(
        "labels-from-1",
        ROW + "2,2,3,4,5\n",
        DataError,
        "labels begin at 1: subtract 1, class numbers count from 0",
    ),
    bad(
        "one-class",
        "cat,2,3,4,5\n" * 2,
        DataError,
        "every label is cat: training needs images of at least two classes",
    ),
]


@pytest.mark.parametrize(("text", "error", "message"), [*WRONG, *WHOLE])
def test_a_wrong_row_is_named_by_its_line(tmp_path, text, error, message):
    path = file(tmp_path, text)
    assert_message(lambda: load_data(path), error, f"{path}: {message}")


def test_lines_are_counted_across_blocks(tmp_path):
    text = "0,2,3,4,5\n\n1,2,3,4,5\r\n" * 30_000 + "1,2,x,4,5\n"
    path = file(tmp_path, text)
    assert_message(
        lambda: load_data(path),
        DataError,
        f"{path}: line 90001: the pixel in column 3 must be a number, got 'x'",
    )


def test_a_class_that_only_the_test_part_has_is_named(tmp_path):
    file(tmp_path, "cat,2,3,4,5\ndog,2,3,4,5\n", "train.csv")
    path = file(tmp_path, "dog,2,3,4,5\nowl,2,3,4,5\n", "test.csv")
    assert_message(
        lambda: load_data(tmp_path),
        DataError,
        f"{path}: line 2: has an image of class owl, of which the training set has none: leave it out, "
        f"or train "
        f"on such images too",
    )


def test_a_wish_that_a_row_does_not_fit_is_refused(tmp_path):
    path = file(tmp_path, "0,2,3,4,5\n1,2,3,4,5\n")
    assert_message(
        lambda: load_data(path, image_size=3), DataError, f"{path}: line 1: 4 numbers are no image of 3 × 3"
    )
    assert_message(
        lambda: load_data(path, color_mode="rgb"),
        DataError,
        f"{path}: line 1: 4 numbers are no image that is square with color_mode='rgb'",
    )


def test_too_many_labels_and_too_long_a_line_are_refused(tmp_path):
    numbers = random.Random(0).sample(range(200_000), 70_000)
    path = file(tmp_path, "".join(f"{number},1\n" for number in numbers))
    assert_message(
        lambda: load_data(path),
        DataError,
        f"{path}: has more than 65,536 different labels: name the column of classes label",
    )
    path = file(tmp_path, "0,1\n1," + "1" * 3_000_000)
    assert_message(lambda: load_data(path), DataError, f"{path}: line 2 is longer than 2,097,152 bytes")


@pytest.mark.parametrize("word", ["{}", "class {}"])
def test_black_and_white_images_may_be_packed_tightly(tmp_path, word):
    x = np.zeros((4000, 28, 28), np.uint8)
    for k in range(4000):
        x[k, 4 + k % 3 : 24, 4 + k % 7 : 22 - k % 5] = 1
    rows = [[word.format(k % 3), *image] for k, image in enumerate(x.reshape(4000, -1).tolist())]
    text = csv_text(rows).encode()
    path = file(tmp_path, text, ending=".gz")
    assert len(text) > 80 * path.stat().st_size
    np.testing.assert_array_equal(load_data(path).x_train, x[:, None])


TOO_MUCH = [
    ("some.csv.xz", b"0,2,3,4,5\n", "46,346,872 bytes or more of numbers", "unxz"),
    (
        "some.csv.gz",
        b"a" + 100 * b",0" + b"\n",
        "17,036,276 bytes or more of text that is not digits alone",
        "gunzip",
    ),
]


@pytest.mark.parametrize(("name", "row", "much", "command"), TOO_MUCH)
def test_a_table_that_unpacks_to_too_much_is_refused(tmp_path, name, row, much, command):
    path = tmp_path / name
    pack = PACKERS[path.suffix]
    path.write_bytes(pack(row) + pack(row * ((1 << 20) // len(row))) * 24)
    assert_message(
        lambda: load_data(path),
        DataError,
        f"{path}: {path.stat().st_size:,} compressed bytes become {much}, as tables of images "
        f"rarely do: unpack it first if it is to be trusted, {command} {name}",
    )
