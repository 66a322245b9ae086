"""The page of `unshaken evaluate`, from `evaluate.json`, its gates and its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unshaken.core.values import text_of
from unshaken.report import cells
from unshaken.report.blocks import Block, Cell, Facts, Heading, Headline, Items, Table, Text
from unshaken.report.gates.kept import read_gates
from unshaken.report.pages.data_health import health_blocks
from unshaken.report.pages.holistic import zero_shot_blocks
from unshaken.report.pages.image_text import dilution_blocks
from unshaken.report.pages.page_kind import Folder, PageKind, bad_samples
from unshaken.report.sections.gates import gate_blocks, gate_notices
from unshaken.report.wording import number
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationRecord

Source = Folder[EvaluationRecord]


def _head(source: Source) -> list[Block]:
    record = source.record
    lines: list[Text] = list(record.answer)
    if record.samples:
        lines.append(f"{cells.counted(record.samples, 'sample')} of {record.settings['data']} were looked at.")
    if not record.finished:
        lines.append("The run has not come to its end: go on with --resume.")
    notices = gate_notices(read_gates(source.run).results)
    head = Headline(record.title, (), notices, tuple(lines), brief=True)
    return [head, *([Items(tuple(record.remarks), brief=True)] if record.remarks else [])]


def _cell(value: Any) -> Cell | Text:
    """A cell of a listing: a figure with its interval, a number, a text, or nothing."""
    if isinstance(value, dict):
        return cells.value(value)
    return value if isinstance(value, str) else Cell("" if value is None else number(value))


def _listings(source: Source) -> list[Block]:
    return [
        Table(
            one["caption"], cells.columns(*one["columns"]), tuple(tuple(map(_cell, row)) for row in one["rows"]),
            brief=True,
        )
        for one in source.record.listings
    ]  # fmt: skip


def _own(source: Source) -> list[Block]:
    """What the page of one evaluation has beside tables: drawings made from its rows."""
    blocks = DRAWN.get(source.record.method)
    return blocks(source.run, source.record) if blocks is not None and source.record.finished else []


def _figures(source: Source) -> list[Block]:
    lines = tuple(cells.line(name, cells.value(figure)) for name, figure in source.record.figures.items())
    caption = "All figures by the names that gates take, with 95% intervals."
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


DRAWN: dict[str, Callable[[RunDir, EvaluationRecord], list[Block]]] = {
    "data-drift": health_blocks,
    "data-health": health_blocks,
    "text-dilution": dilution_blocks,
    "zero-shot": zero_shot_blocks,
}
"""Name of an evaluation to the blocks that its page has beside its listings."""

EVALUATE = PageKind[Source](
    title=lambda source: source.record.title,
    read=lambda run: Folder(run, EvaluationRecord.read(run)),
    sections=(_head, _listings, _own, _figures, _gates, _bad, _how),
)
