"""Detections and objects of a run, matched with each other, condition by condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from unshaken.core.part import CLEAN
from unshaken.measure.object_detection.errors import Errors, find_errors
from unshaken.measure.object_detection.matching import Detections, Matches, Objects, match_images
from unshaken.measure.statistics.columns import Numbers
from unshaken.store.run_dir import RunDir
from unshaken.tasks.detection.task import DETECTIONS as DETECTIONS  # declares the tables that are read here


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One image of one condition.

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


def find_scene_errors(scenes: Mapping[str, Scene], classes: int) -> Errors:
    """The kinds of all errors of a condition."""
    return find_errors([s.found for s in scenes.values()], [s.objects for s in scenes.values()], classes)


def count_classes(scenes: Mapping[str, Scene]) -> int:
    """One more than the largest class that is said or there."""
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
