"""`ClassNames`: classes as pages show them and as people type them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.core.texts import printable

MOST_MATCHES = 20
MOST_COMPARED = 5000
"""Classes up to which a message about an unknown name looks for similar ones."""
_NUMBERED = re.compile(r"(?:.*\s)?#([0-9]{1,7})", re.DOTALL)


class ClassNames:
    """The classes of a review, each with a name of its own: one that several have is followed by `#` and its number.

    Args:
        names: in label order; a class beyond them is shown by its number.

    >>> classes = ClassNames(["crane", "dog", "crane"])
    >>> classes.name(1), classes.name(2), classes.number("crane #0"), classes.search("ra")
    ('dog', 'crane #2', 0, ['crane #0', 'crane #2'])
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._raw = names

    def name(self, number: int) -> str:
        """The name of a class."""
        return self._names[number] if 0 <= number < len(self._names) else f"class #{number}"

    def all(self, numbers: Sequence[int]) -> str:
        """Several names in one line."""
        return "; ".join(map(self.name, numbers))

    def number(self, text: str) -> int:
        """The class that a person means: its name, in any case, `#` and its number, or the beginning of one name only.

        Raises:
            ParameterError: no class is called so, or several are.
        """
        wanted = " ".join(text.split()).casefold()
        found = self._exact.get(wanted)
        if found is None and (match := _NUMBERED.fullmatch(wanted)) and int(match[1]) < len(self._names):
            found = int(match[1])
        if found is None:
            starts = [k for k, name in enumerate(self._folded) if name.startswith(wanted)] if wanted else []
            if len(starts) > 1:
                few = ", ".join(repr(self.name(k)) for k in starts[:5])
                raise ParameterError(f"{shorten(text)} may be any of {len(starts):,} classes, such as {few}")
            if not starts:
                near = did_you_mean(text[:100], self._names) if len(self._names) <= MOST_COMPARED else ""
                raise ParameterError(f"no class is called {shorten(text)}{near and '; '}{near[:300]}")
            found = starts[0]
        return found

    def search(self, text: str) -> list[str]:
        """Names that hold a text: first those that begin with it, then those with a word that does, then the others."""
        wanted = " ".join(text.split()).casefold()
        if not wanted:
            return []
        hits = [k for k, name in enumerate(self._folded) if wanted in name]
        ranks = {k: (not self._folded[k].startswith(wanted), f" {wanted}" not in self._folded[k], k) for k in hits}
        return [self._names[k] for k in sorted(hits, key=ranks.__getitem__)[:MOST_MATCHES]]

    @cached_property
    def _names(self) -> list[str]:
        shown = [printable(" ".join(name.split())) or "(no name)" for name in self._raw]
        times = Counter(name.casefold() for name in shown)
        return [f"{name} #{k}" if times[name.casefold()] > 1 else name for k, name in enumerate(shown)]

    @cached_property
    def _folded(self) -> list[str]:
        return [name.casefold() for name in self._names]

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self._folded)}
