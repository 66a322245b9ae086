"""Figures of the five tasks: of each ranker, and of every neural one less every other, paired by query."""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from unshaken.measure import influence
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.spread import corners, figure_of_means
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Rows, mean_of
from unshaken_papers.ranking_robustness import (
    BASELINE,
    NEURAL,
    OTHERS,
    TASKS,
    RankingRobustnessPaper,
    is_ahead,
    is_behind,
)

CONDITIONS = {
    "query-type": ("type-seen", "type-unseen"),
    "corpus": ("corpus-seen", "corpus-unseen"),
    "query": ("clean", "swap-1"),
    "two-mistakes": ("clean", "swap-2"),
}
"""Tasks whose figure is a share lost, and the conditions before and after."""
SIDES = {"low": min, "high": max}


def figures(paper: RankingRobustnessPaper, rows: Rows) -> dict[str, Any]:
    """Figures of each ranker by task, and differences, over seeds and queries."""
    seeds = list(rows.repetitions(paper.seeds).values())
    names = (*OTHERS, *NEURAL, *BASELINE)
    columns = {
        name: {task: [task_columns([seed], name, task) for seed in seeds] for task in (*TASKS, "two-mistakes")}
        for name in names
    }
    found: dict[str, Any] = {
        "mean": {name: mean_of(column(seeds, name, "clean"), low=0.0, high=1.0) for name in names},
        "spread": {name: variance_figure(task_columns(seeds, name, "variance")) for name in names},
        "gain": {name: gain_figure(seeds, name) for name in names},
    }
    for task in (*TASKS, "two-mistakes"):
        found[task] = {name: robustness(task, columns[name][task]) for name in names}
    found["less"] = {
        task: {
            n: {o: robustness(task, columns[n][task], columns[o][task]) for o in OTHERS} for n in (*NEURAL, *BASELINE)
        }
        for task in TASKS
    }
    found["tasks_behind"] = sum(is_behind(found["less"][task]) for task in TASKS)
    found["tasks_ahead"] = sum(is_ahead(found["less"][task]) for task in TASKS)
    return found


def column(seeds: list[Rows], ranker: str, condition: str, name: str = "effectiveness") -> Numbers:
    """A column of a ranker under a condition, its mean over the seeds, `[Q]`, in order of query ids."""
    parts = [seed.column("rankings", f"{ranker}.{condition}", name, by="id") for seed in seeds]
    return np.asarray(np.mean(np.asarray(parts, np.float64), axis=0), np.float64)


def task_columns(seeds: list[Rows], ranker: str, task: str) -> Numbers:
    """The columns `[Q, 2]` whose means decide a task's figure."""
    if task == "variance":
        squares = [column([seed], ranker, "clean") ** 2 for seed in seeds]
        return np.stack([column(seeds, ranker, "clean"), np.mean(squares, axis=0)], 1)
    if task == "document":
        changed = column(seeds, ranker, "append-1", "first_changed")
        return np.stack([changed, changed], 1)
    return np.stack([column(seeds, ranker, condition) for condition in CONDITIONS[task]], 1)


def value(task: str, means: Numbers) -> Numbers:
    """A task's figure from the means `[..., 2]` of its columns; larger is more robust."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if task == "variance":
            return np.asarray(-np.sqrt(np.maximum(means[..., 1] - means[..., 0] ** 2, 0.0)) / means[..., 0])
        return np.asarray(-means[..., 0] if task == "document" else means[..., 1] / means[..., 0] - 1)


def possible(task: str) -> Numbers:
    """Rows of `task_columns` that another query might have, at the ends of the range."""
    return np.array([[0.0, 0.0], [1.0, 1.0]]) if task in ("variance", "document") else corners(2)


def robustness(task: str, own: list[Numbers], other: list[Numbers] | None = None) -> dict[str, Any]:
    """A ranker's figure, or its figure less another's.

    The interval is for other seeds and queries, and holds that of resampling queries, averaged over the seeds first,
    which is right where nearly all are alike.

    Args:
        task: its name.
        own: the columns `[Q, 2]` of each seed.
        other: of the other ranker.
    """
    columns = own if other is None else [np.concatenate(pair, 1) for pair in zip(own, other, strict=True)]
    pairs = product(possible(task), repeat=1 if other is None else 2)
    ends = np.array([np.concatenate(rows) for rows in pairs])

    def figure(means: Numbers) -> Numbers:
        first = value(task, means[..., :2])
        return first if other is None else np.asarray(first - value(task, means[..., 2:]))

    found = figure_of_means(np.mean(columns, 0), figure, possible=lambda: ends).to_json()
    over = across_seeds(
        [influence(column, lambda means: float(figure(means))) for column in columns],
        low=-math.inf, high=math.inf, influence=True,
    )  # fmt: skip
    low, high = (None if found[end] is None else side(found[end], over[end]) for end, side in SIDES.items())
    return {**found, "low": low, "high": high, "interval": over["interval"]}


def variance_figure(columns: Numbers) -> dict[str, Any]:
    """The variance of the reciprocal rank over queries and seeds."""
    return figure_of_means(
        columns, lambda m: np.asarray(np.maximum(m[..., 1] - m[..., 0] ** 2, 0.0)),
        possible=partial(possible, "variance"),
    ).to_json()  # fmt: skip


def gain_figure(seeds: list[Rows], ranker: str) -> dict[str, Any]:
    """The ranks that the changed document gains, the mean over queries."""
    before, after = (column(seeds, ranker, "append-1", f"rank_{when}") for when in ("before", "after"))
    return mean_of(before - after)
