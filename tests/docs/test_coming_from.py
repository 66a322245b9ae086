"""The pages for users of other tools: their code blocks run, in the order of the page, and each page is linked."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "coming-from").glob("*.md"))
BLOCK = re.compile(r"^```python( runnable)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path) -> list[tuple[bool, str]]:
    return [(bool(mark), code) for mark, code in BLOCK.findall(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    ran = 0
    for runnable, code in blocks(path):
        ast.parse(code)
        if runnable:
            exec(compile(code, str(path), "exec"), names)
            ran += 1
    assert ran


def test_adversarial_images_stand_beside_the_images_that_they_were_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for runnable, code in blocks(DOCS / "coming-from" / "torchattacks.md"):
        if runnable:
            exec(compile(code, "torchattacks.md", "exec"), names)
    moved = (names["adversarial"] - names["images"]).flatten(1).abs().amax(1)
    assert moved.shape == (8,)
    assert float(moved.max()) == pytest.approx(8 / 255, rel=1e-5)
    assert len(names["kept"]) == 20


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_nothing_but_the_other_tools_own_code_is_left_out(path):
    """Of each page the first block is what is typed there; all others run."""
    _, *others = re.findall(r"^```(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert others
    assert set(others) == {"python runnable"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_short_and_says_what_differs(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "\n| theirs | ours |\n" in text
    assert "\nWhat differs: " in text
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_peer_has_its_page():
    assert {p.stem for p in PAGES} == {
        *("art", "autoattack", "captum", "cleanlab", "foolbox", "imagecorruptions", "openood", "robustbench"),
        "torchattacks",
    }
    assert "\ncoming-from/*\n" in (DOCS / "index.md").read_text(encoding="utf-8")
