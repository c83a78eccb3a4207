"""A checkpoint comes back bit for bit or not at all, and what is damaged falls back to the one before."""

import json
import struct
import time

import numpy as np
import pytest
import safetensors.numpy

import closedform as cf
from closedform.training.checkpoint import newest, write

ARRAYS = {
    "weights": np.array([[1.5, -0.0], [np.nan, np.inf]], np.float32),
    "averages": np.array([1e-300, 2.0]),
    "step": np.array(7, np.int64),
    "is_on": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
}
META = {"epoch": 3, "best": float("inf"), "losses": [0.1, float("nan"), -0.0], "name": "größe", "left": None}


def same(found, expected):
    assert {key: (array.dtype, array.shape, array.tobytes()) for key, array in found.items()} == {
        key: (array.dtype, array.shape, array.tobytes()) for key, array in expected.items()
    }


def generation(number):
    return {"w": np.full(3, number, np.float32)}, {"number": number}


def written(folder, *numbers):
    return [write(folder, *generation(number)) for number in numbers]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- what comes back


def test_what_is_written_comes_back_bit_for_bit(tmp_path):
    path = write(tmp_path / "run" / "checkpoint", ARRAYS, META)
    found = newest(tmp_path / "run" / "checkpoint")
    assert path == found.path == tmp_path / "run" / "checkpoint" / "000001.safetensors"
    same(found.arrays, ARRAYS)
    assert repr(found.meta) == repr(META)  # nan equals nothing, and -0.0 equals 0.0
    assert found.note == ""
    found.arrays["weights"][...] = 0  # they may be trained on


def test_other_programs_read_it_as_safetensors(tmp_path):
    path = write(tmp_path, ARRAYS, {"best": float("-inf")})
    same(safetensors.numpy.load_file(path), ARRAYS)
    with safetensors.safe_open(path, "numpy") as file:
        content = json.loads(file.metadata()["closedform"])
    del content["checksum"]
    assert content == {"format_version": 1, "meta": {"best": {"float": "-inf"}}}


def test_arrays_that_lie_otherwise_in_memory_come_back_in_order(tmp_path):
    square = np.arange(6, dtype=">f4").reshape(2, 3)
    write(tmp_path, {"turned": square.T, "every_second": np.arange(6)[::2]}, {})
    found = newest(tmp_path).arrays
    assert found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["every_second"].tolist() == [0, 2, 4]


def test_numbers_of_numpy_are_numbers(tmp_path):
    write(tmp_path, {}, {"rate": np.float32(0.5), "wait": np.int64(2), "best": np.float32("nan")})
    assert repr(newest(tmp_path).meta) == "{'rate': 0.5, 'wait': 2, 'best': nan}"


@pytest.mark.parametrize(
    ("arrays", "meta", "message"),
    [
        (
            {"names": np.array(["a"])},
            {},
            "a checkpoint holds arrays of numbers, of float64, float32, float16, bool, int64, int32, int16, "
            "int8, uint64, uint32, uint16, uint8; names has <U1",
        ),
        (
            {},
            {"callbacks": [{"seen": {1, 2}}]},
            "a checkpoint holds plain values as JSON has them; meta.callbacks[0].seen is {1, 2}",
        ),
        ({}, {"a": {1: 2}}, "a checkpoint holds plain values as JSON has them; meta.a is {1: 2}"),
        (
            {},
            {"a": {"float": "nan"}},
            "a checkpoint holds plain values as JSON has them; meta.a is {'float': 'nan'}",
        ),
    ],
)
def test_what_no_file_can_hold_is_refused(tmp_path, arrays, meta, message):
    written(tmp_path, 1)
    with pytest.raises(cf.SettingError) as caught:
        write(tmp_path, arrays, meta)
    assert str(caught.value) == message
    assert names(tmp_path) == ["000001.safetensors"]


def test_ten_million_numbers_take_well_under_a_second(tmp_path):
    arrays = {"w": np.zeros(10_000_000, np.float32)}
    write(tmp_path, {}, {})  # imports
    started = time.process_time()
    write(tmp_path, arrays, {})
    assert time.process_time() - started < 0.5
    started = time.process_time()
    assert newest(tmp_path).arrays["w"].shape == (10_000_000,)
    assert time.process_time() - started < 0.5


# ---- the folder


def test_the_last_two_are_kept(tmp_path):
    written(tmp_path, 1, 2, 3, 4)
    assert names(tmp_path) == ["000003.safetensors", "000004.safetensors"]
    assert newest(tmp_path).meta == {"number": 4}


def test_numbers_go_on_past_six_digits(tmp_path):
    (path,) = written(tmp_path, 1)
    path.rename(tmp_path / "999999.safetensors")
    written(tmp_path, 2, 3)
    assert names(tmp_path) == ["1000000.safetensors", "1000001.safetensors"]
    assert newest(tmp_path).meta == {"number": 3}


def test_nothing_written_yet_is_none(tmp_path):
    assert newest(tmp_path) is None
    assert newest(tmp_path / "missing") is None


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(cf.FileError) as caught:
        newest(tmp_path / "file")
    assert str(caught.value) == f"{tmp_path}/file: cannot be read: Not a directory: name another folder"
    with pytest.raises(cf.FileError) as caught:
        write(tmp_path / "file", {}, {})
    assert str(caught.value) == (
        f"{tmp_path}/file: the checkpoint cannot be written: File exists; there was none before"
    )


