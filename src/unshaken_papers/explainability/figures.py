"""Shares of maps on the object, ranks of methods, and areas beside confidence, from rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import scipy

from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means
from unshaken.papers.effects import across_seeds, mean_over
from unshaken.papers.rows import Numbers, Rows
from unshaken_papers.explainability import (
    BEST,
    CONTROLS,
    CORRUPTIONS,
    FAMILIES,
    FULL,
    METHODS,
    NETS,
    ExplainabilityPaper,
    name_of,
)

NAMES = tuple(map(name_of, METHODS))
THIRD = 2
"""Place of the third best, from 0."""


def figures(paper: ExplainabilityPaper, rows: Rows) -> dict[str, Any]:
    """Means over seeds and images."""
    seeds = list(rows.repetitions(paper.seeds).values())
    families = {family: [name_of(m) for m in methods] for family, methods in FAMILIES.items()}
    over = partial(mean_over, seeds)
    margins = [[winner_margin(seed, net) for net in NETS] for seed in seeds]
    return {
        "gain": {family: over(apart, "robust", "standard", own) for family, own in families.items()},
        "gradient_gains_more_than": {
            family: over(gains_more, families["gradient"], own, low=-2.0, high=2.0)
            for family, own in families.items()
            if family != "gradient"
        },
        "advprop_minus_standard": over(apart, "advprop", "standard", NAMES),
        "standard_minus_advprop": over(apart, "standard", "advprop", NAMES),
        "share": {net: {m: over(mean, net, [m], low=0.0) for m in (*NAMES, *CONTROLS)} for net in FULL},
        "pasted": {net: {m: pasted(seeds, f"{net}.{m}") for m in NAMES} for net in FULL},
        "rank_margin": {method: rank_margin(seeds, method) for method in BEST},
        "confidence": follows_confidence(seeds),
        "chosen": chosen(rows),
        "missed": across_seeds([-max(found) for found in margins]),
        "accuracy": {net: mean_over(seeds, accuracy, net, low=0.0) for net in NETS},
        "corrupted": {net: mean_over(seeds, corrupted, net, low=0.0) for net in NETS},
    }


def chosen(rows: Rows) -> dict[str, Any]:
    """The number of images from which maps are made, and the least share of networks that are right on one."""
    shares = rows.column("chosen", "all", "right")
    return {"images": len(shares), "least": float(shares.min())}


def column(rows: Rows, label: str, table: str, name: str) -> Numbers:
    """A column of one seed, in the order of ids."""
    return np.asarray(rows.column(table, label, name, by="id"), np.float64)


def mean(rows: Rows, net: str, methods: Sequence[str]) -> Numbers:
    """The mean share over methods on each mosaic."""
    return np.asarray(np.mean([column(rows, f"{net}.{m}", "shares", "value") for m in methods], 0), np.float64)


def apart(rows: Rows, one: str, other: str, methods: Sequence[str]) -> Numbers:
    """The mean share over methods on each mosaic, of one network less that of another."""
    return mean(rows, one, methods) - mean(rows, other, methods)


def gains_more(rows: Rows, methods: Sequence[str], others: Sequence[str]) -> Numbers:
    """How much more methods gain by robust training than others, on each mosaic."""
    return apart(rows, "robust", "standard", methods) - apart(rows, "robust", "standard", others)


def pasted(seeds: Sequence[Rows], label: str) -> dict[str, Any]:
    """Pointing game, and the overlap of WSOL's box with a threshold that other images chose."""
    return {name: mean_over(seeds, column, label, "pasted", name, low=0.0) for name in ("pointing", "iou")}


def bootstrapped(columns: Numbers, statistic: Callable[[Numbers], Numbers]) -> dict[str, Any]:
    """A statistic of column means, with its interval over samples.

    Args:
        columns: `[N, M]`, one row a sample.
        statistic: from means `[B, M]` to `[B]`.
    """
    value, draws = statistic(columns.mean(0, keepdims=True))[0], statistic(bootstrap_means(columns))
    return bootstrap_figure(float(value), draws, len(columns)).to_json()


def rank_margin(seeds: Sequence[Rows], method: str) -> dict[str, Any]:
    """By how much the mean rank of the third best of the other methods is above that of one; rank 1 is the best."""
    shares = np.array([[column(s, f"{net}.{m}", "shares", "value") for m in NAMES] for s in seeds for net in FULL])
    ranks = scipy.stats.rankdata(-shares, axis=1).mean(0).T  # mosaics x methods, the mean over networks
    own = NAMES.index(method)

    def margin(means: Numbers) -> Numbers:
        return np.sort(np.delete(means, own, 1), 1)[:, THIRD] - means[:, own]

    return bootstrapped(ranks, margin)


def follows_confidence(seeds: Sequence[Rows]) -> dict[str, Any]:
    """Rank correlations over the networks of all seeds of mean confidence with mean areas."""
    nets = [(seed, net) for seed in seeds for net in NETS]

    def of(kind: str, name: str) -> Numbers:
        return np.stack([column(seed, f"{net}.{kind}", "curves", name) for seed, net in nets], 1)

    found = {}
    for kind, end in (("gradcam", ""), ("constant", "_of_constant_maps")):
        confidence = of(kind, "confidence")
        for area in ("insertion", "deletion"):
            found[area + end] = bootstrapped(np.concatenate([confidence, of(kind, area)], 1), rank_correlation)
    return found


def rank_correlation(means: Numbers) -> Numbers:
    """Spearman's correlation of the first half of the columns with the second, in each row; 0 where one is constant."""
    one, other = (scipy.stats.rankdata(half, axis=1) for half in np.split(means, 2, 1))
    a, b = (ranks - ranks.mean(1, keepdims=True) for ranks in (one, other))
    size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    return np.where(size > 0, (a * b).sum(1) / np.where(size > 0, size, 1), 0.0)


def accuracy(rows: Rows, net: str) -> Numbers:
    """On each clean image."""
    return rows.shares(f"{net}.clean")


def corrupted(rows: Rows, net: str) -> Numbers:
    """On each image, the mean over the corruptions."""
    return rows.shares(*(f"{net}.{name}" for name in CORRUPTIONS))


def winner_margin(rows: Rows, net: str) -> float:
    """The least of a network's margins over the best other one, in accuracy, under corruption and in GradCAM's maps."""

    def localised(part: Rows, name: str) -> Numbers:
        return mean(part, name, ["gradcam"])

    margins = []
    for criterion in (accuracy, corrupted, localised):
        means = {name: float(criterion(rows, name).mean()) for name in NETS}
        margins.append(means.pop(net) - max(means.values()))
    return min(margins)
