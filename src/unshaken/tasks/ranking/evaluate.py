"""`evaluate`: rankers on the five tasks, with figures, intervals and tests paired by query."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.notebook import facts_card
from unshaken.measure import Figure, paired_difference, share
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import percent
from unshaken.measure.statistics.means import mean_figure
from unshaken.measure.statistics.spread import corners, figure_of_means, permutation_test, spread
from unshaken.store.lock import locked
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import empty_table, table_of
from unshaken.tasks.ranking.ranker import Learner, Ranker
from unshaken.tasks.ranking.robustness import Changes, RankingTest, ranking_rows

RECORD = "rankings.json"
"""Says whether an evaluation has come to its end."""
TOP = 10
"""Places that a changed document should reach to count as lifted."""


@dataclass(frozen=True, slots=True)
class RankingReport:
    """The figures of rankers on the five tasks, from their rows.

    Args:
        rows: of the table `rankings`.
    """

    rows: pa.Table

    def _repr_html_(self) -> str:
        means = {name: f["mean"] for name, f in self.figures().items()}
        facts = {n: f"{f.value:.3f} ({f.low:.3f} to {f.high:.3f}, {f.n:,} queries)" for n, f in means.items()}
        return facts_card("Mean effectiveness on the queries as they are", facts)

    def rankers(self) -> list[str]:
        """Names, in order of their rows."""
        return list(dict.fromkeys(self.rows["ranker"].to_pylist()))

    def column(self, ranker: str, condition: str, name: str = "effectiveness") -> Numbers:
        """A column of a ranker under a condition, `[Q]`, in order of query ids.

        Args:
            ranker: its name.
            condition: such as `clean` or `swap-1`, without the ranker's name.
            name: of the column.

        Raises:
            ParameterError: there are no such rows.
        """
        mask = pa.compute.equal(self.rows["condition"], f"{ranker}.{condition}")
        found = self.rows.filter(mask).sort_by("id")[name].to_pylist()
        if not found:
            raise ParameterError(f"there are no rows of the ranker {ranker!r} under {condition!r}")
        return np.array(found, np.float64)

    def conditions(self, ranker: str) -> dict[str, str]:
        """Conditions of a ranker, without its name, and the task of each."""
        rows = self.rows.filter(pa.compute.equal(self.rows["ranker"], ranker)).select(["condition", "task"]).to_pylist()
        return {row["condition"].removeprefix(f"{ranker}."): row["task"] for row in rows}

    def figures(self) -> dict[str, dict[str, Any]]:
        """Ranker to its figures, each with its interval over queries.

        Returns:
            `mean`, `variance`, `variation` (deviation over mean) and `worst` (the worst tenth); `drop` by condition of
            the tasks `query-type`, `corpus` and `query`: the share of effectiveness lost, negative for a loss; and by
            condition of the task `document`: `first_changed` (share of queries), `lifted` (share whose document entered
            the first ten), `gain` (ranks) and `overlap`. A drop from an effectiveness of 0 is undefined: None.
        """
        return {ranker: self._figures(ranker) for ranker in self.rankers()}

    def _figures(self, ranker: str) -> dict[str, Any]:
        clean = self.column(ranker, "clean")
        moments = np.stack([clean, clean**2], 1)
        even = spread(clean)
        found: dict[str, Any] = {
            "mean": figure_of_means(moments, lambda m: m[..., 0], possible=_moments),
            "variance": figure_of_means(moments, variance_of, possible=_moments),
            "variation": None if even.variation is None else figure_of_means(moments, variation_of, possible=_moments),
            "worst": even.worst,
            "drop": {},
        }
        for condition, task in self.conditions(ranker).items():
            if task == "document":
                found[condition] = self._lifted(ranker, condition)
            elif condition in ("type-unseen", "corpus-unseen"):
                known = self.column(ranker, condition.replace("unseen", "seen"))
                found["drop"][condition] = drop_figure(known, self.column(ranker, condition))
            elif task == "query":
                found["drop"][condition] = drop_figure(clean, self.column(ranker, condition))
        return found

    def _lifted(self, ranker: str, condition: str) -> dict[str, Figure]:
        changed = self.column(ranker, condition, "first_changed")
        before, after = (self.column(ranker, condition, f"rank_{when}") for when in ("before", "after"))
        return {
            "first_changed": share(int(changed.sum()), len(changed)),
            "lifted": share(int(((after <= TOP) & (before > TOP)).sum()), len(after)),
            "gain": mean_figure(before - after),
            "overlap": mean_figure(self.column(ranker, condition, "overlap"), low=0.0, high=1.0),
        }

    def comparisons(self, condition: str = "clean") -> dict[tuple[str, str], dict[str, Any]]:
        """Every two rankers under a condition, by effectiveness, paired by query.

        Args:
            condition: as for `column`.

        Returns:
            Both names to `difference` (second less first, a figure), `p_value` of the permutation test, and
            `p_adjusted`, that times the number of pairs, at most 1. As in `unshaken.measure.simultaneous`, the
            intervals of all pairs hold together at 95%, and one leaves out 0 only where `p_adjusted` is below 0.05.
        """
        columns = {ranker: self.column(ranker, condition) for ranker in self.rankers()}
        pairs, found = list(combinations(columns, 2)), dict[tuple[str, str], dict[str, Any]]()
        m = len(pairs)
        for one, other in pairs:
            p = permutation_test(columns[one], columns[other], resamples=max(10_000, 400 * m))
            figure = paired_difference(
                columns[one], columns[other], low=-1.0, high=1.0, level=1 - 0.05 / m, resamples=2000 * m
            )
            together = f"{figure.interval.replace(percent(1 - 0.05 / m), '95%')} for {m} differences together"
            figure = replace(figure, interval=together if m > 1 else figure.interval)
            if m * p >= 0.05:
                figure = replace(figure, low=min(figure.low, 0.0), high=max(figure.high, 0.0))
            found[one, other] = {"difference": figure, "p_value": p, "p_adjusted": min(1.0, m * p)}
        return found


def variance_of(means: Numbers) -> Numbers:
    """The variance from the means of values and of their squares, `[..., 2]`."""
    return np.asarray(np.maximum(means[..., 1] - means[..., 0] ** 2, 0.0))


def variation_of(means: Numbers) -> Numbers:
    """The coefficient of variation from the means of values and of their squares, `[..., 2]`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(variance_of(means)) / means[..., 0])


