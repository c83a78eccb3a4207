"""Compiled objects on disk: what was stored comes back, anything else is as if it were not there."""

import errno
import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from processes import environment, ordinary_user

import closedform
from closedform.engine import cache, jit
from closedform.errors import SettingError

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
CODE = b"\x7fELF\x00 machine code \r\n\x1a"
METADATA = {"arena": 4096, "entries": ["forward"]}
POSIX_ONLY = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are POSIX's")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of an empty cache."""
    folder = tmp_path / "objects"
    monkeypatch.setenv("CLOSEDFORM_CACHE", str(folder))
    monkeypatch.delenv("CLOSEDFORM_CACHE_SIZE", raising=False)
    folder.mkdir(mode=0o700)
    return folder


def path_of(place, key):
    return place / f"{key}.object"


def entry(description, code=CODE, lengths=None):
    """The bytes of an entry whose checksum is right, whatever else is wrong."""
    description = json.dumps(description).encode() if isinstance(description, dict) else description
    rest = struct.pack("<QQ", *(lengths or (len(description), len(code)))) + description + code
    return b"closedform obj 1" + hashlib.sha256(rest).digest() + rest


def age(path, days):
    """Make a file look unused for so many days."""
    then = time.time() - days * 86400
    os.utime(path, (then, then))


def test_what_was_stored_comes_back(place):
    cache.store(A, CODE, METADATA)
    assert cache.load(A) == (CODE, METADATA)
    assert cache.load(B) is None


def test_an_entry_is_one_file_of_the_documented_bytes(place):
    cache.store(A, CODE, METADATA)
    description = b'{"key": "%s", "metadata": {"arena": 4096, "entries": ["forward"]}}' % (b"a" * 64)
    assert [path.name for path in place.iterdir()] == ["a" * 64 + ".object"]
    assert path_of(place, A).read_bytes() == entry(description)


def test_storing_again_replaces(place):
    cache.store(A, b"old", {"is": "old"})
    cache.store(A, CODE, METADATA)
    assert cache.load(A) == (CODE, METADATA)
    assert len(list(place.iterdir())) == 1


@pytest.mark.parametrize("wrong", ["../" + "a" * 61, "a" * 63, "g" * 64, ""])
def test_nothing_is_stored_outside_the_folder(place, wrong):
    for action in (lambda: cache.load(wrong), lambda: cache.store(wrong, CODE, METADATA)):
        with pytest.raises(ValueError, match="a key must be 64 hexadecimal digits") as caught:
            action()
        assert str(caught.value) == f"a key must be 64 hexadecimal digits, got {wrong!r}"


# ---- damage


def assert_ignored_and_removed(place, data):
    path = path_of(place, A)
    path.write_bytes(data)
    path.chmod(0o600)
    assert cache.load(A) is None
    assert not path.exists()


def test_an_entry_cut_off_anywhere_is_ignored(place):
    cache.store(A, CODE, METADATA)
    whole = path_of(place, A).read_bytes()
    for length in range(len(whole)):
        assert_ignored_and_removed(place, whole[:length])


def test_an_entry_with_any_byte_flipped_is_ignored(place):
    cache.store(A, CODE, METADATA)
    whole = path_of(place, A).read_bytes()
    for at in range(len(whole)):
        assert_ignored_and_removed(place, whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])


GOOD = {"key": A, "metadata": METADATA}
FOREIGN = {
    "something else": b"PK\x03\x04" + bytes(100),
    "too long": entry(GOOD) + b"\x00",
    "a huge description": entry(GOOD, lengths=(1 << 62, len(CODE))),
    "a huge object": entry(GOOD, lengths=(len(json.dumps(GOOD)), (1 << 64) - 1)),
    "lengths that overflow to the right sum": entry(
        GOOD, lengths=((1 << 64) - 1, len(json.dumps(GOOD)) + len(CODE) + 1)
    ),
    "a longer object": entry(GOOD, lengths=(len(json.dumps(GOOD)), len(CODE) + 1)),
    "an older format": b"closedform obj 0" + entry(GOOD)[16:],
    "not JSON": entry(b"{"),
    "not UTF-8": entry(b'{"key": "\xff"}'),
    "nested too deep": entry(b"[" * 100_000),
    "no object": entry(b"3"),
    "another's key": entry({**GOOD, "key": B}),
    "no key": entry({"metadata": METADATA}),
    "no metadata": entry({"key": A}),
    "metadata that is no object": entry({"key": A, "metadata": [1]}),
}


