"""The five tasks of a ranker's robustness: their settings, the queries' rankings, and the rows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import LARGEST_COUNT, in_range, shorten
from unshaken.core.part import Condition, Part
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table
from unshaken.measure.retrieval import kendall_tau, rank_biased_overlap
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.lexical import BM25
from unshaken.tasks.ranking.order import (
    Ranking,
    finite_scores,
    measure_queries,
    parse_measure,
    rank_among,
    sort_by_score,
    tie_order,
)
from unshaken.tasks.ranking.perturbations import MANIPULATIONS, OTHERS, TYPOS, perturb
from unshaken.tasks.ranking.ranker import Index, Learner, Ranker, Scores
from unshaken.tasks.ranking.text_search import raised_documents, worst_queries

SEARCHED_QUERY, SEARCHED_DOCUMENT = "worst", "raise"
"""Changes that ask the ranker which is worst."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that queries and documents undergo.

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
    """The collections that rankers are tested on, and those that learners learn from.

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


RANKINGS = declare_table(
    "rankings",
    "id string, condition string, ranker string, task string, change string, measure string, "
    "effectiveness double, judged double, tau double, overlap double, first_changed bool, document string, "
    "rank_before int64, rank_after int64, text string, calls int64, seconds double",
)
"""Rows of rankers, one a query and condition; docs/runs.md says what the columns hold."""


def part_of(condition: str, ranker: str, task: str, change: str, ids: Sequence[str], **columns: Any) -> Part:
    """The rows of a ranker under one condition; columns that are not given are empty.

    Args:
        condition: its id.
        ranker: name of the ranker.
        task: one of the five.
        change: what was changed, and how much of it.
        ids: of the queries.
        columns: name to values, one a query, or one value for all.
    """
    count = len(ids)
    single = {"condition": condition, "ranker": ranker, "task": task, "change": change, **columns}
    filled: Mapping[str, Any] = {
        name: list(value) if isinstance(value := single.get(name), list | tuple) else [value] * count
        for name in RANKINGS
    }
    return Part("rankings", Condition(condition, ranker), {**filled, "id": list(ids)})


COMPARED = 100
"""Documents at the head of a ranking that Kendall's tau and the overlap compare."""


@dataclass(frozen=True, slots=True)
class RankedQueries:
    """A ranker's scores on a collection.

    Args:
        index: the ranker.
        ids: of the documents.
        ties: `[D]`, see `tie_order`.
        scores: `[Q, D]`.
        rankings: query id to its documents in order.
        seconds: of the scoring.
    """

    index: Index
    ids: tuple[str, ...]
    ties: NDArray[np.int64]
    scores: Scores
    rankings: Mapping[str, Ranking]
    seconds: float


def rank_queries(index: Index, collection: Collection, queries: Mapping[str, str] | None = None) -> RankedQueries:
    """Rank all documents for each query.

    Args:
        index: a ranker that has read the collection's documents.
        collection: has them.
        queries: id to text; default, those of the collection.
    """
    texts = collection.queries if queries is None else queries
    ids, began = tuple(collection.documents), time.perf_counter()
    scores = np.asarray(index.score(list(texts.values())), np.float32)
    seconds, ties = time.perf_counter() - began, tie_order(ids)
    rankings = {q: sort_by_score(ids, row, ties=ties) for q, row in zip(texts, scores, strict=True)}
    return RankedQueries(index, ids, ties, scores, rankings, seconds)


def fixed_targets(collection: Collection, position: int) -> dict[str, str]:
    """The document at a place of BM25's list for each query, for changes that are the same for all rankers.

    Args:
        collection: queries and documents.
        position: from 1; the last where there are fewer documents.

    Raises:
        ParameterError: the position is below 1.
    """
    if position < 1:
        raise ParameterError(f"position must be at least 1, not {position}")
    ranked = rank_queries(BM25().index(list(collection.documents.values())), collection)
    return {q: ranking.ids[min(position, len(ranking.ids)) - 1] for q, ranking in ranked.rankings.items()}


def shared_tau(before: Sequence[str], after: Sequence[str]) -> float:
    """Kendall's tau of the documents that the heads of both rankings have; see `COMPARED`."""
    one, other = before[:COMPARED], after[:COMPARED]
    shared = set(one) & set(other)
    return kendall_tau([d for d in one if d in shared], [d for d in other if d in shared])


def head_overlap(before: Sequence[str], after: Sequence[str]) -> float:
    """Rank-biased overlap of the heads of two rankings, p = 0.9; see `COMPARED`."""
    depth = min(COMPARED, len(before), len(after))
    return rank_biased_overlap(before[:depth], after[:depth])


_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}")


