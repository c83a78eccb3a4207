"""A training that is killed at any moment goes on to the same bits.

`scripts/kill_test` is the long form, with 200 kills and more.
"""

import os

import killing
import numpy as np
import pytest
from killing import Slaughter, differing_bits

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("adam, dropout, augmented", 2),
        ("stopped early, best weights, plateau", 1),
        ("command, stopped early, augmented, dropout", 2),
    ],
)
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, name, kills):
    slaughter, left = Slaughter(tmp_path), kills
    while left > 0:  # one that ended first is begun again
        run = slaughter.run(name, left)
        assert (run.failures, run.bits) == ([], 0)
        left -= run.kills


def test_what_a_killed_run_left_half_written_is_removed_when_it_goes_on(tmp_path):
    from closedform.runs.folder import RunFolder

    names = [
        ".model.safetensors.abc_1234", ".history.csv.00000000", ".run.json.zzzzzzzz", ".run.toml.aaaaaaaa",
        ".notes.txt.abc_1234", ".model.safetensors.swp", "model.safetensors.abc_1234",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    with RunFolder(tmp_path).locked():
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[4:])


# ---- what the harness would notice


def test_an_exception_in_a_training_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setitem(killing.TARGETS, "broken", killing.Fitted("no such training"))
    with pytest.raises(AssertionError, match="no such training"):
        Slaughter(tmp_path).run("broken", 1)


def test_differing_bits_are_counted():
    one = {"a": np.array([1, 2], np.uint8), "b": np.zeros(3, np.float32)}
    assert differing_bits(one, one) == 0
    assert differing_bits(one, {**one, "a": np.array([1, 5], np.uint8)}) == 3  # 2 is 010, 5 is 101
    assert differing_bits(one, {"a": one["a"]}) == 96
    assert differing_bits(one, {**one, "b": np.zeros(3)}) == 192


def test_zero_and_minus_zero_differ():
    assert differing_bits({"a": np.array([0.0])}, {"a": np.array([-0.0])}) == 1
