"""The page of `unshaken explain`, from its rows and `explain.json`."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from unshaken.explain.engine.rows import ExplainRecord, MethodRecord
from unshaken.report import cells
from unshaken.report.blocks import Block, Column, Details, Facts, Heading, Headline, Items, Page, Table, Text
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir

TITLE = "Why the model decides as it does"
SHOWN_BAD = 20
GROUPS = {
    "attribution": "maps of the pixels that count",
    "units": "units and what they respond to",
    "filters": "filters and layers",
    "biases": "biases",
    "geometry": "geometry of data and representation",
    "textures": "how well textures tile",
    "masks": "masks of objects",
}


def write_explain_report(run: RunDir) -> Page:
    """Make `report.html` and `report.md` of explanations.

    Args:
        run: as `unshaken explain` leaves it.

    Raises:
        RunError: it holds no explanations, or the pages cannot be written.
    """
    page = explain_page(run)
    run.write(render_markdown(page).encode(), "report.md")
    run.write(render_html(page).encode(), "report.html")
    return page


def explain_page(run: RunDir) -> Page:
    """The page: what all methods found in a table, then a part for each."""
    record = ExplainRecord.read(run)
    blocks: list[Block] = [Headline(TITLE, tuple(_lead(record)), brief=True)]
    blocks += _overview(record)
    for name, found in record.found.items():
        part, figures = _part(run, name, found), _figures(found)
        blocks += [Heading(name, f"method-{name}", name), *part]
        blocks += [Details("All figures", tuple(figures))] if part and figures else figures
        if found.remarks:
            blocks.append(Items(tuple(found.remarks), brief=True))
    if record.bad_samples:
        lines = [f"{bad['id']}: {bad['reason']}" for bad in record.bad_samples[:SHOWN_BAD]]
        blocks += [Heading("Samples that could not be read", "bad", "Bad samples"), Items(tuple(lines))]
    return Page(TITLE, (*blocks, *_how(record)), "Made by unshaken from the rows of this folder alone.")


def _lead(record: ExplainRecord) -> list[Text]:
    groups = [GROUPS.get(g, g) for g in dict.fromkeys(found.group for found in record.found.values())]
    models = record.settings["models"]
    words = "; ".join(groups)
    lines: list[Text] = [f"Model {' and '.join(models)}: {words}." if models else f"{words[:1].upper()}{words[1:]}."]
    if record.samples:
        lines.append(f"{record.samples:,} samples of {record.settings['data']} were looked at.")
    if not record.finished:
        lines.append("The run has not come to its end: go on with --resume.")
    return lines


def _overview(record: ExplainRecord) -> list[Block]:
    """What maps are worth, a line a method."""
    maps = {name: found for name, found in record.found.items() if found.group == "attribution"}
    blocks: list[Block] = []
    heads = list(dict.fromkeys(figure for found in maps.values() for figure in found.figures))
    if heads:
        rows = tuple(cells.line(name, *(cells.value(f.figures.get(h)) for h in heads)) for name, f in maps.items())
        caption = "What each map is worth: means over samples, with 95% intervals."
        blocks.append(Table(caption, cells.columns("map", *heads), rows, brief=True))
    if record.agreements:
        rows = tuple(cells.line(a["first"], a["second"], cells.value(a["figure"])) for a in record.agreements)
        caption = "How alike the maps of two methods are: Spearman's correlation of pixels, a mean over samples."
        heads_of_two = (Column("one map", number=False), Column("another", number=False), Column("correlation"))
        blocks.append(Table(caption, heads_of_two, rows))
    return blocks


def _part(run: RunDir, name: str, found: MethodRecord) -> list[Block]:
    """What a group shows of one method; a group without a file of its own shows its figures alone."""
    module = f"unshaken.report.explained.{found.group}"
    if not found.group.isidentifier() or find_spec(module) is None:
        return []
    blocks: list[Block] = importlib.import_module(module).blocks(run, name, found.model_dump())
    return blocks


def _figures(found: MethodRecord) -> list[Block]:
    """The figures of an analysis, a line each."""
    if found.group == "attribution" or not found.figures:
        return []
    lines = tuple(cells.line(label.replace("_", " "), cells.value(figure)) for label, figure in found.figures.items())
    return [Table("What sums it up.", cells.columns("figure", "value"), lines, brief=True)]


def _how(record: ExplainRecord) -> list[Block]:
    facts: list[tuple[str, Text]] = [("model", ", ".join(record.settings["models"]) or "none")]
    facts += [("data", str(record.settings["data"] or "none")), ("seed", str(record.settings["seed"]))]
    for name, found in record.found.items():
        values = ", ".join(f"{k}={v}" for k, v in found.params.items())
        cost = f"{found.forwards:,} forward and {found.backwards:,} backward passes"
        facts.append((name, f"{found.method}{f': {values}' if values else ''}; {cost}"))
    return [Heading("How it was found", level=2), Facts(tuple(facts))]
