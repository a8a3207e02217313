import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOBS = ("*.md", "docs/**/*.md", "benchmarks/*.md", "checkpoints/*.md", "datasets/*.md")
PAGES = [path for glob in GLOBS for path in ROOT.glob(glob)]


def without_code(page):
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_heading_that_exist(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if not link.startswith(("http://", "https://")):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_picture_of_the_docs_is_shown_on_a_page():
    links = [(page, link) for page in PAGES for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text("utf-8"))]
    shown = {(page.parent / link).resolve() for page, link in links}
    assert set((ROOT / "docs" / "images").iterdir()) <= shown
