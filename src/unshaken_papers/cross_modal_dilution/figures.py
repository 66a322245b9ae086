"""Figures of dilutions: macro F1 and its drops over samples, each the mean over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.classification.class_means import f1_columns, f1_of_means, f1_rows
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.spread import figure_of_means
from unshaken.papers.rows import Rows, mean_of
from unshaken.tasks.image_text.report import RANGES
from unshaken_papers.cross_modal_dilution import CHANGES, CLASSIFIERS, FRESH, TIMES, CrossModalDilutionPaper

RELEVANCES = ("relevance_text", "relevance_image", "words_added")


def figures(paper: CrossModalDilutionPaper, rows: Rows) -> dict[str, Any]:
    """By classifier and change; samples are resampled with all their seeds together."""
    seeds = list(rows.repetitions(paper.seeds).values())
    whole = rows.table("dilutions")
    classes = 1 + max(int(whole[name].to_numpy().max()) for name in ("label", "prediction", "changed_prediction"))
    clean = {name: columns(seeds, name, "clean", classes) for name in CLASSIFIERS}
    found: dict[str, Any] = {
        "f1": {n: f1_figure(clean[n], lambda m: mean_f1(m, len(seeds)), classes, len(seeds)) for n in CLASSIFIERS},
        "drop": {},
        "content": {},
    }
    for name in CLASSIFIERS:
        changed = {c: columns(seeds, name, c, classes) for c in CHANGES + ((FRESH,) if name == "hardened" else ())}
        found["drop"][name] = {
            c: f1_figure(np.concatenate([clean[name], own], 1), mean_drop(len(seeds)), classes, len(seeds))
            for c, own in changed.items()
        }
        if name in ("fused", "other"):
            filler, neutral = ([clean[name], changed["relevant"], changed[c]] for c in ("filler", "neutral"))
            found["content"][name] = {
                "beyond_filler": compared(filler, lambda own, other: own - TIMES * other, classes, len(seeds)),
                "less_than_filler": compared(filler, lambda own, other: other - own, classes, len(seeds)),
                "beyond_neutral": compared(neutral, lambda own, other: own - other, classes, len(seeds)),
            }
    for measure in RELEVANCES:
        low, high = RANGES[measure]
        found[measure] = {c: mean_of(over_seeds_of(seeds, c, measure), low=low, high=high) for c in CHANGES}
    relevant, url = (over_seeds_of(seeds, c, "relevance_image", keep=True) for c in ("relevant", "url"))
    there = np.isfinite(relevant)
    found["more_relevant"] = mean_of((relevant - url)[there], low=-2.0, high=2.0)
    found["kept"] = float(np.mean([read(s, "fused", "relevant", "kept") for s in seeds]))
    return found


def read(rows: Rows, classifier: str, change: str, *names: str) -> list[NDArray[Any]]:
    """Columns of a seed, in order of ids."""
    return rows.columns("dilutions", f"{classifier}.{change}", *names, by="id")


def columns(seeds: Sequence[Rows], classifier: str, change: str, classes: int) -> Numbers:
    """Columns that decide macro F1 in each seed, `[N, S 3 K]`."""
    found = [read(seed, classifier, change, "label", "changed_prediction") for seed in seeds]
    return np.concatenate([f1_columns(labels, predicted, classes) for labels, predicted in found], 1)


def f1_figure(columns: Numbers, of: Callable[[Numbers], Numbers], classes: int, seeds: int) -> dict[str, Any]:
    """A function of the means of columns, with its interval over samples."""
    return figure_of_means(columns, of, possible=partial(f1_rows, columns, classes, together=seeds)).to_json()


def mean_f1(means: Numbers, seeds: int) -> Numbers:
    """Macro F1, the mean over seeds, from means `[..., S 3 K]`."""
    return np.asarray(np.mean([f1_of_means(part) for part in np.split(means, seeds, axis=-1)], axis=0))


def mean_drop(seeds: int) -> Any:
    """A function from means of both columns `[..., 2 S 3 K]` to the relative drop of the mean macro F1."""

    def drop(means: Numbers) -> Numbers:
        before, after = (mean_f1(part, seeds) for part in np.split(means, 2, axis=-1))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(1 - after / before)

    return drop


def compared(
    parts: Sequence[Numbers], of: Callable[[Numbers, Numbers], Numbers], classes: int, seeds: int
) -> dict[str, Any]:  # fmt: skip
    """A function of the drops under two changes, paired by sample.

    Args:
        parts: columns without a change, under one and under the other, each `[N, S 3 K]`.
        of: of both drops.
        classes: K.
        seeds: S.
    """

    def value(means: Numbers) -> Numbers:
        clean, one, other = (mean_f1(part, seeds) for part in np.split(means, 3, axis=-1))
        with np.errstate(divide="ignore", invalid="ignore"):
            return of(np.asarray(1 - one / clean), np.asarray(1 - other / clean))

    return f1_figure(np.concatenate(parts, 1), value, classes, seeds)


def over_seeds_of(seeds: Sequence[Rows], change: str, name: str, *, keep: bool = False) -> Numbers:
    """A column of the searched classifier, the mean over the seeds in which a sample has it.

    Args:
        seeds: rows of each.
        change: its name.
        name: of the column.
        keep: keep samples without it in any seed, as not a number.
    """
    values = np.concatenate([read(seed, "fused", change, name) for seed in seeds]).astype(np.float64)
    there = np.isfinite(values)
    counts = there.sum(0)
    found = np.where(counts > 0, np.where(there, values, 0.0).sum(0) / np.maximum(counts, 1), np.nan)
    return np.asarray(found if keep else found[counts > 0])
