"""Targeted attacks on objects and pixels: how many were given the chosen class, and from which class to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from typing_extensions import override

from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import Figure
from unshaken.measure.statistics.spread import figure_of_means
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Heading, Prose, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.figures.pictures import class_name
from unshaken.report.read.frame import read_outcomes
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.report.sections.confusion import LARGEST_MATRIX
from unshaken.report.sections.targeted import FIGURE, MOST_PAIRS, pair_table

COUNTS = ("parts", "reached", "unchanged")
UNITS = {"detection": "objects", "segmentation": "pixels"}


class TargetedParts(Section):
    """Success of targeted attacks on detectors and segmentation, with the matrix by pair of classes."""

    name = "targeted-parts"
    table = "part_targets"
    order = 21
    schema = {
        "targeted_parts": {
            "description": "one record a condition of a targeted attack on objects or pixels",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["condition", "unit", "parts", "reached", "unchanged", "pairs"],
                "properties": {
                    "condition": {"type": "string"},
                    "unit": {"enum": list(UNITS.values())},
                    "parts": {"description": "how many were to be given a chosen class", "type": "integer"},
                    "reached": {"description": "share of them that are given it, its interval over images", **FIGURE},
                    "unchanged": {"description": "share that are given it unchanged", **FIGURE},
                    "pairs": {
                        "description": "by true class and target, those of most parts reached first",
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["label", "target", "name", "target_name", "parts", "reached"],
                            "properties": {
                                "label": {"type": "integer"}, "target": {"type": "integer"},
                                "name": {"type": "string"}, "target_name": {"type": "string"},
                                "parts": {"type": "integer"}, "reached": FIGURE,
                            },
                        },
                    },
                },
            },
        }
    }  # fmt: skip
    empty = {"targeted_parts": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        unit, found = UNITS[source.config.task], []
        for condition in source.frame.conditions:
            rows = _rows(source, condition.id)
            if len(rows):
                reached, unchanged = (_share(rows, name).to_json() for name in ("reached", "unchanged"))
                found.append({
                    "condition": condition.id, "unit": unit, "parts": sum(rows["parts"].to_pylist()),
                    "reached": reached, "unchanged": unchanged, "pairs": _pairs(rows, source.config.classes),
                })  # fmt: skip
        return SectionFigures({"targeted_parts": found})

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        return [
            f"{name} gives {wording.percent(one['reached']['value'])} of the {one['unit']} "
            f"({wording.span(one['reached'])}) their chosen class."
            for name, one in _best(report)
        ]

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        return [
            Tile("Given the chosen class", wording.percent(one["reached"]["value"]), f"{one['unit']}; {name}")
            for name, one in _best(report)
        ]

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        records, names = report.data["targeted_parts"], _names(report)
        if not records:
            return ()
        unit = records[0]["unit"]
        text = {
            "objects": "These attacks were to have objects found under a chosen class: an object is given it where its "
            "surest detection, of an overlap of a half at least, has that class and a score of a half at least.",
            "pixels": "These attacks were to have pixels given a chosen class.",
        }[unit]
        text += f" Other figures leave them out. {unit.capitalize()} of the chosen class itself are left out here."
        heads = cells.columns("attack", "given the target", "given it unchanged", unit, "images")
        lines = [
            cells.line(
                names[one["condition"]], cells.share(one["reached"]), cells.share(one["unchanged"]),
                f"{one['parts']:,}", str(one["reached"]["n"]),
            )
            for one in records
        ]  # fmt: skip
        found: list[Block] = [Heading("Targeted attacks", "targeted", "Targets"), Prose(text)]
        found.append(Table("Targeted attacks, with 95 % intervals over images.", heads, tuple(lines), brief=True))
        return [*found, *(pair_table(names[one["condition"]], one["pairs"], unit, _cell) for one in records)]


def _rows(source: Source, condition: str) -> pa.Table:
    """Counts of the run's images by class, under a condition."""
    run, tables = source.run, []
    for shard in sorted(s for c, s in run.finished("part_targets") if c == condition):
        table = read_outcomes(run, condition, [shard], ["id", "label", "target", *COUNTS], table="part_targets")
        tables.append(table.filter(pa.array(source.frame.places.of(table["id"], shard) >= 0)))
    return pa.concat_tables(tables) if tables else pa.table({})


def _share(rows: pa.Table, name: str) -> Figure:
    """The share of all parts that are in a column, with its interval over images."""
    sums = rows.group_by("id").aggregate([("parts", "sum"), (name, "sum")]).sort_by("id")
    columns = np.stack([sums[f"{one}_sum"].to_numpy() for one in ("parts", name)], axis=1).astype(np.float64)
    size = columns[:, 0].mean()

    def ratio(means: Numbers) -> Numbers:
        return means[..., 1] / means[..., 0]

    return figure_of_means(columns, ratio, possible=lambda: np.array([[size, 0.0], [size, size]]))


def _pairs(rows: pa.Table, classes: Sequence[str]) -> list[Row]:
    """Success by pair of classes; all pairs where a matrix can hold them, else those of most parts reached."""
    sums = rows.group_by(["label", "target"]).aggregate([("reached", "sum"), ("parts", "sum")]).to_pylist()
    sums.sort(key=lambda one: (-one["reached_sum"], -one["parts_sum"], one["label"], one["target"]))
    few = len({k for one in sums for k in (one["label"], one["target"])}) <= LARGEST_MATRIX
    labels, targets = rows["label"].to_numpy(), rows["target"].to_numpy()
    return [
        {
            "label": one["label"], "target": one["target"],
            "name": class_name(classes, one["label"]), "target_name": class_name(classes, one["target"]),
            "parts": one["parts_sum"],
            "reached": _share(
                rows.filter(pa.array((labels == one["label"]) & (targets == one["target"]))), "reached"
            ).to_json(),
        }
        for one in (sums if few else sums[:MOST_PAIRS])
    ]  # fmt: skip


def _names(report: Report) -> dict[str, str]:
    return {row["condition"]: wording.condition_name(row) for row in report.data["conditions"]}


def _best(report: Report) -> list[tuple[str, Row]]:
    """Name and record of the attack that reaches its target most often; empty where there is none."""
    ranked = sorted(report.data["targeted_parts"], key=lambda one: -float(one["reached"]["value"]))
    return [(_names(report)[one["condition"]], one) for one in ranked[:1]]


def _cell(pair: Mapping[str, Any] | None) -> Cell:
    if pair is None:
        return Cell("")
    figure = pair["reached"]
    title = f"{pair['name']} to {pair['target_name']}: {pair['parts']:,} tried, {wording.span(figure)}"
    return Cell(wording.percent(figure["value"], 0), heat=figure["value"], title=title)


section = TargetedParts()
