"""Segmentation: mIoU and boundary IoU on unchanged and changed images, by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure.segmentation import iou, miou_difference, miou_figure, resampled_miou
from unshaken.measure.statistics.columns import Numbers
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Facts, Heading, Prose, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.figures.scene_pictures import masked_galleries
from unshaken.report.read.tasks import read_counts, stacked
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.report.sections._task_tables import (
    CLASSIFICATION,
    condition_row,
    conditions_table,
    hundredths,
    lacking,
    opening,
    strength_blocks,
)
from unshaken.report.sections.objects import mean_there


class Segments(Section):
    """How well pixels are given their class, unchanged and under every change."""

    name = "segmentation"
    task = "segmentation"
    order = 10
    schema = {
        "segmentation": {
            "type": ["object", "null"],
            "description": "Figures of a model that gives a class for each pixel; null for others.",
        }
    }
    empty = {"segmentation": None}

    @override
    def figures(self, source: Source) -> SectionFigures:
        frame, names = source.frame, source.config.classes
        counts, near = (
            {c.id: stacked(read_counts(source.run, c.id, tuple(frame.ids), boundary=b)) for c in frame.conditions}
            for b in (False, True)
        )
        counts = {name: one for name, one in counts.items() if len(one)}
        try:
            clean = resampled_miou(counts[CLEAN.id])
        except (KeyError, ParameterError) as error:
            nothing: Row = {"clean": None, "conditions": [], "segmentation": None}
            return SectionFigures({**CLASSIFICATION, **nothing}, {"miou": f"no mIoU: {error}"}, complete=False)
        rows = []
        for one in frame.conditions:
            if one.id == CLEAN.id or one.id not in counts:
                continue
            own = resampled_miou(counts[one.id])
            figures = {
                "miou": miou_figure(own).to_json(),
                "boundary_iou": _figure(near[one.id]),
                "difference": miou_difference(clean, own).to_json() if own.images == clean.images else None,
            }
            rows.append(condition_row(source, one, figures))
        figure = miou_figure(clean).to_json()
        found = {
            "miou": figure,
            "boundary_iou": _figure(near[CLEAN.id]),
            "images": clean.images,
            "classes": _by_class({name: one for name, one in counts.items() if name not in frame.apart}, names),
        }
        gaps = lacking(source)
        data = {**CLASSIFICATION, "clean": figure, "conditions": rows, "segmentation": found}
        return SectionFigures(data, gaps, not frame.unfinished and not gaps)

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        found, clean = report.data["segmentation"], report.data["clean"]
        if not clean:
            return ()
        return opening(report, "mIoU", "miou", found["images"])

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        clean, found = report.data["clean"], report.data["segmentation"]
        if not clean:
            return ()
        tiles = [Tile("mIoU, unchanged", wording.percent(clean["value"]), wording.span(clean))]
        if near := found["boundary_iou"]:
            tiles.append(Tile("boundary IoU, unchanged", wording.percent(near["value"]), wording.span(near)))
        if worst := cells.worst_of(cells.changes_of(report.data)):
            value = wording.percent(worst["miou"]["value"])
            tiles.append(Tile("worst change", value, wording.condition_name(worst), bad=True))
        return tiles

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        data = report.data
        if not data["clean"]:
            return ()
        blocks = strength_blocks(report, "mIoU")
        found = data["segmentation"]
        facts = Facts((("images", f"{found['images']:,}"),))
        blocks += [_conditions(data), facts, Details("Classes", (_classes(found),))]
        if pictures := masked_galleries(report.source, data["conditions"]):
            text = (
                "Masks are laid over the images: the labelled one, that of the unchanged image and that of the changed "
                "one; first the images whose own mIoU fell most. The colours of classes come first."
            )
            blocks += [Heading("Examples", "examples", "Examples"), Prose(text), *pictures]
        return blocks


def _figure(counts: Numbers) -> Row | None:
    """MIoU of some counts; None where no pixel counts."""
    try:
        return miou_figure(resampled_miou(counts)).to_json()
    except ParameterError:
        return None


def _by_class(counts: Mapping[str, Numbers], names: Sequence[str]) -> list[Row]:
    """IoU of each class that is there, unchanged and the mean over all changes, the weakest first.

    `counts` holds pixels `[N, 3, K]` by condition.
    """
    values = {name: iou(one.sum(0)) for name, one in counts.items()}
    others = [v for name, v in values.items() if name != CLEAN.id]
    pixels = counts[CLEAN.id][:, 2].sum(0)
    found = [
        {
            "class": k,
            "name": names[k] if k < len(names) else str(k),
            "pixels": int(pixels[k]),
            "iou": float(value),
            "iou_changed": mean_there([float(v[k]) for v in others]),
        }
        for k, value in enumerate(values[CLEAN.id])
        if pixels[k]
    ]
    return sorted(found, key=lambda row: (row["iou"], row["class"]))


def _conditions(data: Mapping[str, Any]) -> Table:
    about = (
        "mIoU (mean over classes of the intersection over union of all images' pixels), the same within a band of 2 % "
        "of the diagonal along boundaries, with 95 % intervals from the bootstrap of images"
    )
    return conditions_table(data, data["segmentation"], {"miou": "mIoU", "boundary_iou": "boundary IoU"}, about)


def _classes(found: Mapping[str, Any]) -> Table:
    heads = cells.columns("class", "IoU", "mean under changes", "labelled pixels")
    rows = tuple(
        (r["name"], hundredths(r["iou"]), hundredths(r["iou_changed"]), f"{r['pixels']:,}") for r in found["classes"]
    )
    return Table("Intersection over union of each labelled class, in per cent, the weakest first.", heads, rows)


section = Segments()
