"""Textures: those that tile worst and best, laid out two by two, with their figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.report import cells
from unshaken.report.blocks import Block, Column, Prose, Span, Table
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures import pictures
from unshaken.store.run_dir import RunDir

LISTED = 20


def blocks(run: RunDir, name: str, found: Mapping[str, Any]) -> list[Block]:
    """Make the part of the page for one analysis of textures.

    Args:
        run: as `unshaken explain` leaves it.
        name: of the condition.
        found: its entry in `explain.json`.
    """
    rows = {row["id"]: row for row in run.rows(found["table"]).to_pylist() if row["condition"] == name}
    good = [row for row in rows.values() if row["error"] is None]
    scored = any(row["tile_score"] is not None for row in good)
    shown: list[Block] = []
    if run.exists("arrays", f"{name}.safetensors"):
        held = run.read_tensors("arrays", f"{name}.safetensors").tensors
        exhibits = []
        for place, sample in enumerate(found["extra"]["kept"]):
            words = f"Texture {sample}, two by two"
            picture = Picture(pictures.address(held[str(place)].repeat(1, 2, 2)), words)
            exhibits.append(Exhibit((picture,), (_words(rows[sample]), Span(sample, "soft"))))
        small = max(max(image.shape[1:]) for image in held.values()) < pictures.SIDE // 2
        shown += [Prose("The worst, then the best, laid out two by two: seams cross in the middle."),
                  Gallery(tuple(exhibits), small)]  # fmt: skip
    worst = sorted(good, key=lambda row: (-max(row["horizontal_seam"], row["vertical_seam"]), row["id"]))[:LISTED]
    heads = ["horizontal seam", "vertical seam", "border energy", "contrast", *(["score"] if scored else [])]
    lines = tuple(cells.line(row["id"], *(_number(row, head) for head in heads)) for row in worst)
    caption = f"The {len(worst)} largest seams: the step over a seam beside the steps inside; about 1 tiles."
    shown.append(Table(caption, cells.columns("texture", *heads), lines))
    if bad := [row for row in rows.values() if row["error"]]:
        why = tuple(cells.line(row["id"], row["error"]) for row in bad[:LISTED])
        heads_of_bad = (Column("texture", number=False), Column("why", number=False))
        shown.append(Table(f"{len(bad)} textures that could not be measured.", heads_of_bad, why))
    return shown


def _number(row: Mapping[str, Any], head: str) -> str:
    return f"{row['tile_score' if head == 'score' else head.replace(' ', '_')]:.3g}"


def _words(row: Mapping[str, Any]) -> str:
    seams = f"seams {row['horizontal_seam']:.3g} and {row['vertical_seam']:.3g}"
    return seams if row["tile_score"] is None else f"{seams}, score {row['tile_score']:.2f}"
