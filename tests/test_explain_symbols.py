"""Explanations without numbers: the sheets' expansions, and entries counted from 1 or from 0 throughout."""

import re

import pytest
from explanations import (
    WORKSHEETS,
    displayed,
    expansions,
    grid_headers,
    keys,
    of_kind,
    paragraphs,
    reasons,
    section,
    shown,
    signs,
    symbols,
    taught,
)

import closedform as cf
from closedform.explanation.document import Code, Expansion, Expansions, Paragraph, Picture, blocks_of
from closedform.explanation.explain import explain_worksheet
from closedform.worksheet import read_worksheet


def sheet(name, **options):
    return explain_worksheet(read_worksheet(WORKSHEETS / f"{name}.toml"), **options)


# ---- the sheets


def test_a1_outputs_and_gradients():
    page = sheet("a1")
    assert expansions(page, "forward-h") == {
        "h11": "b + w11·x11 + w12·x12 + w21·x21 + w22·x22",
        "h12": "b + w11·x12 + w12·x13 + w21·x22 + w22·x23",
        "h21": "b + w11·x21 + w12·x22 + w21·x31 + w22·x32",
        "h22": "b + w11·x22 + w12·x23 + w21·x32 + w22·x33",
    }
    assert expansions(page, "forward-p") == {"p": "1/4·(h11 + h12 + h21 + h22)"}
    assert shown(page, "gradient-h") == [[["1/4", "1/4"], ["1/4", "1/4"]]]
    assert expansions(page, "gradient-w") == {
        "dw11": "∂p/∂h11·x11 + ∂p/∂h12·x12 + ∂p/∂h21·x21 + ∂p/∂h22·x22",
        "dw12": "∂p/∂h11·x12 + ∂p/∂h12·x13 + ∂p/∂h21·x22 + ∂p/∂h22·x23",
        "dw21": "∂p/∂h11·x21 + ∂p/∂h12·x22 + ∂p/∂h21·x31 + ∂p/∂h22·x32",
        "dw22": "∂p/∂h11·x22 + ∂p/∂h12·x23 + ∂p/∂h21·x32 + ∂p/∂h22·x33",
    }
    assert expansions(page, "gradient-b") == {"db": "∂p/∂h11 + ∂p/∂h12 + ∂p/∂h21 + ∂p/∂h22"}


def test_a2_each_position_has_its_kernel():
    page = sheet("a2")
    assert expansions(page, "forward-h")["h12"] == (
        "biases[1,2] + kernels[1,2,1,1]·x12 + kernels[1,2,1,2]·x13 + "
        "kernels[1,2,2,1]·x22 + kernels[1,2,2,2]·x23"
    )
    assert taught(page, "gradient-x") == (
        "This is each position's own kernels spread back by ∂p/∂h: 1 zero on every side."
    )
    # a picture of every position's kernel, none of zeros only
    (picture,) = of_kind(section(page, "gradient-x"), Picture)
    kernels = picture.items[2]
    assert [grid.note for grid in kernels] == [
        "i = 1, j = 1, 2 × 2", "i = 1, j = 2, 2 × 2", "i = 2, j = 1, 2 × 2", "i = 2, j = 2, 2 × 2",
    ]  # fmt: skip
    assert shown(page, "gradient-x", 1)[1] == [
        ["kernels[1,2,2,2]", "kernels[1,2,2,1]"],
        ["kernels[1,2,1,2]", "kernels[1,2,1,1]"],
    ]


def test_b3_an_average_pool_counted_from_0():
    page = sheet("b3")
    assert displayed(section(page, "forward-Y"))[1] == "y[c,i,j] = 1/4·Σ[u=0..1, v=0..1] x[c,2i + u,2j + v]"
    assert expansions(page, "forward-Y")["y001"] == "1/4·(x002 + x003 + x012 + x013)"
    assert taught(page, "gradient-X") == "This is 1/4 times each entry of ∂L/∂Y copied to its window."
    assert expansions(page, "gradient-X")["dx003"] == "1/4·∂L/∂y001"
    steps = page.text().split("With the sizes here:")[-1]
    assert "= 1/4·∂L/∂y[c,⌊a/2⌋,⌊b/2⌋]" in steps


