"""Units in words: detectors by layer and category, cards of units with their exemplars, and what an edit did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.explain.units.describer import darkened
from unshaken.explain.units.exemplars import unpack
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Commands, Details, Prose, Span, Table, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture, Plot, Plots, Point, Trace
from unshaken.report.figures import pictures
from unshaken.store.run_dir import RunDir

Found = Mapping[str, Any]
Row = dict[str, Any]
SHOWN = 4
"""Exemplars of a unit on its card."""
SIDE_OF_PIXELS = 48
"""Pictures smaller than this are enlarged pixel by pixel."""
OPEN = 6
"""Cards of a layer that are shown at once; the others open."""


def blocks(run: RunDir, name: str, found: Found) -> list[Block]:
    """Make the part of the page for one analysis of units.

    Args:
        run: as `unshaken explain` leaves it.
        name: of the condition.
        found: its entry in `explain.json`.
    """
    extra = found["extra"]
    rows = [row for row in run.rows("units").to_pylist() if row["condition"] == name]
    shown: list[Block] = edit_blocks(extra["edit"]) if "edit" in extra else []
    if "detectors" in extra:
        shown += _detectors(extra)
    reasons = [row["error"] for row in rows if row["error"]]
    lines = [f"{reasons.count(reason):,} of {len(rows):,} units: {reason}." for reason in dict.fromkeys(reasons)]
    shown += [Prose(" ".join(lines), "small")] if lines else []
    shown += _cards(run, name, extra, rows)
    return [*shown, *_people(extra, rows)]


def _detectors(extra: Found) -> list[Block]:
    """How many units of each layer have a description, by category."""
    counts: Mapping[str, Mapping[str, int]] = extra["detectors"]
    categories = list(dict.fromkeys(c for layer in counts.values() for c in layer if c != "units"))
    rows = []
    for layer, of in counts.items():
        share = sum(of.get(c, 0) for c in categories) / of["units"]
        described = Cell(wording.percent(share), bar=share)
        rows.append(cells.line(layer, f"{of['units']:,}", described, *(f"{of.get(c, 0):,}" for c in categories)))
    caption = "Units with a description, by layer and category."
    if "least" in extra:
        caption = f"Units that detect a concept, with an IoU above {extra['least']:g}, by layer and category."
    return [Table(caption, cells.columns("layer", "units", "described", *categories), tuple(rows), brief=True)]


def _cards(run: RunDir, name: str, extra: Found, rows: Sequence[Row]) -> list[Block]:
    """The units of each layer that are described best, each with its exemplars."""
    if not run.exists("arrays", f"{name}.safetensors"):
        return []
    held = run.read_tensors("arrays", f"{name}.safetensors").tensors
    if "pictures" not in held:
        return []
    row_of = {(row["layer"], row["unit"]): row for row in rows}
    found: list[Block] = []
    size = 0
    images, place_of, unit_of = held["pictures"].float() / 255, held["picture_of"][:, 0], held["picture_of"][:, 1]
    images = darkened(images, unpack(held["picture_masks"], (images.shape[2], images.shape[3])))  # outside of the unit
    for place, layer in enumerate(extra["layers"]):
        exhibits = []
        for unit in dict.fromkeys(unit_of[place_of == place].tolist()):
            exemplars = images[(place_of == place) & (unit_of == unit)][:SHOWN]
            shown = [Picture(pictures.address(image), f"unit {unit} of {layer}: an exemplar") for image in exemplars]
            size += sum(len(picture.address) for picture in shown)
            if size > pictures.BUDGET:
                break
            exhibits.append(Exhibit(tuple(shown), _lines(row_of[layer, unit])))
        small = held["pictures"].shape[2] < SIDE_OF_PIXELS
        if exhibits:
            parts: list[Block] = [Gallery(tuple(exhibits[:OPEN]), small)]
            if more := exhibits[OPEN:]:
                parts.append(Details(f"{len(more)} more", (Gallery(tuple(more), small),)))
            found.append(Details(f"Units of {layer}", tuple(parts), open=True))
    if found:
        text = (
            "Each card shows the images that excite a unit most, the strongest first; outside of where the unit is "
            "above its threshold they are darkened. Agreement is how alike these images are to the describer, from 0 "
            "to 1: a unit of low agreement follows several things."
        )
        found = [Prose(text, "small"), *found]
    return found


def _lines(row: Row) -> tuple[Text, ...]:
    """Lines of a unit's card."""
    facts = [f"score {wording.number(row['score'])}"]
    if row["agreement"] is not None:
        facts.append(f"agreement {wording.number(row['agreement'])}")
    words: Text = Span(row["description"], "strong") if row["description"] else Span("no description", "soft")
    where = Span(f"{row['layer']}, unit {row['unit']}", "soft")
    lines: list[Text] = [words, where, Span(", ".join(facts), "soft")]
    if row["effect"] is not None:
        lines.append(Span(f"accuracy without it: {0.0 - 100 * row['effect']:+.1f} points", "soft"))
    return tuple(lines)


