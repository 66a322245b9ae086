"""Self-BLEU: how much the sentences of a text repeat each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def bleu(words: Sequence[str], references: Sequence[Sequence[str]], *, order: int = 2) -> float:
    """BLEU of a sentence without smoothing: the geometric mean of clipped precisions, times the brevity penalty.

    Args:
        words: of the sentence, more than none.
        references: words of the sentences that it is compared with.
        order: longest run of words.

    Returns:
        In [0, 1]; 0 where no run of some length is shared.

    Source: Papineni et al. 2002, doi:10.3115/1073083.1073135.
    """
    logs = []
    for n in range(1, order + 1):
        own = _runs(words, n)
        most = Counter[tuple[str, ...]]()
        for reference in references:
            most |= _runs(reference, n)
        shared = sum((own & most).values())
        if not shared:
            return 0.0
        logs.append(math.log(shared / sum(own.values())))
    nearest = min((len(r) for r in references), key=lambda length: (abs(length - len(words)), length))
    penalty = min(0.0, 1 - nearest / len(words))
    return math.exp(sum(logs) / order + penalty)


def self_bleu(sentences: Sequence[Sequence[str]], *, order: int = 2) -> float | None:
    """The mean over sentences of the BLEU of each against all others; sentences that are equal count as others.

    Args:
        sentences: words of each; sentences without a word are left out.
        order: longest run of words.

    Returns:
        In [0, 1], 1 for one sentence repeated; None of fewer than two sentences, where it is undefined.

    >>> round(self_bleu(["a b c".split(), "a b d".split()]), 6)
    0.57735
    """
    kept = [words for words in sentences if words]
    if len(kept) < 2:
        return None
    scores = [bleu(words, [*kept[:i], *kept[i + 1 :]], order=order) for i, words in enumerate(kept)]
    return sum(scores) / len(scores)


def _runs(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
