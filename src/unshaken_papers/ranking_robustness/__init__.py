"""`ranking-robustness`: are neural rankers less robust than counting words, and by which of five tasks?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, row

if TYPE_CHECKING:
    from unshaken.papers.datasets import Datasets

OTHERS = ("bm25", "ql", "ranksvm", "lambdamart")
"""Probabilistic rankers, and those that learn from features of words."""
NEURAL = ("knrm", "two-tower")
"""Neural rankers that learn from the collection's queries."""
BASELINE = ("encoder",)
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


@row(__file__)
class RankingRobustnessPaper(Paper):
    """Do neural rankers lose more than others to unseen queries and corpora, misspelt queries and written-to documents?

    Seven rankers on WordNet: the query is an example sentence, the document the meaning that it illustrates.
    """

    seeds: int = Field(ge=2, description="repetitions, each with its own training queries and mistakes")
    tested: PositiveInt = Field(description="test queries of each part of speech, and of the other corpus")
    learned: PositiveInt = Field(description="training queries of each part of speech, and of the other corpus")
    documents: PositiveInt = Field(description="of a collection at most, those of its queries included")
    trees: PositiveInt = Field(description="of LambdaMART")

    @override
    def check_data(self, datasets: Datasets, *, own: bool) -> None:
        from unshaken_papers.ranking_robustness.experiment import read_meanings

        read_meanings(datasets.spec)

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
