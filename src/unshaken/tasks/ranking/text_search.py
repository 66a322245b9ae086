"""Searches for the worst text: they propose, a ranker is asked, and what is asked is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshaken.core.rng import SampleRng
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.order import finite_scores, rank_among, tie_order
from unshaken.tasks.ranking.perturbations import TYPOS, misspell
from unshaken.tasks.ranking.ranker import Index, Scores
from unshaken.tasks.ranking.words import split_words

CANDIDATES = 8
"""Texts that are proposed in a round."""
Rng = np.random.Generator
Propose = Callable[[str, str, Rng], str]
"""From a sample's id and its text to a changed text."""
Rate = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""From M ids and texts to M values, larger is worse for the ranker."""


@dataclass(frozen=True, slots=True)
class WorstText:
    """The end of a search.

    Args:
        text: the worst that was met; the one at the start if none was worse.
        value: of it.
        calls: texts that the ranker scored for this sample.
    """

    text: str
    value: float
    calls: int


def search_texts(
    texts: Mapping[str, str], propose: Propose, rate: Rate, *, rounds: int, goal: float, seed: int, name: str,
    candidates: int = CANDIDATES,
) -> dict[str, WorstText]:  # fmt: skip
    """Greedy search: in each round the candidates are made from the worst text so far.

    What is drawn for a sample depends on seed, name, its id and the round; all samples are asked about together, and
    one that has reached the goal leaves.

    Args:
        texts: id to the text at the start.
        propose: makes a candidate.
        rate: asks the ranker.
        rounds: of the search.
        goal: value at which a sample's search ends.
        seed: of the draws.
        name: of the search.
        candidates: of a sample in a round.
    """
    start = rate(list(texts), list(texts.values()))
    worst = {i: WorstText(text, float(value), 1) for (i, text), value in zip(texts.items(), start, strict=True)}
    for number in range(rounds):
        left = [i for i in worst if worst[i].value < goal]
        if not left:
            break
        rngs = SampleRng.of(seed, name, left).fold(number).generators()
        asked = {
            i: list(dict.fromkeys(propose(i, worst[i].text, rng) for _ in range(candidates)))
            for i, rng in zip(left, rngs, strict=True)
        }
        flat = [(i, text) for i, proposed in asked.items() for text in proposed]
        values = rate([i for i, _ in flat], [text for _, text in flat])
        for (i, text), value in zip(flat, values, strict=True):
            found = worst[i]
            better = float(value) > found.value
            worst[i] = WorstText(text if better else found.text, max(float(value), found.value), found.calls + 1)
    return worst


def relevant_ranks(scores: Scores, ties: NDArray[np.int64], places: Sequence[Sequence[int]]) -> list[float]:
    """The rank, from 1, of the first relevant document under each row of scores `[M, D]`.

    Args:
        scores: of all documents.
        ties: see `tie_order`.
        places: M lists of the places of relevant documents.
    """
    return [
        float(min(rank_among(row, ties, at, float(row[at])) for at in mine))
        for row, mine in zip(scores, places, strict=True)
    ]


def worst_queries(index: Index, collection: Collection, *, words: int, seed: int) -> dict[str, WorstText]:
    """Misspell queries so that the first relevant document falls as far as can be found.

    Args:
        index: the ranker that is asked.
        collection: queries, documents and judgements.
        words: mistakes made one after another, each the worst of a few that are drawn.
        seed: of the draws.
    """
    ids = list(collection.documents)
    place, ties = {document: row for row, document in enumerate(ids)}, tie_order(ids)
    relevant = {q: [place[d] for d, g in collection.qrels[q].items() if g > 0] for q in collection.queries}
    typos = list(TYPOS)

    def propose(query: str, text: str, rng: Rng) -> str:
        return misspell(text, rng, typo=typos[int(rng.integers(len(typos)))])

    def rate(queries: Sequence[str], texts: Sequence[str]) -> list[float]:
        found: list[float] = []
        for first in range(0, len(texts), 256):  # scores of all documents are held for these
            rows = slice(first, first + 256)
            scores = finite_scores(index.score(texts[rows]), (len(texts[rows]), len(ids)))
            found += relevant_ranks(scores, ties, [relevant[q] for q in queries[rows]])
        return found

    return search_texts(
        collection.queries, propose, rate, rounds=words, goal=float(len(ids)), seed=seed, name="worst query"
    )


def raised_documents(
    index: Index, queries: Mapping[str, str], documents: Mapping[str, str], *, rounds: int, seed: int
) -> dict[str, WorstText]:
    """Put words of the query into documents, one at a time, so that the ranker scores them as high as can be found.

    A word of the query takes the place of a word of the document, or stands beside it.

    Args:
        index: the ranker that is asked.
        queries: id to text.
        documents: query id to the text of the document that is changed.
        rounds: words put in at most.
        seed: of the draws.
    """

    def propose(query: str, text: str, rng: Rng) -> str:
        words, asked = text.split(), split_words(queries[query])
        at, new = int(rng.integers(max(1, len(words)))), asked[int(rng.integers(len(asked)))]
        return " ".join([*words[:at], new, *words[at + int(rng.integers(2)) :]])

    def rate(ids: Sequence[str], texts: Sequence[str]) -> list[float]:
        scores = finite_scores(index.score_pairs([queries[i] for i in ids], texts), (len(texts),))
        return [float(s) for s in scores]

    return search_texts(documents, propose, rate, rounds=rounds, goal=np.inf, seed=seed, name="raised document")
