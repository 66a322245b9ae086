"""`ranking-robustness`: are neural rankers less robust than counting words, and by which of five tasks?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.papers import Check, ClaimPart, Paper

OTHERS = ("bm25", "ql", "ranksvm", "lambdamart")
"""Probabilistic rankers, and those that learn from features of words."""
NEURAL = ("knrm", "two-tower")
"""Neural rankers that learn from the collection's queries."""
BESIDE = ("encoder",)
"""The encoder as it is, which learns nothing here; it is measured, and no rule speaks of it."""
TASKS: Mapping[str, str] = {
    "variance": "deviation of the reciprocal rank over queries, in units of its mean, as a loss",
    "query-type": "share lost on a type of query that was not learned from",
    "corpus": "share lost on a corpus that was not learned from",
    "query": "share lost by one misspelt word in a query",
    "document": "share of queries whose first document changes by the query's words in another, as a loss",
}
"""The five tasks, and what is measured in each; every figure is larger for a more robust ranker."""
MOST = 3
"""Tasks of the five that are "most"."""
SOURCE, TARGET = 6, 10
"""Files of WordNet's lexicographers: artefacts, which the other corpus is not, and communication."""


@register("ranking-robustness", reference="Wu et al. 2022, arXiv:2108.05018")
class RankingRobustnessPaper(Paper):
    """Do neural rankers lose more than others to unseen queries and corpora, misspelt queries and written-to documents?

    Seven rankers on WordNet: the query is an example sentence, the document the meaning that it illustrates.
    """

    title: ClassVar[str] = "Are Neural Ranking Models Robust?"
    claim: ClassVar[str] = (
        "Neural ranking models are less robust than probabilistic ones and those that learn from features in most of "
        "five tasks, and win some: performance variance, unseen query types, unseen corpora, attacked queries and "
        "manipulated documents."
    )
    summary: ClassVar[str] = "Neural rankers are less robust than others in most of five tasks, and win some."
    parts: ClassVar[Mapping[str, ClaimPart]] = {
        "behind": ClaimPart(
            statement="In most tasks neural rankers are less robust than other rankers.",
            rule=f"Shown if in at least {MOST} of the five tasks every neural ranker is behind some other ranker, by "
            f"the intervals paired by query; contradicted if in at least {MOST} a neural one is ahead of all others.",
        ),
        "ahead": ClaimPart(
            statement="In some task a neural ranker is the most robust.",
            rule="Shown if in at least one of the five tasks some neural ranker is ahead of every other ranker, by the "
            "intervals paired by query; contradicted if in all five every neural ranker is behind some other.",
        ),
        "images": ClaimPart(
            statement="The same holds of rankers of images.",
            untried="the claim is of rankers of texts; rankers of images are measured by other rows",
            central=False,
        ),
    }
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "neural rankers win 1 of the 5 tasks (2 in another version of the abstract)",
        "pilot": "BM25: MRR .560, one typo -14.3 %, first changed .95; MiniLM: .450, -20.8 %, .59 (240 queries)",
    }
    headline: ClassVar[Mapping[str, tuple[str, str]]] = {
        "tasks_behind": ("Tasks in which every neural ranker is behind some other", "tasks"),
        "tasks_ahead": ("Tasks in which a neural ranker is ahead of all others", "tasks"),
        "mean.bm25": ("Effectiveness of BM25", "reciprocal rank"),
        "mean.two-tower": ("Effectiveness of two towers over sentence vectors", "reciprocal rank"),
        "mean.knrm": ("Effectiveness of kernel pooling", "reciprocal rank"),
        "query.bm25": ("Lost by one misspelt word, BM25", "share"),
        "query.two-tower": ("The same, two towers", "share"),
        "document.bm25": ("First document changes by words of the query, BM25", "share, as a loss"),
        "document.two-tower": ("The same, two towers", "share, as a loss"),
        "corpus.two-tower": ("Lost on an unseen corpus, two towers", "share"),
    }
    differs: ClassVar[Sequence[str]] = (
        "WordNet's example sentences and definitions, one relevant document a query, in the place of MS MARCO.",
        "Whole collections are ranked, not the first hundred of BM25.",
        "Neural rankers are kernel pooling over fixed vectors of words, and linear layers over fixed vectors of texts; "
        "no cross-encoder is trained.",
        "Types of queries are parts of speech; the corpora are two of WordNet's files.",
        "A document is changed by the query's words alone, not by people who compete.",
    )
    data: ClassVar[str] = "wordnet"
    model: ClassVar[str] = "minilm"
    full: ClassVar[Mapping[str, Any]] = {"tested": 100, "learned": 300, "documents": 8000}

    seeds: int = Field(3, ge=2, description="repetitions, each with its own training queries and mistakes")
    tested: PositiveInt = Field(50, description="test queries of each part of speech, and of the other corpus")
    learned: PositiveInt = Field(100, description="training queries of each part of speech, and of the other corpus")
    documents: PositiveInt = Field(2000, description="of a collection at most, those of its queries included")
    trees: PositiveInt = Field(20, description="of LambdaMART")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        behind = [task for task in TASKS if is_behind(measured["less"][task])]
        ahead = [task for task in TASKS if is_ahead(measured["less"][task])]
        words = f"every neural ranker is behind in {len(behind)} of {len(TASKS)} tasks ({', '.join(behind) or 'none'})"
        other = f"a neural ranker is ahead in {len(ahead)} ({', '.join(ahead) or 'none'})"
        return [
            Check(words, len(behind) >= MOST, "behind", opposed=len(ahead) >= MOST > len(behind)),
            Check(other, len(ahead) >= 1, "ahead", opposed=len(behind) == len(TASKS)),
        ]


def is_behind(less: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bool:
    """Whether every neural ranker is behind some other.

    Args:
        less: neural ranker to other ranker to the figure of the first less that of the second.
    """
    return all(any(less[one][other]["high"] < 0 for other in OTHERS) for one in NEURAL)


def is_ahead(less: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bool:
    """Whether some neural ranker is ahead of every other, as `is_behind`."""
    return any(all(less[one][other]["low"] > 0 for other in OTHERS) for one in NEURAL)
