"""``closedform check`` and ``closedform explain``: exit codes, formats and files."""

import json
import os
import re
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest
from processes import environment, ordinary_user, python

from closedform.cli import main

WORKSHEETS = Path(__file__).parents[1] / "worksheets"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sheet(name):
    return str(WORKSHEETS / f"{name}.toml")


# ---- exit codes


@pytest.mark.parametrize(
    ("name", "code"), [("c4", 0), ("b3", 0), ("c4-as-scanned", 1), ("c2-as-written", 1), ("d1-as-written", 1)]
)
def test_exit_code_0_is_right_and_1_is_wrong(capsys, name, code):
    assert main(["check", sheet(name)]) == code
    output, errors = capsys.readouterr()
    assert errors == ""
    assert output.endswith(f"claim{'s' if name != 'c1' else ''}.\n") == (code == 0)


UNREADABLE = [
    ("none.toml", None, "none.toml: cannot be read: No such file or directory"),
    ("key.toml", "[sheets]\n", "key.toml: unknown key 'sheets'; did you mean sheet?"),
    (
        "toml.toml",
        "x",
        "toml.toml: is not TOML: Expected '=' after a key in a key/value pair (at end of document)",
    ),
    ("bare.toml", "{network}", "bare.toml: states nothing: add a [[claim]]"),
    (
        "python.toml",
        "{network}[[claim]]\nof = 'dF'\nformula = 'dF[u,v] = os.remove(X)'\n",
        "python.toml: claim 1 (dF): a point stands only inside a number, as in 0.5, and in the extent of an "
        "axis, |X.2|\n  dF[u,v] = os.remove(X)\n              ^",
    ),
    (
        "shape.toml",
        "{network}[[claim]]\nof = 'dF'\nvalues = [1, 2]\n",
        "shape.toml: claim 1 (dF): expects shape (2, 2), got (2,)",
    ),
    (
        "shapes.toml",
        "{network}[[claim]]\nof = 'dF'\nvalues = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\n",
        "shapes.toml: claim 1 (dF): expects shape (2, 2), got (3, 3)",
    ),
    (
        "setting.toml",
        "{network}[[claim]]\nof = 'dF'\nformula = 'dF[u,v] = sum[i,j] dO[i,j] * X[q*i+u,j+v]'\n",
        "setting.toml: claim 1 (dF): q has no value: it is no index, and no setting of the layer",
    ),
]


