"""The page of fairness indicators, from their rows and `fairness.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Cell,
    Doubt,
    Facts,
    Flags,
    Heading,
    Headline,
    Items,
    Page,
    Prose,
    Table,
    TableRow,
    Text,
    Tile,
    Tiles,
)
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir
from unshaken.tasks.fairness.figures import FairnessReport, read_report

TITLE = "How a model's answers differ between groups"
SHOWN_BAD = 20
Found = Mapping[str, Any]


def write_fairness_report(run: RunDir) -> Page:
    """Make `report.html` and `report.md` of fairness indicators.

    Args:
        run: as `unshaken.tasks.fairness.evaluate` leaves it.

    Raises:
        RunError: it holds none, a file is damaged, or the pages cannot be written.
    """
    page = fairness_page(read_report(run))
    run.write(render_markdown(page).encode(), "report.md")
    run.write(render_html(page).encode(), "report.html")
    return page


def fairness_page(report: FairnessReport) -> Page:
    """The page: groups in a table, then what labels and which neighbours they get.

    Args:
        report: of a run.
    """
    found, settings = report.figures(), report.settings
    blocks: list[Block] = [Headline(TITLE, tuple(_lead(report, found)), brief=True), *_small(report, found)]
    blocks += [*_tiles(found), *_groups(report, found), *_association(found), *_retrieval(found), *_common(found)]
    if settings.bad_samples:
        lines = tuple(f"{bad['id']}: {bad['reason']}" for bad in settings.bad_samples[:SHOWN_BAD])
        blocks += [Heading("Images that were left out", "bad", "Left out"), Items(lines)]
    facts: list[tuple[str, Text]] = [
        ("model", settings.model), ("data", settings.data), ("groups", ", ".join(settings.columns))
    ]  # fmt: skip
    facts += [(f"labels of {name}", ", ".join(labels)) for name, labels in settings.sets.items()]
    blocks += [Heading("How it was measured", "how", "How"), Facts(tuple(facts))]
    return Page(TITLE, tuple(blocks), "Made by unshaken from the rows of this folder alone. Intervals are 95 %.")


def _lead(report: FairnessReport, found: Found) -> list[Text]:
    n, left = sum(found["images"].values()), len(report.settings.bad_samples)
    lead: list[Text] = [
        f"{cells.counted(n, 'image')} of {cells.counted(len(found['images']), 'group')} were shown to the model"
        f"{f'; {left:,} more were left out' if left else ''}."
    ]
    if (rates := found["accuracy"]) is not None:
        if rates["gap"]["value"] == 0:
            return [
                *lead,
                f"Accuracy is the same in all groups: {wording.percent(rates['rates'][rates['best']]['value'])}.",
            ]
        best, worst = (wording.percent(rates["rates"][rates[k]]["value"]) for k in ("best", "worst"))
        lead.append(
            f"Accuracy is highest for {rates['best']} ({best}) and lowest for {rates['worst']} ({worst}): "
            f"{100 * rates['gap']['value']:.1f} points apart ({wording.span(rates['gap'])})."
        )
    return lead


def _small(report: FairnessReport, found: Found) -> list[Block]:
    if not found["small"]:
        return []
    detail = f"fewer than {report.settings.least} subjects in {cells.listed(found['small'])}"
    meaning = "the rate of a small group varies much by chance, and the extremes of several look far apart"
    advice = "Read the intervals, add images of these groups, or leave them out."
    return [Flags((Doubt("small group", detail, meaning, advice),), brief=True)]


def _tiles(found: Found) -> list[Block]:
    tiles = []
    for name, title in (("accuracy", "gap of accuracy"), ("hit", "gap of hits")):
        if (rates := found[name]) is not None:
            gap = rates["gap"]
            tiles.append(Tile(title, f"{100 * gap['value']:.1f} points", wording.span(gap), bad=gap["low"] > 0))
            if rates["ratio"] is not None:
                ratio = rates["ratio"]
                under = f"{ratio['low']:.2f} to {ratio['high']:.2f}"
                tiles.append(Tile("lowest over highest", f"{ratio['value']:.2f}", under))
    return [Tiles(tuple(tiles[:4]))] if tiles else []


def _groups(report: FairnessReport, found: Found) -> list[Block]:
    rows = []
    for name, n in found["images"].items():
        rates = [
            cells.share((found[k] or {}).get("rates", {}).get(name), bar=k == "accuracy") for k in ("accuracy", "hit")
        ]
        note = "small" if name in found["small"] else ""
        rows.append(cells.line(Cell(name, note=note), f"{n:,}", f"{found['subjects'][name]:,}", *rates))
    heads = cells.columns("group", "images", "subjects", "accuracy", f"label among the first {report.settings.top}")
    caption = "Each group; intervals resample subjects where they have several images, else Clopper-Pearson."
    return [Heading("Groups", "groups", "Groups"), Table(caption, heads, tuple(rows), brief=True)]


def _association(found: Found) -> list[Block]:
    if not found["association"]:
        return []
    names = list(found["images"])
    rows: list[TableRow] = []
    for name, by in found["association"].items():
        for threshold, rates in by.items():
            shares = (cells.share(rates["rates"][g]) for g in names)
            rows.append(cells.line(f"{name}, from {threshold}", *shares, cells.share(rates["gap"])))
    text = (
        "The share of a group's images that get a label of the set, from a probability on. From 0 every predicted "
        "label counts, also those that the model hardly believes in: compare several."
    )
    heads = cells.columns("set and least probability", *names, "gap")
    table = Table("Association with sets of labels.", heads, tuple(rows), brief=True)
    return [Heading("Which groups get which labels", "association", "Labels"), Prose(text), table]


def _retrieval(found: Found) -> list[Block]:
    if not found["retrieval"]:
        return []
    names = list(found["images"])
    rows: list[TableRow] = [
        cells.line(k, cells.share(one["all"]), *(cells.share(one["groups"]["rates"][g]) for g in names))
        for k, one in found["retrieval"].items()
    ]
    rows.append(cells.line("by chance", "", *(wording.percent(found["chance"][g]) for g in names)))
    text = (
        "The share of the nearest images that are of the query's own group. What is above chance is what features keep "
        "of the group; a group that is found less often than others is served worse by a search."
    )
    heads = cells.columns("neighbours", "all", *names)
    table = Table("Same group among the nearest images.", heads, tuple(rows), brief=True)
    return [Heading("Which images are near", "retrieval", "Neighbours"), Prose(text), table]


def _common(found: Found) -> list[Block]:
    lines = tuple(
        f"{name}: " + ", ".join(f"{label} ({100 * v:+.1f} points)" for label, v in labels)
        for name, labels in found["common_labels"].items()
        if labels
    )
    text = "Rate of a label among all predicted labels of the group, less the mean of its rates in the other groups."
    return (
        [Heading("Labels that are commoner in a group", "common"), Items(lines), Prose(text, "small")] if lines else []
    )
