"""The public face: every call does what is promised, and agrees with PyTorch."""

import copy

import numpy as np
import pytest
from networks import EPSILON, digits_like, small, twin

import closedform as cf
from closedform.random import uniform


def test_the_public_face_word_for_word(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.random((70, 1, 28, 28), np.float32), rng.integers(0, 10, 70)
    xv, yv = x[:20], y[:20]

    net = cf.Network([cf.Conv2d(16, 3, padding=1), cf.ReLU(), cf.MaxPool2d(2), cf.Flatten(), cf.Dense(10)],
                     input_shape=(1, 28, 28), loss=cf.SoftmaxCrossEntropy(), seed=0)  # fmt: skip
    shapes = {key: array.shape for key, array in net.parameters.items()}
    assert shapes == {
        "0.weight": (16, 1, 3, 3),
        "0.bias": (16,),
        "4.weight": (10, 3136),
        "4.bias": (10,),
    }
    assert net.forward(x).shape == (70, 10)
    assert net.forward(x).dtype == np.float32
    loss, grads = net.gradients(x, y)
    assert isinstance(loss, float)
    assert {key: array.shape for key, array in grads.items()} == shapes
    assert list(net.gradients(x, y, wrt_input=True)[1]) == [*shapes, "input"]
    assert net.gradients(x, y, wrt_input=True)[1]["input"].shape == x.shape
    dy = np.ones((70, 10), np.float32)
    out, pullback = net.apply(x); dx, grads = pullback(dy)  # noqa: E702  # fmt: skip
    assert out.shape == (70, 10)
    assert dx.shape == x.shape
    assert {key: array.shape for key, array in grads.items()} == shapes
    history = net.fit(x, y, epochs=5, batch_size=64, optimizer=cf.SGD(0.1, momentum=0.9), validation_data=(xv, yv), verbose=1)  # noqa: E501  # fmt: skip
    assert isinstance(history, cf.History)
    assert list(net.evaluate(x, y)) == ["loss", "accuracy"]
    assert net.predict(x).shape == (70, 10)
    capsys.readouterr()
    assert net.summary() is None
    assert capsys.readouterr().out.startswith("layer")
    net.save("m.safetensors")
    assert isinstance(cf.load("m.safetensors"), cf.Network)
    assert net.engine == "compiled"

    layer, parameters = cf.Conv2d(2, 3), {"weight": rng.random((2, 1, 3, 3)), "bias": np.zeros(2)}
    y, pullback = layer.apply(x[:2].astype(np.float64), parameters, training=False, rng=None); dx, dparameters = pullback(np.ones((2, 2, 26, 26)))  # noqa: E501, E702  # fmt: skip
    assert y.dtype == dx.dtype == np.float64
    assert {key: array.shape for key, array in dparameters.items()} == {"weight": (2, 1, 3, 3), "bias": (2,)}
    assert str(layer.formula) == "Y[n,q,i,j] = b[q] + sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+d*u-t,s*j+d*v-t]"
    assert layer.gradient("X").steps
    assert "W" in layer.gradient("W").latex()


# ---- parameters


def test_parameters_are_views_that_can_be_assigned():
    net = small()
    x, _ = digits_like(0)
    view = net.parameters["0.weight"]
    for key, array in net.parameters.items():
        array[...] = 0
        assert not net.forward(x).any() or key != "4.bias"
    net.parameters["4.bias"] = [1, 2, 3, 4]
    assert net.forward(x)[0].tolist() == [1, 2, 3, 4]
    net.parameters = {key: np.ones(array.shape) for key, array in net.parameters.items()}
    assert view.sum() == 27
    assert net.parameters["0.weight"] is view


def test_names_of_layers_are_the_keys():
    net = cf.Network([cf.Flatten(), cf.Dense(2, name="fc"), cf.Dense(2, bias=False)], input_shape=(1, 2, 2))
    assert list(net.parameters) == ["fc.weight", "fc.bias", "2.weight"]


def test_initial_weights_are_he_before_relu_and_glorot_elsewhere():
    layers = [cf.Conv2d(64, 3), cf.ReLU(), cf.Flatten(), cf.Dense(50)]
    net = cf.Network(layers, input_shape=(16, 8, 8), seed=1)
    he, glorot = np.sqrt(6 / (16 * 9)), np.sqrt(6 / (64 * 36 + 50))
    for key, limit in (("0.weight", he), ("3.weight", glorot)):
        weight = net.parameters[key]
        assert np.abs(weight).max() <= np.float32(limit)
        assert np.abs(weight).max() > 0.999 * limit
        # uniform: the mean of n numbers is within 5 standard errors of 0, the mean square of limit²/3
        assert abs(weight.mean()) < 5 * limit / np.sqrt(3 * weight.size)
        assert abs((weight**2).mean() / (limit**2 / 3) - 1) < 5 * np.sqrt(4 / 5 / weight.size)
    assert not net.parameters["0.bias"].any()
    assert not net.parameters["3.bias"].any()


def test_a_copy_of_a_network_has_arrays_of_its_own():
    net, (x, y) = small(), digits_like(0)
    before = net.forward(x).tobytes()
    for other in (copy.copy(net), copy.deepcopy(net)):
        assert other.forward(x).tobytes() == before
        other.fit(x, y, verbose=0)
        assert other.forward(x).tobytes() != before
    assert net.forward(x).tobytes() == before


# ---- values and gradients


def test_gradients_are_pytorchs(torch):
    net, (x, y) = small(), digits_like(1)
    model = twin(torch, net, torch.float64)
    inputs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(model(inputs), torch.tensor(y))
    expected.backward()
    loss, gradients = net.gradients(x, y, wrt_input=True)
    # every number passes three sums: of a window, of the features, of the examples and positions
    terms = 9 + 48 + 12 * 64
    assert abs(loss - expected.item()) <= terms * EPSILON * expected.item()
    oracle = {key: value.grad.numpy() for key, value in model.named_parameters()}
    oracle["input"] = inputs.grad.numpy()
    assert list(gradients) == list(oracle)
    for key, gradient in gradients.items():
        assert gradient.dtype == np.float32
        bound = terms * EPSILON * np.abs(oracle[key]).max()
        np.testing.assert_allclose(gradient, oracle[key], rtol=0, atol=bound, err_msg=key)


def test_the_network_without_its_loss_is_pytorchs(torch):
    net, (x, _) = small(), digits_like(2)
    model = twin(torch, net, torch.float64)
    inputs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    dy = np.random.default_rng(3).normal(size=(12, 4)).astype(np.float32)
    output = model(inputs)
    output.backward(torch.tensor(dy, dtype=torch.float64))
    y, pullback = net.apply(x)
    dx, gradients = pullback(dy)
    terms = 9 + 48 + 12 * 64
    for got, expected in [
        (y, output.detach().numpy()),
        (dx, inputs.grad.numpy()),
        *((gradients[key], value.grad.numpy()) for key, value in model.named_parameters()),
    ]:
        np.testing.assert_allclose(got, expected, rtol=0, atol=terms * EPSILON * np.abs(expected).max())


def test_dropout_drops_the_same_at_the_same_step(torch):
    net, (x, y) = small(drop=[cf.Dropout(0.4)], seed=9), digits_like(4)
    loss, gradients = net.gradients(x, y, step=7)
    again, same = net.gradients(x, y, step=7)
    assert loss == again
    assert all(gradients[key].tobytes() == same[key].tobytes() for key in gradients)
    assert net.gradients(x, y, step=8)[0] != loss

    plain = small()
    plain.parameters = dict(zip(plain.parameters, net.parameters.values(), strict=True))
    assert net.forward(x).tobytes() == plain.forward(x).tobytes()
    mask = (uniform(9, step=7, layer=3, images=12, entries=48) >= np.float32(0.4)) / np.float32(0.6)
    model = twin(torch, plain, torch.float64)
    features = model[:3](torch.tensor(x, dtype=torch.float64)).flatten(1)
    logits = model[4](features * torch.tensor(mask, dtype=torch.float64))
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(y)).item()
    assert abs(loss - expected) <= (9 + 48 + 12) * EPSILON * abs(expected)


