"""Figures of the experiment with noise in depth, from rows alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unshaken.measure.statistics.columns import Numbers
from unshaken.papers.effects import across_seeds
from unshaken.papers.roles import choosing
from unshaken.papers.rows import Rows
from unshaken.tasks.bev.average_precision import bev_average_precision
from unshaken.tasks.bev.boxes import BevBoxes
from unshaken_papers.seabird import (
    ARMS,
    BCE,
    DEPTH,
    DICE,
    LARGE,
    LENGTHS,
    ONE_STAGE,
    STAGES,
    TWO_STAGE,
    SeaBirdPaper,
)

BINS = ((4, 8), (8, 12), (12, 16), (16, 20), (20, 24))
"""Ends of the bins of length, in cells."""
OVERLAPS = tuple(0.5 + 0.05 * i for i in range(10))
"""Least overlaps of a found box over which average precision is averaged, as COCO does."""
KINDS = {"large": (LARGE, math.inf), "small": (0.0, BINS[0][1]), "all": (0.0, math.inf)}
"""Lengths in cells of the objects that count."""


def figures(paper: SeaBirdPaper, rows: Rows) -> dict[str, Any]:
    """The theorem, and what is compared over seeds."""
    seeds = list(rows.repetitions(paper.seeds).values())
    rates = {arm: [chosen_rate(part, arm, paper) for part in seeds] for arm in ARMS}
    ious = {arm: [overlaps(p, f"{arm}-{r:g}.test") for p, r in zip(seeds, rates[arm], strict=True)] for arm in ARMS}
    gaps = [a - b for a, b in zip(ious[DICE], ious[DEPTH], strict=True)]
    lengths = [lengths_of(p, f"{DICE}-{r:g}.test") for p, r in zip(seeds, rates[DICE], strict=True)]
    over = [a - b for a, b in zip(ious[DICE], ious[BCE], strict=True)]
    binned = {
        f"{low}-{high}": across_seeds([mean_within(g, x, low, high) for g, x in zip(gaps, lengths, strict=True)])
        for low, high in BINS
    }
    return {
        "theory": {f"{length:g}": theory(rows, length) for length in LENGTHS},
        "crossing": {
            f"{row['length']:g}": row["sigma"] for row in rows.table("crossings", "theory").to_pylist()
        },
        "iou": {arm: across_seeds([float(v.mean()) for v in values], low=0.0) for arm, values in ious.items()},
        "slope": across_seeds([slope(g, x) for g, x in zip(gaps, lengths, strict=True)]),
        "long": binned["20-24"],
        "dice_over_bce": across_seeds([float(v.mean()) for v in over]),
        "gaps": binned,
        "detection": detection(seeds, paper),
        "rates": rates,
    }  # fmt: skip


def detection(seeds: list[Rows], paper: SeaBirdPaper) -> dict[str, Any]:
    """Average precision of both detectors by the length of objects, and what the first stage adds."""
    rates = {arm: [detector_rate(part, arm, paper) for part in seeds] for arm in STAGES}
    found: dict[str, Any] = {}
    for kind, lengths in KINDS.items():
        values = {
            arm: [precision(p, f"{arm}-{r:g}", "test", lengths) for p, r in zip(seeds, rates[arm], strict=True)]
            for arm in STAGES
        }
        found[kind] = {arm: across_seeds(own, low=0.0) for arm, own in values.items()}
        gains = [b - a for a, b in zip(values[ONE_STAGE], values[TWO_STAGE], strict=True)]
        found[kind]["gain"] = across_seeds(gains)
    return found | {"rates": rates}


def detector_rate(rows: Rows, arm: str, paper: SeaBirdPaper) -> float:
    """The learning rate with the highest average precision over all objects of scenes to choose by."""
    with choosing():
        means = {rate: precision(rows, f"{arm}-{rate:g}", "choosing", KINDS["all"]) for rate in paper.rates}
    return max(means, key=lambda rate: means[rate])


def precision(rows: Rows, label: str, place: str, lengths: tuple[float, float]) -> float:
    """Average precision of a detector's boxes, the mean over least overlaps; 0 where no object counts."""
    found, objects = read_boxes(rows, f"{label}.{place}"), read_boxes(rows, f"truth.{place}")
    values = [bev_average_precision(found, objects, iou=overlap, lengths=lengths) for overlap in OVERLAPS]
    return float(np.nan_to_num(np.mean(values)))


def read_boxes(rows: Rows, label: str) -> BevBoxes:
    """The boxes of a condition, without the one that no scene has."""
    scene, *columns = rows.columns("boxes", label, "scene", "row", "column", "length", "across", "score")
    there = scene >= 0
    row, column, length, across, score = (values[there] for values in columns)
    still, flat = np.zeros(int(there.sum())), np.ones(int(there.sum()))
    boxes = np.stack([row, column, still, length, across, flat, still], 1)
    return BevBoxes(tuple(str(s) for s in scene[there]), boxes, ("object",) * len(boxes), score)


def theory(rows: Rows, length: float) -> dict[str, Any]:
    """Figures of one length: how far integrals are off, dice beside L1, and the errors of SGD."""
    table = [row for row in rows.table("variances", "theory").to_pylist() if row["length"] == length]
    known = [row for row in table if row["formula"] is not None]
    variance = {loss: {r["sigma"]: r["variance"] for r in table if r["loss"] == loss} for loss in (DICE, "l1")}
    moved = {row["loss"]: row for row in rows.table("sgd", "theory").to_pylist() if row["length"] == length}
    value = moved["l1"]["measured"] - moved[DICE]["measured"]
    half = 2 * math.hypot(moved["l1"]["error"], moved[DICE]["error"])
    return {
        "departure": max(abs(r["variance"] / r["formula"] - 1) for r in known),
        "largest_ratio_to_l1": max(v / variance["l1"][sigma] for sigma, v in variance[DICE].items()),
        "sgd": {"value": value, "low": value - half, "high": value + half},
        "moved": {loss: row["measured"] for loss, row in moved.items()},
        "predicted": {loss: row["predicted"] for loss, row in moved.items()},
    }


def chosen_rate(rows: Rows, arm: str, paper: SeaBirdPaper) -> float:
    """The learning rate with the largest mean IoU on scenes to choose by."""
    with choosing():
        means = {rate: float(overlaps(rows, f"{arm}-{rate:g}.choosing").mean()) for rate in paper.rates}
    return max(means, key=lambda rate: means[rate])


def overlaps(rows: Rows, label: str) -> Numbers:
    """IoU of each object under a condition, in the order of writing."""
    return rows.column("objects", label, "iou")


def lengths_of(rows: Rows, label: str) -> Numbers:
    """Length of each object, in cells."""
    return rows.column("objects", label, "length")


def mean_within(values: Numbers, lengths: Numbers, low: float, high: float) -> float:
    """The mean over objects of some lengths; 0 where there is none."""
    some = values[(lengths >= low) & (lengths < high)]
    return float(some.mean()) if len(some) else 0.0


def slope(values: Numbers, lengths: Numbers) -> float:
    """The least-squares slope of values on length.

    >>> import numpy as np
    >>> round(slope(np.array([0.1, 0.2, 0.3]), np.array([4.0, 8.0, 12.0])), 3)
    0.025
    """
    centred = lengths - lengths.mean()
    return float((centred * values).sum() / max(float((centred**2).sum()), 1e-12))