def _people(extra: Found, rows: Sequence[Row]) -> list[Block]:
    """Descriptions of the same units by people."""
    annotations: Mapping[str, Sequence[str]] = extra.get("annotations", {})
    if not annotations:
        return []
    descriptions = {f"{row['layer']}:{row['unit']}": row["description"] or "no description" for row in rows}
    lines = tuple(cells.line(unit, descriptions.get(unit, ""), "; ".join(texts)) for unit, texts in annotations.items())
    heads = (Column("unit", number=False), Column("here", number=False), Column("by people", number=False))
    return [Details("Beside the annotations of people", (Table("Descriptions of the same units.", heads, lines),))]


# What became of a network without the units that were chosen by words.


def edit_blocks(edit: Mapping[str, Any]) -> list[Block]:
    """The curve by which units were chosen, what the edit did on other images, and the command that makes it last.

    Args:
        edit: `words`, `units` (texts `LAYER:UNIT`, in order), `count`, `curve`, `before`, `after`, `random` (figures)
            and `n` (images that order, choose and judge).
    """
    count, chosen = edit["count"], edit["units"][: edit["count"]]
    text = (
        f"{len(edit['units'])} units are described by {edit['words']!r}. {edit['n'][0]:,} images put them in order, "
        f"{edit['n'][1]:,} others chose to take out {count}, and {edit['n'][2]:,} others judge."
    )
    rows = [
        cells.line("before", cells.share(edit["before"]), ""),
        cells.line(f"without {count} units", cells.share(edit["after"]), cells.points(edit["gain"])),
    ]
    if edit["over_random"] is not None:
        rows.append(cells.line("the same, against random sets", "", cells.points(edit["over_random"])))
    table = Table(
        "Accuracy on the images that judge, paired.",
        cells.columns("", "accuracy", Column("change", "points")),
        tuple(rows),
    )
    found: list[Block] = [Prose(text), table, _curve(edit["curve"], count)]
    if chosen:
        found.append(Prose("Taken out of the weights for good:", "small"))
        found.append(
            Commands(
                (
                    f"unshaken harden surgery ablate BASE {' '.join(chosen)} --out without.safetensors",
                    "unshaken harden surgery add BASE without.safetensors --out edited.safetensors",
                )
            )
        )
    return found


def _curve(curve: list[float], count: int) -> Plots:
    """Accuracy by the number of units taken out, on the images that choose."""
    last = max(1, len(curve) - 1)
    points = tuple(
        Point(100 * i / last, 100 * (1 - v), 100 * (1 - v), 100 * (1 - v), f"without {i}: {wording.percent(v)}")
        for i, v in enumerate(curve)
    )
    line = " ".join(f"{p.x:.2f},{p.y:.2f}" for p in points)
    ticks = tuple((100 * i / last, f"{i}") for i in sorted({0, last // 2, last}))
    words = ", ".join(f"{i}: {wording.percent(v)}" for i, v in enumerate(curve))
    trace = Trace("accuracy", 0, points, line, marked=len(curve) < 40)
    plot = Plot(
        "Accuracy on the images that choose", "units taken out", ticks, (trace,), None, words,
        marker=(100 * count / last, "chosen"),
    )  # fmt: skip
    return Plots((plot,), "half")
