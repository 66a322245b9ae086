"""Rows of tasks: objects and detections, counts of pixels, the figure of any images of a run, and two runs paired."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import scipy

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure import Comparison, Figure
from unshaken.measure.object_detection.map_figures import Maps, map_figure, resampled_map
from unshaken.measure.object_detection.matching import Detections, Matches, Objects, match_images
from unshaken.measure.segmentation import Overlaps, miou_figure, resampled_miou
from unshaken.measure.statistics.columns import Indices, Numbers
from unshaken.report.read.frame import Frame, read_outcomes, shards_of
from unshaken.store.run_dir import RunDir
from unshaken.tasks.detection.task import DETECTIONS as DETECTIONS  # declares the tables that are read here

COUNTS = ("intersection", "predicted", "labelled")
Counts = Mapping[str, Numbers]
"""A sample's id to its counts `[3, K]`."""
PAIRED_RESAMPLES = 1000
"""Resamples of the images behind an interval and a p-value."""
SLICE_RESAMPLES = 200
"""The same of one slice."""
_SAME = 1e-9
"""Spread of draws that are all alike, but for rounding."""
K = TypeVar("K", bound=Hashable)
Pair = tuple[Figure, Figure, Comparison]


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


# The figure of a task, of any images of a run.


@dataclass(frozen=True, slots=True, eq=False)
class ScoredImages:
    """The images of one condition, ready for the figure of all or of some of them.

    Args:
        ids: of the images that have rows.
        resample: places of images in `ids` and a number of resamples, to their figure and its draws; it raises
            `ParameterError` where these images have no figure, such as those without an object.
        classes: that two models must have alike to be compared; None where they need not.
    """

    ids: tuple[str, ...]
    resample: Callable[[Indices, int], Maps | Overlaps]
    classes: int | None = None


class TaskFigure(NamedTuple):
    """The figure of a task that is one of a whole set of images, not a mean over them.

    Args:
        title: for people.
        metric: in `summary.json` and in gates.
        read: the images of a run and a condition, in the order of some ids.
        figure: with its interval, of what was resampled.
    """

    title: str
    metric: str
    read: Callable[[RunDir, str, tuple[str, ...]], ScoredImages]
    figure: Callable[..., Figure]


def _scored_boxes(run: RunDir, condition: str, ids: tuple[str, ...]) -> ScoredImages:
    scenes = read_scenes(run, condition, ids)
    matches = match_scenes(scenes, count_classes(scenes)) if scenes else None

    def resample(chosen: Indices, resamples: int) -> Maps:
        if matches is None or not len(chosen):
            raise ParameterError("no image has rows")
        return resampled_map(matches.of_images(chosen), resamples=resamples)

    return ScoredImages(tuple(scenes), resample)


def _scored_pixels(run: RunDir, condition: str, ids: tuple[str, ...]) -> ScoredImages:
    found = read_counts(run, condition, ids)
    counts = stacked(found)
    return ScoredImages(
        tuple(found), lambda chosen, resamples: resampled_miou(counts[chosen], resamples=resamples), counts.shape[2]
    )


TASK_FIGURES = {
    "detection": TaskFigure("mAP", "map", _scored_boxes, map_figure),
    "segmentation": TaskFigure("mIoU", "miou", _scored_pixels, miou_figure),
}
"""The figure of each task whose figure is of a whole set; of classification it is accuracy."""


def compare_draws(before: Maps | Overlaps, after: Maps | Overlaps, changes: Numbers) -> Comparison:
    """Paired difference of a figure on the same images, drawn together.

    The interval of the difference is given by `unshaken.measure.simultaneous`; the p-value is that of its size in units
    of the spread of its draws.

    Args:
        before: the figure and its draws.
        after: of the same images in the same order.
        changes: of the loss of each image, `[n]`; `lost` and `gained` are the images whose loss rose or fell.
    """
    lost, gained = int((changes > _SAME).sum()), int((changes < -_SAME).sum())
    value, spread, n = after.value - before.value, float((after.draws - before.draws).std()), before.images
    if spread < _SAME:  # no certainty: images of another kind may be as many as n images can miss at a level of 95 %
        spread = (1 - 0.05 ** (1 / n)) / float(scipy.stats.norm.isf(0.025))
    p = float(2 * scipy.stats.norm.sf(abs(value) / spread))
    return Comparison(n, n - lost - gained, lost, gained, 0, Figure(value, value, value, n, ""), p, p, error=spread)


def read_losses(run: RunDir, condition: str) -> dict[str, float]:
    """The loss of each image under a condition."""
    table = read_outcomes(run, condition, shards_of(run, condition), ["id", "loss"])
    return dict(zip(table["id"].to_pylist(), table["loss"].to_pylist(), strict=True))


def paired_figures(
    task: str,
    before: tuple[RunDir, Frame],
    after: tuple[RunDir, Frame],
    condition: str,
    groups: Mapping[K, Collection[str]],
) -> tuple[Pair, dict[K, Pair]]:
    """The figure of both runs under a condition, and what changed, on the images of both and on groups of these.

    Args:
        task: a key of `TASK_FIGURES`.
        before: the first run and its outcomes.
        after: the second.
        condition: that both have.
        groups: ids of images, such as those of a slice; one that has no figure in both runs is left out.

    Raises:
        ParameterError: no image is in both, the models have different numbers of classes, or there is no object.
    """
    found = TASK_FIGURES[task]
    old, new = (found.read(run, condition, tuple(frame.ids)) for run, frame in (before, after))
    places = {name: i for i, name in enumerate(old.ids)}
    both = [name for name in new.ids if name in places]
    if not both:
        raise ParameterError(f"no image is in both runs, of {len(old.ids)} and {len(new.ids)}")
    if old.classes != new.classes:
        raise ParameterError(f"the models have {old.classes} and {new.classes} classes")
    mine = {name: i for i, name in enumerate(new.ids)}
    losses, their = (read_losses(run, condition) for run, _ in (before, after))

    def pair(names: Sequence[str], resamples: int) -> Pair:
        a, b = (
            side.resample(np.array([at[n] for n in names], np.int64), resamples)
            for side, at in ((old, places), (new, mine))
        )
        changes = np.array([their[n] - losses[n] for n in names])
        return found.figure(a), found.figure(b), compare_draws(a, b, changes)

    pairs: dict[K, Pair] = {}
    for key, group in groups.items():
        with suppress(ParameterError):
            pairs[key] = pair([name for name in both if name in group], SLICE_RESAMPLES)
    return pair(both, PAIRED_RESAMPLES), pairs
