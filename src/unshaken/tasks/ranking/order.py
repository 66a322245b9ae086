"""`Ranking`: documents in order of their scores as trec_eval decides it, and its effectiveness by ir-measures."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ParameterError
from unshaken.core.imports import need
from unshaken.core.numbers import shorten

Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document id to grade: above 0 is relevant."""
DEPTH = 1000
"""Largest number of documents of a ranking, as in runs at TREC."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The documents of one query, best first.

    Args:
        ids: of the documents.
        scores: float32 `[D]`, descending.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float32]


def tie_order(ids: Sequence[str]) -> NDArray[np.int64]:
    """The place of each document where all scores are equal: the larger id first, as in trec_eval."""
    order = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
    places = np.empty(len(ids), np.int64)
    places[order] = np.arange(len(ids))
    return places


def finite_scores(scores: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Check the scores of a ranker, and return them as float32.

    Raises:
        ParameterError: the shape is another one, or a score is not finite.
    """
    values = np.asarray(scores, np.float32)
    if values.shape != shape:
        raise ParameterError(f"a ranker gave scores of shape {list(values.shape)}, and {list(shape)} is wanted")
    if not np.isfinite(values).all():
        raise ParameterError(f"a ranker gave {int((~np.isfinite(values)).sum())} scores that are not finite")
    return values


def sort_by_score(
    ids: Sequence[str], scores: ArrayLike, *, depth: int = DEPTH, ties: NDArray[np.int64] | None = None
) -> Ranking:
    """Documents in order of their scores in float32; of equal scores the document with the larger id is first.

    So do trec_eval and pytrec_eval, and a run that is written and read again stays as it is. The order of the documents
    in the collection decides nothing.

    Args:
        ids: of D documents.
        scores: `[D]`, finite.
        depth: largest number of documents.
        ties: `tie_order(ids)`, where many rankings of the same documents are sorted.

    Raises:
        ParameterError: a score is not finite, or there are not as many as documents.

    >>> sort_by_score(["a", "b", "c"], [1.0, 1.0, 2.0]).ids
    ('c', 'b', 'a')
    """
    values = finite_scores(scores, (len(ids),))
    order = np.lexsort((tie_order(ids) if ties is None else ties, -values))[:depth]
    return Ranking(tuple(ids[i] for i in order), values[order])


def rank_among(scores: NDArray[np.float32], ties: NDArray[np.int64], place: int, score: float) -> int:
    """The rank, from 1, of one document if it had another score and the others had theirs.

    Args:
        scores: `[D]` of all documents.
        ties: `[D]`, see `tie_order`.
        place: of the document in them.
        score: its new score.
    """
    value = np.float32(score)
    before = (scores > value) | ((scores == value) & (ties < ties[place]))
    before[place] = False
    return 1 + int(before.sum())


def parse_measure(text: str) -> Any:
    """A measure by its name at ir-measures, such as `nDCG@10`, `AP`, `RR@100`, `R@50` or `Judged@10`.

    `nDCG` has the grade itself as its gain, as in trec_eval; `nDCG(gains={1:1,2:3,3:7})@10` has `2^grade - 1`.

    Raises:
        ParameterError: there is no such measure.
        MissingExtra: ir-measures is absent.
    """
    known = _package().measures.registry  # its own parser needs what Python 3.14 has removed from ast
    parts = re.fullmatch(r"(\w+)(\(.*\))?(?:@([0-9]+))?", text, re.ASCII)
    try:
        if parts is None or parts[1] not in known:
            raise ValueError("there is none of this name")
        call = ast.parse(f"f{parts[2] or '()'}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("its parameters must be NAME=VALUE")
        values = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
        measure = known[parts[1]](**values) if values else known[parts[1]]
        measure = measure @ int(parts[3]) if parts[3] else measure
        measure.validate_params()
        return measure
    except (AssertionError, KeyError, ValueError, SyntaxError, TypeError) as error:
        why = str(error) or type(error).__name__
        raise ParameterError(f"measure {shorten(text)}: {why}; as in nDCG@10, AP, RR@100, R@50 or Judged@10") from None


def measure_queries(
    rankings: Mapping[str, Ranking], qrels: Qrels, measures: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Effectiveness of each judged query.

    The order of each ranking counts, ties decided already (see `sort_by_score`): ir-measures is given the ranks in the
    place of the scores, so that all of the programs behind it decide ties alike.

    Args:
        rankings: query id to its documents, best first.
        qrels: query id to document id to grade.
        measures: names as for `parse_measure`.

    Returns:
        Measure to query id to value, in the order of `qrels`. A judged query without a ranking has 0, as with
        `trec_eval -c`; one without judgements is left out.

    Raises:
        ParameterError: there is no such measure, or none of the rankings is of a judged query.
        MissingExtra: ir-measures is absent.
    """
    package = _package()
    parsed = {text: parse_measure(text) for text in measures}
    shared = [query for query in qrels if query in rankings]
    if not shared:
        raise ParameterError("none of the rankings is of a judged query; do the ids of run and judgements agree?")
    run = {q: {d: float(len(rankings[q].ids) - i) for i, d in enumerate(rankings[q].ids)} for q in shared}
    found = {text: dict.fromkeys(qrels, 0.0) for text in measures}
    names: dict[str, list[str]] = {}  # one measure may be asked for by several names
    for text, measure in parsed.items():
        names.setdefault(str(measure), []).append(text)
    judged = {query: dict(grades) for query, grades in qrels.items()}
    for value in package.iter_calc([parsed[texts[0]] for texts in names.values()], judged, run):
        for text in names[str(value.measure)]:
            found[text][value.query_id] = float(value.value)
    return found


def _package() -> Any:
    return need("ir_measures", "ir-measures", "ranking", "measuring rankings")
