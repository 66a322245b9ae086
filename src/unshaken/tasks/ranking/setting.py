"""What rankers are tested on, and what is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import LARGEST_COUNT, in_range, shorten
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.manipulations import MANIPULATIONS
from unshaken.tasks.ranking.perturbations import OTHERS, TYPOS

SEARCHED_QUERY, SEARCHED_DOCUMENT = "worst", "raise"
"""Changes that ask the ranker which is worst."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to queries and documents.

    Args:
        queries: name of a change and the words it is made to, as in `("swap", 1)`; see `perturb`. `("worst", 2)` asks
            the ranker which mistakes are worst.
        documents: name of a change and how often, as in `("append", 3)`; see `MANIPULATIONS`. `("raise", 3)` asks the
            ranker where words of the query count most.
        position: the place, from 1, of the changed document in the list of BM25, the same document for all rankers.
        synonyms: word to others, for the change `synonym`.
    """

    queries: Sequence[tuple[str, int]] = (("swap", 1), ("swap", 2))
    documents: Sequence[tuple[str, int]] = (("append", 1), ("append", 3))
    position: int = 10
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot be done, before a ranker is asked.

        Raises:
            ParameterError: a name is unknown, a number is below 1, or `synonym` has no synonyms.
        """
        known = {"queries": [*TYPOS, *OTHERS, SEARCHED_QUERY], "documents": [*MANIPULATIONS, SEARCHED_DOCUMENT]}
        for what, names in known.items():
            for name, count in getattr(self, what):
                if name not in names:
                    raise ParameterError(f"there is no change of {what} {shorten(name)}; {did_you_mean(name, names)}")
                in_range(f"the number of the change {name!r}", count, 1, LARGEST_COUNT)
        in_range("position", self.position, 1, LARGEST_COUNT)
        if "synonym" in dict(self.queries) and not self.synonyms:
            raise ParameterError("the change 'synonym' needs synonyms: a mapping from words to others")


@dataclass(frozen=True, slots=True)
class RankingTest:
    """What rankers are tested on.

    Args:
        collection: the test queries, with their types for the task of unseen types.
        training: what learners learn from; its queries are none of the test queries.
        elsewhere: test queries of another corpus; None leaves the task of unseen corpora out.
        elsewhere_training: what learners learn from in that corpus.
    """

    collection: Collection
    training: Collection | None = None
    elsewhere: Collection | None = None
    elsewhere_training: Collection | None = None

    def __post_init__(self) -> None:
        for test, training in ((self.collection, self.training), (self.elsewhere, self.elsewhere_training)):
            if test is not None and training is not None and (shared := test.queries.keys() & training.queries.keys()):
                raise ParameterError(f"{len(shared)} test queries are among those of training, such as "
                                     f"{shorten(min(shared))}; take them out of one")  # fmt: skip
        if (self.elsewhere is None) != (self.elsewhere_training is None):
            raise ParameterError("another corpus needs both its test queries and its training queries")
