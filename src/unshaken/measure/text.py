"""Texts compared: self-BLEU for their variety, and the divergence of their topics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers


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
    written = [words for words in sentences if words]
    if len(written) < 2:
        return None
    scores = [bleu(words, [*written[:i], *written[i + 1 :]], order=order) for i, words in enumerate(written)]
    return sum(scores) / len(scores)


def _runs(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


FLOOR = 1e-5
"""Share that stands for a topic that a text does not have."""


def topic_divergence(given: ArrayLike, added: ArrayLike, *, floor: float = FLOOR) -> Numbers:
    """Kullback-Leibler divergence `sum p log2(p / q)` of topic shares in bits, a value for each pair of texts.

    Shares below the floor are set to it, and are not brought to the sum 1 again: two texts of one topic each, not the
    same one, have the largest value that the floor allows.

    Args:
        given: p, topics of the texts that are there, `[N, T]` or `[T]`.
        added: q, topics of the texts that are added, in the same shape.
        floor: above 0.

    Raises:
        ParameterError: shapes differ, a share is negative or not finite, or the floor is not above 0.

    >>> topic_divergence([0.9, 0.1], [0.5, 0.5]).round(6).item()
    0.531004
    """
    p, q = np.asarray(given, np.float64), np.asarray(added, np.float64)
    if p.shape != q.shape or not p.size:
        raise ParameterError(f"topics of both texts must have one shape [N, T], not {p.shape} and {q.shape}")
    if not (np.isfinite(p).all() and np.isfinite(q).all() and min(p.min(), q.min()) >= 0):
        raise ParameterError("topic shares must be finite numbers of 0 or more")
    if not floor > 0:
        raise ParameterError(f"floor must be above 0, not {floor}: an absent topic has no logarithm")
    p, q = np.maximum(p, floor), np.maximum(q, floor)
    return np.asarray((p * np.log2(p / q)).sum(-1))
