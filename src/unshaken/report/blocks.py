"""Blocks of a page. Sections make them; the renderers know these and no room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Span:
    """Text with a mark: `strong`, `code`, `soft` (less important), `good` or `bad`."""

    text: str
    mark: str


def pieces(text: Text) -> tuple[str | Span, ...]:
    """Give the pieces of a text, plain and marked."""
    return text if isinstance(text, tuple) else (text,)


def plain(text: Text) -> str:
    """Give a text without its marks."""
    return "".join(p.text if isinstance(p, Span) else p for p in pieces(text))


Text = str | Span | tuple[str | Span, ...]
"""A line of text: plain, marked, or pieces of both."""


def is_bad(text: Text) -> bool:
    """Whether a piece of a text is marked as bad news."""
    return any(isinstance(p, Span) and p.mark == "bad" for p in pieces(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a page; the base of all blocks.

    Args:
        brief: shown where there is little room as well, such as a terminal.
    """

    brief: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A line of the first screen; `anchor` is where the page says more, `tone` is `bad` or `good`."""

    text: Text
    anchor: str
    tone: str = "bad"


@dataclass(frozen=True, slots=True)
class Headline(Block):
    """The title of a page and its first sentences.

    Args:
        title: of the page.
        lead: sentences that say what was found.
        notices: what a reader must know before any number: failed gates, flags, samples left out.
        lines: findings that stand on a line of their own each.
        following: what to do next; empty where the page does not say.
    """

    title: str
    lead: tuple[Text, ...] = ()
    notices: tuple[Notice, ...] = ()
    lines: tuple[Text, ...] = ()
    following: Text = ""


@dataclass(frozen=True, slots=True)
class Heading(Block):
    """The title of a part of a page.

    Args:
        text: of the title.
        anchor: its address inside the page; empty for none.
        nav: its name in the page's navigation; empty where it is not listed there.
        level: 2 or 3; a part under a title of level 2 folds in HTML.
        open: the part is open from the start.
    """

    text: str
    anchor: str = ""
    nav: str = ""
    level: int = 2
    open: bool = False


@dataclass(frozen=True, slots=True)
class Prose(Block):
    """A paragraph of text.

    Args:
        text: of it.
        tone: empty, `small`, `note` (a box) or `bad` (a box that nobody should miss).
    """

    text: Text
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A large number with what it is; `bad` is coloured as a loss."""

    title: str
    value: str
    under: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Tiles(Block):
    """The numbers of the first screen."""

    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Args:
        text: of it; empty for a cell without a value.
        interval: of the value, such as `74.8 to 95.3 %`.
        note: a second line, small.
        bar: a share in [0, 1], drawn as a bar; None for none.
        bad: the bar is coloured as a loss.
        heat: how strongly the cell is coloured, in [0, 1]; None for not at all.
        title: the cell in words.
        address: of the page that says more, relative to this one; empty for none.
    """

    text: Text
    interval: str = ""
    note: str = ""
    bar: float | None = None
    bad: bool = False
    heat: float | None = None
    title: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        title: its heading.
        note: a second line of the heading, small.
        number: set flush right.
        brief: shown where there is little room as well.
    """

    title: str
    note: str = ""
    number: bool = True
    brief: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """A row that is the heading of those below it."""

    text: Text


TableRow = Group | tuple[Cell | Text, ...]


@dataclass(frozen=True, slots=True)
class Table(Block):
    """A table; the first cell of each row is the row's heading.

    Args:
        caption: what its figures are.
        columns: in order.
        rows: as many cells each as there are columns.
        kind: `plain`, `heat` for cells coloured by their `heat`, `matrix` for a heat map with long column headings that
            is only looked at, or `narrow` for one that needs no scrolling.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    kind: str = "plain"

    def short(self) -> Table:
        """The same with brief columns only."""
        keep = [i for i, c in enumerate(self.columns) if c.brief]
        rows = tuple(r if isinstance(r, Group) else tuple(r[i] for i in keep) for r in self.rows)
        return Table(self.caption, tuple(self.columns[i] for i in keep), rows, self.kind, brief=self.brief)


@dataclass(frozen=True, slots=True)
class Facts(Block):
    """A list of names with their values."""

    facts: tuple[tuple[str, Text], ...]


@dataclass(frozen=True, slots=True)
class Items(Block):
    """A list of texts, one item a line."""

    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Commands(Block):
    """Commands to be typed into a shell."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A flag: a reason to doubt a figure.

    Args:
        name: such as `zero-gradient`.
        detail: what was seen, in this run.
        meaning: of every flag of this name; empty where it is not known.
        advice: what to do; empty where it is not known.
        ids: the samples concerned.
    """

    name: str
    detail: str
    meaning: str = ""
    advice: str = ""
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flags(Block):
    """Flags of a run: reasons to doubt its figures."""

    flags: tuple[Doubt, ...]


@dataclass(frozen=True, slots=True)
class Details(Block):
    """Blocks behind a title that opens them."""

    title: str
    blocks: tuple[Block, ...]
    note: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class Columns(Block):
    """Columns of blocks beside each other where there is room."""

    columns: tuple[tuple[Block, ...], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its title for lists and tabs, its blocks, and its last line."""

    title: str
    blocks: tuple[Block, ...]
    footer: Text = ""


def split_parts(blocks: Sequence[Block]) -> tuple[tuple[Block, ...], list[tuple[Heading, tuple[Block, ...]]]]:
    """Split a page at its headings of level 2.

    Returns:
        The blocks of the first screen, and each further part as its heading and its blocks.
    """
    starts = [i for i, block in enumerate(blocks) if isinstance(block, Heading) and block.level == 2]
    parts = list[tuple[Heading, tuple[Block, ...]]]()
    for start, end in pairwise([*starts, len(blocks)]):
        heading = blocks[start]
        if isinstance(heading, Heading):
            parts.append((heading, tuple(blocks[start + 1 : end])))
    return tuple(blocks[: starts[0]] if starts else blocks), parts


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """All blocks, those inside others included."""
    for block in blocks:
        yield block
        inner = (block.blocks,) if isinstance(block, Details) else block.columns if isinstance(block, Columns) else ()
        for blocks in inner:
            yield from walk(blocks)
