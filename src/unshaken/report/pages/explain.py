"""The page of `unshaken explain`, from its rows and `explain.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unshaken.core.values import text_of
from unshaken.explain.engine.rows import ExplainRecord
from unshaken.report import cells
from unshaken.report.blocks import Block, Column, Details, Facts, Heading, Headline, Items, Span, Table, Text, is_bad
from unshaken.report.pages.explained import attribution, biases, filters, geometry, textures, units
from unshaken.report.pages.page_kind import Folder, PageKind, bad_samples
from unshaken.store.run_dir import RunDir

TITLE = "Why does the model decide as it does?"
Source = Folder[ExplainRecord]


def _head(source: Source) -> list[Block]:
    record, models = source.record, source.record.settings["models"]
    groups = dict.fromkeys(found.group for found in record.found.values())
    words = "; ".join(GROUPS[g][0] if g in GROUPS else g for g in groups)
    lines: list[Text] = [f"Model {' and '.join(models)}: {words}." if models else f"{words[:1].upper()}{words[1:]}."]
    if record.samples:
        lines.append(f"Explained for {cells.counted(record.samples, 'sample')} of {record.settings['data']}.")
    lines += [f"{remark[:1].upper()}{remark[1:]}." for remark in record.remarks]
    if not record.finished:
        lines.append("The run has not come to its end: go on with --resume.")
    verdicts = tuple(attribution.verdicts(source.run, record.found))
    measured = verdicts or "attribution" not in groups
    following: Text = "" if measured else (Span("--metric insertion", "code"), " measures what the maps are worth.")
    if any(is_bad(line) for line in verdicts):
        following = "trust no map that is not shown to be better; more images (--limit) narrow the intervals."
    elif verdicts:
        following = "look at the maps of images that the model gets wrong."
    return [Headline(TITLE, tuple(lines), lines=verdicts, following=following, brief=True)]


def _overview(source: Source) -> list[Block]:
    """The figures of maps, one line per method."""
    record = source.record
    maps = {name: found for name, found in record.found.items() if found.group == "attribution"}
    blocks: list[Block] = []
    heads = list(dict.fromkeys(figure for found in maps.values() for figure in found.figures))
    if heads:
        rows = tuple(cells.line(name, *(cells.value(f.figures.get(h)) for h in heads)) for name, f in maps.items())
        caption = "What each map is worth: means over samples, with 95 % intervals."
        blocks.append(Table(caption, cells.columns("map", *heads), rows, brief=True))
    if record.agreements:
        rows = tuple(cells.line(a["first"], a["second"], cells.value(a["figure"])) for a in record.agreements)
        caption = "How alike the maps of two methods are: Spearman's correlation of pixels, a mean over samples."
        heads_of_two = (Column("one map", number=False), Column("another", number=False), Column("correlation"))
        blocks.append(Table(caption, heads_of_two, rows))
    return [Heading("All figures of maps", "figures", "Figures"), *blocks] if blocks else []


def _methods(source: Source) -> list[Block]:
    """A part for each method: the blocks of its group, its figures, and remarks."""
    blocks: list[Block] = []
    for name, found in source.record.found.items():
        shown = GROUPS[found.group][1] if found.group in GROUPS else None
        part = shown(source.run, name, found.model_dump()) if shown is not None else []
        figures: list[Block] = []
        if found.group != "attribution" and found.figures:
            lines = tuple(cells.line(k.replace("_", " "), cells.value(figure)) for k, figure in found.figures.items())
            figures = [Table("What sums it up.", cells.columns("figure", "value"), lines, brief=True)]
        blocks += [Heading(name, f"method-{name}", name), *part]
        blocks += [Details("All figures", tuple(figures))] if part and figures else figures
        if found.remarks:
            blocks.append(Items(tuple(found.remarks), brief=True))
    return blocks


def _bad(source: Source) -> list[Block]:
    bad = [(one["id"], one["reason"]) for one in source.record.bad_samples]
    return bad_samples("Samples that could not be read", "Bad samples", bad)


def _how(source: Source) -> list[Block]:
    record = source.record
    facts: list[tuple[str, Text]] = [("model", ", ".join(record.settings["models"]) or "none")]
    facts += [("data", str(record.settings["data"] or "none")), ("seed", str(record.settings["seed"]))]
    for name, found in record.found.items():
        values = ", ".join(f"{k}={text_of(v)}" for k, v in found.params.items())
        cost = f"{found.forwards:,} forward and {found.backwards:,} backward passes"
        facts.append((name, f"{found.method}{f': {values}' if values else ''}; {cost}"))
    return [Heading("How it was found", level=2), Facts(tuple(facts))]


GROUPS: dict[str, tuple[str, Callable[[RunDir, str, Mapping[str, Any]], list[Block]] | None]] = {
    "attribution": ("maps of the pixels that count", attribution.blocks),
    "units": ("units and what they respond to", units.blocks),
    "filters": ("filters and layers", filters.blocks),
    "biases": ("biases", biases.blocks),
    "geometry": ("geometry of data and representation", geometry.blocks),
    "textures": ("how well textures tile", textures.blocks),
    "masks": ("masks of objects", None),
}
"""Group of methods to its name in the headline, and what makes the blocks of one method."""

EXPLAIN = PageKind[Source](
    title=TITLE,
    read=lambda run: Folder(run, ExplainRecord.read(run)),
    sections=(_head, _methods, _overview, _bad, _how),
)