def test_apply_draws_only_in_training():
    net, (x, _) = small(drop=[cf.Dropout(0.5)]), digits_like(5)
    inference = net.forward(x).tobytes()
    assert net.apply(x)[0].tobytes() == inference
    assert net.apply(x, training=True, rng=1)[0].tobytes() != inference
    assert net.apply(x, training=True, rng=1)[0].tobytes() == net.apply(x, training=True, rng=1)[0].tobytes()
    assert net.apply(x, training=True, rng=1)[0].tobytes() != net.apply(x, training=True, rng=2)[0].tobytes()


def test_a_loss_is_not_needed():
    layers = [cf.Conv2d(2, 3), cf.ReLU(), cf.Flatten(), cf.Dense(3)]
    net = cf.Network(layers, input_shape=(1, 5, 5), loss=None)
    assert net.loss is None
    y, pullback = net.apply(np.ones((2, 1, 5, 5)))
    assert pullback(y)[0].shape == (2, 1, 5, 5)
    assert net.predict(np.ones((2, 1, 5, 5))).tobytes() == y.tobytes()


def test_predictions_are_probabilities_where_the_loss_has_them(torch):
    net, (x, _) = small(), digits_like(6)
    logits = torch.tensor(net.forward(x), dtype=torch.float64)
    np.testing.assert_allclose(net.predict(x), torch.softmax(logits, 1).numpy(), rtol=1e-6)
    binary = small(cf.SigmoidBinaryCrossEntropy(), classes=1)
    logits = torch.tensor(binary.forward(x), dtype=torch.float64)
    np.testing.assert_allclose(binary.predict(x), torch.sigmoid(logits).numpy(), rtol=1e-6)
    plain = small(cf.MeanSquaredError())
    assert plain.predict(x).tobytes() == plain.forward(x).tobytes()


