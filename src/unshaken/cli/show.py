"""Print text, tables and JSON on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer
from typing_extensions import override

from unshaken.core.texts import printable as printable
from unshaken.store.address import bare

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from unshaken.report.blocks import Page

WIDE = 160
"""Columns of text where no terminal says how many it has."""
LONGEST = 1200
"""Characters of a message at most; the middle of a longer one is left out, for its end says why and what to do."""


def one_line(text: str) -> str:
    """A message as one printable line, not longer than anybody reads, and without passwords of addresses."""
    line = bare(printable(" ".join(text.split())))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 403]}...{line[-400:]}"


def console() -> Console:
    """Stdout as rich sees it: no markup in what is printed, and wide when it is no terminal."""
    from rich.console import Console

    class Plain(Console):
        @override
        def on_broken_pipe(self) -> None:
            raise  # rich would end the process with 1, which here means a failed gate

    terminal = sys.stdout.isatty()
    return Plain(file=sys.stdout, width=None if terminal else WIDE, markup=False, highlight=False, emoji=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> Table:
    """Make a table without a frame.

    Args:
        columns: headings.
        rows: cells, shown as text; None is a dash.
        right: numbers of the columns set flush right.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    result, flush = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False), set(right)
    for i, name in enumerate(columns):
        result.add_column(Text(printable(name)), justify="right" if i in flush else "left", overflow="fold")
    for row in rows:
        result.add_row(*(Text("–" if v is None else printable(str(v))) for v in row))
    return result


def print_page(page: Page) -> None:
    """The brief blocks of a page on stdout."""
    from unshaken.report.render.terminal import render_terminal

    out = console()
    for part in render_terminal(page):
        out.print(part, soft_wrap=not hasattr(part, "columns"))


def print_json(value: Any) -> None:
    """JSON on stdout; what JSON has no word for becomes text."""
    typer.echo(json.dumps(value, indent=1, default=str, allow_nan=False))


def print_line(text: str) -> None:
    """One printable line on stdout, without passwords of addresses."""
    typer.echo(bare(printable(text)))
