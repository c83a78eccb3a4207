"""Sizes and parameter counts as arithmetic; what is large is shown in part, said and counted."""

import time

import numpy as np
import pytest
from explanations import WORKSHEETS, expansions, of_kind, paragraphs, prose_text, section, shown, table

import closedform as cf
from closedform.explanation.document import Expansions, Paragraph, Picture
from closedform.explanation.explain import explain_worksheet
from closedform.worksheet import read_worksheet

LENET = [
    cf.Conv2d(6, 5, padding=2),
    cf.Tanh(),
    cf.AvgPool2d(2),
    cf.Conv2d(16, 5),
    cf.Tanh(),
    cf.AvgPool2d(2),
    cf.Flatten(),
    cf.Dense(120),
    cf.Tanh(),
    cf.Dense(84),
    cf.Tanh(),
    cf.Dense(10),
]


def sheet_d():
    """The whole network of sheet D."""
    layers = [
        cf.ChannelSummedConv2d(4, 3),
        cf.ReLU(),
        cf.ChannelSummedConv2d(4, 3),
        cf.MaxPool2d(2),
        cf.Flatten(),
        cf.Dense(10),
        cf.ReLU(),
        cf.Dense(2),
    ]
    return cf.Network(layers, (3, 14, 14), loss=cf.SoftmaxCrossEntropy())


@pytest.fixture(scope="module")
def c2():
    return explain_worksheet(read_worksheet(WORKSHEETS / "c2.toml"))


# ---- arithmetic


def test_c2_the_sizes_as_arithmetic(c2):
    assert table(section(c2, "sizes")) == [
        ["layer", "input", "output", "size", "parameters"],
        ["0 Conv2d", "28 × 28", "16 × 14 × 14", "(28 − 3 + 2·1)//2 + 1 = 14", "3·3·1·16 + 16 = 160"],
        ["1 MaxPool2d", "16 × 14 × 14", "16 × 7 × 7", "(14 − 2)//2 + 1 = 7", "0"],
        ["2 Flatten", "16 × 7 × 7", "784", "16·7·7 = 784", "0"],
        ["3 Dense", "784", "32", "", "784·32 = 25088"],
        ["4 Dense", "32", "5", "", "32·5 = 160"],
        ["network", "28 × 28", "5", "", "25,408"],
    ]
    assert paragraphs(section(c2, "sizes"))[0] == (
        "A window of K rows on H rows, with t zeros before them and after them, taken every s rows, gives "
        "(H − K + 2·t)//s + 1 rows; // rounds down."
    )


def test_rows_and_columns_of_their_own():
    page = cf.explain(cf.Conv2d(2, (2, 3), stride=(1, 2)), input_shape=(3, 5, 9))
    assert table(section(page, "sizes"))[1] == [
        "0 Conv2d", "3 × 5 × 9", "2 × 4 × 4", "5 − 2 + 1 = 4, (9 − 3)//2 + 1 = 4", "2·3·3·2 + 2 = 38",
    ]  # fmt: skip


def test_layers_that_change_no_size_say_so():
    page = cf.explain(cf.Architecture([cf.ReLU(), cf.GlobalAvgPool2d()], (2, 3, 3)))
    rows = table(section(page, "sizes"))
    assert rows[1] == ["0 ReLU", "2 × 3 × 3", "2 × 3 × 3", "as the input", "0"]
    assert rows[2] == ["1 GlobalAvgPool2d", "2 × 3 × 3", "2", "one number for each channel", "0"]
    assert paragraphs(section(page, "sizes")) == ["One image: its index takes one value and is not written."]


# ---- shown in part


def opening(document):
    return [prose_text(b.prose) for b in document.blocks if isinstance(b, Paragraph)]


ELISION = (
    "Of an axis of more than {} entries the first {} and the last are shown, of more than {} grids of one "
    "array the first {} and the last; of more than {} entries the first {} and the last are written out, "
    "of more than {} terms of a sum the first {} and the last. What is left out is counted; of an axis, "
    "the size above its grid says how long it is."
)
SMALL = ELISION.format(10, 7, 4, 3, 12, 5, 16, 15)
LARGE = ELISION.format(5, 3, 3, 2, 6, 2, 8, 7)


def test_a_small_example_is_shown_whole_and_nothing_is_said():
    page = explain_worksheet(read_worksheet(WORKSHEETS / "c4.toml"))
    assert not any("What is left out" in said for said in opening(page))
    assert "…" not in page.text()


