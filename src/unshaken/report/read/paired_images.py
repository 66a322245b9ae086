"""Two runs on the same images, paired by a figure of the whole set, such as mAP, that is drawn by resampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import scipy

from unshaken.core.errors import ParameterError
from unshaken.measure import Comparison, Figure
from unshaken.measure.statistics.columns import Numbers
from unshaken.report.read.frame import read_outcomes, shards_of
from unshaken.store.run_dir import RunDir

T = TypeVar("T")


def shared_images(
    baseline: Mapping[str, T], candidate: Mapping[str, T], *, complete_only: bool
) -> tuple[dict[str, T], dict[str, T]]:
    """What both runs have of the images that both have, in the candidate's order.

    Args:
        baseline: by the sample's id.
        candidate: likewise.
        complete_only: leave out what one side lacks, instead of raising.

    Raises:
        ParameterError: images are missing on a side.
    """
    both = [name for name in candidate if name in baseline]
    if not complete_only and not len(both) == len(baseline) == len(candidate):
        raise ParameterError(f"{len(both)} images are in both, of {len(baseline)} and {len(candidate)}")
    return {name: baseline[name] for name in both}, {name: candidate[name] for name in both}


def compare_images(
    baseline: RunDir, candidate: RunDir, condition: str, ids: Sequence[str], difference: Figure, draws: Numbers
) -> Comparison:
    """What changed between two runs; `lost` and `gained` are images whose own loss rose or fell.

    Args:
        baseline: its run.
        candidate: its run.
        condition: that both have.
        ids: images of both.
        difference: of the figure of the whole set.
        draws: of the difference, `[B]`; the p-value is that of its size in units of their spread.
    """
    before, after = read_losses(baseline, condition), read_losses(candidate, condition)
    change = np.array([after[i] - before[i] for i in ids])
    lost, gained = int((change > 1e-9).sum()), int((change < -1e-9).sum())
    spread = max(float(draws.std()), 1e-12)
    p = 1.0 if difference.value == 0 else float(2 * scipy.stats.norm.sf(abs(difference.value) / spread))
    return Comparison(len(ids), len(ids) - lost - gained, lost, gained, 0, difference, p, p)


def read_losses(run: RunDir, condition: str) -> dict[str, float]:
    """The loss of each image under a condition."""
    table = read_outcomes(run, condition, shards_of(run, condition), ["id", "loss"])
    return dict(zip(table["id"].to_pylist(), table["loss"].to_pylist(), strict=True))
