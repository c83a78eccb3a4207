"""Python in a process of its own, and this process with fewer rights."""

import importlib
import os
import pkgutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import closedform

SOURCE = str(Path(closedform.__file__).parents[1])


def environment(**changes):
    """This process's environment, in which closedform is found from any folder."""
    paths = [SOURCE, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **changes}


def python(*arguments, folder=None, **changes):
    """Run an interpreter; what it printed, and its exit code."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def printed(code, **changes):
    """What a program printed; it must not fail."""
    done = python("-c", code, **changes)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def ordinary_user():
    """Permissions do not bind the superuser, so be somebody else for a while."""
    if os.name != "posix":
        pytest.skip("permissions are POSIX's")
    # the library itself may lie where only the superuser reads
    for module in pkgutil.walk_packages(closedform.__path__, "closedform."):
        if module.name != "closedform.__main__":
            importlib.import_module(module.name)
    for name in ("safetensors.numpy", "tempfile", "threadpoolctl"):
        importlib.import_module(name)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
