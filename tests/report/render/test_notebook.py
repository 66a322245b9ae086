"""A page in a notebook's output."""

import re

import torch

from unshaken.report.blocks import Column, Doubt, Flags, Headline, Notice, Page, Prose, Span, Table, Tile, Tiles
from unshaken.report.render.notebook import MOST_ROWS, pictures_card, render_notebook

HOSTILE = "<script>alert(1)</script>"


def test_the_brief_blocks_are_shown_escaped_and_without_the_network():
    rows = tuple((f"row {i}", HOSTILE) for i in range(MOST_ROWS + 5))
    page = Page(
        "t",
        (
            Headline(HOSTILE, ("lead ", Span("86 %", "strong")), (Notice("gates failed", "gates"),), brief=True),
            Prose("not here"),
            Tiles((Tile("clean", "86 %", HOSTILE),)),
            Table("caption", (Column("name"), Column("long", brief=False)), rows, brief=True),
            Flags((Doubt("zero-gradient", HOSTILE, ids=tuple(map(str, range(1000)))),), brief=True),
        ),
    )
    text = render_notebook(page, "runs/<a>/report.html")
    assert "<script" not in text
    assert "not here" not in text
    assert "86\N{NO-BREAK SPACE}%" in text
    assert "gates failed</span>" in text
    assert "#gates" not in text  # its address is not in a notebook
    assert "row 39" in text
    assert "row 40" not in text
    assert "5 more rows in the report" in text
    assert "runs/&lt;a&gt;/report.html" in text
    assert not re.search(r"(src|href)=|url\(|@import", text)
    assert len(text) < 20_000


def test_pictures_are_in_the_page():
    text = pictures_card("<b>", torch.randint(0, 256, (60, 1, 28, 28), dtype=torch.uint8))
    assert "&lt;b&gt; (the first 40)" in text
    assert text.count("data:image/png;base64,") == 1
    assert len(text) < 200_000
