"""The map of a run's images: where the features of each lie in the plane, from its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.rng import SampleRng
from unshaken.core.tables import declare_table
from unshaken.report.read.frame import Frame
from unshaken.store.run_dir import RunDir

RECORD = "map.json"
EMBEDDINGS = declare_table("embeddings", "id string, layer string, features float[]")
"""Features of each unchanged image at one layer."""
MAP = declare_table("map", "id string, projection string, x double, y double")
"""A row for each unchanged image and projection."""
MOST_POINTS = 100_000
"""Images that a page may draw."""


class MapRecord(BaseModel):
    """How a map was made.

    Args:
        layer: name of the layer; empty for the logits.
        numbers: in the features of an image.
        points: images at most that the report draws.
        shares: of the variance along the two axes of `pca`.
        projections: names, `pca` first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    layer: str
    numbers: int = Field(ge=1)
    points: int = Field(ge=1, le=MOST_POINTS)
    shares: tuple[float, float]
    projections: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True, eq=False)
class ImageMap:
    """Places of images.

    Args:
        record: how it was made.
        rows: the drawn samples, as places in the frame, rising, `[n]`.
        places: projection to `[n, 2]`.
        total: images that have a place.
    """

    record: MapRecord
    rows: NDArray[np.int64]
    places: dict[str, NDArray[np.float64]]
    total: int


def read_record(run: RunDir) -> MapRecord:
    """How the map of a run was made.

    Raises:
        RunError: the file is absent or damaged.
    """
    return validate(MapRecord, run.read_json(RECORD), f"{run}: {RECORD}", RunError)


def read_map(run: RunDir, frame: Frame, *, seed: int, points: int | None = None) -> ImageMap:
    """The map of a run; of more images than are drawn, some at random, always the same ones.

    Args:
        run: its directory.
        frame: its outcomes; images without one have no place.
        seed: of the run, which with the ids decides what is drawn.
        points: images at most; None for what the record says.

    Raises:
        RunError: there is no map, or it is damaged.
    """
    record = read_record(run)
    at = {name: row for row, name in enumerate(frame.ids)}
    found = dict[str, NDArray[np.float64]]()
    for name in record.projections:
        table = run.rows("map", condition=name)
        place = np.full((len(at), 2), np.nan)
        rows = np.array([at.get(i, -1) for i in table["id"].to_pylist()], np.int64)
        known = rows >= 0
        place[rows[known]] = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1)[known]
        found[name] = place
    there = np.flatnonzero(np.all([np.isfinite(place).all(1) for place in found.values()], 0))
    most = record.points if points is None else points
    drawn = there
    if len(there) > most:
        keys = SampleRng.of(seed, "map", [frame.ids[int(row)] for row in there]).keys.numpy()
        drawn = np.sort(there[np.argsort(keys, kind="stable")[:most]])
    return ImageMap(record, drawn, {name: place[drawn] for name, place in found.items()}, len(there))
