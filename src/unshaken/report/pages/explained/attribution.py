"""Part of a page on one method that makes maps: the maps over the images, and metrics beside controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.core.errors import UnshakenError
from unshaken.core.registry import find_method
from unshaken.explain.engine.compare_maps import MapValues, compare_methods
from unshaken.explain.engine.rows import RECORD, MethodRecord
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Prose, Span, Table, Text
from unshaken.report.drawings import Layers, Overlay, Picture
from unshaken.report.figures import pictures
from unshaken.report.figures.pictures import heat
from unshaken.store.run_dir import RunDir

CONTROLS = ("random-map", "edge-detector", "centre-point")
SHOWN = 24
"""Maps of a method that are shown at most."""
SIZE = pictures.BUDGET // 4
"""Characters of the pictures of one method."""
GAP = "completeness gap"
RIVALS = {"random-map": "a random map", "edge-detector": "an edge detector"}
"""Controls that a map should be better than."""
ENDS = {"low": -np.inf, "high": np.inf}


def blocks(run: RunDir, name: str, found: Mapping[str, Any]) -> list[Block]:
    """Make the part of the page for one method that makes maps.

    Args:
        run: with its rows, and the maps that were kept.
        name: condition of its rows.
        found: its entry in `explain.json`.
    """
    return [*_maps(run, name), *_worth(run, name, found), *_gap(found)]


def verdicts(run: RunDir, found: Mapping[str, MethodRecord]) -> list[Text]:
    """Whether each map is better than the random map and the edge detector, by its first metric and paired samples.

    Args:
        run: with its rows.
        found: the entries of `explain.json` by condition.
    """
    maps = {name: one for name, one in found.items() if one.group == "attribution" and set(one.figures) - {GAP}}
    if not maps:
        return []
    rows = run.rows("map_metrics", ["id", "condition", "method", "metric", "value"])
    methods = dict(zip(rows["condition"].to_pylist(), rows["method"].to_pylist(), strict=True))
    controls = {name: RIVALS[method] for name, method in methods.items() if method in RIVALS}
    lines = list[Text]()
    for name, one in maps.items():
        metric = next(key for key in one.figures if key != GAP)
        sign = {" (higher is better)": 1, " (lower is better)": -1}.get(_direction(metric), 0)
        if methods.get(name) in CONTROLS or not sign:
            continue
        for control, words in controls.items():
            figure = compare_methods(_values(rows, control, metric), _values(rows, name, metric))
            if figure is not None:
                lines.append(_verdict(name, words, metric, figure.to_json(), sign))
    return lines


def _verdict(name: str, rival: str, metric: str, figure: Mapping[str, Any], sign: int) -> Text:
    """Whether a difference from a control lies on the better side of 0, on the worse one, or on both."""
    ends = sorted(sign * (figure[end] if figure[end] is not None else bound) for end, bound in ENDS.items())
    says = "is better" if ends[0] > 0 else "is worse" if ends[1] < 0 else "is not shown to be better"
    shown = _signed(figure)
    mark = "good" if ends[0] > 0 else "bad"
    return (Span(name, "strong"), " ", Span(says, mark), f" than {rival}: {metric} {shown.text} ({shown.interval}).")


def _gap(found: Mapping[str, Any]) -> list[Block]:
    """How far sums of maps are from what they should be, for a method that promises them."""
    gap = found["figures"].get(GAP)
    if gap is None:
        return []
    text = (
        f"The values of a map should add up to the difference of the scores that they explain; they miss it by "
        f"{wording.number(gap['value'])} on average ({wording.number(gap['low'])} to {wording.number(gap['high'])}). "
        "More steps make it smaller."
    )
    return [Prose(text, "small")]


def _worth(run: RunDir, name: str, found: Mapping[str, Any]) -> list[Block]:
    """A line a metric: the figure of the method, those of the controls, and the paired differences."""
    metrics = [m for m in found["figures"] if m != GAP]
    if not metrics:
        return []
    rows = run.rows("map_metrics", ["id", "condition", "method", "metric", "value"])
    others = {
        c: m for c, m in zip(rows["condition"].to_pylist(), rows["method"].to_pylist(), strict=True)
        if m in CONTROLS and c != name
    }  # fmt: skip
    record = run.read_json(RECORD)["found"]
    lines = []
    for metric in metrics:
        own = _values(rows, name, metric)
        entries: list[Any] = [cells.value(found["figures"][metric])]
        for control in others:
            figure = compare_methods(_values(rows, control, metric), own)
            entries.append(cells.value(record.get(control, {}).get("figures", {}).get(metric)))
            entries.append(_signed(None if figure is None else figure.to_json()))
        lines.append(cells.line((metric, Span(_direction(metric), "soft")), *entries))
    heads = [Column(title, note) for c in others for title, note in ((c, ""), ("difference", f"to {c}, paired"))]
    caption = "What the maps are worth: means over samples with 95 % intervals, beside controls that see no model."
    if not others:
        caption = (
            "What the maps are worth: means over samples with 95 % intervals. For a control explain random-map too."
        )
    return [Table(caption, (Column("metric", number=False), Column(name), *heads), tuple(lines))]


def _values(rows: pa.Table, condition: str, metric: str) -> MapValues:
    """The values of one metric for the maps of one condition."""
    own = rows.filter(pc.and_(pc.equal(rows["condition"], condition), pc.equal(rows["metric"], metric)))
    values = own["value"].cast(pa.float64()).fill_null(float("nan")).to_numpy()
    return MapValues(own["id"].to_pylist(), np.asarray(values))


def _signed(figure: Mapping[str, Any] | None) -> Any:
    """A difference with its sign and interval."""
    if figure is None:
        return ""
    low, high = (end if figure[k] is None else f"{figure[k]:+.3g}" for k, end in (("low", "-∞"), ("high", "∞")))
    return Cell(f"{figure['value']:+.3g}", f"{low} to {high}")


def _direction(metric: str) -> str:
    """Which way is better, where the metric is known here."""
    try:
        higher = find_method(metric.partition(":")[0].partition("+")[0], "explain").cls.higher
    except (UnshakenError, AttributeError):
        return ""
    return " (higher is better)" if higher else " (lower is better)"


def _maps(run: RunDir, name: str) -> list[Block]:
    """The maps that were kept, over their images."""
    lines, size, small = _lines(run, name), 0, False
    layers: list[Layers] = []
    for file in run.names("maps", suffix=".safetensors"):
        if file.removesuffix(".safetensors").rpartition("-")[0] != name or len(layers) == SHOWN or size > SIZE:
            continue
        kept = run.read_tensors("maps", file)
        images, maps = kept.tensors["images"], kept.tensors["maps"]
        small = max(images.shape[2:]) < pictures.SIDE
        for sample, image, one in zip(kept.ids, images, maps, strict=True):
            picture = Picture(pictures.address(image), f"Sample {sample}")
            over = Picture(pictures.address(heat(one)), f"Map of sample {sample} by {name}")
            size += len(picture.address) + len(over.address)
            if size > SIZE or len(layers) == SHOWN:
                break
            layers.append(Layers(picture, over, lines.get(sample, (Span(sample, "soft"),))))
    if not layers:
        return []
    text = "Bright pixels count most for the class. In maps with signs, red counts for it and blue against it."
    return [Prose(text, "small"), Overlay(f"{name} maps", tuple(layers), small)]


def _lines(run: RunDir, name: str) -> dict[str, tuple[Text, ...]]:
    """Lines under each picture: the class explained, the prediction where it differs, the sample."""
    rows = run.rows("attributions", ["id", "condition", "label", "explained", "prediction", "confidence"])
    names, found = run.read_json(RECORD).get("classes", []), {}
    for row in rows.filter(pc.equal(rows["condition"], name)).to_pylist():
        if row["explained"] is None:
            continue
        explained, predicted = (pictures.class_name(names, row[k]) for k in ("explained", "prediction"))
        lines: list[Text] = [explained]
        if row["prediction"] != row["explained"]:
            lines.append(Span(f"predicted {predicted}", "bad"))
        elif row["label"] is not None and row["label"] != row["prediction"]:
            lines.append(Span(f"label {pictures.class_name(names, row['label'])}", "bad"))
        found[row["id"]] = (*lines, Span(f"{row['id']}, {wording.percent(row['confidence'], 0)} sure", "soft"))
    return found
