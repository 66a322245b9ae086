"""Geometry: quantities of a data set with intervals, the closest pair of two labels, and dimension by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.report import cells
from unshaken.report.blocks import Block, Cell, Column, Prose, Span, Table
from unshaken.report.cells import heat_matrix
from unshaken.report.drawings import Exhibit, Gallery, Picture, Plots
from unshaken.report.figures import pictures
from unshaken.report.figures.plots import Series, layer_plot
from unshaken.store.run_dir import RunDir

Found = Mapping[str, Any]
Row = dict[str, Any]


def blocks(run: RunDir, name: str, found: Found) -> list[Block]:
    """Make the part of the page for one analysis of geometry.

    Args:
        run: as `unshaken explain` leaves it.
        name: of the condition.
        found: its entry in `explain.json`.
    """
    rows = [_closed(r) for r in run.rows(found["table"]).to_pylist() if r["condition"] == name]
    if found["method"] == "representation-dimension":
        return _by_layer(rows)
    shown: list[Block] = [_missing(bad)] if (bad := [r for r in rows if r["error"]]) else []
    if found["method"] == "label-sharpness" and run.exists("arrays", f"{name}.safetensors"):
        shown += _sharpness(run, name, found["extra"])
    return shown


def _closed(row: Row) -> Row:
    """A row whose ends that are infinite are None, as in a figure."""
    return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in row.items()}


def _value(row: Row | None) -> Cell:
    """A quantity with its interval, or why there is none."""
    if row is None:
        return Cell("")
    return Cell("–", note=row["error"]) if row["error"] else cells.value(row)


def _missing(rows: Sequence[Row]) -> Table:
    lines = tuple(cells.line(r["quantity"], r["error"]) for r in rows)
    return Table("Quantities without a value.", (Column("quantity", number=False), Column("why", number=False)), lines)


def _sharpness(run: RunDir, name: str, extra: Found) -> list[Block]:
    """The closest two images of different labels, and the label sharpness of each two classes."""
    held = run.read_tensors("arrays", f"{name}.safetensors").tensors
    shown: list[Block] = []
    if "pair" in held and held["pair"].shape[1] in (1, 3):
        exhibits = tuple(
            Exhibit(
                (Picture(pictures.address(image), f"Sample {i}"),),
                (Span(pictures.class_name(extra["classes"], label), "bad"), Span(i, "soft")),
            )
            for image, i, label in zip(held["pair"], extra["pair"], extra["labels"], strict=True)
        )
        small = max(held["pair"].shape[2:]) < pictures.SIDE
        text = "The closest two images with different labels: a wrong label, a duplicate, or two classes that meet."
        shown += [Prose(text), Gallery(exhibits, small)]
    if "sharpness_of_classes" in held:
        matrix = held["sharpness_of_classes"].tolist()
        names = [pictures.class_name(extra["classes"], c) for c in range(len(matrix))]
        caption = "Label sharpness of each two classes; the darker, the closer their closest images."
        shown.append(heat_matrix(caption, names, matrix))
    return shown


def _by_layer(rows: Sequence[Row]) -> list[Block]:
    """A plot with bands and a table for each model."""
    shown: list[Block] = []
    for model in dict.fromkeys(r["model"] for r in rows):
        own = [r for r in rows if r["model"] == model]
        known = [r for r in own if not r["error"]]
        kinds = list(dict.fromkeys(r["quantity"] for r in known))
        series = [
            Series(
                kind,
                [(r["depth"], r["value"], r["low"], r["high"], r["layer"]) for r in known if r["quantity"] == kind],
            )
            for kind in kinds
        ]
        shown.append(Plots((layer_plot(f"{model}, by depth", series),)))
        by_place = {(r["layer"], r["quantity"]): r for r in known}
        failed = {r["layer"]: r for r in own if r["error"]}
        lines = []
        for layer in dict.fromkeys(r["layer"] for r in own):
            values = [_value(failed.get(layer) or by_place.get((layer, kind))) for kind in kinds]
            n = next((f"{r['n']:,}" for r in known if r["layer"] == layer), "")
            lines.append(cells.line(layer, *values, n))
        caption = f"Intrinsic dimension of the features of {model}, with 95 % intervals."
        shown.append(Table(caption, cells.columns("layer", *kinds, "samples"), tuple(lines)))
    return shown
