"""What importing the library costs and pulls in, and which part of it may import which."""

import ast
import importlib.metadata
import statistics
import sys
import tomllib
from pathlib import Path

import pytest
from processes import printed

import closedform

PACKAGE = Path(closedform.__file__).parent
PROJECT = PACKAGE.parents[1]

PUBLIC = [
    "SGD",
    "Adam",
    "AdamW",
    "Architecture",
    "Augmentation",
    "AvgPool2d",
    "CSVLogger",
    "Callback",
    "ChannelSummedConv2d",
    "ClosedformError",
    "Conv2d",
    "Cosine",
    "DataError",
    "DataSet",
    "Dense",
    "DepthwiseConv2d",
    "Document",
    "Dropout",
    "EarlyStopping",
    "FileError",
    "Flatten",
    "Formula",
    "FormulaError",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "History",
    "InverseDecay",
    "Layer",
    "LeakyReLU",
    "LocallyConnected2d",
    "Loss",
    "MaxPool2d",
    "MeanSquaredError",
    "Metrics",
    "MissingError",
    "ModelCheckpoint",
    "Network",
    "OneCycle",
    "Optimizer",
    "ReLU",
    "ReduceLROnPlateau",
    "Restarts",
    "Schedule",
    "SettingError",
    "ShapeError",
    "Sigmoid",
    "SigmoidBinaryCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Standardization",
    "StepDecay",
    "Tanh",
    "TerminateOnNaN",
    "Verdict",
    "WarmUp",
    "check",
    "explain",
    "load",
    "load_data",
    "load_digits",
]

# what each part may import of the others when the package is imported; itself and `errors` are free
ALLOWED = {
    "errors": set(),
    "random": set(),
    "writing": set(),
    "formula": set(),
    "layers": {"formula", "random"},
    "architecture": {"formula", "layers"},
    "summary": {"formula", "layers", "architecture"},
    "files": {"formula", "layers", "architecture", "writing"},
    "data": {"random"},
    "engine": {"formula", "layers", "architecture", "random"},
    "training": {"engine", "data", "layers", "random", "files", "writing"},
    "solution": {"formula", "layers", "architecture"},
    "worksheet": {"formula", "layers", "architecture", "files", "writing", "solution"},
    "explanation": {"formula", "layers", "architecture", "summary", "solution"},
    "checking": {"formula", "layers", "architecture", "solution", "worksheet"},
    "parameters": {"layers", "architecture", "data"},
    "runner": {"architecture", "parameters"},
    "network": {
        "runner",
        "formula",
        "layers",
        "architecture",
        "files",
        "writing",
        "parameters",
        "data",
        "random",
    },
    "interop": {"formula", "layers", "architecture", "parameters", "network"},
    "distributed": {"network", "training"},
    "bench": {"formula", "layers", "architecture", "engine", "training", "network"},
    "runs": {
        "formula",
        "layers",
        "architecture",
        "files",
        "writing",
        "data",
        "random",
        "training",
        "network",
        "bench",
        "explanation",
    },
    "cli": {"architecture"},
    "__main__": {"cli"},
    "__init__": {"architecture", "data", "layers", "network", "training"},
}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def part_of(path):
    """The folder or file below the package that a source belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_when_imported(path):
    """The modules that a source imports outside functions and ``if TYPE_CHECKING``."""
    waiting, found = list(ast.parse(path.read_text(encoding="utf-8")).body), set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def ours_below(path):
    """The modules of this library that a source imports outside functions, without the names from them."""
    return {name for name in imports_when_imported(path) if name.startswith("closedform.")}


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "explanation" / "building").glob("*.py")), ids=lambda p: p.stem
)
def test_the_builder_of_explanations_knows_no_format(path):
    assert [name for name in ours_below(path) if ".explanation.rendering" in name] == []


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "explanation" / "rendering").glob("*.py")), ids=lambda p: p.stem
)
def test_a_renderer_knows_no_network(path):
    rooms = ("closedform.explanation.", "closedform.errors.")
    others = {name for name in ours_below(path) if not name.startswith(rooms)}
    inside = {name for name in ours_below(path) if ".explanation.building" in name or ".explain." in name}
    assert others | inside == set()


def test_the_reader_of_imports_sees_what_counts(tmp_path):
    path = tmp_path / "source.py"
    path.write_text(
        "import a\nfrom b import c\nif TYPE_CHECKING:\n    import d\nelse:\n    import e\n"
        "def f():\n    import g\nclass H:\n    import i\n"
        "try:\n    import j\nexcept ImportError:\n    import k\n"
    )
    assert imports_when_imported(path) == {"a", "b.c", "e", "i", "j", "k"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    ours = {name.split(".")[1] for name in imports_when_imported(path) if name.startswith("closedform.")}
    part = part_of(path)
    assert ours - {part, "errors"} <= ALLOWED[part]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_numpy_is_the_only_import_from_outside(path):
    outside = {name.split(".")[0] for name in imports_when_imported(path)} - {"closedform", "numpy"}
    assert outside <= sys.stdlib_module_names


def test_importing_pulls_in_numpy_and_nothing_else():
    modules = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    before = set(printed(f"import numpy; {modules}").split())
    after = set(printed(f"import closedform; {modules}").split())
    assert after - before - set(sys.stdlib_module_names) == {"closedform"}


def test_importing_is_quick(tmp_path):
    """The library adds under 0.1 s to NumPy's import, with its byte code cached as after installation."""
    code = """
import time
import numpy
started = time.process_time()
import closedform
print(time.process_time() - started)
"""
    cached = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    printed(code, **cached)
    seconds = [float(printed(code, **cached)) for _ in range(7)]
    # seconds of the processor, and the least of them: other work on the machine only adds
    assert min(seconds) < 0.1, statistics.median(seconds)


def test_the_public_names_are_the_documented_ones():
    assert closedform.__all__ == PUBLIC
    assert all(hasattr(closedform, name) for name in PUBLIC)


def test_the_version_is_the_projects():
    project = PROJECT / "pyproject.toml"
    if not project.exists():
        pytest.skip("installed without its project file")
    assert tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] == closedform.__version__


DEFAULT_INSTALL = (
    "numpy", "llvmlite", "safetensors", "pillow", "rich", "markdown-it-py", "mdurl", "pygments",
    "threadpoolctl",
)  # fmt: skip


def test_the_default_install_stays_small():
    own = sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file())
    sizes = {"closedform": own}
    for name in DEFAULT_INSTALL:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
        places = [Path(file.locate()) for file in files]
        sizes[name] = sum(place.stat().st_size for place in places if place.is_file())
    assert sum(sizes.values()) < 300_000_000, sizes


def test_the_default_install_is_what_is_measured():
    """The dependencies of the dependencies, followed to the end, are those whose sizes are added."""
    project = PROJECT / "pyproject.toml"
    if not project.exists():
        pytest.skip("installed without its project file")
    waiting = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    found = set()
    while waiting:
        requirement = waiting.pop()
        name = requirement.split(";")[0].split("[")[0].strip("()<>=!~ .0123456789,").strip().lower()
        if "extra ==" in requirement or name in found:
            continue
        found.add(name)
        waiting += importlib.metadata.requires(name) or []
    assert found == set(DEFAULT_INSTALL)


def test_rooms_of_the_package_are_its_attributes():
    words = "import closedform as cf; print(cf.layers.Dense is cf.Dense, cf.errors.DataError is cf.DataError)"
    assert printed(words) == "True True\n"