def _moments() -> Numbers:
    """Effectiveness and its square of the queries that are served worst and best."""
    return np.array([[0.0, 0.0], [1.0, 1.0]])


def drop_of(means: Numbers) -> Numbers:
    """The drop rate from the means of clean and changed effectiveness, `[..., 2]`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(means[..., 1] / means[..., 0] - 1)


def drop_figure(clean: Numbers, changed: Numbers) -> Figure | None:
    """The drop rate with its interval over queries; None where the clean effectiveness is 0."""
    return (
        figure_of_means(np.stack([clean, changed], 1), drop_of, possible=partial(corners, 2))
        if clean.mean() > 0
        else None
    )


def evaluate(
    rankers: Mapping[str, Ranker | Learner], test: RankingTest, *, measure: str = "nDCG@10",
    changes: Changes | None = None, seed: int = 0, out: str | os.PathLike[str] | None = None,
) -> RankingReport:  # fmt: skip
    """Evaluate rankers on the five tasks of robustness; see `ranking_rows` for what each is.

    Args:
        rankers: name to ranker: anything with `index`, or with `fit` if it learns.
        test: queries and documents.
        measure: of effectiveness, such as `nDCG@10`, `AP` or `RR@100`.
        changes: of queries and documents.
        seed: of what is drawn.
        out: a new run directory for the rows; None keeps them in memory.

    Raises:
        ParameterError: a name, the measure or a change is not allowed.
        ModelError: a ranker does not give finite scores, one a document.
        RunError: the directory holds rows of rankings already.
    """
    if not rankers:
        raise ParameterError("there is no ranker to evaluate; give one, as in {'bm25': BM25()}")
    check_folder(out, "out", (RECORD, "run.lock"))
    parts = ranking_rows(rankers, test, measure=measure, changes=changes, seed=seed)
    if out is None:
        return RankingReport(pa.concat_tables([empty_table("rankings"), *map(table_of, parts)]))
    run = RunDir(out)
    with locked(run):
        if run.names("rows", "rankings"):
            raise RunError(f"{run}: holds rows of rankings already; choose another directory")
        run.write_json({"finished": False}, RECORD)
        for part in parts:
            run.write_rows(table_of(part), part.table, part.condition.id, 0)
        run.write_json({"finished": True}, RECORD)
    return read_report(run)


def read_report(out: RunDir | str | os.PathLike[str]) -> RankingReport:
    """The report of a run directory that `evaluate` wrote, from its rows.

    Raises:
        RunError: it holds no rows of rankings, or the evaluation was stopped before its end.
    """
    run = out if isinstance(out, RunDir) else RunDir(out)
    if run.exists(RECORD) and not dict(run.read_json(RECORD)).get("finished"):
        raise RunError(f"{run}: its evaluation of rankers was stopped before its end; evaluate into a new directory")
    rows = run.rows("rankings")
    if not len(rows):
        raise RunError(f"{run}: holds no rows of rankings; is it a directory that evaluate wrote?")
    return RankingReport(rows)


def table_lines(report: RankingReport, conditions: Sequence[str] = ("swap-1", "append-1")) -> list[str]:
    """A short table: each ranker's mean and variation, its drop under changed queries, and how often the first changes.

    Args:
        report: of rankers.
        conditions: of the tasks `query` and `document` that are shown.
    """
    lines = []
    for name, found in report.figures().items():
        cells = [f"{name:14}", f"mean {found['mean'].value:.3f}"]
        for condition in conditions:
            if condition in found["drop"] and found["drop"][condition] is not None:
                cells.append(f"{condition} {found['drop'][condition].value:+.1%}")
            elif condition in found:
                cells.append(f"{condition} first changed {found[condition]['first_changed'].value:.2f}")
        lines.append("  ".join(cells))
    return lines
