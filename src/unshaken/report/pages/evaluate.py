"""The page of `unshaken evaluate`, from `evaluate.json`, its gates and its rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from unshaken.core.part import CLEAN
from unshaken.core.values import text_of
from unshaken.report import cells
from unshaken.report.blocks import (
    Block,
    Cell,
    Details,
    Facts,
    Heading,
    Headline,
    Items,
    Span,
    Table,
    Text,
    Tile,
    Tiles,
    plain,
)
from unshaken.report.gates.kept import read_gates
from unshaken.report.pages.data_health import health_blocks
from unshaken.report.pages.holistic import zero_shot_blocks
from unshaken.report.pages.image_text import dilution_blocks
from unshaken.report.pages.natural_shift import robustness_blocks
from unshaken.report.pages.page_kind import Folder, PageKind, bad_samples
from unshaken.report.sections.gates import gate_blocks, gate_notices
from unshaken.report.wording import is_share, name_of_id, number
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationRecord

Source = Folder[EvaluationRecord]
Drawing = Callable[[RunDir, EvaluationRecord], list[Block]]


def _head(source: Source) -> list[Block]:
    record = source.record
    lines: list[Text] = [_named(line, record) for line in record.answer]
    if record.samples:
        lines.append(f"Judged on {cells.counted(record.samples, 'sample')} of {record.settings['data']}.")
    if not record.finished:
        lines.append("The run has not come to its end: go on with --resume.")
    notices = gate_notices(read_gates(source.run).results)
    head = Headline(record.title, (), notices, tuple(lines), _following(record), brief=True)
    tiles = tuple(
        Tile(name.replace("_", " "), plain(one.text), one.interval)
        for name, one in ((name, _figure(name, record)) for name in record.figures if not name.startswith("difference"))
    )[:TILES]
    remarks = [Items(tuple(record.remarks), brief=True)] if record.remarks else []
    return [head, *([Tiles(tiles)] if tiles else []), *remarks]


def _named(line: str, record: EvaluationRecord) -> str:
    """A line of the answer with the conditions of the listings named for people."""
    ids = {row[0] for one in record.listings if one["columns"][0] == "condition" for row in one["rows"]} - {CLEAN.id}
    return " ".join(name_of_id(word) if word in ids else word for word in line.split(" "))


def _following(record: EvaluationRecord) -> Text:
    """What to do next: look at what was found, or hold a figure in later runs."""
    if record.method in FOLLOWING:
        return FOLLOWING[record.method]
    name = next(iter(record.figures), "")
    return (Span(f"--gate '{name} >= ...'", "code"), " holds this figure in later runs.") if name else ""


def figure_cell(name: str, figure: dict[str, Any]) -> Cell:
    """A figure with its interval: a share in per cent, a difference of shares in points, all else as a number.

    Args:
        name: of the figure, or of its column.
        figure: value, interval, and by which method that was found.
    """
    if "points" in name or figure["interval"].startswith("newcombe"):
        return cells.points(figure)
    if figure["interval"].endswith("no interval"):
        return Cell(number(figure["value"]))
    if is_share(name, figure):
        return cells.share(figure)
    return cells.value(figure)


def _figure(name: str, record: EvaluationRecord) -> Cell:
    """A figure of the record; the difference of two shares in points, which its text says."""
    figure = record.figures[name]
    of_accuracies = name.replace("difference", "accuracy", 1) in record.figures and name.startswith("difference")
    cell = figure_cell(f"{name} points" if of_accuracies else name, figure)
    in_points = of_accuracies or figure["interval"].startswith("newcombe")
    return replace(cell, text=f"{plain(cell.text)} points") if in_points else cell


def _cell(column: str, value: Any) -> Cell | Text:
    """A cell of a listing: a figure with its interval, a number, a text, or nothing."""
    if isinstance(value, dict):
        return figure_cell(column, value)
    if column == "condition":
        return name_of_id(value)
    return value if isinstance(value, str) else Cell("" if value is None else number(value))


def _listings(source: Source) -> list[Block]:
    tables = [
        Table(
            one["caption"], cells.columns(*one["columns"]),
            tuple(tuple(map(_cell, one["columns"], row)) for row in one["rows"]), brief=True,
        )
        for one in source.record.listings
    ]  # fmt: skip
    if source.record.method not in FOLDED:
        return [*tables]
    return [*tables[:1], *(Details(re.split("[,:.]", table.caption)[0], (table,)) for table in tables[1:])]


def _picture(source: Source) -> list[Block]:
    return _drawn(PICTURES, source)


def _own(source: Source) -> list[Block]:
    return _drawn(DRAWN, source)


def _drawn(known: Mapping[str, Drawing], source: Source) -> list[Block]:
    """What the page of one evaluation has beside tables: drawings made from its rows."""
    blocks = known.get(source.record.method)
    return blocks(source.run, source.record) if blocks is not None and source.record.finished else []


def _figures(source: Source) -> list[Block]:
    lines = tuple(cells.line(name, _figure(name, source.record)) for name in source.record.figures)
    caption = "All figures by the names that gates take, with 95 % intervals; gates take 0.5 for 50 %."
    table = Table(caption, cells.columns("figure", "value"), lines)
    return [Heading("Figures", "figures", "Figures"), table] if lines else []


def _gates(source: Source) -> list[Block]:
    return list(gate_blocks(read_gates(source.run).results))


def _bad(source: Source) -> list[Block]:
    bad = [(one["id"], one["reason"]) for one in source.record.bad_samples]
    return bad_samples("Samples that could not be read", "Bad samples", bad)


def _how(source: Source) -> list[Block]:
    record = source.record
    settings = record.settings
    facts: list[tuple[str, Text]] = [("evaluation", record.method)]
    facts += [("model", ", ".join(settings["models"]))] if settings["models"] else []
    facts += [("data", settings["data"])] if settings["data"] else []
    given = {name: value for name, value in record.params.items() if value not in ("", [], None)}
    facts += [(name.replace("_", " "), text_of(value)) for name, value in given.items()]
    facts.append(("seed", str(settings["seed"])))
    if record.forwards:
        facts.append(("cost", f"{record.forwards:,} forward and {record.backwards:,} backward passes"))
    return [Heading("How it was found"), Facts(tuple(facts))]


TILES = 4
"""Figures that the first screen shows at most."""
FOLLOWING: dict[str, Text] = {
    "data-health": ("look at the images below that a check points at; the rows ", Span("issues", "code"), " name all."),
}
"""Name of an evaluation to what to do after it, where that is not to hold its figures."""
FOLDED = ("data-drift", "data-health")
"""Evaluations whose tables are folded behind the first one, which has the answer."""
PICTURES: dict[str, Drawing] = {"natural-shift": robustness_blocks}
"""Name of an evaluation to the picture that its page begins with."""
DRAWN: dict[str, Drawing] = {
    "data-drift": health_blocks,
    "data-health": health_blocks,
    "text-dilution": dilution_blocks,
    "zero-shot": zero_shot_blocks,
}
"""Name of an evaluation to the blocks that its page has after its listings."""

EVALUATE = PageKind[Source](
    title=lambda source: source.record.title,
    read=lambda run: Folder(run, EvaluationRecord.read(run)),
    sections=(_head, _picture, _listings, _own, _figures, _gates, _bad, _how),
)
