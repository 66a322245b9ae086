"""The page of a search for wrong labels of several classes, boxes or masks, from its rows and `labels.json`."""

from __future__ import annotations

from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Facts, Heading, Headline, Prose, Table
from unshaken.report.pages.page_kind import Folder, PageKind

SHOWN, PAIRS = 60, 12
TITLES = {
    "multilabel": "Labels of several classes that are probably wrong",
    "boxes": "Boxes that are probably wrong",
    "masks": "Masks that are probably wrong",
}
ISSUES = {
    "labels": "given",
    "wrong": "probably wrong",
    "missing": "probably missing",
    "overlooked": "overlooked",
    "badly_placed": "badly placed",
    "wrong_class": "wrong class",
}
"""Names of counts as a page shows them."""


Source = Folder[dict[str, Any]]


def _head(source: Source) -> list[Block]:
    record = source.record
    n, flagged = record["samples"], record["flagged"]
    unit = "pixels" if record["kind"] == "masks" else "labels"
    given = sum(one["labels"] for one in record["by_class"])
    parts = sum(v for one in record["by_class"] for k, v in one.items() if k != "labels")
    lead = (
        f"{flagged:,} of {n:,} samples have something that is probably wrong ({wording.percent(flagged / n)}).",
        f"That is {parts:,} findings among {given:,} {unit}. A lower score is more suspect.",
    )
    return [Headline(TITLES[record["kind"]], lead, brief=True)]


def _classes(source: Source) -> list[Block]:
    record = source.record
    names = [k for k in ISSUES if k in record["by_class"][0]]
    heads = cells.columns("class", *(ISSUES[k] for k in names))
    rows = tuple(
        cells.line(name, *(f"{one[k]:,}" for k in names))
        for name, one in zip(record["classes"], record["by_class"], strict=True)
    )
    caption = "Pixels of each class." if record["kind"] == "masks" else "Labels of each class."
    return [Heading("By class", "classes", "Classes"), Table(caption, heads, rows, brief=True)]


def _pairs(source: Source) -> list[Block]:
    record = source.record
    if not record["pairs"]:
        return []
    names = record["classes"]
    rows = tuple(cells.line(names[g], names[p], f"{n:,}") for g, p, n in record["pairs"][:PAIRS])
    heads = (Column("given", number=False), Column("probably", number=False), Column("pixels"))
    caption = "The most frequent pairs of given and suggested class."
    return [Heading("Which classes are mixed up", "pairs", "Pairs"), Table(caption, heads, rows, brief=True)]


def _worst(source: Source) -> list[Block]:
    """The most suspect samples, and what of each is wrong."""
    run, record = source.run, source.record
    samples = run.rows("labels", ["id", "score", "flagged"]).to_pylist()
    worst = sorted(samples, key=lambda row: row["score"])[:SHOWN]
    wanted, issues = {row["id"] for row in worst}, dict[str, list[str]]()
    if any(row["flagged"] for row in samples):
        for part in run.rows("label_parts").to_pylist():
            if part["id"] in wanted and part["flagged"]:
                issues.setdefault(part["id"], []).append(_words(part, record["classes"]))
    rows = tuple(
        cells.line(row["id"], f"{row['score']:.3g}", "yes" if row["flagged"] else "", _few(issues.get(row["id"], [])))
        for row in worst
    )
    heads = (
        Column("sample", number=False), Column("score"), Column("flagged", number=False), Column("what", number=False)
    )  # fmt: skip
    text = "People should look at these first: the lower the score, the more suspect."
    caption = "The most suspect samples."
    return [Heading("The most suspect samples", "worst", "Samples"), Prose(text, "small"), Table(caption, heads, rows)]


def _words(part: dict[str, Any], names: list[str]) -> str:
    given, suggested = (None if part[k] is None else names[part[k]] for k in ("given", "suggested"))
    if part["pixels"] is not None:
        return f"{part['pixels']:,} pixels of {given}, probably {suggested}"
    return f"{given or suggested}: {part['issue']}"


def _few(words: list[str], most: int = 4) -> str:
    more = f", and {len(words) - most:,} more" if len(words) > most else ""
    return "; ".join(words[:most]) + more


def _how(source: Source) -> list[Block]:
    return [Heading("How it was found", level=2), Facts(tuple(source.record["settings"].items()))]


LABEL_KINDS = PageKind[Source](
    title=lambda source: TITLES[source.record["kind"]],
    read=lambda run: Folder(run, run.read_json("labels.json")),
    sections=(_head, _classes, _pairs, _worst, _how),
)