def ranking_rows(
    rankers: Mapping[str, Ranker | Learner], test: RankingTest, *, measure: str = "nDCG@10",
    changes: Changes | None = None, seed: int = 0, prefix: str = "",
    finished: Callable[[str], bool] = lambda condition: False,
) -> Iterator[Part]:  # fmt: skip
    """Rows of the table `rankings`: the five tasks for each ranker, one part a condition.

    `variance` (condition `<ranker>.clean`): the queries as they are. `query-type`: a learner that has seen every type
    of query but one, tested on that type (`type-unseen`), and one that has seen as many queries of all types
    (`type-seen`). `corpus`: learned from `training` and tested on `elsewhere` (`corpus-unseen`), and learned there
    (`corpus-seen`). `query`: changed queries. `document`: a changed document. A ranker that does not learn is the same
    whatever is left out; its rows say so by being equal.

    Args:
        rankers: name, of small letters, digits, `-` and `_`, to ranker.
        test: queries and documents.
        measure: of effectiveness, see `parse_measure`.
        changes: of queries and documents.
        seed: of what is drawn: mistakes, candidates, weights.
        prefix: stands before the conditions.
        finished: whether the rows of a condition are there already; they are not made again.

    Raises:
        ParameterError: a name, the measure or a change is not allowed, or a learner has no training collection.
        ModelError: a ranker's scores are not finite, or not as many as documents.
    """
    parse_measure(measure)
    for name, ranker in rankers.items():
        if not _NAME.fullmatch(name):
            raise ParameterError(f"ranker {shorten(name)}: choose a name of small letters, digits, - and _")
        if isinstance(ranker, Learner) and test.training is None:
            raise ParameterError(f"ranker {name!r} learns: give a training collection")
    changes = changes or Changes()
    changes.check()
    made = _Tasks(test, measure, changes, seed, prefix, finished)
    for name, ranker in rankers.items():
        yield from made.rows(name, ranker)


