"""Two runs of detectors on the same images, paired: mAP of both, and their difference."""

from __future__ import annotations

import numpy as np
import scipy

from unshaken.core.errors import ParameterError
from unshaken.measure import Comparison, Figure
from unshaken.measure.object_detection.map_figures import map_difference, map_figure, resampled_map
from unshaken.report.read.frame import Frame, read_outcomes, shards_of
from unshaken.report.read.objects import count_classes, match_scenes, read_scenes
from unshaken.run import RunDir

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
    both = [name for name in sides[1] if name in sides[0]]
    if not complete_only and not len(both) == len(sides[0]) == len(sides[1]):
        raise ParameterError(f"{len(both)} images are in both, of {len(sides[0])} and {len(sides[1])}")
    kept = ({name: side[name] for name in both} for side in sides)
    a, b = (resampled_map(match_scenes(part, count_classes(part)), resamples=RESAMPLES) for part in kept)
    difference = map_difference(a, b)
    before, after = _losses(baseline, condition), _losses(candidate, condition)
    change = np.array([after[i] - before[i] for i in both])
    lost, gained = int((change > 1e-9).sum()), int((change < -1e-9).sum())
    spread = float((b.draws - a.draws).std())
    p = 1.0 if difference.value == 0 else float(2 * scipy.stats.norm.sf(abs(difference.value) / max(spread, 1e-12)))
    level = len(both) - lost - gained
    return map_figure(a), map_figure(b), Comparison(len(both), level, lost, gained, 0, difference, p, p)


def _losses(run: RunDir, condition: str) -> dict[str, float]:
    table = read_outcomes(run, condition, shards_of(run, condition), ["id", "loss"])
    return dict(zip(table["id"].to_pylist(), table["loss"].to_pylist(), strict=True))
