"""docs/layers holds what `scripts/layer_pages` writes, and reads well as Markdown."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from closedform.layers import LAYERS, LOSSES

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "layer_pages"
FOLDER = ROOT / "docs" / "layers"
AGAIN = "run scripts/layer_pages, read what has changed, and commit docs/layers"


@pytest.fixture(scope="module")
def script():
    loader = importlib.machinery.SourceFileLoader("layer_pages", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("layer_pages", loader))
    sys.modules["layer_pages"] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    yield module
    del sys.modules["layer_pages"]


@pytest.fixture(scope="module")
def made(script):
    return script.pages()


def stored(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def test_there_is_a_page_for_every_layer_and_loss_and_a_list(made):
    expected = {f"{name}.md" for name in (*LAYERS, *LOSSES)} | {"README.md"}
    assert set(made) == expected
    assert {path.name for path in FOLDER.iterdir()} == expected, AGAIN


@pytest.mark.parametrize("name", [*LAYERS, *LOSSES, "README"])
def test_a_committed_page_is_what_is_generated(made, name):
    assert made[f"{name}.md"] == stored(f"{name}.md"), AGAIN


@pytest.mark.parametrize("name", [*LAYERS, *LOSSES])
def test_a_page_has_the_parts_in_order(name):
    headings = [line for line in stored(f"{name}.md").splitlines() if line.startswith("#")]
    parts = [h.split(" ", 2)[2] for h in headings if h.startswith("## ")]
    has_parameters = "Gradient descent" in parts
    middle = ["The loss"] if name in LOSSES else ["Sizes and parameters", "Forward"]
    descent = ["Gradient descent"] if has_parameters else []
    assert headings[0] == f"# {name}"
    assert parts == [*middle, "Backward", "What had to be kept", *descent, "Numerical check"]
    # a row of its own for each parameter, and the input last
    gradients = [h.split(" ", 2)[2] for h in headings if "Gradient in" in h]
    assert gradients[-1] == "Gradient in $X$"
    assert (len(gradients) > 1) == has_parameters


@pytest.mark.parametrize("name", [*LAYERS, *LOSSES])
def test_every_page_agrees_with_difference_quotients(name):
    last = stored(f"{name}.md").rstrip().splitlines()[-1]
    assert "The difference quotients agree with the derived gradients to 10⁻" in last


@pytest.mark.parametrize("name", [*LAYERS, *LOSSES, "README"])
def test_a_page_is_markdown_without_markup_left_over(name):
    tokens = MarkdownIt("commonmark").enable("table").parse(stored(f"{name}.md"))
    for token in tokens:
        for child in token.children or ():
            assert child.type != "text" or "**" not in child.content, token.content
    assert not any(token.type in ("html_block", "html_inline") for token in tokens)
    rows, columns = 0, 0
    for token in tokens:
        if token.type == "tr_open":
            columns = 0
        elif token.type in ("td_open", "th_open"):
            columns += 1
        elif token.type == "table_open":
            rows, width = 0, None
        elif token.type == "tr_close":
            rows += 1
            width = columns if width is None else width
            assert columns == width
        elif token.type == "table_close":
            assert rows > 1


def test_the_list_names_every_page_with_its_first_line():
    text = stored("README.md")
    assert "- [Conv2d](Conv2d.md): Convolution of images with filters, one for each output channel." in text
    for name in (*LAYERS, *LOSSES):
        assert f"- [{name}]({name}.md): " in text


def test_the_pages_teach_what_they_promise():
    conv = stored("Conv2d.md")
    assert "(3 − 2 + 2·1)//2 + 1 = 2" in conv
    assert (
        "> This is the **full convolution, cropped by the padding, of the zero-inserted** "
        r"$\partial L/\partial Y$ **with** $W$ **rotated by 180°**: "
        "1 zero between neighbours, 1 row of zeros below, 1 column of zeros right." in conv
    )
    assert "rotated by 180°, the same for every p**" in stored("ChannelSummedConv2d.md")
    assert "| 0 | 7 | 1 | 0 |" in stored("MaxPool2d.md")  # both windows give to their first maximum
    assert (
        r"\frac{\partial L}{\partial w_{2}} &= \frac{\partial L}{\partial y_{1}} \cdot {x_{2}}^{2}"
        in stored("Formula.md")
    )
    assert "The targets:" in stored("MeanSquaredError.md")


def test_check_names_what_differs_and_writes_nothing(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    monkeypatch.setattr(script, "pages", lambda: {"Dense.md": "new\n", "ReLU.md": "same\n"})
    (tmp_path / "Dense.md").write_text("old\n")
    (tmp_path / "ReLU.md").write_text("same\n")
    (tmp_path / "Left.md").write_text("of a layer that is no more\n")
    monkeypatch.setattr(sys, "argv", ["layer_pages", "--check"])
    assert script.main() == 1
    assert capsys.readouterr().out == (
        "docs/layers/Dense.md differs from what scripts/layer_pages writes\n"
        "docs/layers/Left.md differs from what scripts/layer_pages writes\n"
    )
    assert (tmp_path / "Dense.md").read_text() == "old\n"
    monkeypatch.setattr(sys, "argv", ["layer_pages"])
    assert script.main() == 0
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"Dense.md": "new\n", "ReLU.md": "same\n"}
    monkeypatch.setattr(sys, "argv", ["layer_pages", "--check"])
    assert script.main() == 0
    assert capsys.readouterr().out == ""


def test_the_script_runs_by_itself():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
