"""Pages as text for a terminal: the brief blocks, what nobody should miss last. Wants `rich`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from unshaken.core.texts import printable
from unshaken.report.blocks import (
    Block,
    Cell,
    Facts,
    Flags,
    Group,
    Headline,
    Items,
    Page,
    Prose,
    Span,
    Table,
    Text,
    is_bad,
    pieces,
    plain,
    walk,
)
from unshaken.report.drawings import Overlay

if TYPE_CHECKING:
    from rich.console import RenderableType

LONGEST = 1200
"""Characters of a line at most."""


def render_terminal(page: Page) -> Iterator[RenderableType]:
    """Renderables for `rich`: headline, tables, figures in a line, then flags, gates and warnings."""
    from rich.text import Text as Line

    blocks = [b for b in walk(page.blocks) if b.brief]
    for block in blocks:
        if isinstance(block, Headline):
            yield Line(line(block.title), style="bold")
            if block.lead:
                yield Line(line(" ".join(map(plain, block.lead))))
            yield from (Line(line(plain(item)), style="bold red" if is_bad(item) else "") for item in block.lines)
        elif isinstance(block, Table):
            yield Line("")
            yield _table(block.short())
        elif isinstance(block, Prose) and block.tone != "bad":
            yield Line(line(plain(block.text)))
        elif isinstance(block, Facts):
            yield Line("")
            yield _facts(block)
        elif isinstance(block, Overlay):
            yield Line(line(f"{block.name}: {len(block.layers)} are on the page"))
    if any(_is_last(b) for b in blocks):
        yield Line("")
    for text, bad in _last(blocks):
        yield Line(text, style="bold red" if bad else "")


def warnings(page: Page) -> list[str]:
    """Lines of what nobody should miss: flags, gates that failed, samples left out."""
    flags = [f for b in walk(page.blocks) if isinstance(b, Flags) for f in _flag_lines(b)]
    last = [text for text, bad in _last([b for b in walk(page.blocks) if b.brief]) if bad]
    return list(dict.fromkeys([*flags, *last]))


def line(text: str) -> str:
    """One printable line, not longer than anybody reads: a character that could steer a terminal becomes its escape."""
    whole = printable(" ".join(text.split()))
    return whole if len(whole) <= LONGEST else whole[: LONGEST - 3] + "..."


def _is_last(block: Block) -> bool:
    return isinstance(block, Flags | Items) or (isinstance(block, Prose) and block.tone == "bad")


def _last(blocks: list[Block]) -> Iterator[tuple[str, bool]]:
    """The lines at the end, each with whether it is bad news."""
    for block in sorted((b for b in blocks if _is_last(b)), key=lambda b: isinstance(b, Prose)):
        if isinstance(block, Flags):
            yield from ((text, False) for text in _flag_lines(block))
        elif isinstance(block, Items):
            for item in block.items:
                yield line(plain(item)), is_bad(item)
        elif isinstance(block, Prose):
            yield line(plain(block.text)), True


def _flag_lines(block: Flags) -> list[str]:
    return [line(f"flag {f.name}: {f.detail}") for f in block.flags]


def _facts(block: Facts) -> RenderableType:
    from rich.table import Table as Drawn
    from rich.text import Text as Line

    drawn = Drawn.grid(padding=(0, 3, 0, 0))
    for name, value in block.facts:
        strong = (p.text if isinstance(p, Span) else p for p in pieces(value) if getattr(p, "mark", "") != "soft")
        drawn.add_row(Line(line(name)), Line(line("".join(strong))))
    return drawn


def _table(block: Table) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Drawn
    from rich.text import Text as Line

    drawn = Drawn(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in block.columns:
        title = f"{column.title} ({column.note})" if column.note else column.title
        drawn.add_column(Line(line(title)), justify="right" if column.number else "left", overflow="fold")
    for row in block.rows:
        if isinstance(row, Group):
            drawn.add_row(Line(line(plain(row.text)), style="bold"))
        else:
            drawn.add_row(*(Line(line(_cell(c)), style="bold red" if is_bad(_text(c)) else "") for c in row))
    return drawn


def _text(value: Cell | Text) -> Text:
    return value.text if isinstance(value, Cell) else value


def _cell(value: Cell | Text) -> str:
    one = value if isinstance(value, Cell) else Cell(value)
    shown = plain(one.text) or "–"
    return f"{shown} ({one.interval.removesuffix(' %')})" if one.interval else shown
