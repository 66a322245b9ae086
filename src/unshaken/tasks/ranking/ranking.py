"""`ranking`: rankers of texts on a user's collection, under changed queries and documents."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.measure import Figure
from unshaken.store.tables import table_of
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.ranking.collection import read_collection, read_run
from unshaken.tasks.ranking.encoders import load_encoder
from unshaken.tasks.ranking.evaluate import RankingReport
from unshaken.tasks.ranking.learned import LambdaMART, RankSVM
from unshaken.tasks.ranking.lexical import BM25, QueryLikelihood
from unshaken.tasks.ranking.neural import KNRM, EncoderMemory, TwoTower
from unshaken.tasks.ranking.order import measure_queries, parse_measure
from unshaken.tasks.ranking.ranker import DenseRanker, Learner, Ranker
from unshaken.tasks.ranking.robustness import Changes, RankingTest, part_of, ranking_rows

Name = Literal["bm25", "ql", "encoder", "ranksvm", "lambdamart", "knrm", "two-tower"]
LEARNED = ("ranksvm", "lambdamart", "knrm", "two-tower")
"""Rankers that learn from a training collection."""
FILES = ("documents.tsv", "queries.tsv", "qrels.txt", "types.tsv")
SHOWN = 8
"""Changed queries on the page."""


@register("ranking", reference="Wu et al. 2022, arXiv:2108.05018")
class RankingRobustness(Evaluation):
    """Robustness of rankers of texts, on queries, documents and judgements of your own.

    Each ranker is measured on the queries as they are, on misspelt or shortened queries, and with the words of a query
    put into one document; one that learns, on a type of query that it has not seen, too. Rankings of other programs
    are compared on the queries as they are. Intervals are over queries, and those of pairs hold together.
    """

    title: ClassVar[str] = "Which ranker withstands changed queries and documents?"
    measures: ClassVar[tuple[str, ...]] = (
        "effectiveness", "variance", "drop", "first_changed", "lifted", "difference",
    )  # fmt: skip
    needs: ClassVar[frozenset[str]] = frozenset()

    collection: str = Field(description="folder: documents.tsv, queries.tsv, qrels.txt (TREC), and types.tsv if any")
    training: str = Field(
        default="", description="folder of the same form with other queries, from which rankers learn"
    )
    rankers: tuple[Name, ...] = Field(default=("bm25", "ql", "encoder"), min_length=1, description="rankers")
    encoder: str = Field(default="hashed-pieces", description="encoder of texts: hashed-pieces, minilm, or a folder")
    runs: tuple[str, ...] = Field(default=(), description="rankings of other programs: TREC run files")
    measure: str = Field(default="nDCG@10", description="measure of effectiveness, such as nDCG@10, AP or RR@100")
    queries: tuple[str, ...] = Field(
        default=("swap-1", "swap-2"),
        description="changes of queries, NAME-WORDS, such as keyboard-1, shuffle-1 or worst-2",
    )
    documents: tuple[str, ...] = Field(
        default=("append-1", "append-3"), description="changes of a document, NAME-TIMES, such as append-3 or raise-3"
    )
    position: int = Field(default=10, ge=1, description="place of the changed document in the list of BM25")

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        folders = [Path(name) for name in (self.collection, self.training) if name]
        inside = [folder / name for folder in folders for name in FILES]
        return tuple(str(path) for path in (*inside, *map(Path, self.runs)) if path.is_file())

    @override
    def check(self, subject: EvaluationSubject) -> None:
        for name, values in (("rankers", self.rankers), ("runs", self.runs), ("queries", self.queries),
                             ("documents", self.documents)):  # fmt: skip
            if len({*values}) != len(values):
                raise ParameterError(f"ranking: {name} names one twice: name each once")
        learner = next((name for name in self.rankers if name in LEARNED), None)
        if learner and not self.training:
            raise ParameterError(f"ranking: {learner} learns: name a folder of other queries by training=DIR")
        if self.training and not learner:
            raise ParameterError("ranking: none of the rankers learns: leave training out, or add ranksvm or knrm")
        parse_measure(self.measure)
        self._changes().check()
        names = [run_name(path) for path in self.runs]
        if twice := next((n for n in names if names.count(n) > 1 or n in self.rankers), None):
            raise ParameterError(f"ranking: two rankings are called {twice!r}: rename a run file")

    def _changes(self) -> Changes:
        return Changes(_pairs("queries", self.queries), _pairs("documents", self.documents), self.position)

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        collection = read_collection(self.collection)
        test = RankingTest(collection, read_collection(self.training) if self.training else None)
        made = _Made(self.encoder)
        for name in self.rankers:
            parts = ranking_rows(
                {name: made.ranker(name)}, test, measure=self.measure, changes=self._changes(), seed=subject.seed,
                finished=lambda condition: subject.run.has_rows("rankings", condition, 0),
            )  # fmt: skip
            for part in parts:
                subject.run.write_rows(table_of(part), part.table, part.condition.id, 0)
        for path in self.runs:
            own = run_name(path)
            if subject.run.has_rows("rankings", f"{own}.clean", 0):
                continue
            judged = "Judged@10"
            try:
                found = measure_queries(read_run(path), collection.qrels, [self.measure, judged])
            except ParameterError as error:
                raise DataError(f"{path}: {error}") from None
            ids = list(collection.queries)
            part = part_of(
                f"{own}.clean", own, "variance", "", ids, measure=self.measure,
                effectiveness=[found[self.measure][q] for q in ids], judged=[found[judged][q] for q in ids],
            )  # fmt: skip
            subject.run.write_rows(table_of(part), part.table, part.condition.id, 0)
        return self._findings(RankingReport(subject.run.rows("rankings")))

    def _findings(self, report: RankingReport) -> EvaluationFindings:
        order = [*self.rankers, *map(run_name, self.runs)]
        found = report.figures()
        figures = dict[str, Figure]()
        for name in order:
            own = found[name]
            figures |= {f"effectiveness_{name}": own["mean"], f"variance_{name}": own["variance"]}
            drops = {condition: figure for condition, figure in own["drop"].items() if figure is not None}
            figures |= {f"drop_{name}_{condition}": figure for condition, figure in drops.items()}
            for condition in self.documents if name in self.rankers else ():
                lifted = own[condition]
                figures |= {f"{key}_{name}_{condition}": lifted[key] for key in ("first_changed", "lifted")}
        pairs = report.comparisons()
        figures |= {f"difference_{b}_{a}": one["difference"] for (a, b), one in pairs.items()}
        undefined = [name for name in order if not found[name]["mean"].value]
        remarks = [f"{name} finds nothing: its drops from 0 are not defined" for name in undefined]
        judged = min(float(report.column(name, "clean", "judged").mean()) for name in order)
        remarks.append(f"Of the first ten documents {judged:.0%} at least are judged; others count as not relevant.")
        return EvaluationFindings(
            rows={}, figures=figures, answer=self._answer(order, found, pairs), remarks=tuple(remarks),
            listings=(self._by_ranker(order, found), *self._by_document(found), *_by_pair(pairs),
                      *self._examples(report)),
        )  # fmt: skip

    def _answer(
        self, order: Sequence[str], found: Mapping[str, Any], pairs: Mapping[tuple[str, str], Any]
    ) -> tuple[str, ...]:
        best = max(order, key=lambda name: found[name]["mean"].value)
        mean = found[best]["mean"]
        behind = [a if b == best else b for (a, b), one in pairs.items() if best in (a, b) and one["p_adjusted"] < 0.05]
        than = f"better than {', '.join(behind)}" if behind else "better than none of the others for sure"
        first = f"{best} ranks best by {self.measure}: {mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f}), {than}."
        sentences = [first if len(order) > 1 else first.replace(f", {than}", "").replace("ranks best", "ranks")]
        for condition in self.queries:
            drops = {name: found[name]["drop"].get(condition) for name in self.rankers}
            known = {name: figure for name, figure in drops.items() if figure is not None}
            if known:
                worst = min(known, key=lambda name: known[name].value)
                figure = known[worst]
                if figure.value >= 0:
                    sentences.append(f"Under {condition} no ranker loses effectiveness.")
                    continue
                sentences.append(
                    f"Under {condition} {worst} loses most: {100 * figure.value:+.1f} % of its effectiveness "
                    f"({100 * figure.low:+.1f} to {100 * figure.high:+.1f} %)."
                )
        return tuple(sentences)

    def _by_ranker(self, order: Sequence[str], found: Mapping[str, Any]) -> Listing:
        conditions = list(dict.fromkeys(c for name in order for c in found[name]["drop"]))
        rows = tuple(
            (name, found[name]["mean"], found[name]["variance"], found[name]["worst"],
             *(found[name]["drop"].get(condition) for condition in conditions))
            for name in order
        )  # fmt: skip
        caption = (
            f"{self.measure} over queries, its variance, and its mean over the worst tenth; then the share that is "
            "lost under each change, negative for a loss."
        )
        return Listing(caption, ("ranker", self.measure, "variance", "worst tenth", *conditions), rows)

    def _by_document(self, found: Mapping[str, Any]) -> list[Listing]:
        keys = ("first_changed", "lifted", "gain", "overlap")
        rows = tuple(
            (f"{name}, {condition}", *(found[name][condition][key] for key in keys))
            for condition in self.documents
            for name in self.rankers
        )
        caption = (
            f"A document at place {self.position} of BM25's list is changed: share of queries whose first document is "
            "another one then, share whose document enters the first ten, ranks gained, and overlap of the lists."
        )
        heads = ("ranker", "first changed", "lifted", "ranks gained", "overlap")
        return [Listing(caption, heads, rows)] if rows else []

    def _examples(self, report: RankingReport) -> list[Listing]:
        """Changed queries to read, of the first ranker."""
        rows = [
            (row["id"], row["change"], row["text"], row["effectiveness"])
            for condition in self.queries
            for row in report.rows.to_pylist()
            if row["condition"] == f"{self.rankers[0]}.{condition}"
        ]
        step = max(1, len(rows) // SHOWN)
        caption = f"Some changed queries, with {self.measure} of {self.rankers[0]}."
        heads = ("query", "change", "text", self.measure)
        return [Listing(caption, heads, tuple(rows[::step][:SHOWN]))] if rows else []


class _Made:
    """Rankers by name, which share one encoder that is loaded when it is first asked for."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._parts: tuple[EncoderMemory, EncoderMemory] | None = None

    def ranker(self, name: str) -> Ranker | Learner:
        plain: dict[str, Callable[[], Ranker | Learner]] = {
            "bm25": BM25, "ql": QueryLikelihood, "ranksvm": RankSVM, "lambdamart": LambdaMART,
        }  # fmt: skip
        if name in plain:
            return plain[name]()
        if self._parts is None:
            encoder = load_encoder(self.spec)
            self._parts = EncoderMemory(encoder), EncoderMemory(encoder.word_vectors)
        encode, vectors = self._parts
        return {"encoder": DenseRanker, "two-tower": TwoTower}[name](encode) if name != "knrm" else KNRM(vectors)


