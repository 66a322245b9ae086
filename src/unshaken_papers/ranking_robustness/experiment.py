"""Seven rankers on the five tasks, in several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.papers.cache import digest_of
from unshaken.papers.context import Context
from unshaken.tasks.ranking import (
    BM25,
    KNRM,
    Changes,
    DenseRanker,
    EncoderMemory,
    LambdaMART,
    QueryLikelihood,
    RankingTest,
    RankSVM,
    TwoTower,
    as_collection,
    load_encoder,
    read_wordnet,
)
from unshaken.tasks.ranking.collection import PARTS, Synset
from unshaken.tasks.ranking.robustness import ranking_rows
from unshaken_papers.ranking_robustness import BASELINE, NEURAL, OTHERS, TARGET, RankingRobustnessPaper

CHANGES = Changes(queries=[("swap", 1), ("swap", 2)], documents=[("append", 1), ("append", 3)])
MEASURE = "RR@100"


def run(paper: RankingRobustnessPaper, context: Context) -> None:
    """Draw the collections, let the rankers learn, and write their rows."""
    synsets = read_meanings(context.data)
    context.record.add_input(f"data {context.data}", digest_of([[s.id, s.text, s.example] for s in synsets]))
    encoder = load_encoder(context.model)
    context.record.add_input(f"model {context.model}", encoder.digest)
    encode, vectors = EncoderMemory(encoder), EncoderMemory(encoder.word_vectors)
    rankers: dict[str, Any] = {
        "bm25": BM25(),
        "ql": QueryLikelihood(),
        "ranksvm": RankSVM(),
        "lambdamart": LambdaMART(trees=paper.trees),
        "knrm": KNRM(vectors),
        "two-tower": TwoTower(encode),
        "encoder": DenseRanker(encode),
    }
    names = (*OTHERS, *NEURAL, *BASELINE)
    with track("rankers", paper.seeds * len(names)) as task:
        for part in context.repetitions(paper.seeds):
            test = draw_test(paper, synsets, context.seed, part.seed)
            for name in names:
                for rows in ranking_rows(
                    {name: rankers[name]}, test, measure=MEASURE, changes=CHANGES, seed=part.seed, prefix=part.prefix,
                    finished=lambda condition: context.run.has_rows("rankings", condition, 0),
                ):  # fmt: skip
                    context.keep([rows])
                task.advance()


def read_meanings(spec: str) -> list[Synset]:
    """WordNet from its SPEC: `wordnet`, or `folder:DIR` with its data files.

    Raises:
        DataError: it is absent.
    """
    if spec == "wordnet":
        return read_wordnet()
    kind, _, place = spec.partition(":")
    if kind != "folder" or not Path(place).is_dir():
        raise DataError(f"data {spec!r}: name a folder of WordNet's data files, as in folder:/usr/share/wordnet")
    return read_wordnet(place)


def draw_test(paper: RankingRobustnessPaper, synsets: Sequence[Synset], seed: int, own: int) -> RankingTest:
    """The test queries and documents of a run, with the training queries of one of its seeds.

    Args:
        paper: has the sizes.
        synsets: all meanings.
        seed: of the run: draws test queries and documents.
        own: of the repetition: draws training queries.

    Raises:
        DataError: there are too few examples.
    """
    first, second = np.random.default_rng([seed, 0]), np.random.default_rng([own, 1])
    asked = [s for s in synsets if s.example and s.file != TARGET]
    tested, pools = [], []
    for kind in PARTS.values():
        drawn = _drawn([s for s in asked if s.part == kind], kind, paper.tested + 2 * paper.learned, first)
        tested += drawn[: paper.tested]
        pools.append(drawn[paper.tested :])
    learned = [s for pool in pools for s in _drawn(pool, "training", paper.learned, second)]
    elsewhere = _drawn(
        [s for s in synsets if s.example and s.file == TARGET], "other", paper.tested + 2 * paper.learned, first
    )
    apart = _drawn(elsewhere[paper.tested :], "training", paper.learned, second)
    pool = [s for pool in pools for s in pool]
    here = _fill([*tested, *pool], [s for s in synsets if s.file != TARGET], paper.documents, first)
    there = _fill(elsewhere, [s for s in synsets if s.file == TARGET], paper.documents, first)
    return RankingTest(
        as_collection(here, tested), as_collection(here, learned),
        as_collection(there, elsewhere[: paper.tested]), as_collection(there, apart),
    )  # fmt: skip


def _drawn(synsets: Sequence[Synset], what: str, count: int, rng: np.random.Generator) -> list[Synset]:
    if len(synsets) < count:
        raise DataError(f"there are {len(synsets)} examples ({what}), {count} are needed: lower tested and learned")
    return [synsets[i] for i in rng.permutation(len(synsets))[:count]]


def _fill(needed: Sequence[Synset], others: Sequence[Synset], count: int, rng: np.random.Generator) -> list[Synset]:
    """The needed documents, and drawn ones up to a number, in order of ids."""
    known = {s.id for s in needed}
    rest = [s for s in others if s.id not in known]
    more = [rest[i] for i in rng.permutation(len(rest))[: max(0, count - len(known))]]
    return sorted([*needed, *more], key=lambda s: s.id)
