"""The README's examples run and print what their comments say."""

import contextlib
import doctest
import io
import re
import tomllib
from pathlib import Path

import pytest

from closedform.architecture import Architecture

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
EXAMPLES = [code for language, code in BLOCKS if language == "python"]


def test_there_are_at_least_five_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_prints_what_its_comments_say(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = "".join(f"{line}\n" for line in re.findall(r"(?:^|  )# ?(.*)$", code, re.MULTILINE))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    found = "".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines())
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(expected, found, flags), f"{found}\nexpected\n{expected}"


def test_the_network_file_is_read():
    (text,) = [code for language, code in BLOCKS if language == "toml"]
    assert Architecture.from_dict(tomllib.loads(text)).output_shape == (10,)


def test_the_first_two_blocks_are_the_commands_that_install_and_run_and_that_install_and_test():
    first, second = (code for _, code in BLOCKS[:2])
    assert first == "python -m pip install .\nclosedform train digits\n"
    assert second == 'python -m pip install -e ".[dev]"\npython -m pytest\n'
