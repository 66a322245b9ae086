"""Words as numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PAD, START, END, UNKNOWN = range(4)
_SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words_of("The top-left corner, in RED.")
    ['the', 'top-left', 'corner', 'in', 'red']
    """
    return _WORD.findall(text.lower())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that a captioner knows.

    Args:
        words: by number, the special ones first.
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str], least: int = 1) -> Vocabulary:
        """The words of some texts, the most frequent first.

        Args:
            texts: all of them.
            least: times that a word must occur.
        """
        counts = Counter(word for text in texts for word in words_of(text))
        kept = sorted((w for w, n in counts.items() if n >= least), key=lambda w: (-counts[w], w))
        return cls((*_SPECIAL, *kept))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, texts: Sequence[str], length: int) -> Tensor:
        """Numbers of the words between start and end, int64 `[N, length + 2]`; words beyond `length` are cut off."""
        known = {word: i for i, word in enumerate(self.words)}
        found = torch.full((len(texts), length + 2), PAD)
        for row, text in zip(found, texts, strict=True):
            numbers = [known.get(w, UNKNOWN) for w in words_of(text)][:length]
            row[: len(numbers) + 2] = torch.tensor([START, *numbers, END])
        return found

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of numbers up to the end."""
        found = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, START):
                found.append(self.words[number])
        return " ".join(found)
