"""The documentation names what there is."""

import re
from pathlib import Path

import closedform as cf
from closedform.checking.mistakes import MISTAKES
from closedform.runs.run_file import RunFile

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_on_checking_lists_every_mistake_in_order():
    page = (DOCS / "checking.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(mistake.id, mistake.description) for mistake in MISTAKES.values()]


def test_links_between_pages_lead_somewhere():
    for page in (DOCS.parent / "README.md", *DOCS.rglob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_example_of_the_page_on_training_runs(capsys):
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(compile(code, "training.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"  # (.*)$", code, re.MULTILINE)


def test_the_run_file_of_the_page_on_training_is_read(tmp_path):
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    run = RunFile.read(tmp_path / "run.toml")
    assert run.architecture((3, 64, 64), cf.SoftmaxCrossEntropy()).output_shape == (5,)
