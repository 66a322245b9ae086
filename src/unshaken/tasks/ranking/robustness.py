"""The five tasks of a ranker's robustness, as rows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.core.part import Part
from unshaken.core.rng import SampleRng
from unshaken.tasks.ranking.collection import Collection
from unshaken.tasks.ranking.manipulations import find_manipulation
from unshaken.tasks.ranking.measures import measure_queries, parse_measure
from unshaken.tasks.ranking.order import Ranking, finite_scores, rank_among
from unshaken.tasks.ranking.perturbations import perturb
from unshaken.tasks.ranking.ranked_queries import RankedQueries, fixed_targets, head_overlap, rank_queries, shared_tau
from unshaken.tasks.ranking.ranker import Index, Learner, Ranker
from unshaken.tasks.ranking.rows import part_of
from unshaken.tasks.ranking.setting import SEARCHED_DOCUMENT, SEARCHED_QUERY, Changes, RankingTest
from unshaken.tasks.ranking.text_search import raised_documents, worst_queries

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
            manipulate = find_manipulation(change)
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
        """Each type of query under a learner that has not seen it, and under one that has."""
        collection = self.test.collection
        for condition in ("type-unseen", "type-seen"):
            if self.finished(f"{self.prefix}{name}.{condition}"):
                continue
            rankings: dict[str, Ranking] = {}
            seconds = 0.0
            for kind in sorted(set(collection.types.values())):
                part = collection.select(q for q, t in collection.types.items() if t == kind)
                ranked = rank_queries(index(self._without(kind, seen=condition == "type-seen")), part)
                rankings, seconds = {**rankings, **ranked.rankings}, seconds + ranked.seconds
            whole = RankedQueries(ranked.index, ranked.ids, ranked.ties, ranked.scores, rankings, seconds)
            change = condition.removeprefix("type-")
            text = [collection.types[q] for q in collection.queries]
            yield self._part(name, condition, "query-type", collection, whole, change=change, text=text)

    def _without(self, kind: str, *, seen: bool) -> Collection | None:
        """The training queries without a type, or as many of all types."""
        training = self.test.training
        if training is None:
            return None
        others = [q for q, t in training.types.items() if t != kind]
        if not others:
            raise ParameterError(f"no training query has another type than {kind!r}; give the training queries types")
        if not seen:
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