@pytest.mark.parametrize(("name", "text", "message"), UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_exit_code_2_is_unreadable(capsys, name, text, message):
    network = Path(sheet("c4")).read_text(encoding="utf-8").partition("[input]")[0]
    if text is not None:
        Path(name).write_text(text.replace("{network}", network), encoding="utf-8")
    assert main(["check", name]) == 2
    assert capsys.readouterr() == ("", f"closedform: {message}\n")


@pytest.mark.parametrize(("name", "text", "message"), UNREADABLE[:3], ids=[row[0] for row in UNREADABLE[:3]])
def test_explain_ends_in_the_same_way(capsys, name, text, message):
    if text is not None:
        Path(name).write_text(text, encoding="utf-8")
    assert main(["explain", name]) == 2
    assert capsys.readouterr() == ("", f"closedform: {message}\n")


@pytest.mark.parametrize("command", ["check", "explain"])
def test_help_says_the_exit_codes(capsys, command):
    assert main([command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "2 where a file cannot be read or written" in said
    assert ("1 where something is wrong" in said) == (command == "check")


USAGE = [
    ("check", "closedform check: the following arguments are required: FILE.toml"),
    (
        "check x.toml --format pdf",
        "closedform check: argument --format: 'pdf' is unknown; known are text, json, html",
    ),
    ("explain", "closedform explain: the following arguments are required: FILE.toml"),
    (
        "explain x.toml --format mathml",
        "closedform explain: argument --format: 'mathml' is unknown; did you mean html?",
    ),
    (
        "explain x.toml --first-index 2",
        "closedform explain: argument --first-index: must be a whole number from 0 to 1, got '2'",
    ),
    ("check x.toml --out=", "closedform check: argument --out: must name a file or folder, got ''"),
]


@pytest.mark.parametrize(("line", "message"), USAGE)
def test_wrong_usage(capsys, line, message):
    assert main(line.split()) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines()[-1] == message


def test_a_process_ends_in_the_same_way():
    for name, code in [("c4", 0), ("c4-as-scanned", 1), ("none", 2)]:
        done = python("-m", "closedform", "check", sheet(name))
        assert done.returncode == code
        assert "Traceback" not in done.stderr


# ---- text


def test_the_text_of_a_verdict(capsys):
    assert main(["check", sheet("c2-as-written")]) == 1
    assert capsys.readouterr().out == (
        "C2 as written: sizes of a network\n"
        "\n"
        "✓  1  size of Z1     right\n"
        "✓  2  size of P1     right\n"
        "✗  3  size of F1     wrong\n"
        "       F1: given 1848, expected 784\n"
        "         = 16·7·7 = 784\n"
        "→  4  numbers in W2  follows from F1: an error carried forward\n"
        "       W2: given 59136, expected 25088\n"
        "✓  5  numbers in W3  right\n"
        "\n"
        "Wrong: 1 of 5 claims is wrong, 1 carries an error forward. The first wrong step is F1 (claim 3).\n"
    )


def test_the_text_names_the_mistake_and_writes_the_entries_out(capsys):
    assert main(["check", sheet("c4-as-scanned")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "✗  2  y   wrong" in lines
    assert (
        "       pool-factor-missing: The factor of the mean is missing; each of k² entries counts 1/k²."
        in lines
    )
    place = lines.index("✗  4  dF  wrong in 2 of 4 entries")
    assert lines[place + 1 : place + 5] == [
        "       dF[2,1]: given 17/4, expected 7/4",
        "         = dO11·X21 + dO12·X22 + dO21·X31 + dO22·X32 = 1/4·3 + 1/4·1 + 1/4·4 + 1/4·(-1) = 7/4",
        "       dF[2,2]: given 13/4, expected 3/4",
        "         = dO11·X22 + dO12·X23 + dO21·X32 + dO22·X33 = 1/4·1 + 1/4·5 + 1/4·(-1) + 1/4·(-2) = 3/4",
    ]
    assert max(map(len, lines)) <= 100


def test_marks_have_plain_signs_where_the_terminal_lacks_them():
    done = python("-m", "closedform", "check", sheet("c2-as-written"), PYTHONIOENCODING="ascii")
    assert [line[0] for line in done.stdout.splitlines() if re.match(r". +\d  ", line)] == list("++x>+")


# ---- JSON


def test_json(capsys):
    assert main(["check", sheet("c4-as-scanned"), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        "format_version", "title", "right", "first_wrong", "first_index", "conventions", "steps",
    ]  # fmt: skip
    assert (found["format_version"], found["right"], found["first_wrong"]) == (1, False, "y")
    assert [step["status"] for step in found["steps"]] == ["right", "wrong", "wrong", "wrong", "wrong"]
    step = found["steps"][3]
    assert list(step) == [
        "number", "name", "statement", "right", "status", "compared", "differing", "entries", "mistakes",
        "sentences", "where", "follows_from", "notes",
    ]  # fmt: skip
    assert step["entries"][0] == {
        "index": [2, 1],
        "given": "17/4",
        "expected": "7/4",
        "expansion": "dO11·X21 + dO12·X22 + dO21·X31 + dO22·X32 = 1/4·3 + 1/4·1 + 1/4·4 + 1/4·(-1) = 7/4",
    }
    assert found["steps"][1]["mistakes"] == ["pool-factor-missing"]


# ---- HTML


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.wrong, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.tags and self.tags[-1][1].get("class") == "differs" and data.strip():
            self.wrong.append(data)


def test_html_needs_nothing_else_and_marks_exactly_the_wrong_entries(capsys):
    assert main(["check", sheet("c4-as-scanned"), "--format", "html"]) == 1
    text = capsys.readouterr().out
    page = _Page(text)
    assert page.open == []
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    assert all("src" not in attributes and "href" not in attributes for _, attributes in page.tags)
    assert page.wrong == ["40", "1/2", "1/2", "1/2", "1/2", "17/4", "13/4", "13/4", "13/4", "1/4", "-1/4"]
    assert '.differs::before { content: "✗ "; }' in text  # not by colour alone
    assert "<title>C4 as scanned: backward through a convolution and the mean: wrong</title>" in text
    assert text.count("<section") == 5
    assert "each of k² entries counts 1/k²" in text


def test_html_escapes_what_the_sheet_says(capsys):
    text = Path(sheet("c4")).read_text(encoding="utf-8")
    Path("s.toml").write_text(text.replace("C4: backward", "<script>alert(1)</script>"), encoding="utf-8")
    assert main(["check", "s.toml", "--format", "html"]) == 0
    assert "<script" not in capsys.readouterr().out


# ---- files


def test_out_writes_a_whole_file_in_the_format_of_its_name(capsys):
    for name, start in [("v.json", "{"), ("v.html", "<!doctype html>"), ("V.TXT", "C4")]:
        assert main(["check", sheet("c4"), "--out", name]) == 0
        assert Path(name).read_text(encoding="utf-8").startswith(start)
    assert main(["check", sheet("c4"), "--out", "v.txt", "--format", "json"]) == 0
    assert json.loads(Path("v.txt").read_text(encoding="utf-8"))["right"]
    assert capsys.readouterr() == ("", "")
    assert sorted(path.name for path in Path().iterdir()) == ["V.TXT", "v.html", "v.json", "v.txt"]


def test_out_that_cannot_be_written(capsys, folder):
    Path("taken").write_text("mine")
    assert main(["check", sheet("c4"), "--out", "."]) == 2
    assert capsys.readouterr().err == f"closedform: .: is a folder: name a file, as in {Path('c4.txt')}\n"
    assert main(["check", sheet("c4"), "--out", "taken/v.html"]) == 2
    place = Path("taken/v.html")
    assert capsys.readouterr().err == f"closedform: {place}: cannot be written: taken is no folder\n"
    assert main(["check", sheet("c4"), "--out", "deep/er/v.html"]) == 2
    place = Path("deep/er/v.html")
    assert capsys.readouterr().err == (
        f"closedform: {place}: cannot be written: there is no folder {place.parent}: make it first\n"
    )
    assert not Path("deep").exists()
    folder.chmod(0o755)
    (folder / "locked").mkdir()
    (folder / "locked").chmod(0o555)
    text = Path(sheet("c4")).read_text(encoding="utf-8")
    Path("c4.toml").write_text(text, encoding="utf-8")
    with ordinary_user():
        assert main(["check", "c4.toml", "--out", "locked/v.html"]) == 2
    place = Path("locked/v.html")
    assert capsys.readouterr().err == f"closedform: {place}: cannot be written: Permission denied\n"
    assert list((folder / "locked").iterdir()) == []


@pytest.mark.parametrize("command", ["check", "explain"])
def test_out_is_never_the_file_that_is_read(capsys, command):
    text = Path(sheet("c4")).read_text(encoding="utf-8")
    Path("own.toml").write_text(text, encoding="utf-8")
    Path("link.txt").symlink_to("own.toml")
    os.link("own.toml", "hard.txt")
    for out in ("own.toml", "./own.toml", "link.txt", "hard.txt"):
        for settings in ([], ["--format", "text"]):
            assert main([command, "own.toml", "--out", out, *settings]) == 2
            assert capsys.readouterr() == (
                "",
                f"closedform: {Path(out)}: --out is the file that is read: name another\n",
            )
    assert Path("own.toml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("command", "out", "message"),
    [
        ("check", "-", "--out -: leave --out out to print"),
        ("explain", "-", "--out -: leave --out out to print"),
        (
            "explain",
            "x.pdf",
            "x.pdf: .pdf is the ending of no format; known are .txt, .tex, .html, .ipynb, .md: "
            "or add --format",
        ),
        (
            "check",
            "x.tex",
            "x.tex: .tex is the ending of no format; known are .txt, .json, .html: or add --format",
        ),
    ],
)
def test_out_that_names_no_format(capsys, folder, command, out, message):
    assert main([command, sheet("c4"), "--out", out]) == 2
    assert capsys.readouterr() == ("", f"closedform: {message}\n")
    assert list(folder.iterdir()) == []


def test_out_of_any_name_in_a_format_that_is_named(capsys):
    for arguments in (["--out", "x.pdf", "--format", "text"], ["--out", "plain"]):
        assert main(["check", sheet("c4"), *arguments]) == 0
        assert Path(arguments[1]).read_text(encoding="utf-8").startswith("C4")


def test_out_follows_a_link(folder):
    (folder / "far").mkdir()
    for target in ("far/there.html", "far/new.html"):
        Path("far/there.html").write_text("before")
        Path("link.html").symlink_to(target)
        assert main(["check", sheet("c4"), "--out", "link.html"]) == 0
        assert os.readlink("link.html") == target
        assert Path(target).read_text(encoding="utf-8").startswith("<!doctype html>")
        Path("link.html").unlink()
    assert sorted(path.name for path in folder.rglob("*")) == ["far", "new.html", "there.html"]


def test_out_is_written_through_a_pipe_with_a_name(folder):
    os.mkfifo("pipe.json")
    found = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe.json").read_bytes()))
    reader.start()
    assert main(["check", sheet("c4"), "--out", "pipe.json"]) == 0
    reader.join(60)
    assert json.loads(found[0])["right"]
    assert Path("pipe.json").is_fifo()
    assert [path.name for path in folder.iterdir()] == ["pipe.json"]


def test_out_may_be_what_the_program_prints_to(folder):
    Path("log").write_text("before\n")
    Path("way").symlink_to("/proc/self/fd/1")
    with open("log", "a") as log:
        command = [sys.executable, "-m", "closedform", "check", sheet("c4"), "--out", "way"]
        done = subprocess.run(command, env=environment(), stdout=log, check=False)
    assert done.returncode == 0
    assert Path("log").read_text(encoding="utf-8").startswith("before\nC4")
    done = python("-m", "closedform", "check", sheet("c4"), "--out", "way")
    assert done.stdout.startswith("C4")
    assert sorted(path.name for path in folder.iterdir()) == ["log", "way"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["check", "explain"])
@pytest.mark.parametrize("name", ["c4", "c4-as-scanned"])
def test_an_output_that_is_full_is_no_verdict(unbuffered, command, name):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "closedform", command, sheet(name)],
            env=environment(PYTHONUNBUFFERED=unbuffered),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "closedform: No space left on device\n")


def test_a_broken_pipe_is_no_traceback():
    code = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-m', 'closedform', 'check', {sheet('d3-misread')!r}, "
        "'--format', 'html'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)\n"
        "p.stdout.close()\n"
        "print(p.stderr.read(), p.wait())\n"
    )
    done = python("-c", code)
    assert done.stdout.strip() == "2"  # and not 1, which is a verdict


# ---- explain


def test_explain_writes_the_solution_out(capsys):
    assert main(["explain", sheet("c4")]) == 0
    text = capsys.readouterr().out
    assert "C4: backward through a convolution and the mean" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("format", "start"),
    [
        ("latex", r"\documentclass"),
        ("html", "<!doctype html>"),
        ("md", "*worked solution*\n\n# C4"),
        ("text", "worked solution"),
    ],
)
def test_explain_in_every_format(capsys, format, start):
    assert main(["explain", sheet("c4"), "--format", format]) == 0
    assert capsys.readouterr().out.lower().startswith(start.lower())


def test_explain_as_a_notebook():
    pytest.importorskip("nbformat")
    assert main(["explain", sheet("c4"), "--out", "c4.ipynb"]) == 0
    assert json.loads(Path("c4.ipynb").read_text(encoding="utf-8"))["nbformat"] == 4


def test_explain_one_layer_one_gradient_and_from_0(capsys):
    assert main(["explain", sheet("c4"), "--wrt", "F"]) == 0
    only_filter = capsys.readouterr().out
    assert main(["explain", sheet("c4")]) == 0
    assert len(only_filter) < len(capsys.readouterr().out)
    assert main(["explain", sheet("c4"), "--layer", "0", "--first-index", "0"]) == 0
    assert "Entries are counted from 0" in capsys.readouterr().out
    assert main(["explain", sheet("c4"), "--wrt", "G"]) == 2
    assert capsys.readouterr().err.startswith("closedform: the network has no quantity 'G'; ")


def test_explain_takes_a_network_without_numbers(capsys):
    Path("net.toml").write_text('[network]\ninput_shape = [4]\n[[layer]]\ntype = "Dense"\nout_features = 2\n')
    assert main(["explain", "net.toml"]) == 0
    assert "net" in capsys.readouterr().out
