"""Lines of text with marks, which every renderer shows in its own way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Text with a mark: `strong`, `code`, `soft` (less important), `good` or `bad`."""

    text: str
    mark: str


Text = str | Span | tuple[str | Span, ...]
"""A line of text: plain, marked, or pieces of both."""


def pieces(text: Text) -> tuple[str | Span, ...]:
    """The pieces of a text."""
    return text if isinstance(text, tuple) else (text,)


def plain(text: Text) -> str:
    """A text without its marks."""
    return "".join(p.text if isinstance(p, Span) else p for p in pieces(text))
