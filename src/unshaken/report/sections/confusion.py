"""Confusions: which classes are taken for which, unchanged and under the condition of the headline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Group, Heading, Prose, Span, Table, TableRow
from unshaken.report.cells import Row
from unshaken.report.sections.section import Report, Section

PAIRS, NAMED = 8, 3
"""Pairs of a condition in the table, and in the sentence."""


class Confusion(Section):
    """The most frequent confusions as a sentence, as matrices, and as a table."""

    name = "confusion"
    task = "classification"
    order = 12

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        shown = [one for one in report.data["confusion"] if one["wrong"]]
        if not shown:
            return ()
        names = condition_names(report.data)
        sentences = " ".join(_sentence(one, names) for one in shown)
        found: list[Block] = [Heading("Confusions", "confusion", "Confusions"), Prose(sentences, brief=True)]
        matrices = [_matrix(one, names) for one in shown if one["matrix"]]
        if matrices:
            text = (
                "A row is a true class, a column what the model said, a number a count of images. In bold the images "
                "that are classified correctly; the redder another cell, the larger its share of the row."
            )
            found += [Prose(text, "small"), *matrices]
        return [*found, _table(shown, names)]


def condition_names(data: Mapping[str, Any]) -> dict[str, str]:
    """Conditions by id, for people."""
    return {"clean": "unchanged images"} | {r["condition"]: wording.condition_name(r) for r in data["conditions"]}


def _sentence(one: Row, names: Mapping[str, str]) -> str:
    pairs = [
        f"{p['name']} taken for {p['predicted_name']} ({p['count']} of {p['share']['n']})" for p in one["pairs"][:NAMED]
    ]
    return f"{_under(one, names)} {', '.join(pairs)}."


def _under(one: Row, names: Mapping[str, str]) -> str:
    """Where, at the start of a sentence."""
    return (
        "Confused most often on unchanged images:"
        if one["condition"] == "clean"
        else f"Under {names[one['condition']]}:"
    )


def _matrix(one: Row, names: Mapping[str, str]) -> Table:
    rows = []
    for i, (name, counts) in enumerate(zip(one["names"], one["matrix"], strict=True)):
        rows.append((name, *(_count(n, sum(counts), i == j, name, one["names"][j]) for j, n in enumerate(counts))))
    name = names[one["condition"]]
    caption = f"{name[:1].upper()}{name[1:]}: {one['wrong']} of {one['n']} images are classified wrongly."
    return Table(caption, cells.columns("true class", *one["names"]), tuple(rows), "matrix")


def _count(n: int, total: int, right: bool, name: str, predicted: str) -> Cell:
    title = f"{name}: {n} of {total} classified correctly" if right else f"{name} taken for {predicted}: {n} of {total}"
    if right:
        return Cell(Span(str(n), "strong"), heat=0.0, title=title)
    return Cell(str(n) if n else Span("0", "soft"), heat=round(n / total, 3) if n else 0.0, title=title)


def _table(shown: Sequence[Row], names: Mapping[str, str]) -> Table:
    rows: list[TableRow] = []
    for one in shown:
        about = f" {one['wrong']} of {one['n']} images wrong"
        rows.append(Group((names[one["condition"]], Span(about, "soft"))))
        for p in one["pairs"][:PAIRS]:
            rows.append((p["name"], p["predicted_name"], str(p["count"]), cells.share(p["share"])))
    more = any(len(one["pairs"]) > PAIRS for one in shown)
    caption = f"Classes most often confused{'; more in summary.json' if more else ''}."
    heads = (
        Column("true class", number=False),
        Column("taken for", number=False),
        Column("images"),
        Column("of the true class"),
    )
    return Table(caption, heads, tuple(rows), "narrow")


section = Confusion()
