"""What the documentation names exists."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
READERS = [ROOT / "manage.py", ROOT / "newapi" / "health.py", *(ROOT / "newapi" / "settings").glob("*.py")]
SETTINGS = "\n".join(path.read_text() for path in READERS)


def found(pattern: str, page: Path) -> set[str]:
    """All that a page names in such a way."""
    return set(re.findall(pattern, page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    for name in found(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", page):
        assert re.search(rf"\b{name}\b", SETTINGS), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    for name in found(r"manage\.py ([a-z_]+)", page):
        assert name in get_commands(), f"{page.name} names manage.py {name}"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in found(r"\bmake ([a-z]+)\b`", page) | found(r"^make ([a-z]+)", page):
        assert name in targets, f"{page.name} names make {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_links_exist(page: Path) -> None:
    for name in found(r"`((?:newapi|accounts|channels|billing|moderation|tests|docs|bench)/[\w./-]*)`", page):
        assert (ROOT / name).exists(), f"{page.name} names {name}"
    for name in found(r"\]\((?!https?:|#)([^)#]+)", page):
        assert (page.parent / name).exists(), f"{page.name} links to {name}"
