"""Wrong network files, and places that cannot be read or written: each gets one message that says where."""

import pytest
from bad import bad
from processes import ordinary_user

import closedform as cf
from closedform.files import read_toml

NET = "[network]\ninput_shape = [1, 8, 8]\n"
CONV = '[[layer]]\ntype = "Conv2d"\nout_channels = 2\nkernel_size = 3\n'
FORMULA = '[[layer]]\ntype = "Formula"\n'

TOML = [
    bad("empty", "", cf.FileError, "[network] needs input_shape, as in input_shape = [1, 28, 28]"),
    bad(
        "no-layers", NET, cf.FileError, 'there are no layers: each begins with [[layer]] and type = "Conv2d"'
    ),
    bad("no-input-shape", CONV, cf.FileError, "[network] needs input_shape, as in input_shape = [1, 28, 28]"),
    bad(
        "network-number", "network = 3\n", cf.FileError, "[network] must be a table of keys and values, got 3"
    ),
    bad(
        "outside-network",
        "input_shape = [1, 8, 8]\n" + CONV,
        cf.FileError,
        "input_shape belongs below [network]",
    ),
    bad("layers", NET + "[[layers]]\n", cf.FileError, "unknown key 'layers'; did you mean layer?"),
    bad(
        "one-bracket",
        NET + '[layer]\ntype = "ReLU"\n',
        cf.FileError,
        "[layer] must be written [[layer]], in double brackets: there may be several",
    ),
    bad(
        "layer-number",
        "layer = [3]\n" + NET,
        cf.FileError,
        "layer 0 must be a table of keys and values, got 3",
    ),
    bad(
        "unknown-key",
        NET + CONV + "strid = 2\n",
        cf.FileError,
        "layer 0 (Conv2d): unknown key 'strid'; did you mean stride?",
    ),
    bad(
        "unknown-key-short",
        NET + CONV + "kernel = 2\n",
        cf.FileError,
        "layer 0 (Conv2d): unknown key 'kernel'; did you mean kernel_size?",
    ),
    bad(
        "unknown-key-far",
        NET + CONV + "init = 2\n",
        cf.FileError,
        "layer 0 (Conv2d): unknown key 'init'; known are out_channels, kernel_size, stride, padding, "
        "dilation, groups, bias, name",
    ),
    bad(
        "unknown-network-key",
        '[network]\nlos = "MeanSquaredError"\n',
        cf.FileError,
        "[network]: unknown key 'los'; did you mean loss?",
    ),
    bad(
        "unknown-type",
        NET + '[[layer]]\ntype = "Conv2D"\n',
        cf.FileError,
        "layer 0: type 'Conv2D' is unknown; did you mean Conv2d?",
    ),
    bad(
        "no-type",
        NET + "[[layer]]\nout_channels = 3\n",
        cf.FileError,
        'layer 0 has no type, as in type = "Conv2d"',
    ),
    bad(
        "no-word",
        NET + '[[layer]]\ntype = "Conv2d"\nout_channels = 3\n',
        cf.FileError,
        "layer 0 (Conv2d) needs kernel_size",
    ),
    bad(
        "no-words",
        NET + '[[layer]]\ntype = "Conv2d"\n',
        cf.FileError,
        "layer 0 (Conv2d) needs out_channels, kernel_size",
    ),
    bad(
        "unknown-loss",
        NET + 'loss = "CrossEntropy"\n',
        cf.FileError,
        "[network]: loss 'CrossEntropy' is unknown; did you mean SoftmaxCrossEntropy?",
    ),
    bad(
        "loss-number",
        NET + "loss = 1\n",
        cf.FileError,
        "[network]: loss 1 is unknown; known are SoftmaxCrossEntropy, SigmoidBinaryCrossEntropy, "
        "MeanSquaredError",
    ),
    bad(
        "kernel-text",
        NET + '[[layer]]\ntype = "Conv2d"\nout_channels = 2\nkernel_size = "3"\n',
        cf.FileError,
        "layer 0 (Conv2d): kernel_size must be a whole number from 1, got '3'",
    ),
    bad(
        "channels-fraction",
        NET + '[[layer]]\ntype = "Conv2d"\nout_channels = 3.5\nkernel_size = 3\n',
        cf.FileError,
        "layer 0 (Conv2d): out_channels must be a whole number from 1, got 3.5",
    ),
    bad(
        "channels-nan",
        NET + '[[layer]]\ntype = "Conv2d"\nout_channels = nan\nkernel_size = 3\n',
        cf.FileError,
        "layer 0 (Conv2d): out_channels must be a whole number from 1, got nan",
    ),
    bad(
        "bias-text",
        NET + CONV + 'bias = "yes"\n',
        cf.FileError,
        "layer 0 (Conv2d): bias must be True or False, got 'yes'",
    ),
    bad(
        "padding-negative",
        NET + CONV + "padding = -1\n",
        cf.FileError,
        "layer 0 (Conv2d): padding must be a whole number from 0, got -1",
    ),
    bad(
        "padding-word",
        NET + CONV + 'padding = "sam"\n',
        cf.FileError,
        'layer 0 (Conv2d): padding must be a whole number, a pair, "valid" or "same", got \'sam\'',
    ),
    bad(
        "stride-triple",
        NET + CONV + "stride = [1, 2, 3]\n",
        cf.FileError,
        "layer 0 (Conv2d): stride must be a whole number or a pair (height, width), got (1, 2, 3)",
    ),
    bad(
        "stride-nested",
        NET + CONV + "stride = [[1], 2]\n",
        cf.FileError,
        "layer 0 (Conv2d): stride must be a whole number from 1, got [1]",
    ),
    bad(
        "stride-date",
        NET + CONV + "stride = 1979-05-27\n",
        cf.FileError,
        "layer 0 (Conv2d): stride must be a whole number from 1, got datetime.date(1979, 5, 27)",
    ),
    bad(
        "name-number",
        NET + CONV + "name = 3\n",
        cf.FileError,
        'layer 0 (Conv2d): name must be a text, as in name = "conv1", got 3',
    ),
    bad(
        "name-bool",
        NET + CONV + "name = true\n",
        cf.FileError,
        'layer 0 (Conv2d): name must be a text, as in name = "conv1", got True',
    ),
    bad(
        "name-digit",
        NET + CONV + 'name = "1a"\n',
        cf.FileError,
        "layer 0 (Conv2d): a name begins with a letter, then letters, digits, - and _; got '1a'",
    ),
    bad(
        "same-name",
        NET + CONV + 'name = "a"\n' + CONV + 'name = "a"\n',
        cf.FileError,
        "layers 0 and 1 are both named 'a': give each its own name",
    ),
    bad(
        "number-too-large",
        NET + CONV + "stride = 9223372036854775808\n",
        cf.FileError,
        "numbers must be between -2**63 and 2**63, got one of 64 bits",
    ),
    bad(
        "number-of-many-digits",
        NET + CONV + "stride = " + "9" * 5000 + "\n",
        cf.FileError,
        "holds a number of too many digits",
    ),
    bad(
        "hexadecimal",
        NET + CONV + "stride = 0x" + "9" * 5000 + "\n",
        cf.FileError,
        "numbers must be between -2**63 and 2**63, got one of 20000 bits",
    ),
    bad(
        "shape-zero",
        "[network]\ninput_shape = [1, 8, 0]\n" + CONV,
        cf.ShapeError,
        "input_shape must be the shape of one input, without the batch axis, in whole numbers from "
        "1, as in (1, 28, 28), got [1, 8, 0]",
    ),
    bad(
        "shape-text",
        '[network]\ninput_shape = "1, 8, 8"\n' + CONV,
        cf.ShapeError,
        "input_shape must be the shape of one input, without the batch axis, in whole numbers from "
        "1, as in (1, 28, 28), got '1, 8, 8'",
    ),
    bad(
        "dense-on-image",
        NET + CONV + '[[layer]]\ntype = "Dense"\nout_features = 2\n',
        cf.ShapeError,
        "layer 1 (Dense): expects rows of features, got (2, 6, 6) for each example: put Flatten() "
        "before it (x is (2, 6, 6), from layer 0 (Conv2d))",
    ),
    bad(
        "window",
        NET + '[[layer]]\ntype = "MaxPool2d"\nkernel_size = 11\n',
        cf.ShapeError,
        "layer 0 (MaxPool2d): the window's height (11) is larger than the padded image's (8 + 2*0): "
        "(8 - 11 + 2*0)//11 + 1 = 0 (x is (1, 8, 8), from the input)",
    ),
    bad(
        "loss-misfit",
        NET + 'loss = "SoftmaxCrossEntropy"\n' + CONV,
        cf.ShapeError,
        "SoftmaxCrossEntropy: expects rows of logits, got (2, 6, 6) for each example: end the "
        "network in Flatten() and Dense(K) (x is (2, 6, 6), from layer 0 (Conv2d))",
    ),
    bad(
        "formula",
        NET + FORMULA + 'formula = "Y[n,c,i,j] = X[n,c,i,k]"\n',
        cf.FileError,
        "layer 0 (Formula): k is neither an index on the left, nor summed, nor a setting: sum over "
        "it (sum[k]) or give its value (k=...)\n"
        "  Y[n,c,i,j] = X[n,c,i,k]\n"
        "                       ^",
    ),
    bad(
        "no-formula",
        NET + FORMULA,
        cf.FileError,
        'layer 0 (Formula) needs formula, as in formula = "Y[n,f] = X[n,f]^2"',
    ),
    bad(
        "formula-key",
        NET + FORMULA + 'formula = "Y[n,c] = X[n,c]"\nq = 3\n',
        cf.FileError,
        "layer 0 (Formula): unknown key 'q'; a setting of the formula is written settings = { q = ... }",
    ),
    bad(
        "formula-setting",
        NET + FORMULA + 'formula = "Y[n,c] = X[n,c]"\nsettings = { q = 3 }\n',
        cf.FileError,
        "layer 0 (Formula): q is neither an index nor a setting of Y[n,c] = X[n,c]",
    ),
    bad(
        "formula-settings-list",
        NET + FORMULA + 'formula = "Y[n,c] = X[n,c]"\nsettings = [3]\n',
        cf.FileError,
        "layer 0 (Formula): settings must be a table of keys and values, got [3]",
    ),
    bad(
        "formula-initial",
        NET + FORMULA + 'formula = "Y[n,c] = A[c] * X[n,c]"\ninitial = { A = "normal" }\n',
        cf.FileError,
        'layer 0 (Formula): initial of A must be "zeros", "ones" or "scaled", got \'normal\'',
    ),
    bad("nested", "a = " + "[" * 100_000, cf.FileError, "is nested too deep for a network"),
]


