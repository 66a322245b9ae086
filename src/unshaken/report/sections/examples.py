"""Pictures of changes that need no attacker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from typing_extensions import override

from unshaken.core.part import TARGETED
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Heading, Prose, Span, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures.pictures import BUDGET, Example, Examples, address, examples_of
from unshaken.report.sections import Report, Section
from unshaken.store.run_dir import RunDir

Neighbours = tuple[Mapping[str, Any], Mapping[str, Tensor]]
"""The record of a run's nearest training images, and these by id."""
AROUND = "The difference is shown around grey, amplified as stated."


class ExamplesOfChanges(Section):
    """The most damaging pictures of each change."""

    name = "examples"
    task = "classification"
    order = 50

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        found = galleries(report, lambda row: not cells.is_attack(row))
        if not found:
            return ()
        text = f"The most damaging of the pictures kept for each change. {AROUND}"
        return (Heading("Examples", "examples", "Examples"), Prose(text), *neighbours_text(report), *found)


def neighbours_text(report: Report) -> tuple[Prose, ...]:
    """What the nearest training images beside the examples are, where the run has them."""
    if (found := _neighbours(report.source.run)) is None:
        return ()
    record, _ = found
    layer = ("of the layer ", Span(record["layer"], "code")) if record["layer"] else ("of the logits",)
    usual = ""
    if record["median"] is not None:
        usual = f" Unchanged images of the examples are {round(record['median'], 4):.3g} away, in the median."
    text = (
        f"The nearest in training is the one of {record['images']:,} images of ", Span(record["train"], "code"),
        " whose features ", *layer, " have the least Euclidean distance to those of the changed image. It shows what "
        f"the model takes the image for; it is no proof that this image caused the answer.{usual}",
    )  # fmt: skip
    return (Prose(text),)


# Galleries of unchanged images beside changed ones.


def galleries(report: Report, wanted: Callable[[Mapping[str, Any]], bool]) -> list[Details]:
    """The most damaging examples of some conditions, one gallery each, the lowest accuracy first.

    Args:
        report: of the run.
        wanted: whether a condition of the summary is shown.
    """
    source, data = report.source, report.data
    targeted = (row for row in data["conditions"] if row.get("group") == TARGETED)
    every = (*cells.changes_of(data), *targeted, *data["minimal_norms"])
    conditions = [c for c in every if wanted(c)]
    size = BUDGET if len(conditions) == len(every) else BUDGET // 2
    neighbours = _neighbours(source.run)
    if neighbours:  # a fourth picture each
        size = 3 * size // 4
    found = examples_of(source.run, source.config, source.frame, conditions, size=size)
    found.sort(key=lambda g: float((cells.metric(g.condition) or {"value": 1})["value"]))
    return [_gallery(one, neighbours, is_open=number == 0) for number, one in enumerate(found)]


def _neighbours(run: RunDir) -> Neighbours | None:
    from unshaken.explain.engine.neighbours import read_neighbours  # with a room that figures alone need not

    return read_neighbours(run)


def _gallery(found: Examples, neighbours: Neighbours | None, *, is_open: bool) -> Details:
    name = wording.condition_name(dict(found.condition))
    exhibits = tuple(_exhibit(one, name, found.condition["norm"]) for one in found.examples)
    if neighbours:
        record, images = neighbours
        near = record["conditions"].get(found.condition["condition"], {})
        pairs = zip(found.examples, exhibits, strict=True)
        exhibits = tuple(_with_nearest(e, near[one.id], images) if one.id in near else e for one, e in pairs)
    note = f"{len(found.examples)} of {found.kept} that were kept"
    return Details(name, (Gallery(exhibits, found.small),), note, is_open)


def _exhibit(one: Example, name: str, norm: str | None) -> Exhibit:
    pictures = (
        Picture(one.clean, f"Unchanged image of sample {one.id}", "unchanged"),
        Picture(one.changed, f"The same under {name}", "changed"),
        Picture(one.difference, f"Their difference, amplified {one.factor} times", f"difference ×{one.factor}"),
    )
    before, after = (wording.percent(c, 0) for c in (one.before_confidence, one.after_confidence))
    lines: list[Text] = [("True: ", Span(one.label, "strong"))] if one.label is not None else []
    verdict: tuple[str | Span, ...] = ()
    if one.fooled:
        verdict = (" ", Span("✗ now wrong" if one.label is not None else "✗ now another", "bad"))
    elif one.label is not None and one.label == one.after:
        verdict = (" ", Span("✓ still correct", "good"))
    change = (f"{one.before} ", Span(before, "soft"), f" → {one.after} ", Span(after, "soft"))
    lines.append((*change, *verdict))
    if one.distance and norm:
        by = f", found by {one.broken_by}" if one.broken_by and one.fooled else ""
        lines.append(
            Span(f"changed by {wording.distance(one.distance, norm)} ({wording.NORMS.get(norm, norm)}){by}", "soft")
        )
    return Exhibit(pictures, (*lines, Span(one.id, "code")))


def _with_nearest(exhibit: Exhibit, near: Mapping[str, Any], images: Mapping[str, Tensor]) -> Exhibit:
    """The same with the nearest training image."""
    label = near["label"] or "no label"
    shown = Picture(address(images[near["id"]]), f"Nearest training image {near['id']}: {label}", "nearest in training")
    line = ("nearest in training: ", Span(label, "strong"), Span(f", {near['distance']:.3g} away", "soft"))
    return Exhibit((*exhibit.pictures, shown), (*exhibit.lines[:-1], line, exhibit.lines[-1]))


section = ExamplesOfChanges()
