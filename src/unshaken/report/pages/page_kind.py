"""`PageKind`: a page is a title and an ordered list of sections, functions from what was read to blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from unshaken.report.blocks import Block, Heading, Items, Page, Text
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir, consistent

FOLDER = "Made by unshaken from the rows of this folder alone."
SHOWN_BAD = 20
"""Samples that were left out which a page lists."""
Source = TypeVar("Source")
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Folder(Generic[Record]):
    """The usual source of sections: a run directory with its rows, and the record that its command has left there."""

    run: RunDir
    record: Record


def compose(
    title: str, source: Source, sections: Sequence[Callable[[Source], Iterable[Block]]], footer: Text = FOLDER
) -> Page:
    """Make a page of the blocks of its sections, in order.

    Args:
        title: of the page in lists and tabs.
        source: what the sections read.
        sections: of the page; one that has nothing to show gives no block.
        footer: the last line of the page.
    """
    return Page(title, tuple(block for section in sections for block in section(source)), footer)


@dataclass(frozen=True)
class PageKind(Generic[Source]):
    """A kind of page: how its source is read, and the sections that it is made of.

    Args:
        title: of a page, or what makes it from the source.
        read: reads the source from a run directory; raises RunError where it is absent, unfinished or damaged.
        sections: in the order of the page.
        footer: the last line of a page.
    """

    title: str | Callable[[Source], str]
    read: Callable[[RunDir], Source]
    sections: tuple[Callable[[Source], Iterable[Block]], ...]
    footer: Text = FOLDER

    def page(self, source: Source) -> Page:
        """Make the page of a source."""
        title = self.title if isinstance(self.title, str) else self.title(source)
        return compose(title, source, self.sections, self.footer)

    def page_of(self, run: RunDir) -> Page:
        """Make the page of a run directory.

        Raises:
            RunError: the directory does not hold what the sections read.
        """
        with consistent(run):
            return self.page(self.read(run))

    def write(self, run: RunDir) -> Page:
        """Write `report.html` and `report.md` into a run directory.

        Raises:
            RunError: the directory does not hold what the sections read, or a page cannot be written.
        """
        page = self.page_of(run)
        write_page(run, page)
        return page


def write_page(run: RunDir, page: Page, name: str = "report") -> None:
    """Write a page as Markdown and as HTML.

    Args:
        run: the directory that the files go to.
        page: to write.
        name: of the two files, without their endings.

    Raises:
        RunError: a file cannot be written.
    """
    run.write(render_markdown(page).encode(), f"{name}.md")
    run.write(render_html(page).encode(), f"{name}.html")


def bad_samples(title: str, nav: str, bad: Sequence[tuple[str, str]]) -> list[Block]:
    """The part on samples that were left out; empty without any.

    Args:
        title: of the part.
        nav: its name in the page's navigation.
        bad: ids of samples, each with the reason.
    """
    lines = tuple(f"{i}: {reason}" for i, reason in bad[:SHOWN_BAD])
    return [Heading(title, "bad", nav), Items(lines)] if lines else []
