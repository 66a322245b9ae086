"""Pages as a small piece of HTML for a notebook's output: the first screen, then what a terminal would show."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from unshaken.attack.fooling.results import contact_sheet
from unshaken.core.notebook import card
from unshaken.report.blocks import Block, Flags, Headline, Items, Page, Prose, Span, Table, Tiles, plain, walk
from unshaken.report.render.html import render_blocks

MOST_PICTURES = 40
"""Images that are shown."""
MOST_ROWS = 40
"""Rows of a table that are shown."""


def render_notebook(page: Page, place: str = "") -> str:
    """The first screen of a page and its other brief blocks as one box, self-contained.

    Args:
        page: as in the report.
        place: where the whole report is; empty for nowhere.
    """
    blocks = list(_brief(page))
    if place:
        blocks.append(Prose(f"The whole report: {place}", "small"))
    return card(str(render_blocks(blocks)))


def pictures_card(title: str, images: Tensor, *, side: int = 64) -> str:
    """Render images side by side in a box.

    Args:
        title: of the box.
        images: uint8 `[N, C, H, W]`.
        side: of each in pixels.
    """
    file = io.BytesIO()
    some = images[:MOST_PICTURES]
    contact_sheet(some, [str(i) for i in range(len(some))], columns=10, side=side).save(file, "PNG", optimize=True)
    address = base64.b64encode(file.getvalue()).decode()
    more = f" (the first {MOST_PICTURES})" if len(images) > MOST_PICTURES else ""
    return card(f'<h1>{html.escape(title + more)}</h1><img alt="" src="data:image/png;base64,{address}">')


def _brief(page: Page) -> Iterator[Block]:
    for block in walk(page.blocks):
        if isinstance(block, Table) and block.brief:
            short = block.short()
            yield replace(short, rows=short.rows[:MOST_ROWS])
            if len(short.rows) > MOST_ROWS:
                yield Prose(f"{len(short.rows) - MOST_ROWS} more rows in the report.", "small")
        elif isinstance(block, Flags) and block.brief:
            yield replace(block, flags=tuple(replace(f, ids=()) for f in block.flags))
        elif isinstance(block, Headline):
            yield replace(block, notices=())
            if block.notices:  # without their links, which lead to parts of the page
                yield Items(tuple(Span(plain(n.text), n.tone) if n.tone == "bad" else n.text for n in block.notices))
        elif block.brief or isinstance(block, Tiles):
            yield block
