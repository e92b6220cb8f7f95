"""Links between the pages lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pages import ROOT, all_pages

PAGES = [*all_pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def unfenced(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^(`{3,}).*?^\1$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The page without its code, which may hold brackets of its own."""
    return re.sub(r"`[^`\n]*`", "`", unfenced(page))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", unfenced(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_and_headings_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}, which is not there"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{page.name} links to {target}; {linked.name} has no such heading"


def test_every_page_can_be_reached_from_the_map() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8") + (ROOT / "docs/decisions/README.md").read_text("utf-8")
    for page in all_pages()[1:]:
        if page.name in {"index.md", "README.md"}:
            continue
        assert page.name in index, f"docs/index.md does not mention {page.relative_to(ROOT)}"
