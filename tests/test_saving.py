"""A model comes back from its file bit for bit, and PyTorch's weights come in."""

import json
import os
import struct
import threading

import numpy as np
import pytest
import safetensors.numpy
from networks import EPSILON, digits_like, small
from processes import printed

import closedform as cf
from closedform.writing import remove_leftovers, write_file


def test_a_model_comes_back_bit_for_bit(tmp_path):
    net, (x, y) = small(drop=[cf.Dropout(0.1)], seed=2**64 - 1), digits_like(18)
    net.fit(x, y, verbose=0)
    net.save(tmp_path / "m.safetensors")
    again = cf.load(tmp_path / "m.safetensors")
    assert again.architecture == net.architecture
    assert again.seed == net.seed
    assert list(again.parameters) == list(net.parameters)
    for key, array in net.parameters.items():
        assert again.parameters[key].tobytes() == array.tobytes()
    assert again.gradients(x, y)[0] == net.gradients(x, y)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_model_is_read_by_another_process(tmp_path):
    net, (x, _) = small(seed=6), digits_like(19)
    net.save(tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    code = f"""
import numpy, os, closedform
os.chdir({str(tmp_path)!r})
print(closedform.load("m.safetensors").forward(numpy.load("x.npy")).tobytes().hex())
"""
    assert printed(code).strip() == net.forward(x).tobytes().hex()


def test_a_model_file_is_safetensors_with_the_architecture_in_its_header(tmp_path):
    layers = [cf.Flatten(), cf.Dense(3, name="fc")]
    net = cf.Network(layers, input_shape=(1, 2, 2), loss=cf.SoftmaxCrossEntropy())
    net.save(tmp_path / "m.safetensors")
    data = (tmp_path / "m.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    assert list(metadata) == ["closedform"]
    assert json.loads(metadata["closedform"]) == {
        "format_version": 1,
        "seed": 0,
        "network": {"input_shape": [1, 2, 2], "loss": "SoftmaxCrossEntropy"},
        "layer": [{"type": "Flatten"}, {"type": "Dense", "out_features": 3, "name": "fc"}],
    }
    arrays = safetensors.numpy.load(data)
    assert {key: (array.dtype, array.shape) for key, array in arrays.items()} == {
        "fc.weight": (np.float32, (3, 4)),
        "fc.bias": (np.float32, (3,)),
    }


def test_a_network_without_parameters_has_a_file_too(tmp_path):
    cf.Network([cf.GlobalAvgPool2d()], input_shape=(2, 3, 3)).save(tmp_path / "m.safetensors")
    assert cf.load(tmp_path / "m.safetensors").forward(np.ones((1, 2, 3, 3))).tolist() == [[1, 1]]


def test_saving_replaces_a_model_and_makes_folders(tmp_path):
    path = tmp_path / "runs" / "first" / "m.safetensors"
    small(seed=1).save(path)
    small(seed=2).save(str(path))
    assert cf.load(path).parameters["0.weight"].tobytes() == small(seed=2).parameters["0.weight"].tobytes()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_saving_keeps_the_permissions_of_what_it_replaces(tmp_path, mode):
    path = tmp_path / "m.safetensors"
    small(seed=1).save(path)
    path.chmod(mode)
    small(seed=2).save(path)
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_new_file_has_the_permissions_that_the_process_gives(tmp_path):
    before = os.umask(0o027)
    try:
        small().save(tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o640


LONG_NAMES = ["x" * 248, "x" * 255, "ö" * 127, "x" + "ö" * 127, "😀" * 63]


@pytest.mark.parametrize("name", LONG_NAMES, ids=len)
def test_a_name_may_be_as_long_as_the_system_lets_it(tmp_path, name):
    small(seed=1).save(tmp_path / name)
    small(seed=2).save(tmp_path / name)
    assert cf.load(tmp_path / name).seed == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(cf.FileError) as caught:
        small().save(tmp_path / (256 * "x"))
    assert str(caught.value) == f"{tmp_path / (256 * 'x')}: cannot be written: File name too long"


class Killed(BaseException):
    """As if the process had ended."""


@pytest.mark.parametrize("name", ["m.safetensors", *LONG_NAMES], ids=len)
def test_what_killed_writers_left_beside_a_file_is_found(tmp_path, monkeypatch, name):
    def killed(source, target):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(os, "unlink", lambda path: None)
        with pytest.raises(Killed):
            write_file(tmp_path / name, b"half")
    write_file(tmp_path / name, b"whole")
    write_file(tmp_path / f"other {name}"[:60], b"")
    (tmp_path / ".other.abcdefgh").touch()
    assert len(list(tmp_path.iterdir())) == 4
    remove_leftovers(tmp_path, {name}.__contains__)
    assert {path.name for path in tmp_path.iterdir()} == {name, f"other {name}"[:60], ".other.abcdefgh"}


def test_saving_follows_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    for target in ("far/old.safetensors", "far/new.safetensors"):
        link = tmp_path / "m.safetensors"
        link.symlink_to(target)
        small(seed=1).save(tmp_path / "far/old.safetensors")
        small(seed=2).save(link)
        assert link.is_symlink()
        expected = small(seed=2).parameters["0.weight"].tobytes()
        assert cf.load(tmp_path / target).parameters["0.weight"].tobytes() == expected
        link.unlink()


@pytest.mark.skipif(os.name != "posix", reason="pipes with a name are POSIX's")
def test_saving_writes_through_a_pipe_with_a_name(tmp_path):
    net, pipe, found = small(seed=3), tmp_path / "pipe", []
    net.save(tmp_path / "m.safetensors")
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    net.save(pipe)
    reader.join(60)
    assert found == [(tmp_path / "m.safetensors").read_bytes()]
    assert pipe.is_fifo()


def test_a_state_dict_of_pytorch_loads_unchanged(tmp_path, torch):
    from safetensors.torch import save_file

    net, (x, _) = small(), digits_like(20)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(48, 4),
    )
    save_file(model.state_dict(), tmp_path / "torch.safetensors")
    net.load_parameters(tmp_path / "torch.safetensors")
    with torch.no_grad():
        expected = model(torch.tensor(x)).numpy()
    bound = (9 + 48) * 2 * EPSILON * np.abs(expected).max()  # twice: PyTorch's are float32 too
    np.testing.assert_allclose(net.forward(x), expected, rtol=0, atol=bound)


def test_half_and_double_precision_are_read_as_float32(tmp_path):
    net = cf.Network([cf.Dense(2)], input_shape=(3,))
    arrays = {"0.weight": np.full((2, 3), 0.1), "0.bias": np.full(2, 0.1, np.float16)}
    (tmp_path / "m.safetensors").write_bytes(safetensors.numpy.save(arrays))
    net.load_parameters(tmp_path / "m.safetensors")
    assert net.parameters["0.weight"][0, 0] == np.float32(0.1)
    assert net.parameters["0.bias"][0] == np.float32(np.float16(0.1))