def test_the_maker_of_entries_makes_good_ones(place):
    path_of(place, A).write_bytes(entry(GOOD))
    path_of(place, A).chmod(0o600)
    assert cache.load(A) == (CODE, METADATA)


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_files_that_are_no_entries_are_ignored(place, data):
    assert_ignored_and_removed(place, data)


def test_a_file_larger_than_the_whole_cache_is_ignored(place, monkeypatch):
    cache.store(A, bytes(1_000_000), {})
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", "1")
    assert cache.load(A) is None
    assert not path_of(place, A).exists()


@POSIX_ONLY
def test_a_file_that_others_can_write_is_ignored(place):
    for mode in (0o620, 0o602):
        cache.store(A, CODE, METADATA)
        path_of(place, A).chmod(mode)
        assert cache.load(A) is None
        assert not path_of(place, A).exists()


@POSIX_ONLY
def test_a_file_of_another_user_is_ignored(place, monkeypatch):
    cache.store(A, CODE, METADATA)
    true = os.fstat

    def anothers(file):
        found = list(true(file))
        found[stat.ST_UID] += 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", anothers)
    assert cache.load(A) is None


@POSIX_ONLY
def test_a_link_is_not_followed(place, tmp_path):
    cache.store(A, CODE, METADATA)
    elsewhere = tmp_path / "elsewhere"
    path_of(place, A).rename(elsewhere)
    path_of(place, A).symlink_to(elsewhere)
    assert cache.load(A) is None
    assert elsewhere.exists()


@POSIX_ONLY
def test_what_is_no_file_is_ignored(place):
    os.mkfifo(path_of(place, A))
    path_of(place, B).mkdir()
    assert cache.load(A) is None
    assert cache.load(B) is None


# ---- the folder


def test_the_folder_is_made_for_the_user_alone(tmp_path, monkeypatch):
    place = tmp_path / "new" / "objects"
    monkeypatch.setenv("CLOSEDFORM_CACHE", str(place))
    before = os.umask(0)
    try:
        assert cache.folder() == place
    finally:
        os.umask(before)
    if os.name == "posix":
        assert [stat.S_IMODE(path.stat().st_mode) for path in (place.parent, place)] == [0o700, 0o700]


