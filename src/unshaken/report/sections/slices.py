"""Slices: accuracy by properties and metadata of the images, what each condition costs there, and weak slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.measure.slices import find_weak_slices, slice_figures
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Details, Heading, Prose, Table, Text
from unshaken.report.cells import Row
from unshaken.report.read.slices import read_slices
from unshaken.report.sections import Report, Section, SectionFigures, Source

FEW = 20
"""Slices shown at once."""
FIGURE = {"$ref": "#/$defs/figure_or_null"}
_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}


class Slices(Section):
    """Figures by slice; the search for weak slices is on unchanged images."""

    name = "slices"
    table = "slices"
    task = "classification"
    order = 58
    schema = {
        "slices": {
            "type": "array",
            "description": "accuracy in each slice under each condition, and its difference from unchanged images",
            "items": {
                "type": "object",
                "required": ["slicing", "part", "condition", "accuracy", "drop"],
                "properties": {
                    "slicing": _TEXT, "part": _TEXT, "condition": _TEXT, "accuracy": FIGURE, "drop": FIGURE,
                },
            },
        },
        "weak_slices": {
            "type": "array",
            "description": "slices found on one half of the samples, measured on the other half",
            "items": {
                "type": "object",
                "required": ["slice", "images", "found", "accuracy", "gap", "p_value", "confirmed"],
                "properties": {
                    "slice": _TEXT, "images": {"type": "integer"}, "found": _NUMBER, "accuracy": FIGURE, "gap": FIGURE,
                    "p_value": _NUMBER, "confirmed": {"type": "boolean"},
                },
            },
        },
    }  # fmt: skip
    empty = {"slices": [], "weak_slices": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        frame = source.frame
        if not frame.labelled:
            return SectionFigures({}, {"slices": "without labels there is no accuracy of a slice"})
        slicings, shown = read_slices(source.run, frame), [0, *frame.natural, *frame.attacks]
        names = [frame.conditions[j].id for j in shown]
        rows = [
            {
                "slicing": one.slicing,
                "part": one.part,
                "condition": names[one.condition],
                "accuracy": one.accuracy.to_json(),
                "drop": one.drop and one.drop.to_json(),
            }
            for one in slice_figures(frame.right[:, shown], slicings)
        ]
        known = frame.right[:, 0] >= 0
        keys = SampleRng.of(source.config.seed, "slices", list(frame.ids)).keys.numpy()
        single = [s for s in slicings if "*" not in s.name]
        own = [type(s)(s.name, s.parts, s.codes[known]) for s in single]
        first = (np.argsort(np.argsort(keys[known], kind="stable")) % 2) == 0
        try:
            weak = find_weak_slices(frame.right[known, 0] == 1, own, first) if own else []
        except ParameterError as error:
            return SectionFigures({"slices": rows, "weak_slices": []}, {"weak_slices": str(error)})
        found = [
            {
                "slice": " and ".join(f"{name} = {part}" for name, part in one.parts),
                "images": int(one.rows.sum()),
                "found": one.found,
                "accuracy": one.accuracy.to_json(),
                "gap": one.gap.to_json(),
                "p_value": one.p_value,
                "confirmed": one.confirmed,
            }
            for one in weak
        ]
        return SectionFigures({"slices": rows, "weak_slices": found})

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        rows: list[Row] = report.data["slices"]
        if not rows:
            return ()
        clean = sorted((r for r in rows if r["condition"] == "clean"), key=lambda r: float(r["accuracy"]["high"]))
        titles = {c["condition"]: wording.condition_name(c) for c in report.data["conditions"]}
        lines = [_line(r, rows, titles) for r in clean]
        changed = any(r["drop"] for r in rows)
        heads = cells.columns("slice", "accuracy", *(("costs most", "points") if changed else ()), "images")
        caption = (
            "Accuracy on unchanged images, first the slices whose interval ends lowest; the condition that costs most "
            "in each, and the points that it costs. The intervals of all slices and conditions hold together at 95 %."
        )
        found: list[Block] = [Heading("Slices", "slices", "Slices")]
        if text := _contrast(rows, titles):
            found.append(Prose(text))
        found.append(Table(caption, heads, tuple(lines[:FEW])))
        if lines[FEW:]:
            found.append(Details(f"The other {len(lines) - FEW} slices", (Table(caption, heads, tuple(lines[FEW:])),)))
        return [*found, *_weak(report)]


def _line(row: Row, rows: Sequence[Row], titles: dict[str, str]) -> tuple[Any, ...]:
    same = [r for r in rows if r["drop"] and (r["slicing"], r["part"]) == (row["slicing"], row["part"])]
    worst = min(same, key=lambda r: float(r["drop"]["value"]), default=None)
    costs = (titles.get(worst["condition"], worst["condition"]), cells.points(worst["drop"])) if worst else ()
    if not costs and any(r["drop"] for r in rows):
        costs = ("", "")
    return cells.line(_title(row), cells.share(row["accuracy"], bar=True), *costs, str(row["accuracy"]["n"]))


def _title(row: Row) -> str:
    """A slice as gates write it: `weather = night, size = below 32`."""
    names, parts = row["slicing"].split("*"), row["part"].split("*")
    if len(names) != len(parts):
        return f"{row['slicing']} = {row['part']}"
    return ", ".join(f"{name} = {part}" for name, part in zip(names, parts, strict=True))


def _contrast(rows: Sequence[Row], titles: dict[str, str]) -> Text:
    """The two slices of one column that a condition costs most differently, where their intervals are apart."""
    best: tuple[float, Row, Row] | None = None
    columns: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["drop"]:
            columns.setdefault((row["slicing"], row["condition"]), []).append(row)
    for own in columns.values():
        low = min(own, key=lambda r: float(r["drop"]["value"]))
        high = max(own, key=lambda r: float(r["drop"]["value"]))
        apart = float(high["drop"]["value"]) - float(low["drop"]["value"])
        if low["drop"]["high"] < high["drop"]["low"] and (best is None or apart > best[0]):
            best = apart, low, high
    if best is None:
        return ""
    _, low, high = best
    name = titles.get(low["condition"], low["condition"])
    costs, other = (-100 * float(r["drop"]["value"]) for r in (low, high))
    less = f"costs {other:.1f}" if other >= 0 else f"gains {-other:.1f}"
    return (
        f"Where {_title(low)}, {name} costs {costs:.1f} points; where {_title(high)}, it {less}. Of the slices of one "
        "column these differ most."
    )


def _weak(report: Report) -> list[Block]:
    """The slices that were found, and what the other half of the images says of them."""
    note = report.data["notes"].get("weak_slices")
    heading, rows = Heading("Weak slices", "weak-slices"), report.data["weak_slices"]
    if note:
        return [heading, Prose(f"Not searched: {note}.")]
    if not rows:
        return [heading, Prose("On one half of the images no slice of one or two columns stood out as weak.")]
    heads = (
        Column("slice", number=False), Column("accuracy"), Column("less than elsewhere, points"),
        Column("p, corrected"), Column("images"), Column("confirmed", number=False),
    )  # fmt: skip
    lines = tuple(
        cells.line(
            r["slice"], cells.share(r["accuracy"]), cells.points(r["gap"]), f"{r['p_value']:.2g}",
            str(r["accuracy"]["n"]), "yes" if r["confirmed"] else "no",
        )
        for r in rows
    )  # fmt: skip
    confirmed = sum(r["confirmed"] for r in rows)
    text = (
        f"All slices of one column and of two were searched on one half of the images, and the {len(rows)} clearest "
        f"were measured on the other half: {confirmed} of them {'is' if confirmed == 1 else 'are'} confirmed. The "
        "chance that any slice is confirmed which is not worse than the other images is 5 % at most."
    )
    return [heading, Prose(text), Table("Slices found, as they are on the other half of the images.", heads, lines)]


section = Slices()
