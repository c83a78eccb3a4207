"""Settings and fixtures of all tests."""

import signal
from types import ModuleType

import pytest
from browser import axe_source, started_browser
from hypothesis import settings
from oracles import require_jax, require_torch

# a shell lets what it runs in the background ignore interrupts; those that tests send are to arrive
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# no deadline: compiling and importing make first examples slow; the same examples on every run
settings.register_profile("closedform", deadline=None, derandomize=True)
settings.load_profile("closedform")


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, or a skip that says what to install."""
    return require_torch()


@pytest.fixture(scope="session")
def jax() -> ModuleType:
    """JAX with float64, or a skip that says what to install."""
    return require_jax()


@pytest.fixture(scope="module")  # no longer: other tests fork, and measure memory
def browser():
    """A headless Chromium."""
    driver, browser = started_browser()
    yield browser
    browser.close()
    driver.stop()


@pytest.fixture(scope="session")
def violations(pytestconfig):
    """What axe-core finds on an open page: each rule with the markup that breaks it."""
    source = axe_source(pytestconfig.cache.mkdir("axe"))

    def found(page):
        page.evaluate(source)
        run = "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"
        return [
            (each["id"], [node["html"][:200] for node in each["nodes"][:4]]) for each in page.evaluate(run)
        ]

    return found
