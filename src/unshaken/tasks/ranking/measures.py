"""Effectiveness of each query, by ir-measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.core.errors import ParameterError
from unshaken.core.extras import need
from unshaken.core.numbers import shorten
from unshaken.tasks.ranking.collection import Qrels
from unshaken.tasks.ranking.order import Ranking


def parse_measure(text: str) -> Any:
    """A measure by its name at ir-measures, such as `nDCG@10`, `AP`, `RR@100`, `R@50` or `Judged@10`.

    `nDCG` has the grade itself as its gain, as in trec_eval; `nDCG(gains={1:1,2:3,3:7})@10` has `2^grade - 1`.

    Raises:
        ParameterError: there is no such measure.
        MissingExtra: ir-measures is absent.
    """
    package = _package()
    try:
        return package.parse_measure(text)
    except (NameError, ValueError, SyntaxError, TypeError) as error:
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