def test_evaluate_is_the_mean_over_all_examples(torch):
    net, (x, y) = small(), digits_like(7, count=300)  # more than the network evaluates at once
    logits = twin(torch, net, torch.float64)(torch.tensor(x, dtype=torch.float64))
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(y)).item()
    found = net.evaluate(x, y)
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
    assert found["accuracy"] == (logits.argmax(1).numpy() == y).mean()
    assert net.forward(x[250:]).tobytes() == net.forward(x)[250:].tobytes()


# ---- inputs


def test_bytes_are_scaled_and_one_channel_may_be_left_out():
    net, rng = small(), np.random.default_rng(8)
    images = rng.integers(0, 256, (5, 8, 8), dtype=np.uint8)
    expected = net.forward((images[:, None] / 255).astype(np.float32))
    np.testing.assert_allclose(net.forward(images), expected, rtol=1e-5, atol=1e-6)
    assert net.forward(images[:, None]).tobytes() == net.forward(images).tobytes()
    whole = net.forward(images.astype(np.int64))  # only bytes are scaled
    assert np.abs(whole).max() > 50 * np.abs(expected).max()


def test_no_examples_give_no_outputs():
    assert small().forward(np.zeros((0, 1, 8, 8))).shape == (0, 4)
    assert small().predict(np.zeros((0, 8, 8))).shape == (0, 4)


def test_a_file_in_memory_is_trained_from_without_being_written(tmp_path):
    x, y = digits_like(9)
    written = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    written[...] = x
    written.flush()
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape)
    net, other = small(), small()
    net.fit(mapped, y, epochs=2, verbose=0)
    other.fit(x, y, epochs=2, verbose=0)
    assert net.forward(mapped).tobytes() == other.forward(x).tobytes()


def test_training_changes_neither_inputs_nor_labels():
    x, y = digits_like(10)
    before = x.tobytes(), y.tobytes()
    x.flags.writeable = y.flags.writeable = False
    net = small(drop=[cf.Dropout(0.5)])
    net.fit(x, y, epochs=2, batch_size=5, validation_data=(x, y), verbose=0)
    net.gradients(x, y, wrt_input=True)
    net.predict(x)
    assert (x.tobytes(), y.tobytes()) == before


# ---- what is printed


