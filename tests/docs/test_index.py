"""The index of the documentation names every page once, under one of the four kinds."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
KINDS = ("Tutorials", "How-to", "Reference", "Explanation")


def trees() -> list[tuple[str, list[str]]]:
    """Caption and pages of each tree, patterns resolved."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    found = []
    for body in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        caption = re.findall(r"^:caption: (.+)$", body, re.MULTILINE)[0]
        lines = [line for line in body.splitlines() if line and not line.startswith(":")]
        pages = [
            page
            for line in lines
            for page in (
                sorted(p.relative_to(DOCS).with_suffix("").as_posix() for p in DOCS.glob(f"{line}.md"))
                if "*" in line and not line.startswith("_generated")
                else [line]
            )
        ]
        found.append((caption, pages))
    return found


def test_captions_are_of_the_four_kinds():
    assert {next(k for k in KINDS if caption.startswith(k)) for caption, _ in trees()} == set(KINDS)


def test_every_page_is_named_once():
    counts = Counter(page for _, pages in trees() for page in pages)
    assert [page for page, n in counts.items() if n > 1] == []
    there = {
        p.relative_to(DOCS).with_suffix("").as_posix()
        for p in DOCS.rglob("*.md")
        if not p.relative_to(DOCS).parts[0].startswith("_")
    }
    assert there - {"index"} - {p for p in there if p.startswith("papers/")} - set(counts) == set()


def test_titles_have_three_words_at_most():
    titles = {
        page: page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        for page in DOCS.rglob("*.md")
        if page.relative_to(DOCS).parts[0] not in {"_generated", "papers"}
    }
    assert {page: title for page, title in titles.items() if len(title.split()) > 3} == {}


def test_pictures_of_pages_are_there_and_small():
    sizes = {}
    for page in DOCS.rglob("*.md"):
        for link in re.findall(r"!\[[^\]]*\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                sizes[link] = (page.parent / link).stat().st_size
    gallery = [size for link, size in sizes.items() if link.startswith("images/gallery/")]
    assert len(gallery) >= 6
    assert max(gallery) <= 120_000
    assert sum(gallery) <= 900_000