def run_name(path: str) -> str:
    """The name of a run file in figures: its stem in small letters, with `-` for all else.

    It names files of rows too, so that of a longer stem 50 characters and a digest of the whole are left.

    >>> run_name("runs/My Run.v2.txt")
    'my-run-v2'
    """
    name = Path(path).name
    stem = name.rpartition(".")[0] or name  # `Path.stem` of dots alone is not the same in all Pythons
    found = re.sub(r"[^a-z0-9_]+", "-", stem.lower()).strip("-") or "run"
    digest = hashlib.blake2b(os.fsencode(stem), digest_size=4).hexdigest()
    return found if len(found) <= 60 else f"{found[:50]}-{digest}"


def _by_pair(pairs: Mapping[tuple[str, str], Any]) -> list[Listing]:
    rows = tuple((f"{b} less {a}", one["difference"], one["p_adjusted"]) for (a, b), one in pairs.items())
    caption = "Every two rankers on the queries as they are, paired by query; the intervals of all pairs hold together."
    return [Listing(caption, ("rankers", "difference", "p, adjusted"), rows)] if rows else []


def _pairs(what: str, texts: Sequence[str]) -> list[tuple[str, int]]:
    found = []
    for text in texts:
        name, _, count = text.rpartition("-")
        if not name or not (count.isascii() and count.isdecimal()):
            raise ParameterError(f"ranking: {what} {text!r}: write a change and a number, such as swap-1")
        found.append((name, int(count)))
    return found