def test_files_of_others_are_left_alone(tmp_path):
    others = [
        "1.safetensors", "0000001.safetensors", "model.safetensors", "000001.safetensors.bak", "000001.txt",
        ".000001.safetensors.swp", ".hidden", "٠٠٠٠٠٠.safetensors",
    ]  # fmt: skip
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    written(tmp_path, 1, 2, 3)
    assert names(tmp_path) == sorted([*others, "000002.safetensors", "000003.safetensors"])
    assert newest(tmp_path).meta == {"number": 3}


def test_what_killed_writers_left_is_ignored_and_then_removed(tmp_path):
    written(tmp_path, 1)
    for name in (".000002.safetensors.abc_1234", ".000002.safetensors.zzzzzzzz"):
        (tmp_path / name).write_bytes(b"half")
    assert newest(tmp_path).meta == {"number": 1}
    written(tmp_path, 2)
    assert names(tmp_path) == ["000001.safetensors", "000002.safetensors"]


# ---- damage


def test_a_damaged_generation_falls_back_to_the_one_before(tmp_path):
    _, second = written(tmp_path, 1, 2)
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.write_bytes(data)
    found = newest(tmp_path)
    assert (found.path.name, found.meta) == ("000001.safetensors", {"number": 1})
    assert found.note == (
        f"{tmp_path}: 000002.safetensors is damaged: its checksum is of other bytes: using "
        f"000001.safetensors: what was done after it is done once more"
    )


def test_the_generation_that_was_gone_on_from_is_kept_rather_than_the_damaged_one(tmp_path):
    _, second = written(tmp_path, 1, 2)
    second.write_bytes(second.read_bytes()[:-1])
    third = write(tmp_path, *generation(3), before=newest(tmp_path).path)
    assert names(tmp_path) == ["000001.safetensors", "000003.safetensors"]
    third.unlink()
    assert newest(tmp_path).meta == {"number": 1}


def test_no_whole_generation_is_an_error_and_not_a_fresh_start(tmp_path):
    first, second = written(tmp_path, 1, 2)
    first.write_bytes(b"")
    second.write_bytes(b"no safetensors")
    with pytest.raises(cf.FileError) as caught:
        newest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no checkpoint in it is whole: 000002.safetensors is damaged or cut short; "
        f"000001.safetensors is damaged or cut short: put back a copy of one, or begin anew in another folder"
    )


def test_every_single_flipped_bit_is_noticed(tmp_path):
    first, second = written(tmp_path, 1, 2)
    data = second.read_bytes()
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        second.write_bytes(flipped)
        assert newest(tmp_path).path == first, f"bit {place % 8} of byte {place // 8}"


def test_every_shorter_or_longer_file_is_noticed(tmp_path):
    first, second = written(tmp_path, 1, 2)
    data = second.read_bytes()
    for cut in [data[:length] for length in range(len(data))] + [data + b"\0", data + data]:
        second.write_bytes(cut)
        assert newest(tmp_path).path == first


def header(data):
    (size,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + size])


def remade(data, head):
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + struct.unpack_from("<Q", data)[0] :]


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head["w"].update(data_offsets=[0, 1 << 40], shape=[1 << 38]),
        lambda head: head["w"].update(shape=[1 << 62]),
        lambda head: head["w"].update(dtype="BF16", shape=[6]),
        lambda head: head["w"].update(dtype="F8_E4M3", shape=[12]),
        lambda head: head["w"].update(dtype="I32"),
        lambda head: head.update(v=head.pop("w")),
        lambda head: head.pop("__metadata__"),
        lambda head: head.update(__metadata__={"closedform": "[" * 100_000}),
        lambda head: head.update(__metadata__={"closedform": "[]"}),
        lambda head: head.update(__metadata__={"closedform": "1" * 5000}),
        lambda head: head.update(__metadata__={"other": "{}"}),
    ],
)
def test_a_header_that_lies_is_damage(tmp_path, change):
    first, second = written(tmp_path, 1, 2)
    data = second.read_bytes()
    head = header(data)
    change(head)
    second.write_bytes(remade(data, head))
    assert newest(tmp_path).path == first


def test_a_length_of_gigabytes_takes_no_memory(tmp_path):
    first, second = written(tmp_path, 1, 2)
    data = second.read_bytes()
    second.write_bytes(struct.pack("<Q", 1 << 33) + data[8:])
    assert newest(tmp_path).path == first


def test_a_folder_in_place_of_a_generation_is_passed_over(tmp_path):
    written(tmp_path, 1)
    (tmp_path / "000002.safetensors").mkdir()
    found = newest(tmp_path)
    assert found.note == (
        f"{tmp_path}: 000002.safetensors cannot be read: Is a directory: using 000001.safetensors: what was "
        f"done after it is done once more"
    )


def test_a_newer_format_is_an_error_and_not_damage(tmp_path, monkeypatch):
    written(tmp_path, 1)
    monkeypatch.setattr("closedform.training.checkpoint.FORMAT_VERSION", 2)
    written(tmp_path, 2)
    monkeypatch.undo()
    with pytest.raises(cf.FileError) as caught:
        newest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / '000002.safetensors'}: was written by a newer closedform, in format 2; this one reads "
        f"format 1: install the newest"
    )
