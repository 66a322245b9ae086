"""What the script of a map draws: places, classes, answers and slices of images, packed as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.report import wording
from unshaken.report.figures.pictures import BUDGET, address, class_name
from unshaken.report.read.frame import Frame
from unshaken.report.read.map import ImageMap
from unshaken.report.read.slices import read_slices
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir

STEPS = 65535
"""Steps of a place from one end of the map to the other."""
MOST_CONDITIONS = 60
"""Conditions that a map can be coloured by."""
MOST_IDS = 1_000_000
"""Characters of the ids of images that have no point, up to which a file of a choice can name them."""
SIDE = 64
"""Long side of a picture in pixels."""
TITLES = {"pca": "principal axes", "umap": "UMAP"}


def pack_map(run: RunDir, config: RunConfig, frame: Frame, found: ImageMap) -> str:
    """The JSON text that `map.js` reads.

    Numbers are base64 of little-endian arrays, a condition after the other: places uint16 from 0 to `STEPS`, classes
    int16 (below 0 for none), `right` uint8 (1 right, 0 wrong, 255 neither).

    Args:
        run: with the pictures that it kept and its slices.
        config: of the run.
        frame: its outcomes.
        found: the points.
    """
    rows = found.rows
    ids = [frame.ids[int(row)] for row in rows]
    shown = [0, *frame.natural, *frame.attacks][:MOST_CONDITIONS]
    conditions = [frame.conditions[j].id for j in shown]
    drawn = set(ids)
    rest = [name for name in config.ids if name not in drawn]
    places = {name: number for number, name in enumerate(config.ids)}
    columns = [
        {"name": one.name, "parts": list(one.parts), "codes": _pack(one.codes[rows], "<i2")}
        for one in (read_slices(run, frame) if run.names("rows", "slices") else ())
    ]
    most = int(max(frame.labels.max(initial=0), frame.prediction.max(initial=0))) + 1
    classes = [class_name(config.classes, k) for k in range(max(most, len(config.classes)))]
    return json.dumps(
        {
            "total": found.total,
            "samples": len(config.ids),
            "ids": ids,
            "rest": rest if sum(map(len, rest)) <= MOST_IDS else None,
            "numbers": _pack(np.array([places[name] for name in ids]), "<i4"),
            "classes": classes,
            "labelled": frame.labelled,
            "label": _pack(frame.labels[rows], "<i2"),
            "confidence": _pack(np.round(100 * np.nan_to_num(frame.confidence[rows])), "<i2"),
            "projections": [_projection(name, place, found) for name, place in found.places.items()],
            "conditions": [{"id": c, "title": wording.name_of_id(c)} for c in conditions],
            "predicted": _pack(np.concatenate([frame.prediction[rows, j] for j in shown]), "<i2"),
            "right": _pack(np.concatenate([frame.right[rows, j] for j in shown]).view(np.uint8), "<u1"),
            "columns": columns,
            "pictures": _pictures(run, ids),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _pack(values: NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()


def _projection(name: str, place: NDArray[np.float64], found: ImageMap) -> dict[str, Any]:
    """Places within the unit square, both axes in one scale, so that distances stay what they are."""
    low, high = place.min(0), place.max(0)
    scale = float((high - low).max()) or 1.0
    unit = np.round(((place - (low + high) / 2) / scale + 0.5) * STEPS)
    return {
        "name": name, "title": TITLES.get(name, name), "shares": list(found.record.shares) if name == "pca" else None,
        "x": _pack(unit[:, 0], "<u2"), "y": _pack(unit[:, 1], "<u2"),
    }  # fmt: skip


def _pictures(run: RunDir, ids: Sequence[str]) -> dict[int, str]:
    """Addresses of the kept pictures of unchanged images, by the number of the point, within half of `BUDGET`."""
    kept: Mapping[str, Any] = run.examples("clean")
    found, size = dict[int, str](), 0
    for point, name in enumerate(ids):
        if name in kept and size < BUDGET // 2:
            found[point] = address(kept[name], side=SIDE)
            size += len(found[point])
    return found
