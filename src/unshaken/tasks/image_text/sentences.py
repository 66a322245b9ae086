"""Sentences of a text, and where another one is put."""

from __future__ import annotations

import re
from typing import Literal, get_args

from unshaken.core.errors import ParameterError, did_you_mean

Position = Literal["end", "start", "middle"]
"""Where an added text is put."""
POSITIONS: tuple[str, ...] = get_args(Position)
_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, by the marks that end them; the whole text where there is none.

    >>> split_sentences("A ship. Is it old?")
    ['A ship.', 'Is it old?']
    """
    return [part for part in (p.strip() for p in _END.split(text)) if part] or [text]


def add_text(text: str, added: str, position: Position = "end") -> str:
    """A text with another one beside it; nothing of it is taken away.

    Args:
        text: what is there.
        added: what is put beside it; blank for nothing.
        position: `end`, `start`, or `middle`: behind half of the sentences, or of the words where there is but one.

    Raises:
        ParameterError: there is no such position.

    >>> add_text("A ship. An anchor.", "Cows graze.", "middle")
    'A ship. Cows graze. An anchor.'
    """
    if position not in POSITIONS:
        raise ParameterError(f"there is no position {position!r}; {did_you_mean(position, POSITIONS)}")
    if not added.strip():
        return text
    if position == "end":
        return f"{text} {added}"
    if position == "start":
        return f"{added} {text}"
    parts = split_sentences(text)
    parts = parts if len(parts) > 1 else text.split()
    half = (len(parts) + 1) // 2
    return " ".join([*parts[:half], added, *parts[half:]])