def test_the_folder_is_in_the_users_own_folder_for_caches(tmp_path, monkeypatch):
    monkeypatch.delenv("CLOSEDFORM_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.folder() == tmp_path / "home" / "Library" / "Caches" / "closedform" / "objects"
    if os.name == "posix":
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert cache.folder() == tmp_path / "home" / ".cache" / "closedform" / "objects"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache.folder() == tmp_path / "xdg" / "closedform" / "objects"
        monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
        assert cache.folder() == tmp_path / "home" / ".cache" / "closedform" / "objects"


def assert_no_cache():
    """There is no folder, and both verbs do nothing."""
    assert cache.folder() is None
    cache.store(A, CODE, METADATA)
    assert cache.load(A) is None


def test_an_empty_name_means_no_cache(monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_CACHE", "")
    assert_no_cache()


def test_without_a_home_there_is_no_cache(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CLOSEDFORM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert_no_cache()


def test_a_file_in_the_folders_place_means_no_cache(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("mine")
    for place in (file, file / "objects"):
        monkeypatch.setenv("CLOSEDFORM_CACHE", str(place))
        assert_no_cache()
    assert file.read_text() == "mine"


@POSIX_ONLY
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_is_not_used(place, mode):
    cache.store(A, CODE, METADATA)
    place.chmod(mode)
    assert_no_cache()
    place.chmod(0o755)  # readers do no harm
    assert cache.load(A) == (CODE, METADATA)


@POSIX_ONLY
def test_a_folder_of_another_user_is_not_used(place, monkeypatch):
    cache.store(A, CODE, METADATA)
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    assert_no_cache()


@POSIX_ONLY
def test_a_linked_folder_is_not_used(place, tmp_path, monkeypatch):
    cache.store(A, CODE, METADATA)
    for target in (place, tmp_path / "missing"):
        link = tmp_path / f"link-{target.name}"
        link.symlink_to(target)
        monkeypatch.setenv("CLOSEDFORM_CACHE", str(link))
        assert_no_cache()


@POSIX_ONLY
def test_a_read_only_folder_is_read(monkeypatch):
    with tempfile.TemporaryDirectory() as parent:
        place = Path(parent) / "objects"
        monkeypatch.setenv("CLOSEDFORM_CACHE", str(place))
        cache.store(A, CODE, METADATA)
        os.chmod(parent, 0o755)
        place.chmod(0o500)
        if os.geteuid() == 0:
            os.chown(place, 65534, -1)
            os.chown(path_of(place, A), 65534, -1)
        with ordinary_user():
            cache.store(B, CODE, METADATA)
            assert cache.load(A) == (CODE, METADATA)
            assert cache.load(B) is None
        place.chmod(0o700)
        assert [path.name for path in place.iterdir()] == [f"{A}.object"]


@pytest.mark.parametrize("name", ["mkstemp", "replace"])
def test_a_full_disk_is_no_error(place, monkeypatch, name):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile if name == "mkstemp" else os, name, full)
    cache.store(A, CODE, METADATA)
    assert list(place.iterdir()) == []


# ---- size


def test_what_was_used_least_recently_goes_first(place, monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", "1")
    for key, days in ((A, 4), (B, 3), (C, 2)):
        cache.store(key, bytes(300_000), {})
        age(path_of(place, key), days)
    assert cache.load(A) == (bytes(300_000), {})
    cache.store(D, bytes(300_000), {})
    assert {path.name[0] for path in place.iterdir()} == {"a", "c", "d"}


def test_the_newest_entry_stays_whatever_the_clock_says(place, monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", "1")
    cache.store(A, bytes(600_000), {})
    age(path_of(place, A), -1)
    cache.store(B, bytes(600_000), {})
    assert [path.name[0] for path in place.iterdir()] == ["b"]


def test_a_read_is_noted_once_a_day(place):
    cache.store(A, CODE, METADATA)
    for hours, is_noted in ((23, False), (25, True)):
        age(path_of(place, A), hours / 24)
        before = path_of(place, A).stat().st_mtime
        cache.load(A)
        assert (path_of(place, A).stat().st_mtime > before) is is_noted


def test_an_object_larger_than_the_cache_is_not_kept(place, monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", "1")
    cache.store(A, CODE, METADATA)
    cache.store(B, bytes(1_000_000), {})
    assert [path.name[0] for path in place.iterdir()] == ["a"]


def test_only_entries_and_broken_off_writes_are_removed(place, monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", "1")
    for name in ("notes.txt", "new-broken-off.object", "new-being-written.object"):
        (place / name).write_bytes(bytes(2_000_000))
    age(place / "notes.txt", 100)
    age(place / "new-broken-off.object", 2 / 24)
    cache.store(A, CODE, METADATA)
    assert {path.name for path in place.iterdir()} == {
        "notes.txt",
        "new-being-written.object",
        f"{A}.object",
    }


@pytest.mark.parametrize("text", ["-1", "1.5", "ten", "1e3", " 5", "²", "9999999999"])
def test_a_size_that_is_no_number_of_megabytes(place, monkeypatch, text):
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", text)
    for action in (lambda: cache.load(A), lambda: cache.store(A, CODE, METADATA)):
        with pytest.raises(SettingError) as caught:
            action()
        assert str(caught.value) == (
            f"CLOSEDFORM_CACHE_SIZE must be a whole number of megabytes, as in 256, got {text!r}"
        )


def test_sizes_that_mean_the_default_and_nothing(place, monkeypatch):
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", "")
    cache.store(A, bytes(2_000_000), {})
    assert cache.load(A) == (bytes(2_000_000), {})
    monkeypatch.setenv("CLOSEDFORM_CACHE_SIZE", "0")
    cache.store(B, CODE, METADATA)
    assert cache.load(B) is None


# ---- many processes

WORKER = """
import random
import sys
from closedform.engine import cache
random.seed(int(sys.argv[1]))
hits = 0
for turn in range(40):
    for k in random.sample(range(5), 5):
        key = str(k) * 64
        found = cache.load(key)
        if found is None:
            cache.store(key, bytes([k]) * 300_000, {"k": k})
        else:
            assert found == (bytes([k]) * 300_000, {"k": k}), k
            hits += 1
print(hits)
"""


def test_eight_processes_share_a_cache_too_small_for_all(place):
    settings = environment(CLOSEDFORM_CACHE_SIZE="1")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number)],
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(8)
    ]
    results = [worker.communicate(timeout=120) for worker in workers]
    assert [error.decode() for _, error in results] == [""] * 8
    assert all(worker.returncode == 0 for worker in workers)
    assert sum(int(hits) for hits, _ in results) > 0
    left = list(place.iterdir())
    assert sum(path.stat().st_size for path in left) <= 1_000_000
    assert {path.name for path in left} <= {f"{str(k) * 64}.object" for k in range(5)}
    assert all(cache.load(path.stem) is not None for path in left)


# ---- keys


def test_a_key_is_a_digest_of_its_parts_with_their_lengths():
    parts = b"\x02\0\0\0\0\0\0\0ab" + b"\x00\0\0\0\0\0\0\0" + b"\x02\0\0\0\0\0\0\0\xc3\x97"
    assert cache.key("ab", b"", "×") == hashlib.sha256(parts).hexdigest()
    assert len({cache.key(*words) for words in (("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""))}) == 4


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the library's source whose digest is taken anew each time."""
    copy = tmp_path / "closedform"
    shutil.copytree(Path(closedform.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(closedform, "__file__", str(copy / "__init__.py"))

    def digest():
        cache._sources.cache_clear()
        return cache._sources()

    yield copy, digest
    cache._sources.cache_clear()


def test_source_that_decides_what_is_compiled_is_part_of_the_key(package):
    copy, digest = package
    seen = [digest()]
    for name in (
        "engine/jit.py",
        "formula/table/lowering.py",
        "layers/dense.py",
        "training/optimisers.py",
        "architecture.py",
        "random.py",
    ):
        with (copy / name).open("a") as stream:
            stream.write("\n")
        seen.append(digest())
    (copy / "layers" / "dense.py").rename(copy / "layers" / "dense2.py")
    seen.append(digest())
    assert len(set(seen)) == len(seen)
    (copy / "cli.py").write_text("")
    assert digest() == seen[-1]


def test_machine_and_compiler_are_part_of_the_key(monkeypatch):
    def target(**changes):
        words = {"name": "avx2", "triple": "x86_64-linux", "cpu": "haswell", "features": "+avx2"}
        return jit.Target(**{**words, **changes}, lanes=8, registers=16, has_fma=True)

    monkeypatch.setattr(cache, "compiler_version", lambda: "llvmlite 0.50.0, LLVM 22.1.0")
    changes = ({}, {"name": "sse"}, {"triple": "x86_64-windows"}, {"cpu": "znver5"}, {"features": ""})
    keys = [cache.environment_key(target(**words)) for words in changes]
    monkeypatch.setattr(cache, "compiler_version", lambda: "llvmlite 0.50.0, LLVM 22.1.1")
    keys.append(cache.environment_key(target()))
    monkeypatch.setattr(closedform, "__version__", "0.0.9")
    keys.append(cache.environment_key(target()))
    assert len(set(keys)) == len(keys)
    assert cache.environment_key(target()) == keys[-1]
