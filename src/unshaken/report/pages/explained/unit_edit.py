"""What became of a network without the units that were chosen by words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Commands, Prose, Table
from unshaken.report.drawings import Plot, Plots, Point, Trace


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
