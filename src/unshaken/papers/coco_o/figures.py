"""mAP in each style, the line of the plain detectors, and what augmentation has above it; from rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unshaken.measure import fit_line
from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.errors import KINDS, error_costs, find_errors
from unshaken.measure.object_detection.matching import Detections, Objects, match_images
from unshaken.papers.coco_o import CLEAN, DOMAINS, PLAIN, STYLED, CocoOPaper
from unshaken.papers.frame import across_seeds
from unshaken.papers.frame.rows import Rows

CLASSES = 4
Maps = dict[str, float]


def figures(paper: CocoOPaper, rows: Rows) -> dict[str, Any]:
    """Each seed by itself, and means over the seeds."""
    seeds = {name: seed_figures(paper, part) for name, part in rows.repetitions(paper.seeds).items()}
    of = list(seeds.values())

    def over(figure: Callable[[dict[str, Any]], float], low: float = 0.0) -> dict[str, Any]:
        return across_seeds([figure(seed) for seed in of], low=low)

    points = np.array([point for seed in of for point in seed["points"]])
    return {
        **seeds,
        "map": {
            net: {name: over(lambda s, n=net, d=name: float(s["map"][n][d])) for name in (CLEAN, "shifted", *DOMAINS)}  # type: ignore[misc]
            for net in (PLAIN, STYLED)
        },
        "drop": {net: over(lambda s, n=net: float(s["drop"][n]), -1.0) for net in (PLAIN, STYLED)},  # type: ignore[misc]
        "effective": {net: over(lambda s, n=net: float(s["effective"][n]), -1.0) for net in (PLAIN, STYLED)},  # type: ignore[misc]
        "gain": over(lambda s: float(s["effective"][STYLED] - s["effective"][PLAIN]), -1.0),
        "correlation": correlation(points),
    }


def seed_figures(paper: CocoOPaper, rows: Rows) -> dict[str, Any]:
    """mAPs, relative drops, effective robustness against the seed's line, and costs of kinds of errors."""
    truth = objects_of(rows)
    short = [maps(rows, f"{PLAIN}-{epochs}", truth) for epochs in paper.epochs]
    found = {PLAIN: short[-1], STYLED: maps(rows, STYLED, truth)}
    points = [[one[CLEAN], one["shifted"]] for one in short]
    line = line_through(points)
    return {
        "map": found,
        "points": points,
        "drop": {net: 1 - m["shifted"] / m[CLEAN] if m[CLEAN] else 0.0 for net, m in found.items()},
        "effective": {net: m["shifted"] - line(m[CLEAN]) for net, m in found.items()},
        "costs": {
            domain: costs(detections_of(rows, f"{PLAIN}-{paper.epochs[-1]}.{domain}"), truth)
            for domain in (CLEAN, *DOMAINS)
        },
    }


def maps(rows: Rows, net: str, truth: Sequence[Objects]) -> Maps:
    """The mAP of a detector on the scenes and in each style, and the mean over the styles."""
    each = {name: mean_ap(detections_of(rows, f"{net}.{name}"), truth) for name in (CLEAN, *DOMAINS)}
    return {**each, "shifted": float(np.mean([each[name] for name in DOMAINS]))}


def mean_ap(found: Sequence[Detections], truth: Sequence[Objects]) -> float:
    """COCO's mAP."""
    return float(mean_average_precision(average_precision(match_images(found, truth, CLASSES))))


def costs(found: Sequence[Detections], truth: Sequence[Objects]) -> Maps:
    """AP at an overlap of 0.5 that each kind of error costs."""
    whole = error_costs(find_errors(found, truth, CLASSES))
    return {name: whole[name] for name in KINDS}


def line_through(points: Sequence[Sequence[float]]) -> Callable[[float], float]:
    """The least-squares line from mAP on the scenes to that in the styles; level where all have one clean mAP."""
    clean, shifted = np.array(points).T
    if np.ptp(clean) == 0:
        return lambda x: float(shifted.mean())
    return fit_line(clean, shifted, transform="linear").predict


def correlation(points: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Pearson's r of points `[n, 2]`; 0 where one coordinate is the same for all."""
    return float(np.corrcoef(points.T)[0, 1]) if (np.ptp(points, axis=0) > 0).all() else 0.0


def objects_of(rows: Rows) -> list[Objects]:
    """The objects of each scene."""
    return [
        Objects(_corners(row["boxes"]), np.array(row["kinds"], np.int64), np.zeros(len(row["kinds"]), bool))
        for row in rows.table("objects", "scenes").to_pylist()
    ]


def detections_of(rows: Rows, label: str) -> list[Detections]:
    """What a detector found in each scene."""
    return [
        Detections(_corners(row["boxes"]), np.array(row["kinds"], np.int64), np.array(row["scores"], np.float64))
        for row in rows.table("detections", label).to_pylist()
    ]


def _corners(flat: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(flat, np.float64).reshape(-1, 4)