SUMMARY = """\
layer                 output        parameters  arithmetic
────────────────────  ────────────  ──────────  ──────────
input                 (1, 28, 28)
conv1 Conv2d          (16, 28, 28)         160  28 − 3 + 2·1 + 1 = 28; 3·3·1·16 + 16 = 160
1 ReLU                (16, 28, 28)           0
2 MaxPool2d           (16, 14, 13)           0  (28 − 2)//2 + 1 = 14; (28 − 3)//2 + 1 = 13
3 Conv2d              (32, 7, 7)         1,952  ⌈14/2⌉ = 7; ⌈13/2⌉ = 7; 3·5·4·32 + 32 = 1952
4 LocallyConnected2d  (3, 6, 6)         13,932  7 − 2 + 1 = 6; 2·2·32·3·6·6 + 6·6·3 = 13932
5 Flatten             (108,)                 0  3·6·6 = 108
6 Dense               (1000,)          109,000  108·1000 + 1000 = 109000
7 Formula             (1000,)        1,000,000  1000·1000 = 1000000
1,125,044 parameters, loss SoftmaxCrossEntropy
"""


def test_summary_shows_the_arithmetic(capsys):
    layers = [
        cf.Conv2d(16, 3, padding=1, name="conv1"),
        cf.ReLU(),
        cf.MaxPool2d((2, 3), stride=2),
        cf.Conv2d(32, (3, 5), stride=2, padding="same", groups=4),
        cf.LocallyConnected2d(3, 2),
        cf.Flatten(),
        cf.Dense(1000),
        cf.Formula("Y[n,o] = a * X[n,o] + sum[f] A[o,f] * X[n,f]^2", a=2, o=1000),
    ]
    cf.Network(layers, input_shape=(1, 28, 28), loss=cf.SoftmaxCrossEntropy()).summary()
    assert capsys.readouterr().out == SUMMARY


def test_a_pullback_goes_on_with_what_was_there_when_it_was_made():
    net = cf.Network([cf.Flatten(), cf.Dropout(0.3), cf.Dense(2)], input_shape=(1, 2, 2))
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    y, pullback = net.apply(x)
    dy = np.ones((1, 2), np.float32)
    dx, gradients = pullback(dy)
    y += 1
    x[...] = 7
    net.parameters["2.weight"][...] = 0
    again, gradients_again = pullback(dy)
    assert np.array_equal(again, dx)
    assert dx.any()
    assert all(np.array_equal(gradients_again[key], gradients[key]) for key in gradients)


def test_rows_of_bytes_are_numbers_and_images_of_bytes_are_scaled():
    rows = cf.Network([cf.Dense(2)], input_shape=(3,))
    numbers = np.array([[1, 2, 255]], np.uint8)
    assert np.array_equal(rows.forward(numbers), rows.forward(numbers.astype(float)))
    images = cf.Network([cf.Flatten()], input_shape=(1, 1, 3))
    assert images.forward(numbers.reshape(1, 1, 1, 3)).tolist() == [
        [np.float32(1 / 255), np.float32(2 / 255), 1]
    ]


@pytest.mark.parametrize(
    ("last", "loss", "message"),
    [
        (
            [cf.Dense(2), cf.Softmax()],
            cf.SoftmaxCrossEntropy(),
            "SoftmaxCrossEntropy holds the softmax already, and the last layer is Softmax(): leave that "
            "layer out; predict applies it",
        ),
        (
            [cf.Dense(1), cf.Sigmoid()],
            cf.SigmoidBinaryCrossEntropy(),
            "SigmoidBinaryCrossEntropy holds the sigmoid already, and the last layer is Sigmoid(): leave "
            "that layer out; predict applies it",
        ),
    ],
)
def test_an_activation_is_not_applied_twice(last, loss, message):
    with pytest.raises(cf.SettingError) as caught:
        cf.Network(last, input_shape=(3,), loss=loss)
    assert str(caught.value) == message


def test_parameters_are_a_mapping():
    net = cf.Network([cf.Dense(1)], input_shape=(1,))
    assert net.parameters.get("nothing") is None
    assert net.parameters.get("0.bias") is net.parameters["0.bias"]