@pytest.mark.parametrize(("text", "error", "message"), TOML)
def test_a_network_file_that_makes_no_sense(tmp_path, text, error, message):
    path = tmp_path / "net.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error) as caught:
        read_toml(path)
    assert str(caught.value) == f"{path}: {message}"
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("text", "line"), [("[network\n", 1), (NET + "[[layer]]\ntype = Conv2d\n", 4), (NET + CONV * 2 + "a", 11)]
)
def test_broken_toml_is_told_with_its_line(tmp_path, text, line):
    path = tmp_path / "net.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(cf.FileError) as caught:
        read_toml(path)
    assert str(caught.value).startswith(f"{path}: is not TOML: ")
    assert f"(at line {line}, column " in str(caught.value) or "(at end of document)" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe[\0n\0", "must be text in UTF-8, byte 0 is not: save it as UTF-8"),
        (b"# caf\xe9\n", "must be text in UTF-8, byte 5 is not: save it as UTF-8"),
        (b"#" * (1 << 20) + b"\n", "is larger than 1,048,576 bytes, which no network file is"),
    ],
)
def test_a_file_that_is_no_network_at_all(tmp_path, data, message):
    path = tmp_path / "net.toml"
    path.write_bytes(data)
    with pytest.raises(cf.FileError) as caught:
        read_toml(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_message_stays_short_whatever_the_file_holds(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(f"{NET}{CONV}stride = {list(range(3000))}\n")
    with pytest.raises(cf.FileError) as caught:
        read_toml(path)
    assert "stride must be a whole number or a pair (height, width), got (0, 1, 2" in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_a_mark_at_the_beginning_of_a_file_does_no_harm(tmp_path):
    path = tmp_path / "net.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (NET + CONV).encode())
    assert read_toml(path).output_shape == (2, 6, 6)


@pytest.fixture
def net():
    return cf.Network([cf.Dense(3)], input_shape=(2,))


@pytest.mark.parametrize("read", [read_toml, cf.load])
def test_places_that_cannot_be_read(tmp_path, read):
    for place, reason in [
        (tmp_path, "Is a directory"),
        (tmp_path / "nothing", "No such file or directory"),
        ("a\0b", "no file has such a name"),
    ]:
        with pytest.raises(cf.FileError) as caught:
            read(place)
        assert str(caught.value) == f"{place}: cannot be read: {reason}"


@pytest.mark.parametrize("read", [read_toml, cf.load])
def test_a_file_without_permission(tmp_path, read):
    place = tmp_path / "file"
    place.write_text("")
    place.chmod(0)
    with ordinary_user(), pytest.raises(cf.FileError) as caught:
        read(place)
    assert str(caught.value) == f"{place}: cannot be read: Permission denied"


def test_places_that_cannot_be_written(tmp_path, net):
    file = tmp_path / "file"
    file.write_text("mine")
    for place, message in [
        (tmp_path, f"is a folder: name a file, as in {tmp_path / 'model.safetensors'}"),
        (file / "m.safetensors", f"cannot be written: {file} is no folder"),
        ("a\0b", "cannot be written: no file has such a name"),
    ]:
        with pytest.raises(cf.FileError) as caught:
            net.save(place)
        assert str(caught.value) == f"{place}: {message}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert file.read_text() == "mine"


def test_a_folder_without_permission(tmp_path, net):
    path = tmp_path / "m.safetensors"
    net.save(path)
    tmp_path.chmod(0o500)
    with ordinary_user(), pytest.raises(cf.FileError) as caught:
        net.save(path)
    assert str(caught.value) == f"{path}: cannot be written: Permission denied"
