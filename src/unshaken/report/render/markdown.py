"""Pages as Markdown, for terminals, reviews and pull requests. Plots and pictures are left out, but for their lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from unshaken.core.texts import printable
from unshaken.report.blocks import (
    Block,
    Cell,
    Columns,
    Commands,
    Details,
    Facts,
    Flags,
    Group,
    Heading,
    Headline,
    Items,
    Page,
    Prose,
    Span,
    Table,
    Text,
    Tiles,
    pieces,
)
from unshaken.report.drawings import Overlay

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#!|~&$^@]|^[-+=])")
_SIGN = re.compile(r"^\\([-+=])")  # escaped at the start of a line, which a cell is not
FEW = 20
"""Ids of a flag that are named."""


def render_markdown(page: Page) -> str:
    """A page as Markdown, without characters that could steer the terminal in which it is shown."""
    return "".join(f"{printable(line)}\n" for line in render_blocks(page.blocks).split("\n"))


def render_blocks(blocks: Sequence[Block]) -> str:
    """Blocks as Markdown, those that are only to be looked at left out."""
    parts = [_RENDER[type(b)](b) for b in blocks if type(b) in _RENDER]
    return "\n\n".join(p for p in parts if p)


def escape(value: object) -> str:
    """Text that Markdown shows as it is, in one line: no markup, no HTML, no table cell ends."""
    return _MARKS.sub(r"\\\1", " ".join(str(value).split()))


def text(value: Text) -> str:
    """A text with its marks; spaces at the ends of a piece stay where they are."""
    return "".join(_piece(p) for p in pieces(value))


def _piece(piece: str | Span) -> str:
    raw = piece.text if isinstance(piece, Span) else piece
    inner = raw.strip()
    if not inner:
        return raw
    shown = escape(inner)
    if isinstance(piece, Span) and piece.mark in ("strong", "bad"):
        shown = f"**{shown}**"
    elif isinstance(piece, Span) and piece.mark == "code" and not set(inner) & set("`|\\<&"):
        shown = f"`{' '.join(inner.split())}`"
    return raw[: len(raw) - len(raw.lstrip())] + shown + raw[len(raw.rstrip()) :]


def _cell(value: Cell | Text) -> str:
    one = value if isinstance(value, Cell) else Cell(value)
    shown = _SIGN.sub(r"\1", text(one.text)) or "–"
    shown = f"[{shown}](<{one.address}>)" if one.address else shown
    shown += f" ({escape(one.interval)})" if one.interval else ""
    return shown + (f": {escape(one.note)}" if one.note else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---:" if r else "---" for r in right], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _table(block: Table) -> str:
    if block.kind == "matrix":
        return ""
    rows = []
    for row in block.rows:
        if isinstance(row, Group):
            rows.append([f"**{escape(''.join(p.text if isinstance(p, Span) else p for p in pieces(row.text)))}**"])
            rows[-1] += [""] * (len(block.columns) - 1)
        else:
            rows.append([_cell(c) for c in row])
    heads = [escape(f"{c.title} ({c.note})" if c.note else c.title) for c in block.columns]
    return f"{escape(block.caption)}\n\n{table(heads, rows, [c.number for c in block.columns])}"


def _flags(block: Flags) -> str:
    lines = []
    for flag in block.flags:
        shown = f"- **{escape(flag.name)}**{': ' + escape(flag.meaning) if flag.meaning else ''}. Seen: "
        shown += f"{escape(flag.detail)}.{' Do: ' + escape(flag.advice) if flag.advice else ''}"
        if flag.ids:
            more = f" and {len(flag.ids) - FEW} more" if len(flag.ids) > FEW else ""
            shown += f" Samples ({len(flag.ids)}): {', '.join(map(escape, flag.ids[:FEW]))}{more}."
        lines.append(shown)
    return "\n".join(lines)


def _notices(block: Headline) -> str:
    return "\n".join(f"- {'**Note:** ' if n.tone == 'bad' else ''}{text(n.text)}" for n in block.notices)


def _details(block: Details) -> str:
    inner = render_blocks(block.blocks)
    return f"**{escape(block.title)}**\n\n{inner}" if inner else ""


def _commands(block: Commands) -> str:
    lines = "\n".join(block.lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", lines)), default=0))
    return f"{fence}sh\n{lines}\n{fence}"


def _list(block: Items | Facts) -> str:
    return _lines(block.items if isinstance(block, Items) else [(f"{k}: ", *pieces(v)) for k, v in block.facts])


def _lines(items: Sequence[Text]) -> str:
    return "\n".join(f"- {text(item)}" for item in items)


def _overlay(block: Overlay) -> str:
    return "\n".join("- " + "; ".join(map(text, one.lines)) for one in block.layers)


_RENDER: dict[type[Block], Callable[..., str]] = {
    Headline: lambda b: "\n\n".join(
        filter(
            None,
            [
                f"# {escape(b.title)}",
                " ".join(map(text, b.lead)),
                _lines(b.lines),
                f"**Next:** {text(b.following)}" if b.following else "",
                _notices(b),
            ],
        )
    ),
    Heading: lambda b: f"{'#' * b.level} {escape(b.text)}",
    Prose: lambda b: f"**Note:** {text(b.text)}" if b.tone == "bad" else text(b.text),
    Tiles: lambda b: "",
    Table: _table,
    Facts: _list,
    Items: _list,
    Commands: _commands,
    Flags: _flags,
    Details: _details,
    Overlay: _overlay,
    Columns: lambda b: "\n\n".join(filter(None, map(render_blocks, b.columns))),
}
