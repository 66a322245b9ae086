"""Targeted attacks: how many images were given the chosen class, and from which class to which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.measure import share
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Heading, Prose, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.figures.pictures import class_name
from unshaken.report.read.frame import read_outcomes
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.report.sections.confusion import LARGEST_MATRIX

FIGURE = {"$ref": "#/$defs/figure_or_null"}
MOST_PAIRS = 20
"""Pairs of classes that are given, those of most images reached first."""
SHARES = ("reached", "unchanged", "left")


class TargetedSection(Section):
    """Success of targeted attacks, with the matrix by pair of classes."""

    name = "targeted"
    table = "targets"
    task = "classification"
    order = 21
    schema = {
        "targeted": {
            "description": "one record a condition of a targeted attack; images of the target class are left out",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["condition", *SHARES, "pairs"],
                "properties": {
                    "condition": {"type": "string"},
                    "reached": {"description": "share of images that are given their target", **FIGURE},
                    "unchanged": {"description": "share that are given it unchanged", **FIGURE},
                    "left": {"description": "share that are not given their label", **FIGURE},
                    "pairs": {
                        "description": "by true class and target, those of most images reached first",
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["label", "target", "name", "target_name", "reached"],
                            "properties": {
                                "label": {"type": "integer"}, "target": {"type": "integer"},
                                "name": {"type": "string"}, "target_name": {"type": "string"}, "reached": FIGURE,
                            },
                        },
                    },
                },
            },
        }
    }  # fmt: skip
    empty = {"targeted": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        frame, found = source.frame, []
        for j, condition in enumerate(frame.conditions):
            rows, place = _rows(source, j)
            if not len(rows):
                continue
            n, target = len(rows), rows["target"].to_numpy()
            counts = {
                "reached": pc.sum(rows["reached"]).as_py(),
                "unchanged": (frame.prediction[place, 0] == target).sum(),
                "left": (frame.right[place, j] == 0).sum(),
            }
            shares = {name: share(int(counts[name]), n).to_json() for name in SHARES}
            found.append({"condition": condition.id, **shares, "pairs": _pairs(rows, source.config.classes)})
        return SectionFigures({"targeted": found})

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        return [
            f"{name} gives {wording.percent(reached['value'])} of the images ({wording.span(reached)}) its chosen "
            "class. That is no robust accuracy: attack without a target for it."
            for name, reached in _best(report)
        ]

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        return [
            Tile("Given the chosen class", wording.percent(reached["value"]), f"{wording.span(reached)}; {name}")
            for name, reached in _best(report)
        ]

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        records, names = report.data["targeted"], _names(report)
        if not records:
            return ()
        text = (
            "These attacks were to reach a chosen class, which is harder than to leave the label: images that keep "
            "their label here may lose it to a search without a target, so they count in no robust accuracy. Images "
            "whose label is the chosen class are left out."
        )
        heads = cells.columns("attack", "given the target", "given it unchanged", "not given their label", "images")
        lines = [
            cells.line(names[one["condition"]], *(cells.share(one[k]) for k in SHARES), str(one["reached"]["n"]))
            for one in records
        ]
        found: list[Block] = [Heading("Targeted attacks", "targeted", "Targets"), Prose(text)]
        found.append(Table("Targeted attacks, with 95 % intervals.", heads, tuple(lines), brief=True))
        return [*found, *(pair_table(names[one["condition"]], one["pairs"], "images", _cell) for one in records)]


def _rows(source: Source, column: int) -> tuple[pa.Table, NDArray[np.int64]]:
    """The images that were to be given a target under a condition, and their places in the frame."""
    frame, run, condition = source.frame, source.run, source.frame.conditions[column].id
    tables, places = [], []
    for shard in sorted(s for c, s in run.finished("targets") if c == condition):
        table = read_outcomes(run, condition, [shard], ["id", "label", "target", "reached"], table="targets")
        at = frame.places.of(table["id"], shard)
        kept = (at >= 0) & (frame.right[at, column] >= 0) & table["target"].is_valid().to_numpy()
        tables.append(table.filter(pa.array(kept)))
        places.append(at[kept])
    return (pa.concat_tables(tables), np.concatenate(places)) if tables else (pa.table({}), np.empty(0, np.int64))


def _names(report: Report) -> dict[str, str]:
    return {row["condition"]: wording.condition_name(row) for row in report.data["conditions"]}


def _best(report: Report) -> list[tuple[str, Row]]:
    """Name and share of the attack that reaches its target most often; empty where there is none."""
    ranked = sorted(report.data["targeted"], key=lambda one: -float(one["reached"]["value"]))
    return [(_names(report)[one["condition"]], one["reached"]) for one in ranked[:1]]


def _pairs(rows: pa.Table, classes: Sequence[str]) -> list[Row]:
    """Success by pair of classes; all pairs where a matrix can hold them, else those of most images reached."""
    sums = rows.group_by(["label", "target"]).aggregate([("reached", "sum"), ("reached", "count")]).to_pylist()
    sums.sort(key=lambda one: (-one["reached_sum"], -one["reached_count"], one["label"], one["target"]))
    few = len({k for one in sums for k in (one["label"], one["target"])}) <= LARGEST_MATRIX
    return [
        {
            "label": one["label"], "target": one["target"],
            "name": class_name(classes, one["label"]), "target_name": class_name(classes, one["target"]),
            "reached": share(one["reached_sum"], one["reached_count"]).to_json(),
        }
        for one in (sums if few else sums[:MOST_PAIRS])
    ]  # fmt: skip


def pair_table(name: str, pairs: Sequence[Mapping[str, Any]], unit: str, cell_of: Callable[[Any], Cell]) -> Table:
    """Success from each class to each target; of many classes a table of pairs.

    Args:
        name: of the attack.
        pairs: of `summary.json`; `reached` is a figure.
        unit: what is given the target, such as "images".
        cell_of: from a pair, or None where it was not tried, to its cell of the matrix.
    """
    known = dict(sorted({(p["label"], p["name"]) for p in pairs} | {(p["target"], p["target_name"]) for p in pairs}))
    if len(known) > LARGEST_MATRIX:
        heads = cells.columns("true class", "target", "given the target", "images")
        rows = [(p["name"], p["target_name"], cells.share(p["reached"]), str(p["reached"]["n"])) for p in pairs]
        return Table(f"{name}: pairs of classes of which most {unit} were given the target.", heads, tuple(rows))
    cell = {(p["label"], p["target"]): p for p in pairs}
    lines = tuple((known[label], *(cell_of(cell.get((label, target))) for target in known)) for label in known)
    caption = f"{name}: {unit} given the target, of those tried. A row is a true class, a column a target."
    return Table(caption, cells.columns("true class", *known.values()), lines, "matrix")


def _cell(pair: Mapping[str, Any] | None) -> Cell:
    if pair is None:
        return Cell("")
    figure = pair["reached"]
    n, hit = figure["n"], round(figure["value"] * figure["n"])
    title = f"{pair['name']} to {pair['target_name']}: {hit} of {n}, {wording.span(figure)}"
    return Cell(f"{hit}/{n}", heat=figure["value"], title=title)


section = TargetedSection()
