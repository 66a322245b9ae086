"""Pages of rows stand beside their results, and the documentation copies them when it is built."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pages(monkeypatch):
    """The extension of Sphinx that copies them."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    import pages

    yield pages
    for name in ("pages", "docstrings"):
        sys.modules.pop(name, None)


def test_every_page_is_copied_with_its_picture_and_result(pages, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "src").symlink_to(ROOT / "src")
    pages.write_rows(SimpleNamespace(srcdir=str(tmp_path / "docs")))
    rows = sorted(path.parent.name.replace("_", "-") for path in (ROOT / "src/unshaken_papers").glob("*/README.md"))
    copied = tmp_path / "docs" / "papers"
    assert sorted(path.stem for path in copied.glob("*.md")) == rows
    for page in copied.glob("*.md"):
        links = re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8"))
        assert f"{page.stem}.json" in links
        assert [link for link in links if not (copied / link).exists()] == []


def test_links_to_rows_are_right_in_the_repository_and_in_the_documentation(pages):
    found = 0
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        if name.startswith(("_", "papers/")):
            continue
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([./]+src/unshaken_papers/[^)#]+)", text):
            assert (page.parent / link).is_file(), f"{page}: {link}"
            found += 1
        source = [text]
        pages.link_rows(None, name, source)
        assert "src/unshaken_papers/" not in re.sub(r"`[^`]*`|```.*?```", "", source[0], flags=re.DOTALL), page
    assert found > 53
