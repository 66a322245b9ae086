"""Accuracies of each kind of features, and their paired differences, from rows alone."""

from __future__ import annotations

from typing import Any

from unshaken.measure import compare
from unshaken.papers.rows import Flags, Rows, share_of
from unshaken_papers.features_off_the_shelf import (
    AUGMENTED,
    CNN,
    FAR,
    HOG,
    PIXELS,
    PLAIN,
    RANDOM,
    SOURCE,
    FeaturesOffTheShelfPaper,
)


def figures(paper: FeaturesOffTheShelfPaper, rows: Rows) -> dict[str, Any]:
    """Figures of each seed."""
    return {name: seed_figures(part) for name, part in rows.repetitions(paper.seeds).items()}


def seed_figures(rows: Rows) -> dict[str, Any]:
    """Accuracy of every kind by task, and `over`: what the frozen features have over others."""
    found: dict[str, Any] = {SOURCE: {}, FAR: {}}
    for label in rows.labels("tests"):
        task, arm = label.split(".")
        found[task][arm] = share_of(correct(rows, task, arm))
    depths = {arm: depth_of(rows, arm) for arm in found[SOURCE] if arm.startswith("layer")}
    middle = min(depths, key=lambda arm: abs(depths[arm] - 0.5))
    over: dict[str, Any] = {
        SOURCE: {arm: difference(rows, SOURCE, arm) for arm in (HOG, PIXELS, RANDOM)},
        FAR: {arm: difference(rows, FAR, arm) for arm in (HOG, PIXELS)},
        "augmented": difference(rows, SOURCE, PLAIN, AUGMENTED),
        "depth": difference(rows, SOURCE, middle),
    }
    return {**found, "over": over, "depths": depths}


def correct(rows: Rows, task: str, arm: str) -> Flags:
    """Whether each test image is classified correctly, in order of ids."""
    return rows.column("tests", f"{task}.{arm}", "correct", by="id")


def depth_of(rows: Rows, arm: str) -> float:
    """Depth of a layer of the sweep, in (0, 1]."""
    return float(rows.table("tests", f"{SOURCE}.{arm}")["depth"][0].as_py())


def difference(rows: Rows, task: str, other: str, arm: str = CNN) -> dict[str, Any]:
    """Accuracy of an arm less that of another one, paired by image."""
    return compare(correct(rows, task, other), correct(rows, task, arm)).difference.to_json()
