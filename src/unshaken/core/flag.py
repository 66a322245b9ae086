"""Flags: reasons to doubt a figure. A kind of flag is declared once, in the file that raises it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """A reason to doubt a figure, as it was met in a run.

    Args:
        name: such as `zero-gradient`.
        detail: one line for a person: what was seen, with which values, and what to do.
        ids: the samples concerned; empty when it is the model or the data as a whole.
        meaning: of every flag of this name, in one line.
        advice: what a reader should do, in one line.
    """

    name: str
    detail: str
    ids: tuple[str, ...] = ()
    meaning: str = ""
    advice: str = ""


KINDS: dict[str, FlagKind] = {}
"""Every kind of flag that is declared in a module that was imported, by name."""


@dataclass(frozen=True, slots=True)
class FlagKind:
    """A kind of flag; making one declares it.

    Args:
        name: such as `zero-gradient`, unique.
        meaning: what is doubted, in one line.
        advice: what a reader should do, in one line.
    """

    name: str
    meaning: str
    advice: str

    def __post_init__(self) -> None:
        if KINDS.setdefault(self.name, self) != self:
            raise ValueError(f"the flag {self.name!r} is declared twice")

    def flag(self, detail: str, ids: Sequence[str] = ()) -> Flag:
        """A flag of this kind.

        Args:
            detail: what was seen, in one line.
            ids: the samples concerned.
        """
        return Flag(self.name, detail, tuple(ids), self.meaning, self.advice)
