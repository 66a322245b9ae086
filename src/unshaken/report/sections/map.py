"""A map of the images, by what the model makes of them."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from unshaken.report.blocks import Block, Heading, Prose, Span
from unshaken.report.drawings import PointMap
from unshaken.report.figures.map import pack_map
from unshaken.report.read.map import ImageMap, read_map
from unshaken.report.sections import Report, Section


class MapOfImages(Section):
    """Images as points: those that are near each other look alike to the model."""

    name = "map"
    table = "map"
    task = "classification"
    order = 59

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        source = report.source
        found = read_map(source.run, source.frame, seed=source.config.seed)
        if not len(found.rows):
            return ()
        data = pack_map(source.run, source.config, source.frame, found)
        return (Heading("Map of the images", "map", "Map"), *map_blocks(found, data))


def map_blocks(found: ImageMap, data: str) -> list[Block]:
    """Blocks of a map.

    Args:
        found: the points.
        data: as `pack_map` gives it.
    """
    drawn, record = len(found.rows), found.record
    count = f"{drawn:,} points" if drawn == found.total else f"{drawn:,} of {found.total:,} points, drawn at random"
    first, second = (f"{100 * share:.1f} %" for share in record.shares)
    what = (
        (f"the {record.numbers:,} values of the layer ", Span(record.layer, "code"))
        if record.layer
        else (f"its {record.numbers:,} logits",)
    )
    text = (
        "Each point is an unchanged image; points that are near each other are alike to the model, by ", *what,
        f". Their first two principal axes hold {first} and {second} of the variance: what lies apart is apart, what "
        "lies together may still differ in the rest.",
    )  # fmt: skip
    return [Prose(text), PointMap(count, data)]


section = MapOfImages()