def learn(ranker: Ranker | Learner, training: Collection | None, seed: int) -> Ranker:
    """The ranker after learning, or as it is if it does not learn."""
    return ranker.fit(training, seed) if isinstance(ranker, Learner) and training is not None else ranker  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Tasks:
    """The tasks of one test, for any ranker."""

    test: RankingTest
    measure: str
    changes: Changes
    seed: int
    prefix: str
    finished: Callable[[str], bool]
    targets: dict[str, str] = field(default_factory=dict)

    def rows(self, name: str, ranker: Ranker | Learner) -> Iterator[Part]:
        """All conditions of a ranker that are not finished."""
        fixed = self._fixed_conditions()
        left = [c for c in fixed if not self.finished(f"{self.prefix}{name}.{c}")]
        collection = self.test.collection
        index = self._indexes(ranker, collection)
        if left:
            clean = rank_queries(index(self.test.training), collection)
            for condition in left:
                yield self._changed(name, condition, clean)
        if collection.types and len(set(collection.types.values())) > 1:
            yield from self._types(name, index)
        if self.test.elsewhere is not None:
            yield from self._corpus(name, ranker, self.test.elsewhere)

    def _indexes(self, ranker: Ranker | Learner, collection: Collection) -> Callable[[Collection | None], Index]:
        """From what is learned from to the index of a collection; one that learns nothing reads the documents once."""
        documents = list(collection.documents.values())
        if isinstance(ranker, Learner):
            return lambda training: learn(ranker, training, self.seed).index(documents)
        read = cache(lambda: ranker.index(documents))
        return lambda training: read()

    def _fixed_conditions(self) -> dict[str, tuple[str, str, int]]:
        """Condition to its task, change and how much of it."""
        queries = {f"{n}-{k}": ("query", n, k) for n, k in self.changes.queries}
        documents = {f"{n}-{k}": ("document", n, k) for n, k in self.changes.documents}
        return {"clean": ("variance", "", 0), **queries, **documents}

    def _changed(self, name: str, condition: str, clean: RankedQueries) -> Part:
        task, change, count = self._fixed_conditions()[condition]
        if task == "document":
            return self._document(name, condition, clean, change, count)
        collection, texts, calls = self.test.collection, None, None
        if task == "query" and change == SEARCHED_QUERY:
            worst = worst_queries(clean.index, collection, words=count, seed=self.seed)
            texts, calls = {q: found.text for q, found in worst.items()}, [found.calls for found in worst.values()]
        elif task == "query":
            texts = perturb(collection.queries, change, self.seed, words=count, synonyms=self.changes.synonyms)
        ranked = clean if texts is None else rank_queries(clean.index, collection, texts)
        pairs = [(clean.rankings[q].ids, ranked.rankings[q].ids) for q in collection.queries]
        return self._part(
            name, condition, task, collection, ranked, change=condition if change else "",
            tau=[shared_tau(*pair) for pair in pairs], overlap=[head_overlap(*pair) for pair in pairs],
            first_changed=[one[0] != other[0] for one, other in pairs], calls=calls or 1,
            text=list((texts or collection.queries).values()),
        )  # fmt: skip

    def _part(
        self, name: str, condition: str, task: str, collection: Collection, ranked: RankedQueries, *, change: str = "",
        **columns: Any,
    ) -> Part:  # fmt: skip
        judged = "Judged@10"
        found = measure_queries(ranked.rankings, collection.qrels, [self.measure, judged])
        ids = list(collection.queries)
        return part_of(
            f"{self.prefix}{name}.{condition}", name, task, change, ids, measure=self.measure,
            effectiveness=[found[self.measure][q] for q in ids], judged=[found[judged][q] for q in ids],
            seconds=ranked.seconds / len(ids), **{"calls": 1, **columns},
        )  # fmt: skip

    def _document(self, name: str, condition: str, clean: RankedQueries, change: str, count: int) -> Part:
        """The document at a fixed place of BM25's list, changed for each query."""
        collection, calls = self.test.collection, [1] * len(self.test.collection.queries)
        queries, place = list(collection.queries), {d: i for i, d in enumerate(clean.ids)}
        if not self.targets:
            self.targets.update(fixed_targets(collection, self.changes.position))
        targets = self.targets
        began = time.perf_counter()
        originals = {q: collection.documents[targets[q]] for q in queries}
        if change == SEARCHED_DOCUMENT:
            worst = raised_documents(clean.index, collection.queries, originals, rounds=count, seed=self.seed)
            texts, calls = [found.text for found in worst.values()], [found.calls for found in worst.values()]
        else:
            manipulate = MANIPULATIONS[change]
            heads = {q: collection.documents[clean.rankings[q].ids[0]] for q in queries}
            texts = [manipulate(originals[q], collection.queries[q], heads[q], count) for q in queries]
        scores = finite_scores(clean.index.score_pairs([collection.queries[q] for q in queries], texts), (len(texts),))
        seconds = (time.perf_counter() - began) / len(queries)
        before, after, taus, overlaps, changed = [], [], [], [], []
        for row, score, query, text in zip(clean.scores, scores, queries, texts, strict=True):
            at = place[targets[query]]
            # Alone a text may score otherwise in the last digit than in the index: one left as it is keeps its score.
            now = row[at] if text == originals[query] else score
            before.append(rank_among(row, clean.ties, at, float(row[at])))
            after.append(rank_among(row, clean.ties, at, float(now)))
            old = clean.rankings[query].ids
            new = [d for d in old if d != targets[query]]
            new.insert(after[-1] - 1, targets[query])
            taus.append(shared_tau(old, new))
            overlaps.append(head_overlap(old, new))
            changed.append(old[0] != new[0])
        return part_of(
            f"{self.prefix}{name}.{condition}", name, "document", condition, queries, tau=taus, overlap=overlaps,
            first_changed=changed, document=[targets[q] for q in queries], rank_before=before, rank_after=after,
            text=texts, calls=calls, seconds=seconds,
        )  # fmt: skip

    def _types(self, name: str, index: Callable[[Collection | None], Index]) -> Iterator[Part]:
        """Each type of query under a learner that did not learn from it, and under one that did."""
        collection = self.test.collection
        for condition in ("type-unseen", "type-seen"):
            if self.finished(f"{self.prefix}{name}.{condition}"):
                continue
            rankings: dict[str, Ranking] = {}
            seconds = 0.0
            for kind in sorted(set(collection.types.values())):
                part = collection.select(q for q, t in collection.types.items() if t == kind)
                ranked = rank_queries(index(self._without(kind, all_types=condition == "type-seen")), part)
                rankings, seconds = {**rankings, **ranked.rankings}, seconds + ranked.seconds
            whole = RankedQueries(ranked.index, ranked.ids, ranked.ties, ranked.scores, rankings, seconds)
            change = condition.removeprefix("type-")
            text = [collection.types[q] for q in collection.queries]
            yield self._part(name, condition, "query-type", collection, whole, change=change, text=text)

    def _without(self, kind: str, *, all_types: bool) -> Collection | None:
        """The training queries without a type, or as many of all types."""
        training = self.test.training
        if training is None:
            return None
        others = [q for q, t in training.types.items() if t != kind]
        if not others:
            raise ParameterError(f"no training query has another type than {kind!r}; give the training queries types")
        if not all_types:
            return training.select(others)
        drawn = SampleRng.of(self.seed, "queries of all types", list(training.queries)).fresh(1)[:, 0]
        ids = list(training.queries)
        return training.select(ids[i] for i in sorted(drawn.argsort()[: len(others)].tolist()))

    def _corpus(self, name: str, ranker: Ranker | Learner, elsewhere: Collection) -> Iterator[Part]:
        """Another corpus, under a learner of this one and one of that."""
        sources = {"corpus-unseen": self.test.training, "corpus-seen": self.test.elsewhere_training}
        index = self._indexes(ranker, elsewhere)
        for condition, training in sources.items():
            if not self.finished(f"{self.prefix}{name}.{condition}"):
                ranked = rank_queries(index(training), elsewhere)
                change = condition.removeprefix("corpus-")
                yield self._part(name, condition, "corpus", elsewhere, ranked, change=change)
