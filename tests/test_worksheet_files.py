"""The form of a worksheet's file: what it may hold, and the one message that each slip gets."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bad import assert_message, bad

import closedform as cf
from closedform.checking.sheet import check_sheet
from closedform.worksheet import read_worksheet

WORKSHEETS = Path(__file__).parents[1] / "worksheets"
NETWORK = """
[network]
input_shape = [1, 3, 3]

[[layer]]
type = "Conv2d"
out_channels = 1
kernel_size = 2
bias = false

[[layer]]
type = "GlobalAvgPool2d"

[names]
input = "X"
"0.weight" = "F"
"0" = "O"
"1" = "y"
"""
INPUT = "[input]\nX = [[2, 3, 4], [3, 1, 5], [4, -1, -2]]\n"


@pytest.fixture
def sheet(tmp_path, monkeypatch):
    """Reads a worksheet from its text, as the file s.toml."""
    monkeypatch.chdir(tmp_path)

    def read(text):
        Path("s.toml").write_text(text, encoding="utf-8")
        return read_worksheet("s.toml")

    return read


# ---- what a file holds


def test_a_worksheet(sheet):
    found = sheet(
        '[sheet]\ntitle = "C4"\nabout = "By hand."\n'
        + NETWORK
        + INPUT
        + "[parameters]\nF = [[0, 3], [1, -2]]\n[training]\nlearning_rate = 0.1\n"
        + '[[claim]]\nof = "dF"\nvalues = [["9/4", 3.25], ["?", 0.750]]\nnote = "partly"\n'
    )
    assert (found.title, found.about, found.first_index, found.batch) == ("C4", "By hand.", 1, 1)
    assert found.learning_rate == Fraction(1, 10)
    assert found.architecture.shapes == ((1, 3, 3), (1, 2, 2), (1,))
    assert found.solution.names == {"input": "X", "0.weight": "F", "0": "O", "1": "y"}
    assert {name: array.shape for name, array in found.given.items()} == {
        "X": (1, 1, 3, 3), "F": (1, 1, 2, 2), "dy": (1, 1),
    }  # fmt: skip
    assert found.given["dy"].tolist() == [[1]]
    assert found.values["O"].tolist() == [[[[10, 3], [9, 18]]]]
    (claim,) = found.claims
    assert (claim.of, claim.quantity, claim.kind, claim.note) == ("dF", "dF", "values", "partly")
    assert {place: (e.text, e.number) for place, e in claim.entries.items()} == {
        (0, 0): ("9/4", Fraction(9, 4)),
        (0, 1): ("3.25", Fraction(13, 4)),
        (1, 1): ("0.750", Fraction(3, 4)),
    }


def test_a_network_file_is_a_worksheet_without_numbers(sheet):
    found = sheet(NETWORK[: NETWORK.index("[names]")])
    assert (found.title, found.claims, list(found.given)) == ("s", (), ["dP"])
    assert found.solution.names == {"input": "X", "0.weight": "W", "0": "Z", "1": "P"}
    assert found.values["Z"] is None


def test_decimals_are_the_fractions_that_they_are(sheet):
    found = sheet(NETWORK + '[input]\nX = [[0.1, 1e-2, -1.5], [3, 1, "0.3"], [4, "1/3", -2]]\n')
    assert found.given["X"][0, 0].tolist() == [
        [Fraction(1, 10), Fraction(1, 100), Fraction(-3, 2)],
        [3, 1, Fraction(3, 10)],
        [4, Fraction(1, 3), -2],
    ]


def test_numbers_may_be_written_in_many_ways(sheet):
    rows = '[[".75", "2 1/4", "½"], ["1e1", "1e-3", "-2½"], ["3.", "−1/2", "0/5"]]'
    found = sheet(f"{NETWORK}[input]\nX = {rows}\n")
    assert found.given["X"][0, 0].tolist() == [
        [Fraction(3, 4), Fraction(9, 4), Fraction(1, 2)],
        [10, Fraction(1, 1000), Fraction(-5, 2)],
        [3, Fraction(-1, 2), 0],
    ]
    claim = sheet(NETWORK + '[[claim]]\nof = "dF"\nvalues = [[".75*X11", "½·X12"], ["?", "?"]]\n').claims[0]
    assert [str(entry.equation) for entry in claim.entries.values()] == [
        "entry = 3/4 * X[0,0,0,0]",
        "entry = 1/2 * X[0,0,0,1]",
    ]


def test_labels_are_counted_as_the_sheet_counts(sheet):
    text = NETWORK.replace("[1, 3, 3]", '[1, 3, 3]\nloss = "SoftmaxCrossEntropy"')
    text = text.replace("out_channels = 1", "out_channels = 3")
    with pytest.raises(cf.FileError) as caught:
        sheet(text + "[target]\ny = [5]\n")
    assert str(caught.value) == "s.toml: T (target) at [1] must be a label from 0 to 2, got 5"


def test_keys_and_names_may_be_used_for_the_same(sheet):
    by_key = sheet(NETWORK + "[input]\nx = [[1,2,3],[4,5,6],[7,8,9]]\n[parameters]\n0.weight = [[1,2],[3,4]]")
    by_name = sheet(NETWORK + "[input]\nX = [[1,2,3],[4,5,6],[7,8,9]]\n[parameters]\nF = [[1,2],[3,4]]")
    assert {n: a.tolist() for n, a in by_key.given.items()} == {
        n: a.tolist() for n, a in by_name.given.items()
    }


def test_channels_last(sheet):
    network = NETWORK.replace("[1, 3, 3]", "[2, 1, 3]").replace("kernel_size = 2", "kernel_size = [1, 2]")
    found = sheet('[sheet]\nchannels = "last"\n' + network + "[input]\nX = [[[1, 10], [2, 20], [3, 30]]]\n")
    assert found.given["X"].tolist() == [[[[1, 2, 3]], [[10, 20, 30]]]]
    assert found.symbols.entry("X32") == ("X", (2, 1))  # third column, second channel
    assert found.axes("X").place((2, 1)) == (0, 1, 0, 2)


def test_a_batch_is_seen_from_the_input(sheet):
    found = sheet(NETWORK + "[input]\nX = [[[1,2,3],[4,5,6],[7,8,9]], [[1,1,1],[1,1,1],[1,1,1]]]\n")
    assert found.batch == 2
    assert found.values.solution["O"].shape == (2, 1, 2, 2)


def test_a_loss_takes_labels_or_targets(sheet):
    text = NETWORK.replace("[1, 3, 3]", '[1, 3, 3]\nloss = "MeanSquaredError"')
    assert sheet(text + INPUT + "[target]\ny = 3\n").given["T"].tolist() == [[3]]
    assert sheet(text + INPUT + "[target]\nT = 3\n").given["T"].tolist() == [[3]]


def test_symbols_count_entries_from_the_first_index(sheet):
    text = NETWORK + '[[claim]]\nof = "y"\nvalues = "1/4*(O{0}{0} + O{0}{1} + O[{1},{0}] + O_{1}{1})"\n'
    for first in (0, 1):
        found = sheet(f"[sheet]\nfirst_index = {first}\n" + text.format(first, first + 1))
        (entry,) = found.claims[0].entries.values()
        assert str(entry.equation) == "entry = 1/4 * (O[0,0,0,0] + O[0,0,0,1] + O[0,0,1,0] + O[0,0,1,1])"


def test_parts_have_names(sheet):
    found = read_worksheet(WORKSHEETS / "a2.toml")
    assert found.symbols.entry("z21") == ("kernels", (1, 1, 1, 0))
    assert found.symbols.entry("b3") == ("biases", (1, 0))
    assert found.symbols.entry("dw[2,1]") == ("dkernels", (0, 1, 1, 0))


def test_a_quantity_whose_name_ends_in_a_digit_is_told_from_its_entries(sheet):
    found = read_worksheet(WORKSHEETS / "e1.toml").symbols
    assert found.entry("Z1[2,3,4]") == ("Z1", (1, 2, 3))
    assert found.entry("Z1234") == ("Z1", (1, 2, 3))
    assert found.entry("b1") == ("b1", ())
    assert found.entry("q11") is None


def test_every_file_of_the_folder_is_listed_and_can_be_read():
    listed = (WORKSHEETS / "README.md").read_text(encoding="utf-8")
    files = sorted(WORKSHEETS.glob("*.toml"))
    assert len(files) >= 25
    for file in files:
        assert f"`{file.name}`" in listed
        assert read_worksheet(file).claims


@pytest.mark.parametrize("file", sorted(WORKSHEETS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_sheets_network_runs(file):
    worksheet = read_worksheet(file)
    net = cf.Network.from_architecture(worksheet.architecture)
    x = np.zeros((2, *worksheet.architecture.input_shape))
    assert net.forward(x).shape == (2, *worksheet.architecture.output_shape)


# ---- what it may not hold


def with_sheet(text):
    return f"[sheet]\n{text}\n{NETWORK}"


def with_claim(text):
    return NETWORK + INPUT + "[[claim]]\n" + text


def of_gradient(text):
    return with_claim(f'of = "dF"\n{text}')


KNOWN = "known are X, F, O, y, dy, dO, dF, dX, F_new"
AN_ENTRY = "claim 1 (dF): entry [1,2]: "
SLIPS = [
    ("table", NETWORK + "[inputs]\nX = 1\n", "unknown key 'inputs'; did you mean input?"),
    (
        "claim",
        NETWORK + '[claim]\nof = "O"\n',
        "[claim] must be written [[claim]], in double brackets: there may be several",
    ),
    ("key", with_sheet("firstindex = 1"), "[sheet]: unknown key 'firstindex'; did you mean first_index?"),
    ("first index", with_sheet("first_index = 2"), "[sheet]: first_index must be 0 or 1, got 2"),
    ("channels", with_sheet('channels = "x"'), "[sheet]: channels must be 'first' or 'last', got 'x'"),
    ("batch", with_sheet("batch = 0"), "[sheet]: batch must be a whole number from 1, got 0"),
    ("two batches", with_sheet("batch = 2") + INPUT, "[sheet]: batch is 2, but [input] holds 1"),
    ("wrt", with_sheet("wrt = 3"), '[sheet]: wrt must be names, as in wrt = ["W1", "b1"], got 3'),
    ("wrt name", with_sheet('wrt = ["Q"]'), "the network has no quantity 'Q'; known are X, F, O, y"),
    ("layer", with_sheet('layer = "5"'), "[sheet]: there is no layer '5'; known are 0, 1"),
    (
        "name",
        NETWORK.replace('"0" = "O"', '"7" = "O"'),
        "names: there is no '7' in the network; known are input, 0.weight, 0, 1",
    ),
    ("rows", NETWORK + "[input]\nX = [[1, 2], [3]]\n",
     "X: must be one array, but row 2 has 1 entry and row 1 has 2 entries: make them alike"),
    (
        "word",
        NETWORK + '[input]\nX = [[2, 3, 4], [3, "one", 5], [4, -1, -2]]\n',
        "X at [2, 2] must be a finite number, or a text such as '9/4', got 'one'",
    ),
    (
        "nan",
        NETWORK + "[input]\nX = [[2, 3, 4], [3, nan, 5], [4, -1, -2]]\n",
        "X at [2, 2] must be a finite number, or a text such as '9/4', got NaN",
    ),
    (
        "enormous",
        NETWORK + "[input]\nX = [[2, 3, 4], [3, 1e400, 5], [4, -1, -2]]\n",
        "X at [2, 2] must be a finite number, or a text such as '9/4', got 1E+400",
    ),
    (
        "true",
        NETWORK + "[input]\nX = [[2, 3, 4], [3, true, 5], [4, -1, -2]]\n",
        "X at [2, 2] must be a finite number, or a text such as '9/4', got True",
    ),
    ("input", NETWORK + "[input]\nQ = 3\n", "[input]: the network has no 'Q'; known are X, input, x"),
    ("two inputs", NETWORK + "[input]\nX = 3\ny = 4\n", "[input] holds one array, got X, y"),
    (
        "parameter",
        NETWORK + "[parameters]\nG = [[1]]\n",
        "[parameters]: the network has no 'G'; known are F, 0.weight",
    ),
    (
        "twice",
        NETWORK + '[parameters]\nF = [[1, 2], [3, 4]]\n"0.weight" = [[1, 2], [3, 4]]\n',
        "[parameters]: F is given twice",
    ),
    (
        "target",
        NETWORK + "[target]\ny = 3\n",
        "[target]: the network has no loss: give the gradient in its output, as in dy = 1, got 'y'",
    ),
    (
        "rate",
        NETWORK + "[training]\nlearning_rate = 0\n",
        "[training]: learning_rate must be a number above 0, got 0",
    ),
    (
        "part",
        NETWORK + '[parts]\nv = "F"\n',
        "[parts]: v must be a part of a quantity, as in v = \"W[1,1]\", got 'F'",
    ),
    (
        "no such part",
        NETWORK + '[parts]\nv = "F[3,1]"\n',
        "[parts]: v: F has no part [3,1]: its shape is (2, 2), counted from 1",
    ),
    ("no of", with_claim("values = 3"),
     'claim 1 needs of, the quantity that it is about, as in of = "dW"'),
    (
        "nothing claimed",
        with_claim('of = "dF"'),
        "claim 1 (dF) needs exactly one of values, entries, formula, size, count; got none",
    ),
    (
        "two claims",
        of_gradient("values = 1\ncount = 3"),
        "claim 1 (dF) needs exactly one of values, entries, formula, size, count; got values and count",
    ),
    ("claim's key", of_gradient("value = 1"), "claim 1: unknown key 'value'; did you mean values?"),
    (
        "unknown tensor",
        with_claim('of = "dG"\nvalues = 1'),
        "claim 1 (dG): the network has no quantity 'dG'; did you mean dy?",
    ),
    (
        "ragged",
        of_gradient("values = [[1, 2], [3]]"),
        "claim 1 (dF): must be one array, but row 2 has 1 entry and row 1 has 2 entries: make them alike",
    ),
    ("empty", of_gradient("values = [[], []]"), "claim 1 (dF): a row is empty"),
    (
        "open",
        of_gradient('values = [["?", ""], ["", ""]]'),
        "claim 1 (dF) states nothing: fill in at least one entry",
    ),
    (
        "text where numbers belong",
        of_gradient('values = [[1, "many"], [3, 4]]'),
        f"{AN_ENTRY}many in 'many' is no entry of the network's quantities; {KNOWN}",
    ),
    (
        "Python",
        of_gradient("values = [[1, \"__import__('os').system('ls')\"], [3, 4]]"),
        f"{AN_ENTRY}__import__ in \"__import__('os').system('ls')\" is no entry of the network's quantities; "
        f"{KNOWN}",
    ),
    (
        "Python too",
        of_gradient('values = [[1, "X11 if X12 else 3"], [3, 4]]'),
        f"{AN_ENTRY}if in 'X11 if X12 else 3' is no entry of the network's quantities; {KNOWN}",
    ),
    (
        "no such entry",
        of_gradient('values = [[1, "X44"], [3, 4]]'),
        f"{AN_ENTRY}there is no entry X44: it is 3 × 3, counted from 1",
    ),
    (
        "no star",
        of_gradient('values = [[1, "2X11"], [3, 4]]'),
        f"{AN_ENTRY}'2X11' is no sum of products of entries: missing * (or + or -) before 'X'",
    ),
    (
        "a date",
        of_gradient("values = [[1, 2026-01-01], [3, 4]]"),
        "claim 1 (dF): entry [1,2] must be a finite number, or a text such as '9/4' or 'x11 + x12', "
        "got 2026-01-01",
    ),
    (
        "entries",
        of_gradient('entries = { "a" = 2 }'),
        "claim 1 (dF): entries must be whole numbers with commas between them, as in '1,2', got 'a'",
    ),
    (
        "formula's tensor",
        of_gradient('formula = "dF[u,v] = sum[i,j] Q[i,j] * X[i+u,j+v]"'),
        f"claim 1 (dF): the network has no quantity 'Q'; {KNOWN}",
    ),
    (
        "formula's left",
        of_gradient('formula = "dX[u,v] = sum[i,j] dO[i,j] * X[i+u,j+v]"'),
        "claim 1 (dF): the formula defines dX, the claim is about dF",
    ),
    (
        "formula's brackets",
        of_gradient('formula = "dF[u,v] = sum[i,j dO[i,j]"'),
        "claim 1 (dF): missing , or ] before 'dO'\n"
        "  dF[u,v] = sum[i,j dO[i,j]\n"
        "                    ^",
    ),
    (
        "Python in a formula",
        of_gradient("formula = \"dF[u,v] = __import__('os')\""),
        "claim 1 (dF): a text in quotation marks is no part of a formula\n"
        "  dF[u,v] = __import__('os')\n"
        "                       ^",
    ),
    (
        "size",
        with_claim('of = "O"\nsize = "big"'),
        "claim 1 (O): size must be whole numbers from 1, as in size = [14, 14, 16], got 'big'",
    ),
    (
        "arithmetic",
        with_claim('of = "O"\nvalues = 1\narithmetic = "1 + 1"'),
        "claim 1 (O): arithmetic belongs to a size or a count",
    ),
    (
        "gradient of",
        of_gradient('gradient_of = "X11"\nvalues = [[1, 2], [3, 4]]'),
        "claim 1 (dF): gradient_of must be an entry of what a layer gives, got 'X11'",
    ),
    (
        "nesting",
        of_gradient(f"values = {'[' * 12}{']' * 12}"),
        "claim 1 (dF): is nested too deep for an array",
    ),
    (
        "itself",
        of_gradient('formula = "dF[u,v] = dF[u,v]"'),
        "claim 1 (dF): a claim on dF may read what comes before it: X, F, O, y, dy, dO, not dF itself",
    ),
    (
        "itself, claimed by its key",
        with_claim('of = "d0.weight"\nvalues = [["dF11", 1], [3, 4]]'),
        "claim 1 (d0.weight): entry [1,1]: a claim on dF may read what comes before it: X, F, O, y, dy, dO, "
        "not dF itself",
    ),
    (
        "itself as a part",
        NETWORK
        + '[parts]\nv = "F[1]"\n[[claim]]\nof = "dv"\nentries = { "2" = "dv2" }\n'
        + '[[claim]]\nof = "dF"\nvalues = [["dv1", "dv2"], ["?", "?"]]\n',
        "claim 1 (dv): entry [2]: a claim on dF may read what comes before it: X, F, O, y, dy, dO, "
        "not dF itself",
    ),
    (
        "itself after the update",
        of_gradient('entries = { "1,1" = "(F11 - F_new11) * 10" }'),
        "claim 1 (dF): entry [1,1]: a claim on dF may read what comes before it: X, F, O, y, dy, dO, "
        "not F_new",
    ),
    (
        "what comes later",
        with_claim('of = "X"\nentries = { "1,1" = "O11" }'),
        "claim 1 (X): entry [1,1]: a claim on X cannot read O",
    ),
    ("no network", "[sheet]\n", "[network] needs input_shape, as in input_shape = [1, 28, 28]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "message"), [bad(name, text, cf.FileError, said) for name, text, said in SLIPS]
)
def test_a_slip_gets_one_message(sheet, text, error, message):
    assert_message(lambda: sheet(text), error, f"s.toml: {message}")


MISFITS = [
    ("input", NETWORK + "[input]\nX = [[1, 2], [3, 4]]\n",
     "X (input): expects shape (1, 1, 3, 3), got (2, 2)"),
    ("parameter", NETWORK + "[parameters]\nF = [[1, 2]]\n",
     "F (0.weight): expects shape (1, 1, 2, 2), got (1, 2)"),
    ("claim", of_gradient("values = [1, 2]"), "claim 1 (dF): expects shape (2, 2), got (2,)"),
    ("entry", of_gradient('entries = { "1,3" = 2 }'),
     "claim 1 (dF): there is no entry '1,3': the shape is (2, 2), counted from 1"),
    ("subscripts", of_gradient('formula = "dF[u,v] = sum[i,j] dO[i] * X[i+u,j+v]"'),
     "claim 1 (dF): dO has the shape (2, 2) but for axes of one entry, here are 1 subscripts"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "message"), [bad(name, text, cf.ShapeError, said) for name, text, said in MISFITS]
)
def test_what_does_not_fit_gets_one_message(sheet, text, error, message):
    assert_message(lambda: sheet(text), error, f"s.toml: {message}")


# ---- the page that describes it

PAGE = Path(__file__).parents[1] / "docs" / "worksheets.md"


def test_the_pages_worksheet_is_right(sheet):
    text = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    assert check_sheet(sheet(text)).right


def test_the_pages_program_runs():
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, str(PAGE), "exec"), {})
