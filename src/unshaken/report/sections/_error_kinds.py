"""Kinds of errors of a detector of objects: what each costs, unchanged and under every change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.measure.object_detection.errors import KINDS, REPAIRS
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Details, Heading, Prose, Table
from unshaken.report.cells import Row

TITLES = {
    "class": "wrong class",
    "location": "wrong place",
    "both": "class and place",
    "duplicate": "repeated",
    "background": "background",
    "missed": "missed",
}
"""What the kinds are called in tables."""


def error_blocks(data: Mapping[str, Any]) -> Sequence[Block]:
    """A table of costs, and what costs most under the strongest change; nothing where no kind was found.

    Args:
        data: `summary.json` of a detector.
    """
    rows = [("unchanged", data["objects"]["errors"])]
    rows += [(wording.condition_name(row), row["errors"]) for row in data["conditions"]]
    rows = [(name, errors) for name, errors in rows if errors]
    if not rows:
        return ()
    about = "AP at an overlap of 0.5 that would be gained if the errors of one kind alone were repaired, in points"
    heads = cells.columns("condition", *(TITLES[name] for name in KINDS))
    shares = Table(
        f"{about}; the stronger the colour, the larger the kind's share of the costs of all six.",
        heads,
        tuple((name, *_shares(errors)) for name, errors in rows),
        kind="heat",
    )
    every = Table(
        f"{about}, with 95 % intervals from halves of the images. Costs do not add up to what is missing.",
        (*heads, *cells.columns("", "all false", "not found")[1:]),
        tuple((name, *(cells.points(errors["costs"][kind]) for kind in REPAIRS)) for name, errors in rows),
    )
    numbers = Table(
        "Number of errors of each kind.",
        heads,
        tuple((name, *(f"{errors['counts'][kind]:,}" for kind in KINDS)) for name, errors in rows),
    )
    title = Heading("Kinds of errors", "errors", "Errors")
    return (title, Prose(_words(data)), shares, Details("Intervals and numbers of errors", (every, numbers)))


def _shares(errors: Row) -> list[Cell]:
    """The costs of a condition in points, coloured by their share of the sum of all kinds."""
    costs = errors["costs"]
    total = sum(max(0.0, one["value"]) for name in KINDS if (one := costs[name]))
    found = []
    for name in KINDS:
        if (one := costs[name]) is None:
            found.append(Cell(""))
            continue
        share = max(0.0, one["value"]) / total if total > 0 else 0.0
        number = cells.counted(errors["counts"][name], "error")
        text = f"{TITLES[name]}: {number}, {wording.percent(share, 0)} of the costs of all kinds"
        found.append(Cell(f"{100 * one['value']:.1f}", heat=share, title=text))
    return found


def _words(data: Mapping[str, Any]) -> str:
    """What costs most unchanged and under the strongest change."""
    worst = cells.worst_of([row for row in data["conditions"] if row["errors"]])
    places = [("On unchanged images", data["objects"]["errors"])]
    places += [(f"Under {wording.condition_name(worst)}", worst["errors"])] if worst else []
    sentences = []
    for where, errors in places:
        known = {name: one["value"] for name in KINDS if errors and (one := errors["costs"][name])}
        if known and (most := max(known, key=known.__getitem__)) and known[most] > 0:
            sentences.append(f"{where} errors of the kind '{TITLES[most]}' cost most: {100 * known[most]:.1f} points.")
    return " ".join([*sentences, "The kinds are those of TIDE."])