def test_b4_a_stride_inserts_zeros_in_both_gradients():
    page = sheet("b4")
    line = "y[i,j] = b + Σ[u=0..2, v=0..2] w[u,v]·x[2i + u,2j + v]"
    assert displayed(section(page, "forward-Y"))[1] == line
    assert taught(page, "gradient-W") == (
        "This is the convolution of X with the zero-inserted ∂L/∂Y: 1 zero between neighbours."
    )
    d = [[f"∂L/∂y{i}{j}" for j in range(4)] for i in range(3)]
    inserted = [[d[i // 2][j // 2] if i % 2 == j % 2 == 0 else "·" for j in range(7)] for i in range(5)]
    assert shown(page, "gradient-W", 1) == [inserted]
    assert taught(page, "gradient-X") == (
        "This is the full convolution of the zero-inserted ∂L/∂Y with W rotated by 180°: "
        "1 zero between neighbours, 2 zeros on every side."
    )
    # h + k - 1 rows: 2 zeros, 3 rows with one zero between neighbours, 2 zeros; of 11 columns 7 and the last
    (rows,) = shown(page, "gradient-X", 0)
    assert len(rows) == 7 + 3 - 1
    assert rows[4] == ["·", "·", "∂L/∂y10", "·", "∂L/∂y11", "·", "∂L/∂y12", "…", "·"]
    assert shown(page, "gradient-X", 1) == [
        [["w22", "w21", "w20"], ["w12", "w11", "w10"], ["w02", "w01", "w00"]]
    ]
    assert taught(page, "gradient-b") == "This is the sum of ∂L/∂Y over i, j."
    assert signs(section(page, "gradient-X")) == ["∗", "="]


def test_b4_rows_that_the_stride_leaves_over():
    page = cf.explain(cf.Conv2d(1, 2, stride=2, bias=False), input_shape=(1, 4, 5))
    assert taught(page, "gradient-X") == (
        "This is the full convolution of the zero-inserted ∂L/∂Y with W rotated by 180°, with zeros where "
        "no window reaches: 1 zero between neighbours, 1 row of zeros above and 1 "
        "below, 1 column of zeros left and 2 right."
    )
    assert (
        expansions(cf.explain(cf.Conv2d(1, 2, stride=2, bias=False), input_shape=(1, 2, 3)), "gradient-X")[
            "dx13"
        ]
        == "0"
    )


def test_b5_channels():
    page = sheet("b5")
    assert displayed(section(page, "forward-Y"))[1].startswith("y[q,i,j] = b[q] + Σ[p=0..")
    assert "W rotated by 180°" in taught(page, "gradient-X").replace("∂L/∂", "")


def test_b6_a_batch_is_summed_in_the_weights():
    page = sheet("b6")
    first = expansions(page, "gradient-W")["dw000"].split(" + ")
    assert len(first) == 4 * 4  # four images, four positions
    assert first[:2] == ["∂L/∂y0000·x000", "∂L/∂y0001·x001"]
    assert first[-1] == "∂L/∂y3011·x311"


def test_d1_the_channel_summed_convolution():
    page = sheet("d1")
    assert expansions(page, "forward-R")["r11"] == (
        "f11·p111 + f12·p112 + f21·p121 + f22·p122 + f11·p211 + f12·p212 + f21·p221 + f22·p222"
        " + f11·p311 + f12·p312 + f21·p321 + f22·p322"
    )
    assert taught(page, "gradient-F") == "This is the convolution of P, summed over p, with ∂L/∂R."
    assert taught(page, "gradient-P") == (
        "This is the full convolution of ∂L/∂R with F rotated by 180°, the same for every p: "
        "1 zero on every side."
    )


def test_e3_all_four_entries_of_the_kernel():
    page = sheet("e3")
    assert expansions(page, "gradient-W") == {
        "dw11": "∂L/∂z11·x11 + ∂L/∂z12·x12 + ∂L/∂z21·x21 + ∂L/∂z22·x22",
        "dw12": "∂L/∂z11·x12 + ∂L/∂z12·x13 + ∂L/∂z21·x22 + ∂L/∂z22·x23",
        "dw21": "∂L/∂z11·x21 + ∂L/∂z12·x22 + ∂L/∂z21·x31 + ∂L/∂z22·x32",
        "dw22": "∂L/∂z11·x22 + ∂L/∂z12·x23 + ∂L/∂z21·x32 + ∂L/∂z22·x33",
    }
    assert expansions(page, "gradient-b") == {"db": "∂L/∂z11 + ∂L/∂z12 + ∂L/∂z21 + ∂L/∂z22"}
    assert "The gradient of the loss in Z comes from what follows; it is given as ∂L/∂Z." in paragraphs(
        section(page, "backward")
    )


# ---- from 1 and from 0


CONV = cf.Conv2d(2, 2, stride=2, padding=1)
NETS = {
    "convolution": (CONV, (2, 4, 4)),
    "classifier": (
        cf.Architecture(
            [cf.Conv2d(2, 2), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(2)],
            (1, 5, 5),
            loss=cf.SoftmaxCrossEntropy(),
        ),
        None,
    ),
    "locally connected": (cf.LocallyConnected2d(1, 2), (1, 3, 3)),
    "windows that overlap": (cf.MaxPool2d(2, stride=1), (1, 3, 3)),
}


@pytest.mark.parametrize("name", NETS)
def test_every_entry_moves_by_one_when_counting_begins_at_1(name):
    of, shape = NETS[name]
    from_0, from_1 = (cf.explain(of, input_shape=shape, first_index=first) for first in (0, 1))
    for key in keys(from_0):
        pairs = list(zip(symbols(section(from_0, key)), symbols(section(from_1, key)), strict=True))
        for (letter, above, below), moved in pairs:
            assert moved == (letter, above, tuple(k + 1 for k in below)), key


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", NETS)
def test_no_entry_is_counted_from_elsewhere(name, first):
    of, shape = NETS[name]
    page = cf.explain(of, input_shape=shape, first_index=first)
    found = [k for _, _, below in symbols(page) for k in below]
    assert min(found) == first


@pytest.mark.parametrize("first", [0, 1])
def test_headers_of_grids_and_places_of_entries(first):
    page = cf.explain(CONV, input_shape=(2, 4, 4), first_index=first)
    *_, result = grid_headers(section(page, "forward-Y"))
    assert (result.rows, result.columns) == (tuple(str(first + k) for k in range(3)),) * 2
    assert result.note.startswith(f"channel {first + 1}, ")
    padded = next(iter(grid_headers(section(page, "forward-Y"))))
    border = str(first - 1).replace("-", "−")
    assert padded.rows[:2] == (border, str(first))
    (found,) = of_kind(section(page, "forward-Y"), Expansions)
    assert found.expansions[0].at == f"q = {first}, i = {first}, j = {first}"


@pytest.mark.parametrize(("first", "solved", "turned"), [
    (1, "i = a − u + 1, j = b − v + 1", "u = 3 − u′, v = 3 − v′"),
    (0, "i = a − u, j = b − v", "u = 1 − u′, v = 1 − v′"),
])  # fmt: skip
def test_reasons_count_as_formulas_do(first, solved, turned):
    page = cf.explain(cf.Conv2d(1, 2), input_shape=(1, 3, 3), first_index=first)
    said = dict(reasons(page, "gradient-X"))
    assert f"Of each sum only the term with {solved} is left" in said["solve"]
    assert f"Count the window from its other end: {turned}." in said["rename"]


def test_only_the_librarys_own_line_is_counted_from_0():
    text = cf.explain(cf.Conv2d(1, 2), input_shape=(1, 3, 3)).text()
    assert "To the library this layer is one line, counted from 0: `Y[n,q,i,j]" in text
    assert re.search(r"[a-z]0\d?\b", text.replace("counted from 0", "")) is None
    page = cf.explain(cf.Conv2d(1, 2), input_shape=(1, 3, 3))
    code = [c for p in _prose(page) for c in p if isinstance(c, Code)]
    assert [c.text for c in code] == [
        "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+d*u-t,s*j+d*v-t]"
    ]


def _prose(page):
    return [b.prose for b in blocks_of(page.blocks) if isinstance(b, Paragraph)]


# ---- without numbers


def test_symbols_only_have_no_numbers_below_them():
    page = cf.explain(cf.Dense(2), input_shape=(2,))
    for key in ("forward-Y", "gradient-W", "gradient-b", "gradient-X"):
        for one in of_kind(section(page, key), Expansions)[0].expansions:
            assert isinstance(one, Expansion)
            assert all(term.numbers is None for term in one.terms)
            assert one.value is None
    assert shown(page, "gradient-X") == [[["∂L/∂x1", "∂L/∂x2"]]]


def test_a_layer_alone_without_a_shape_takes_a_small_sample():
    assert "X (" in cf.explain(cf.MaxPool2d(2)).text()
