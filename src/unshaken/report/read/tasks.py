"""Rows of tasks: objects and detections, counts of pixels, and two runs paired by a figure of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import scipy

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure import Comparison, Figure
from unshaken.measure.object_detection.map_figures import map_figure, resampled_map
from unshaken.measure.object_detection.matching import Detections, Matches, Objects, match_images
from unshaken.measure.segmentation import miou_figure, resampled_miou
from unshaken.measure.statistics.columns import Numbers
from unshaken.report.read.frame import Frame, read_outcomes, shards_of
from unshaken.store.run_dir import RunDir
from unshaken.tasks.detection.task import DETECTIONS as DETECTIONS  # declares the tables that are read here

COUNTS = ("intersection", "predicted", "labelled")
Counts = Mapping[str, Numbers]
"""A sample's id to its counts `[3, K]`."""
PAIRED_RESAMPLES = 1000
"""Halves of the images behind an interval and a p-value."""
_SAME = 1e-9
"""Spread of draws that are all alike, but for rounding."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One image of one condition, with its objects and detections.

    Args:
        found: the detections, in pixels of the photo.
        objects: those that there are.
        view: factors and offsets from pixels of the model's view to those of the photo, `[4]`.
    """

    found: Detections
    objects: Objects
    view: Numbers


def read_scenes(run: RunDir, condition: str, ids: tuple[str, ...]) -> dict[str, Scene]:
    """The images of a condition that have rows, by the sample's id, in the order of `ids`.

    Objects that have not moved are those of the unchanged images.
    """
    found = _by_id(run.rows("detections", condition=condition))
    objects = _by_id(run.rows("objects", condition=CLEAN.id))
    if condition != CLEAN.id:
        objects |= _by_id(run.rows("objects", condition=condition))
    return {name: _scene(found[name], objects[name]) for name in ids if name in found and name in objects}


def match_scenes(scenes: Mapping[str, Scene], classes: int) -> Matches:
    """All images of a condition, matched."""
    return match_images([s.found for s in scenes.values()], [s.objects for s in scenes.values()], classes)


def count_classes(scenes: Mapping[str, Scene]) -> int:
    """One more than the largest class that is predicted or true."""
    parts = [part.classes for scene in scenes.values() for part in (scene.found, scene.objects)]
    return 1 + max((int(part.max()) for part in parts if len(part)), default=0)


def _by_id(table: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in table.to_pylist()}


def _scene(found: Mapping[str, Any], objects: Mapping[str, Any]) -> Scene:
    return Scene(
        Detections(_boxes(found), np.array(found["classes"], np.int64), np.array(found["scores"], np.float64)),
        Objects(
            _boxes(objects),
            np.array(objects["classes"], np.int64),
            np.array(objects["crowd"], bool),
            np.array(objects["areas"], np.float64),
        ),
        np.array(objects["view"], np.float64),
    )


def _boxes(row: Mapping[str, Any]) -> Numbers:
    return np.array(row["boxes"], np.float64).reshape(-1, 4)


# Two runs paired by a figure of the whole set.
def shared_images(baseline: Mapping[str, T], candidate: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Values of the images that both runs have, in the candidate's order.

    Args:
        baseline: by the sample's id.
        candidate: likewise.

    Raises:
        ParameterError: no image is in both.
    """
    both = [name for name in candidate if name in baseline]
    if not both:
        raise ParameterError(f"no image is in both runs, of {len(baseline)} and {len(candidate)}")
    return {name: baseline[name] for name in both}, {name: candidate[name] for name in both}


def compare_images(
    baseline: RunDir, candidate: RunDir, condition: str, ids: Sequence[str], value: float, draws: Numbers
) -> Comparison:
    """Paired difference of two runs; `lost` and `gained` are images whose own loss rose or fell.

    The interval of the difference is given by `unshaken.measure.simultaneous`.

    Args:
        baseline: its run.
        candidate: its run.
        condition: that both have.
        ids: images of both.
        value: difference of the figure of the whole set.
        draws: of the difference, `[B]`; the p-value is that of its size in units of their spread.
    """
    before, after = read_losses(baseline, condition), read_losses(candidate, condition)
    change = np.array([after[i] - before[i] for i in ids])
    lost, gained = int((change > 1e-9).sum()), int((change < -1e-9).sum())
    spread, n = float(draws.std()), len(ids)
    if spread < _SAME:  # no certainty: images of another kind may be as many as n images can miss at a level of 95 %
        spread = (1 - 0.05 ** (1 / n)) / float(scipy.stats.norm.isf(0.025))
    p = float(2 * scipy.stats.norm.sf(abs(value) / spread))
    return Comparison(n, n - lost - gained, lost, gained, 0, Figure(value, value, value, n, ""), p, p, error=spread)


def read_losses(run: RunDir, condition: str) -> dict[str, float]:
    """The loss of each image under a condition."""
    table = read_outcomes(run, condition, shards_of(run, condition), ["id", "loss"])
    return dict(zip(table["id"].to_pylist(), table["loss"].to_pylist(), strict=True))


def paired_maps(
    baseline: RunDir, old: Frame, candidate: RunDir, new: Frame, condition: str
) -> tuple[Figure, Figure, Comparison]:
    """Both mAPs under a condition, and what changed; `lost` and `gained` are images whose F1 score fell or rose.

    Args:
        baseline: its run.
        old: its outcomes.
        candidate: its run.
        new: its outcomes.
        condition: that both have.

    Raises:
        ParameterError: no image is in both, or there is no object.
    """
    sides = [read_scenes(run, condition, tuple(frame.ids)) for run, frame in ((baseline, old), (candidate, new))]
    kept = shared_images(*sides)
    a, b = (resampled_map(match_scenes(part, count_classes(part)), resamples=PAIRED_RESAMPLES) for part in kept)
    change = compare_images(baseline, candidate, condition, list(kept[1]), b.value - a.value, b.draws - a.draws)
    return map_figure(a), map_figure(b), change


# Counts of pixels.


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
    baseline: RunDir, old: Frame, candidate: RunDir, new: Frame, condition: str
) -> tuple[Figure, Figure, Comparison]:
    """Both mIoUs under a condition, and what changed; `lost` and `gained` are images whose own fell or rose.

    Args:
        baseline: its run.
        old: its outcomes.
        candidate: its run.
        new: its outcomes.
        condition: that both have.

    Raises:
        ParameterError: no image is in both, or the two have different numbers of classes.
    """
    sides = [read_counts(run, condition, tuple(frame.ids)) for run, frame in ((baseline, old), (candidate, new))]
    both = shared_images(*sides)
    kept = [stacked(part) for part in both]
    if kept[0].shape != kept[1].shape:
        raise ParameterError(f"the models have {kept[0].shape[2]} and {kept[1].shape[2]} classes")
    a, b = (resampled_miou(counts) for counts in kept)
    change = compare_images(baseline, candidate, condition, list(both[1]), b.value - a.value, b.draws - a.draws)
    return miou_figure(a), miou_figure(b), change
