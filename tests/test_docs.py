"""The documentation names what there is."""

import re
from pathlib import Path

from closedform.checking.mistakes import MISTAKES

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_on_checking_lists_every_mistake_in_order():
    page = (DOCS / "checking.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(mistake.id, mistake.description) for mistake in MISTAKES.values()]


def test_links_between_pages_lead_somewhere():
    for page in (DOCS.parent / "README.md", *DOCS.rglob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
