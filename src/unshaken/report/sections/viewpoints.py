"""Viewpoints: accuracy over the views of each attack, and a globe of it by azimuth and elevation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Group, Heading, Prose, Table, Text
from unshaken.report.cells import Row
from unshaken.report.figures.viewpoints import BANDS, STEP, viewpoint_figures
from unshaken.report.sections.section import Report, Section, SectionFigures, Source

AZIMUTHS = tuple(range(-180, 180, STEP))
NAMES = {-180: "behind", -90: "left", 0: "front", 90: "right"}


class Viewpoints(Section):
    """What attacks by viewpoint found."""

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
            one["condition"],
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
        f"{one['condition']}: accuracy by the place of the camera, azimuth across (0° is the front) and elevation "
        "down; the tilt is counted in. The darker, the more views are misclassified; an empty cell was not looked from."
    )
    return Table(caption, tuple(heads), tuple(rows), "heat")


def _cell(cell: Row | None) -> Cell:
    if cell is None:
        return Cell("")
    figure = cell["accuracy"]
    title = f"{wording.percent(figure['value'])} of {cell['views']:,} views of {cells.counted(figure['n'], 'object')}"
    return Cell(f"{100 * figure['value']:.0f}", heat=1 - figure["value"], title=title)


section = Viewpoints()