def test_the_two_ways_of_showing_a_part_are_said(c2):
    assert LARGE in opening(c2)
    assert SMALL in opening(cf.explain(cf.ReLU(), input_shape=(13,)))


@pytest.mark.parametrize(
    ("layer", "shape", "what"),
    [
        (cf.ReLU(), (11,), "a long axis"),
        (cf.ReLU(), (5, 2, 2), "many channels"),
        (cf.ReLU(), (1, 7, 2), "many entries"),
        (cf.Formula("Y[n] = sum[i,j] X[n,i,j]"), (9, 9), "many terms"),
        (cf.Conv2d(1, 4, bias=False), (1, 9, 9), "a border that makes a grid wide"),
    ],
)
def test_whatever_is_left_out_is_announced(layer, shape, what):
    assert SMALL in opening(cf.explain(layer, input_shape=shape)), what


def test_entries_left_out_of_a_grid(c2):
    (first, _, last) = shown(c2, "forward-Z1")
    assert [len(row) for row in first] == [5] * 5
    assert first[0] == ["z1[1,1,1]", "z1[1,1,2]", "z1[1,1,3]", "…", "z1[1,1,14]"]
    assert first[3] == ["…"] * 5
    assert last[-1][-1] == "z1[16,14,14]"
    (picture,) = of_kind(section(c2, "forward-Z1"), Picture)
    notes = [grid.note for grid in picture.items[-1]]
    assert notes == ["channel 1, 14 × 14", "channel 2, 14 × 14", "channel 16, … 13 more before it, 14 × 14"]


def test_entries_not_written_out_are_counted(c2):
    (found,) = of_kind(section(c2, "forward-Z1"), Expansions)
    assert [one.name for one in found.expansions] == ["z1_1_1_1", "z1_1_1_2", "z1_16_14_14"]
    assert found.left_out == 16 * 14 * 14 - 3
    assert "… and 3133 more in the same way." in c2.text()
    (flat,) = of_kind(section(c2, "forward-F1"), Expansions)
    assert flat.left_out == 784 - 3


def test_terms_not_written_out_are_counted(c2):
    entry = expansions(c2, "forward-Z2")["z2_1"]
    assert entry.startswith("w2[1,1]·f1[1] + w2[1,2]·f1[2] + ")
    assert entry.endswith("w2[1,7]·f1[7] + … 776 more + w2[1,784]·f1[784]")


def test_a_sum_of_sixteen_terms_is_written_whole_and_of_seventeen_is_not():
    for length, left_out in ((16, 0), (17, 1), (40, 24)):
        page = cf.explain(cf.Formula("Y[n] = sum[i] X[n,i]"), input_shape=(length,))
        (found,) = of_kind(section(page, "forward-Y"), Expansions)
        assert (found.expansions[0].left_out, len(found.expansions[0].terms)) == (left_out, 16)


def test_what_is_left_out_is_computed_nevertheless():
    x = np.arange(1, 41)
    page = cf.explain(cf.Formula("Y[n] = sum[i] X[n,i]"), x=x)
    assert shown(page, "forward-Y") == [[["820"]]]


# ---- speed and size


def quickest(job, runs=2):
    """The least processor time of a few runs, which other work on the machine does not lengthen, and what
    the last gave."""
    times = []
    for _ in range(runs):
        started = time.process_time()
        found = job()
        times.append(time.process_time() - started)
    return min(times), found


def test_sheet_ds_network_in_html_takes_less_than_two_seconds_and_a_megabyte():
    net = sheet_d()
    x = np.random.default_rng(0).integers(-3, 4, (3, 14, 14))
    seconds, page = quickest(lambda: cf.explain(net, x=x, y=[1]).html())
    assert len(page.encode()) < 1_000_000
    assert seconds < 2


def test_sheet_ds_network_in_symbols_takes_as_little():
    seconds, page = quickest(lambda: cf.explain(sheet_d().architecture).html())
    assert len(page.encode()) < 1_000_000
    assert seconds < 2


def test_lenet_takes_less_than_five_seconds():
    net = cf.Network(LENET, (1, 28, 28), loss=cf.SoftmaxCrossEntropy())
    x = np.random.default_rng(0).random((1, 28, 28))
    seconds, page = quickest(lambda: cf.explain(net, x=x, y=[3]).html())
    assert len(page.encode()) < 2_000_000
    assert seconds < 5
