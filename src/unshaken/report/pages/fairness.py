"""The page of fairness indicators, from their rows and `fairness.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    Prose,
    Table,
    TableRow,
    Text,
    Tile,
    Tiles,
)
from unshaken.report.pages.page_kind import PageKind, bad_samples
from unshaken.store.run_dir import RunDir
from unshaken.tasks.fairness.figures import Settings, read_report

TITLE = "How a model's answers differ between groups"
Found = Mapping[str, Any]


class Source(NamedTuple):
    """Source of the sections: the settings, and the figures of `FairnessReport.figures`."""

    settings: Settings
    figures: Found


def _head(source: Source) -> list[Block]:
    found = source.figures
    n, left = sum(found["images"].values()), len(source.settings.bad_samples)
    lead: list[Text] = [
        f"{cells.counted(n, 'image')} of {cells.counted(len(found['images']), 'group')} were shown to the model"
        f"{f'; {left:,} more were left out' if left else ''}."
    ]
    if (rates := found["accuracy"]) is not None:
        best, worst = (wording.percent(rates["rates"][rates[k]]["value"]) for k in ("best", "worst"))
        if rates["gap"]["value"] == 0:
            lead.append(f"Accuracy is the same in all groups: {best}.")
        else:
            lead.append(
                f"Accuracy is highest for {rates['best']} ({best}) and lowest for {rates['worst']} ({worst}): "
                f"{100 * rates['gap']['value']:.1f} points apart ({wording.span(rates['gap'])})."
            )
    return [Headline(TITLE, tuple(lead), brief=True)]


def _small(source: Source) -> list[Block]:
    found = source.figures
    if not found["small"]:
        return []
    detail = f"fewer than {source.settings.least} subjects in {cells.listed(found['small'])}"
    meaning = "the rate of a small group varies much by chance, and the extremes of several look far apart"
    advice = "Read the intervals, add images of these groups, or leave them out."
    return [Flags((Doubt("small group", detail, meaning, advice),), brief=True)]


def _tiles(source: Source) -> list[Block]:
    tiles = []
    for name, title in (("accuracy", "gap of accuracy"), ("hit", "gap of hits")):
        if (rates := source.figures[name]) is not None:
            gap = rates["gap"]
            tiles.append(Tile(title, f"{100 * gap['value']:.1f} points", wording.span(gap), bad=gap["low"] > 0))
            if rates["ratio"] is not None:
                ratio = rates["ratio"]
                under = f"{ratio['low']:.2f} to {ratio['high']:.2f}"
                tiles.append(Tile("lowest over highest", f"{ratio['value']:.2f}", under))
    return [Tiles(tuple(tiles[:4]))] if tiles else []


def _groups(source: Source) -> list[Block]:
    found = source.figures
    rows = []
    for name, n in found["images"].items():
        rates = [
            cells.share((found[k] or {}).get("rates", {}).get(name), bar=k == "accuracy") for k in ("accuracy", "hit")
        ]
        note = "small" if name in found["small"] else ""
        rows.append(cells.line(Cell(name, note=note), f"{n:,}", f"{found['subjects'][name]:,}", *rates))
    heads = cells.columns("group", "images", "subjects", "accuracy", f"label among the first {source.settings.top}")
    caption = "Each group; intervals resample subjects where they have several images, else Clopper-Pearson."
    return [Heading("Groups", "groups", "Groups"), Table(caption, heads, tuple(rows), brief=True)]


def _association(source: Source) -> list[Block]:
    found = source.figures
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


def _retrieval(source: Source) -> list[Block]:
    found = source.figures
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


def _common(source: Source) -> list[Block]:
    lines = tuple(
        f"{name}: " + ", ".join(f"{label} ({100 * v:+.1f} points)" for label, v in labels)
        for name, labels in source.figures["common_labels"].items()
        if labels
    )
    text = "Rate of a label among all predicted labels of the group, less the mean of its rates in the other groups."
    return (
        [Heading("Labels that are commoner in a group", "common"), Items(lines), Prose(text, "small")] if lines else []
    )


def _bad(source: Source) -> list[Block]:
    bad = [(one["id"], one["reason"]) for one in source.settings.bad_samples]
    return bad_samples("Images that were left out", "Left out", bad)


def _how(source: Source) -> list[Block]:
    settings = source.settings
    facts: list[tuple[str, Text]] = [
        ("model", settings.model), ("data", settings.data), ("groups", ", ".join(settings.columns))
    ]  # fmt: skip
    facts += [(f"labels of {name}", ", ".join(labels)) for name, labels in settings.sets.items()]
    return [Heading("How it was measured", "how", "How"), Facts(tuple(facts))]


def _read(run: RunDir) -> Source:
    report = read_report(run)
    return Source(report.settings, report.figures())


FAIRNESS = PageKind[Source](
    title=TITLE,
    read=_read,
    sections=(_head, _small, _tiles, _groups, _association, _retrieval, _common, _bad, _how),
    footer="Made by unshaken from the rows of this folder alone. Intervals are 95 %.",
)
