"""Viewpoints: accuracy over the views of each attack, and a globe of it by azimuth and elevation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from unshaken import measure
from unshaken.attack.viewpoint.base import VIEWS
from unshaken.data.viewpoint.object_set import camera_to_world
from unshaken.measure.statistics.means import mean_figure
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Group, Heading, Prose, Table, Text
from unshaken.report.cells import Row
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.store.run_dir import RunDir

STEP = 45
"""Degrees of azimuth of a cell; the first is centred at the front."""
BANDS = ((60, 90), (30, 60), (0, 30), (-90, 0))
"""Degrees of elevation of each row of cells; the last one is below the horizon."""
ROUNDING = 1e-9
"""Degrees by which a computed elevation may miss the lower border of its band."""
AZIMUTHS = tuple(range(-180, 180, STEP))
NAMES = {-180: "behind", -90: "left", 0: "front", 90: "right"}
READ = ("id", "condition", "method", "psi", "theta", "phi", "correct")


class Viewpoints(Section):
    """Section on attacks by viewpoint."""

    name = "viewpoints"
    table = "views"
    order = 25
    schema: ClassVar[Mapping[str, Any]] = {"viewpoints": {"type": "array"}}
    empty: ClassVar[Mapping[str, Any]] = {"viewpoints": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        return SectionFigures({"viewpoints": viewpoint_figures(source.run, source.config.seed)})

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        found: Sequence[Row] = report.data["viewpoints"]
        if not found:
            return ()
        text = (
            "Each object was seen from many viewpoints. Accuracy is the mean over objects of the share of views that "
            "are classified correctly; an object holds where all its views are. Intervals are over objects."
        )
        return [
            Heading("Viewpoints", "viewpoints", "Viewpoints"),
            Prose(text),
            _summary(found),
            *(_globe(one) for one in found),
        ]


def _summary(found: Sequence[Row]) -> Table:
    heads = cells.columns("views", "accuracy over views", "objects that hold", "objects", "views judged")
    rows = tuple(
        cells.line(
            wording.name_of_id(one["condition"]),
            cells.share(one["accuracy"], bar=True),
            cells.share(one["held"]),
            str(one["accuracy"]["n"]),
            f"{one['views']:,}",
        )
        for one in found
    )
    return Table("Accuracy over the views of each attack.", heads, rows, brief=True)


def _globe(one: Row) -> Table:
    """A grid of accuracy: columns go around the object, rows from above to the horizon."""
    by_place = {(c["upside_down"], c["low"], c["azimuth"]): c for c in one["cells"]}
    heads = [Column("elevation", number=False)]
    heads += [Column(f"{a}°", NAMES.get(a, ""), brief=False) for a in AZIMUTHS]
    rows: list[Group | tuple[Cell | Text, ...]] = []
    for upside_down in sorted({c["upside_down"] for c in one["cells"]}):
        if upside_down:
            rows.append(Group("the camera upside down"))
        for low, high in BANDS:
            line = [by_place.get((upside_down, low, azimuth)) for azimuth in AZIMUTHS]
            if any(line):
                rows.append((f"{low}° to {high}°", *map(_cell, line)))
    caption = (
        f"{wording.name_of_id(one['condition'])}: accuracy by the place of the camera, azimuth across (0° is the "
        "front) and elevation down; the tilt is counted in. The darker, the more views are misclassified; an empty "
        "cell was not looked from."
    )
    return Table(caption, tuple(heads), tuple(rows), "heat")


def _cell(cell: Row | None) -> Cell:
    if cell is None:
        return Cell("")
    figure = cell["accuracy"]
    title = f"{wording.percent(figure['value'])} of {cell['views']:,} views of {cells.counted(figure['n'], 'object')}"
    return Cell(f"{100 * figure['value']:.0f}", heat=1 - figure["value"], title=title)


def viewpoint_figures(run: RunDir, seed: int = 0) -> list[Row]:
    """One record an attack by viewpoint.

    Views of one object are alike, so the intervals are of a bootstrap over objects.

    Args:
        run: its rows alone are read.
        seed: of the bootstrap.
    """
    names = [name for name in VIEWS if name in READ]
    table = run.rows("views", names)
    columns: dict[str, NDArray[Any]] = {name: table[name].to_numpy() for name in names}
    found = []
    for condition in dict.fromkeys(columns["condition"].tolist()):
        mine = columns["condition"] == condition
        some = {name: values[mine] for name, values in columns.items()}
        right, objects = some["correct"].astype(np.float64), np.unique(some["id"], return_inverse=True)[1]
        held = np.bincount(objects, 1 - right) == 0
        found.append(
            {
                "condition": condition,
                "method": str(some["method"][0]),
                "views": len(right),
                "accuracy": _over_objects(right, objects, seed),
                "held": measure.share(int(held.sum()), len(held)).to_json(),
                "cells": _cells(some, right, objects, seed),
            }
        )
    return found


def _over_objects(right: NDArray[np.float64], objects: NDArray[np.intp], seed: int) -> Row:
    """The mean over objects of each one's share of right answers, with the interval of a bootstrap over objects."""
    counts = np.bincount(objects)
    means = np.bincount(objects, right)[counts > 0] / counts[counts > 0]
    if len(means) == 1:  # says nothing of other objects
        return measure.Figure(float(means[0]), 0.0, 1.0, 1, "one object").to_json()
    return mean_figure(means, low=0.0, high=1.0, seed=seed).to_json()


def _cells(
    some: dict[str, NDArray[Any]], right: NDArray[np.float64], objects: NDArray[np.intp], seed: int
) -> list[Row]:
    """The accuracy of each part of the globe that views lie in."""
    azimuth, elevation, inverted = _places(*(some[name].astype(np.float64) for name in ("psi", "theta", "phi")))
    cells = []
    for upside_down in (False, True):
        for low, high in BANDS:
            band = (inverted == upside_down) & (elevation >= low) & ((elevation < high) | (high == BANDS[0][1]))
            for centre in range(-180, 180, STEP):
                here = band & (azimuth == centre)
                if here.any():
                    accuracy = _over_objects(right[here], objects[here], seed)
                    place = {"azimuth": centre, "low": low, "high": high, "upside_down": upside_down}
                    cells.append({**place, "views": int(here.sum()), "accuracy": accuracy})
    return cells


def _places(
    psi: NDArray[np.float64], theta: NDArray[np.float64], phi: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Where cameras stand: the nearest azimuth of a cell and the elevation in degrees, and whether one is upside down.

    Shifts across the line of sight play no part: they move the object in the picture, not the side that is seen.
    """
    still = np.zeros_like(psi)
    poses = camera_to_world(torch.from_numpy(np.stack([psi, theta, phi, still + 1, still, still], 1))).numpy()
    x, y, z = poses[:, :3, 2].T  # away from the object, along the line of sight
    azimuth = np.degrees(np.arctan2(x, -y))
    cell = (np.round(azimuth / STEP).astype(np.int64) * STEP + 180) % 360 - 180
    return cell, np.degrees(np.arcsin(np.clip(z, -1, 1))) + ROUNDING, poses[:, 2, 1] < 0


section = Viewpoints()
