"""Attribution maps before and after a change, where the run's examples have been explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from typing_extensions import override

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Heading, Prose, Span
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures import pictures
from unshaken.report.figures.pictures import Example, Examples, examples_of, heat
from unshaken.report.sections import Report, Section
from unshaken.store.run_dir import RunDir

SHOWN = 6
"""Examples of a condition."""


class MapsBeforeAfter(Section):
    """The most damaging examples with their maps, before and after."""

    name = "maps"
    task = "classification"
    order = 55

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        from unshaken.explain.engine.before_after import MAPS_RECORD  # with a room that figures alone need not

        source = report.source
        if not source.run.exists(*MAPS_RECORD):
            return ()
        record: Mapping[str, Any] = source.run.read_json(*MAPS_RECORD)
        rows = (*cells.changes_of(report.data), *report.data["minimal_norms"])
        wanted = [row for row in rows if row["condition"] in record["conditions"]]
        found = examples_of(source.run, source.config, source.frame, wanted, shown=SHOWN, size=pictures.BUDGET // 2)
        found.sort(key=lambda one: float((cells.metric(one.condition) or {"value": 1})["value"]))
        galleries = [g for place, one in enumerate(found) if (g := _gallery(source.run, one, is_open=place == 0))]
        if not galleries:
            return ()
        text = (
            f"Maps by {record['method']} of the class that the model predicts, before and after a change. Bright "
            "pixels count most. In maps with signs, red counts for it and blue against it."
        )
        return (Heading("What the model looks at", "maps", "Maps"), Prose(text), *galleries)


def _gallery(run: RunDir, found: Examples, *, is_open: bool) -> Details | None:
    """The examples of one condition whose maps are there."""
    from unshaken.explain.engine.before_after import map_file

    kept = run.read_tensors(*map_file(found.condition["condition"]))
    place = {i: n for n, i in enumerate(kept.ids)}
    exhibits, size = [], 0
    for example in found.examples:
        if (n := place.get(example.id)) is not None:
            exhibits.append(one := _exhibit(example, kept.tensors["before"][n], kept.tensors["after"][n]))
            size += sum(len(p.address) for p in one.pictures)
            if size > pictures.BUDGET // 2:
                break
    if not exhibits:
        return None
    name = wording.condition_name(dict(found.condition))
    return Details(name, (Gallery(tuple(exhibits), found.small),), f"{len(exhibits)} of {len(place)} maps", is_open)


def _exhibit(example: Example, before: Tensor, after: Tensor) -> Exhibit:
    sample = f"of sample {example.id}"
    shown = (
        Picture(example.clean, f"Unchanged image {sample}", "unchanged"),
        Picture(pictures.address(heat(before)), f"Map {sample}, unchanged: {example.before}", "its map"),
        Picture(example.changed, f"Changed image {sample}", "changed"),
        Picture(pictures.address(heat(after)), f"Map {sample}, changed: {example.after}", "its map"),
    )
    sure = [wording.percent(c, 0) for c in (example.before_confidence, example.after_confidence)]
    change = (f"{example.before} ", Span(sure[0], "soft"), f" → {example.after} ", Span(sure[1], "soft"))
    tail = (" ", Span("✗ now wrong" if example.label is not None else "✗ now another", "bad")) if example.fooled else ()
    return Exhibit(shown, ((*change, *tail), Span(example.id, "code")))


section = MapsBeforeAfter()
