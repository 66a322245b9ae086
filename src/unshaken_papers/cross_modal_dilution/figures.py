"""Figures of dilutions: macro F1 and its drops over samples, each the mean over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.classification.class_means import f1_columns
from unshaken.measure.classification.f1_drops import compare_drops, drop_figure, f1_figure, mean_f1
from unshaken.measure.statistics.columns import Numbers
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
    sizes: dict[str, Any] = {"classes": classes, "repetitions": len(seeds)}
    found: dict[str, Any] = {
        "f1": {
            n: f1_figure(clean[n], partial(mean_f1, repetitions=len(seeds)), **sizes).to_json() for n in CLASSIFIERS
        },
        "drop": {},
        "content": {},
    }
    for name in CLASSIFIERS:
        changed = {c: columns(seeds, name, c, classes) for c in CHANGES + ((FRESH,) if name == "hardened" else ())}
        found["drop"][name] = {c: drop_figure(clean[name], own, **sizes).to_json() for c, own in changed.items()}
        if name in ("fused", "other"):
            compared = partial(compare_drops, clean[name], changed["relevant"], classes=classes, repetitions=len(seeds))
            found["content"][name] = {
                "beyond_filler": compared(changed["filler"], lambda own, other: own - TIMES * other).to_json(),
                "less_than_filler": compared(changed["filler"], lambda own, other: other - own).to_json(),
                "beyond_neutral": compared(changed["neutral"], lambda own, other: own - other).to_json(),
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
