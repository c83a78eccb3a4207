"""Every architecture is written as TOML and comes back the same."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import closedform as cf
from closedform.files import read_toml, to_toml
from closedform.layers import LAYERS, LOSSES

names = st.none() | st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
size = st.integers(1, 4)
sizes = size | st.tuples(size, size)
paddings = (
    st.integers(0, 3) | st.tuples(st.integers(0, 3), st.integers(0, 3)) | st.sampled_from(["valid", "same"])
)
slopes = st.floats(0, 10, allow_nan=False)
IMAGE = (4, 16, 17)


def some(kind, *required, **optional):
    """Layers of a kind, each optional word given or left out."""
    return st.builds(
        lambda values, chosen, name: kind(*values, name=name, **chosen),
        st.tuples(*required),
        st.fixed_dictionaries({}, optional=optional),
        names,
    )


def pools(**more):
    """The padding of a pool is smaller than its kernel."""
    return {"stride": sizes, "padding": st.just(0) | st.just("same"), **more}


def formula(q, u, a, beginning, name):
    line = "Y[n,q,i,j] = b[q] + a * sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u,j+v]^2"
    return cf.Formula(line, q=q, u=u, v=2, s=2, a=a, name=name, initial=beginning)


factors = st.integers(-9, 9) | st.floats(-9, 9, allow_nan=False)
beginnings = st.none() | st.sampled_from([{"W": "ones"}, {"W": "zeros", "b": "scaled"}])
windows = {"stride": sizes, "padding": paddings}
on_images = {
    "Conv2d": some(
        cf.Conv2d,
        st.sampled_from([4, 8]),
        sizes,
        **windows,
        dilation=sizes,
        groups=st.sampled_from([1, 2, 4]),
        bias=st.booleans(),
    ),
    "LocallyConnected2d": some(
        cf.LocallyConnected2d, size, sizes, **windows, bias=st.booleans() | st.just("shared")
    ),
    "ChannelSummedConv2d": some(cf.ChannelSummedConv2d, size, sizes, **windows, bias=st.booleans()),
    "DepthwiseConv2d": some(cf.DepthwiseConv2d, sizes, **windows, dilation=sizes, bias=st.booleans()),
    "AvgPool2d": some(cf.AvgPool2d, sizes, **pools(count_include_pad=st.booleans())),
    "MaxPool2d": some(cf.MaxPool2d, sizes, **pools()),
    "GlobalAvgPool2d": some(cf.GlobalAvgPool2d),
    "GlobalMaxPool2d": some(cf.GlobalMaxPool2d),
    "Flatten": some(cf.Flatten),
    "ReLU": some(cf.ReLU),
    "LeakyReLU": some(cf.LeakyReLU, negative_slope=slopes),
    "Sigmoid": some(cf.Sigmoid),
    "Tanh": some(cf.Tanh),
    "Softmax": some(cf.Softmax),
    "Dropout": some(cf.Dropout, p=st.floats(0, 1, exclude_max=True)),
    "Formula": st.builds(formula, size, size, factors, beginnings, names),
}


def written(tmp_path_factory, architecture):
    path = tmp_path_factory.mktemp("toml") / "net.toml"
    path.write_text(to_toml(architecture), encoding="utf-8")
    return path


def test_every_layer_has_a_strategy():
    assert {*on_images, "Dense"} == set(LAYERS)


@pytest.mark.parametrize("kind", list(on_images))
def test_a_layer_comes_back(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp("toml") / "net.toml"

    @given(on_images[kind])
    def comes_back(layer):
        architecture = cf.Architecture((layer,), IMAGE)
        text = to_toml(architecture)
        path.write_text(text, encoding="utf-8")
        again = read_toml(path)
        assert again == architecture
        assert again.layers[0] == layer
        assert to_toml(again) == text
        assert tomllib.loads(text)["layer"][0]["type"] == kind

    comes_back()


@given(st.integers(1, 99), st.booleans(), names, st.integers(1, 99))
def test_dense_comes_back(tmp_path_factory, features, bias, name, inputs):
    architecture = cf.Architecture((cf.Dense(features, bias=bias, name=name),), (inputs,))
    assert read_toml(written(tmp_path_factory, architecture)) == architecture


@pytest.mark.parametrize("loss", list(LOSSES))
def test_a_loss_comes_back(tmp_path_factory, loss):
    architecture = cf.Architecture((cf.Flatten(), cf.Dense(1)), IMAGE, LOSSES[loss]())
    again = read_toml(written(tmp_path_factory, architecture))
    assert again == architecture
    assert type(again.loss).__name__ == loss


def test_a_formula_may_have_several_lines(tmp_path_factory):
    layer = cf.Formula("Y[n,c] =\n\t2 * X[n,c]  + X[n,c]^2\n")
    architecture = cf.Architecture((layer,), (3,))
    again = read_toml(written(tmp_path_factory, architecture))
    assert again.layers[0].text == layer.text


def test_what_is_written_is_what_a_person_would_write():
    architecture = cf.Architecture(
        (
            cf.Conv2d(16, 3, padding=1, bias=False, name="conv1"),
            cf.ReLU(),
            cf.MaxPool2d((2, 3)),
            cf.Formula("Y[n,c] = g[c] * sum[i,j] p * X[n,c,i,j]^2", p=0.5, initial={"g": "ones"}),
            cf.Dropout(0.25),
            cf.Dense(10),
        ),
        (1, 28, 28),
        cf.SoftmaxCrossEntropy(),
    )
    assert (
        to_toml(architecture)
        == """\
[network]
input_shape = [1, 28, 28]
loss = "SoftmaxCrossEntropy"

[[layer]]
type = "Conv2d"
name = "conv1"
out_channels = 16
kernel_size = 3
padding = 1
bias = false

[[layer]]
type = "ReLU"

[[layer]]
type = "MaxPool2d"
kernel_size = [2, 3]

[[layer]]
type = "Formula"
formula = "Y[n,c] = g[c] * sum[i,j] p * X[n,c,i,j]^2"
settings = { p = 0.5 }
initial = { g = "ones" }

[[layer]]
type = "Dropout"
p = 0.25

[[layer]]
type = "Dense"
out_features = 10
"""
    )


def test_the_caller_may_give_what_the_file_leaves_out(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text('[[layer]]\ntype = "Flatten"\n', encoding="utf-8")
    architecture = read_toml(path, input_shape=(1, 2, 2), loss=cf.MeanSquaredError())
    assert architecture == cf.Architecture((cf.Flatten(),), (1, 2, 2), cf.MeanSquaredError())
    assert cf.Network.from_toml(_complete(path)).output_shape == (4,)


def _complete(path):
    path.write_text(
        "[network]\ninput_shape = [1, 2, 2]\n" + path.read_text(encoding="utf-8"), encoding="utf-8"
    )
    return path


def test_the_file_has_precedence_over_the_caller(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text('[network]\ninput_shape = [2]\nloss = "MeanSquaredError"\n[[layer]]\ntype = "ReLU"\n')
    architecture = read_toml(path, input_shape=(3,), loss=cf.SoftmaxCrossEntropy())
    assert (architecture.input_shape, type(architecture.loss)) == ((2,), cf.MeanSquaredError)


def test_the_line_of_a_formula_is_called_formula():
    values = {"network": {"input_shape": [3]}, "layer": [{"type": "Formula", "text": "Y[n,f] = X[n,f]^2"}]}
    with pytest.raises(cf.FileError) as caught:
        cf.Architecture.from_dict(values)
    assert str(caught.value) == "layer 0 (Formula): unknown key 'text'; did you mean formula?"
