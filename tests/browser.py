"""A headless Chromium and axe-core for the tests of pages, or a skip that says what to install."""

import shutil
import subprocess
import tarfile

import pytest

AXE = "axe-core@4.14.1"


def started_browser():
    """Playwright and a browser that it drives; the caller stops both."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs the package playwright: pip install playwright"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs a browser: apt install chromium")
    driver = api.sync_playwright().start()
    return driver, driver.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])


def axe_source(folder):
    """The text of axe-core, fetched once into a folder."""
    archive = folder / f"{AXE.replace('@', '-')}.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm, to fetch axe-core: apt install npm")
        command = [npm, "pack", "--silent", "--pack-destination", str(folder), AXE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
        if done.returncode or not archive.exists():
            pytest.skip(f"needs {AXE} from the npm registry: npm pack {AXE}\n{done.stderr[-300:]}")
    with tarfile.open(archive) as packed:
        return packed.extractfile("package/axe.min.js").read().decode("utf-8")
