"""Two runs of detectors on the same images, paired: mAP of both, and their difference."""

from __future__ import annotations

from unshaken.measure import Comparison, Figure
from unshaken.measure.object_detection.map_figures import map_difference, map_figure, resampled_map
from unshaken.report.read.frame import Frame
from unshaken.report.read.objects import count_classes, match_scenes, read_scenes
from unshaken.report.read.paired_images import compare_images, shared_images
from unshaken.store.run_dir import RunDir

RESAMPLES = 1000
"""Halves of the images behind an interval and a p-value."""


def paired_maps(
    baseline: RunDir, old: Frame, candidate: RunDir, new: Frame, condition: str, *, complete_only: bool
) -> tuple[Figure, Figure, Comparison]:
    """Both mAPs under a condition, and what changed; `lost` and `gained` are images whose F1 score fell or rose.

    Args:
        baseline: its run.
        old: its outcomes.
        candidate: its run.
        new: its outcomes.
        condition: that both have.
        complete_only: compare on the images that both have, instead of raising when some are missing.

    Raises:
        ParameterError: images are missing on a side, or there is no object.
    """
    sides = [read_scenes(run, condition, frame.ids) for run, frame in ((baseline, old), (candidate, new))]
    kept = shared_images(*sides, complete_only=complete_only)
    a, b = (resampled_map(match_scenes(part, count_classes(part)), resamples=RESAMPLES) for part in kept)
    change = compare_images(baseline, candidate, condition, list(kept[1]), map_difference(a, b), b.draws - a.draws)
    return map_figure(a), map_figure(b), change
