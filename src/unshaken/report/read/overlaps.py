"""Counts of pixels by image and class of a run, condition by condition, and two runs paired."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure import Comparison, Figure
from unshaken.measure.segmentation import miou_difference, miou_figure, resampled_miou
from unshaken.measure.statistics.columns import Numbers
from unshaken.report.read.frame import Frame
from unshaken.report.read.paired_images import compare_images, shared_images
from unshaken.store.run_dir import RunDir

COUNTS = ("intersection", "predicted", "labelled")
Counts = Mapping[str, Numbers]
"""A sample's id to its counts `[3, K]`."""


def read_counts(run: RunDir, condition: str, ids: tuple[str, ...], *, boundary: bool = False) -> Counts:
    """The counts of the images of a condition that have rows, in the order of `ids`.

    Args:
        run: its directory.
        condition: whose rows.
        ids: samples.
        boundary: those within the bands along boundaries, instead of all pixels.
    """
    names = [f"boundary_{name}" for name in COUNTS] if boundary else list(COUNTS)
    table = run.rows("overlaps", condition=condition)
    columns = [table[name].to_pylist() for name in names]
    places = {name: i for i, name in enumerate(table["id"].to_pylist())}
    found = {name: places[name] for name in ids if name in places}
    return {name: np.array([column[i] for column in columns], np.float64) for name, i in found.items()}


def stacked(counts: Counts) -> Numbers:
    """The counts of all images, `[N, 3, K]`."""
    return np.stack(list(counts.values())) if counts else np.zeros((0, 3, 1))


def paired_mious(
    baseline: RunDir, old: Frame, candidate: RunDir, new: Frame, condition: str, *, complete_only: bool
) -> tuple[Figure, Figure, Comparison]:
    """Both mIoUs under a condition, and what changed; `lost` and `gained` are images whose own fell or rose.

    Args:
        baseline: its run.
        old: its outcomes.
        candidate: its run.
        new: its outcomes.
        condition: that both have.
        complete_only: compare on the images that both have, instead of raising when some are missing.

    Raises:
        ParameterError: images are missing on a side, or the two have different numbers of classes.
    """
    sides = [read_counts(run, condition, frame.ids) for run, frame in ((baseline, old), (candidate, new))]
    both = shared_images(*sides, complete_only=complete_only)
    kept = [stacked(part) for part in both]
    if kept[0].shape != kept[1].shape:
        raise ParameterError(f"the models have {kept[0].shape[2]} and {kept[1].shape[2]} classes")
    a, b = (resampled_miou(counts) for counts in kept)
    change = compare_images(baseline, candidate, condition, list(both[1]), miou_difference(a, b), b.draws - a.draws)
    return miou_figure(a), miou_figure(b), change
