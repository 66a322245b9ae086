"""mAP in each style, the line of the plain detectors, and what the others have above it; from rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from unshaken.measure import fit_line
from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.map_figures import Line
from unshaken.measure.object_detection.matching import Detections, Matches, Objects, match_images
from unshaken.measure.statistics.columns import Numbers
from unshaken.papers.effects import across_seeds, values_of
from unshaken.papers.rows import Rows
from unshaken_papers.coco_o import ARMS, CELLS, CLEAN, DOMAINS, FROZEN, HARD, PLAIN, CocoOPaper

CLASSES = 4
SHIFTED = "shifted"
"""The mean over the six styles."""
Found = dict[str, Matches]


def figures(paper: CocoOPaper, rows: Rows) -> dict[str, Any]:
    """Each seed by itself, and means over the seeds."""
    seeds = {name: seed_figures(paper, part) for name, part in rows.repetitions(paper.seeds).items()}
    of = partial(values_of, list(seeds.values()))
    effective = {arm: of("effective", arm) for arm in ARMS}
    gain = {arm: effective[arm] - effective[PLAIN] for arm in ARMS if arm != PLAIN}
    by_style = {d: of("map", PLAIN, d) for d in DOMAINS}
    return {
        **seeds,
        "map": {a: {d: across_seeds(of("map", a, d), low=0.0) for d in (CLEAN, SHIFTED, *DOMAINS)} for a in ARMS},
        "drop": {arm: across_seeds(of("drop", arm)) for arm in ARMS},
        "effective": {arm: across_seeds(values) for arm, values in effective.items()},
        "gain": {arm: across_seeds(values) for arm, values in gain.items()},
        "components": across_seeds(abs(gain[FROZEN]) - abs(gain[CELLS])),
        "correlation": across_seeds(of("correlation")),
        "below_three": {d: second_least(by_style[o] - by_style[d] for o in DOMAINS if o not in HARD) for d in HARD},
    }


def second_least(differences: Iterable[Numbers]) -> dict[str, Any]:
    """Of several differences over seeds the second smallest: above 0 where all but one are, below where two are.

    Each end is the second smallest of theirs.
    """
    found = [across_seeds(one) for one in differences]
    return found[0] | {end: sorted(one[end] for one in found)[1] for end in ("value", "low", "high")}


def seed_figures(paper: CocoOPaper, rows: Rows) -> dict[str, Any]:
    """mAPs, relative drops, and effective robustness against the seed's line."""
    truth = objects_of(rows)
    plain = [maps_of(matches_of(rows, f"{PLAIN}-{steps}", truth)) for steps in paper.steps]
    points = [[one[CLEAN], one[SHIFTED]] for one in plain]
    line = line_through(points)
    matched = {arm: matches_of(rows, named(paper, arm), truth) for arm in ARMS}
    found = {arm: maps_of(one) for arm, one in matched.items()}
    return {
        "map": found,
        "points": points,
        "correlation": correlation(np.array(points)),
        "drop": {arm: 1 - m[SHIFTED] / m[CLEAN] if m[CLEAN] else 0.0 for arm, m in found.items()},
        "effective": {arm: m[SHIFTED] - float(line(np.array(m[CLEAN]))) for arm, m in found.items()},
    }


def named(paper: CocoOPaper, arm: str) -> str:
    """The network of an arm: of the plain ones that of the most steps."""
    return f"{PLAIN}-{paper.steps[-1]}" if arm == PLAIN else arm


def matches_of(rows: Rows, net: str, truth: Sequence[Objects]) -> Found:
    """A network's detections matched with the objects, scenes as they are and in each style."""
    return {d: match_images(detections_of(rows, f"{net}.{d}"), truth, CLASSES) for d in (CLEAN, *DOMAINS)}


def maps_of(found: Found) -> dict[str, float]:
    """MAP of each rendering, and the mean over the styles."""
    each = {name: float(mean_average_precision(average_precision(one))) for name, one in found.items()}
    return {**each, SHIFTED: float(np.mean([each[name] for name in DOMAINS]))}


def line_through(points: Sequence[Sequence[float]]) -> Line:
    """The least-squares line from mAP on the scenes to that in the styles; level where all have one clean mAP."""
    clean, shifted = np.array(points).T
    if np.ptp(clean) == 0:
        return lambda x: np.full_like(x, shifted.mean(), dtype=np.float64)
    fitted = fit_line(clean, shifted, transform="linear")
    return lambda x: np.asarray(fitted.intercept + fitted.slope * x)


def correlation(points: Numbers) -> float:
    """Pearson's r of points `[n, 2]`; 0 where one coordinate is the same for all."""
    return float(np.asarray(np.corrcoef(points.T))[0, 1]) if (np.ptp(points, axis=0) > 0).all() else 0.0


def objects_of(rows: Rows) -> list[Objects]:
    """The objects of each scene."""
    return [
        Objects(_corners(row["boxes"]), np.array(row["kinds"], np.int64), np.zeros(len(row["kinds"]), bool))
        for row in rows.table("objects", "scenes").to_pylist()
    ]


def detections_of(rows: Rows, label: str) -> list[Detections]:
    """Detections in each scene."""
    return [
        Detections(_corners(row["boxes"]), np.array(row["kinds"], np.int64), np.array(row["scores"], np.float64))
        for row in rows.table("detections", label).to_pylist()
    ]


def _corners(flat: Sequence[float]) -> Numbers:
    return np.array(flat, np.float64).reshape(-1, 4)
