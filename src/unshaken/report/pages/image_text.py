"""The page of classifiers of images with texts, from rows and pictures: figures, and samples to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.measure.classification.class_means import paired_f1
from unshaken.measure.statistics.means import mean_figure
from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Cell,
    Column,
    Details,
    Facts,
    Group,
    Heading,
    Headline,
    Prose,
    Span,
    Table,
    TableRow,
    Text,
)
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures.pictures import SIDE, address, class_name
from unshaken.report.pages.page_kind import PageKind, bad_samples
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationRecord
from unshaken.tasks.image_text.report import MEASURES, RANGES

RECORD = "image_text.json"
TITLE = "Images with texts: what changes of either cost"
READ = (
    "These samples were drawn, not chosen by their damage. A text that is added takes nothing away, but words of "
    "another class may change what the right answer is: let people judge a part of them."
)
HEADS = (
    Column("change", number=False), Column("macro F1"), Column("relative drop", "%"), Column("lost", brief=False),
    Column("gained", brief=False), Column("p", "exact McNemar", brief=False),
)  # fmt: skip
ADDED = (
    Column("change", number=False), Column("relevance", "to the text"), Column("relevance", "to the image"),
    Column("topics apart", "bits"), Column("match", "probability", brief=False), Column("words added"),
    Column("self-BLEU-2", brief=False), Column("changed", "of all samples", brief=False),
    Column("queries", "in all", brief=False),
)  # fmt: skip


class Source(NamedTuple):
    """Source of the sections: the directory with its pictures, its record, and the rows of `dilutions`."""

    run: RunDir
    record: dict[str, Any]
    rows: pa.Table


def _head(source: Source) -> list[Block]:
    record = source.record
    names = record["classifiers"]
    lines: list[Text] = [
        (f"{record['samples']:,} samples of {len(record['classes'])} classes, shown to ", cells.listed(names), ".")
    ]
    if len(names) > 1:
        lines.append(f"Changes that search ask {names[0]} alone; all others are shown what was found.")
    return [Headline(TITLE, tuple(lines), brief=True)]


def _select(rows: pa.Table, classifier: str, change: str) -> pa.Table:
    return rows.filter(pc.and_(pc.equal(rows["classifier"], classifier), pc.equal(rows["change"], change)))


def _figures(source: Source) -> list[Block]:
    """Macro F1 of all classifiers under all changes."""
    _, record, rows = source
    lines: list[TableRow] = []
    for classifier in record["classifiers"]:
        lines.append(Group(classifier))
        lines += [_line(change, _select(rows, classifier, change), record) for change in record["changes"]]
    caption = (
        "Macro F1 under each change, with 95 % intervals over samples; the drop is relative to macro F1 without a "
        "change."
    )
    return [Table(caption, HEADS, tuple(lines), brief=True)]


def _line(change: str, rows: pa.Table, record: dict[str, Any]) -> tuple[Cell | Text, ...]:
    found = paired_f1(
        rows["label"].to_numpy(), rows["prediction"].to_numpy(), rows["changed_prediction"].to_numpy(),
        classes=len(record["classes"]),
    )  # fmt: skip
    f1 = cells.value(found.changed.to_json())
    if change == "clean":
        return (change, f1, *[""] * (len(HEADS) - 2))
    drop = Cell("undefined") if found.drop is None else cells.points(found.drop.to_json())
    lost, gained = found.comparison.lost, found.comparison.gained
    return change, f1, drop, f"{lost:,}", f"{gained:,}", wording.number(found.comparison.p_value)


def _added(source: Source) -> list[Block]:
    """Table of the text that each change adds, which is the same for all classifiers."""
    _, record, rows = source
    lines: list[TableRow] = []
    for change in record["changes"][1:]:
        own = _select(rows, record["classifiers"][0], change)
        adds = pc.max(own["words_added"]).as_py() > 0
        kept = own["kept"].to_numpy(zero_copy_only=False)
        lines.append((
            change, *(_mean(own, name) if adds else Cell("") for name in MEASURES),
            wording.percent(float(kept.mean())), f"{pc.sum(own['queries']).as_py():,}",
        ))  # fmt: skip
    caption = "What is added, by change: means over samples. Relevance is the cosine of vectors."
    return [Table(caption, ADDED, tuple(lines), brief=True)]


def _mean(rows: pa.Table, name: str) -> Cell:
    values = np.asarray(rows[name].to_numpy(zero_copy_only=False), np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return Cell("")
    low, high = RANGES[name]
    return cells.value(mean_figure(values, low=low, high=high).to_json())


def _samples(source: Source) -> list[Block]:
    """One gallery for each change; the one under which the first classifier loses most is open."""
    run, record, rows = source
    clean, shown = run.examples("clean"), record["shown"]
    some = rows.filter(pc.is_in(rows["id"], value_set=pa.array(shown, pa.string())))
    first = record["classifiers"][0]
    accuracy = {}
    for change in record["changes"][1:]:
        own = _select(rows, first, change)
        accuracy[change] = float(pc.mean(pc.equal(own["label"], own["changed_prediction"])).as_py())
    worst = min(accuracy, key=lambda c: accuracy[c])
    found: list[Block] = [Heading("Samples to read", "read", "Samples"), Prose(READ, "note")]
    for change in (c for c in record["changes"] if c != "clean"):
        changed = run.examples(f"{first}.{change}")
        by_classifier = {
            name: {row["id"]: row for row in _select(some, name, change).to_pylist()} for name in record["classifiers"]
        }
        exhibits = []
        for i in shown:
            pictures = [Picture(address(clean[i]), f"Image of sample {i}", "unchanged" if i in changed else "")]
            if i in changed:
                pictures.append(Picture(address(changed[i]), f"The same under {change}", "changed"))
            answers = [(name, own[i]) for name, own in by_classifier.items()]
            exhibits.append(Exhibit(tuple(pictures), tuple(_lines(answers, record["classes"]))))
        small = max(clean[shown[0]].shape[1:]) < SIDE
        note = f"{len(shown):,} of {record['samples']:,} samples"
        found.append(Details(change, (Gallery(tuple(exhibits), small, lines_at_side=True),), note, change == worst))
    return found


def _lines(answers: Sequence[tuple[str, dict[str, Any]]], classes: Sequence[str]) -> list[Text]:
    """Lines beside a picture: the class, the text with the addition, and every classifier's answers."""
    row = answers[0][1]
    lines: list[Text] = [("True: ", Span(class_name(classes, row["label"]), "strong"))]
    lines.append(_marked(row))
    if row["refused"]:
        lines.append(Span(f"Candidates refused: {row['refused']}.", "soft"))
    for name, own in answers:
        before, after = (class_name(classes, own[k]) for k in ("prediction", "changed_prediction"))
        chances = [wording.percent(own[k], 0) for k in ("p_label", "changed_p_label")]
        verdict: tuple[str | Span, ...] = ()
        if own["changed_prediction"] == own["label"]:
            verdict = (" ", Span("✓ correct", "good"))
        elif own["prediction"] == own["label"]:
            verdict = (" ", Span("✗ now wrong", "bad"))
        lines.append((
            f"{name}: {before} → {after} ", Span(f"(true class {chances[0]} → {chances[1]})", "soft"), *verdict
        ))  # fmt: skip
    return lines


def _marked(row: dict[str, Any]) -> Text:
    """The changed text, with what was added set apart."""
    text, added = row["changed_text"], row["added"]
    if not added:
        return (text,)
    before, _, behind = text.rpartition(added) if row["position"] == "end" else text.partition(added)
    return tuple(piece for piece in (before, Span(added, "strong"), behind) if piece)


def _bad(source: Source) -> list[Block]:
    return bad_samples("Rows that were left out", "Bad rows", list(source.record["bad"].items()))


def _how(source: Source) -> list[Block]:
    _, record, rows = source
    known = pc.sum(pc.is_valid(rows["truncated"])).as_py()
    facts = (
        ("classes", ", ".join(record["classes"])),
        ("seed", str(record["seed"])),
        ("texts cut when they were read", f"{len(record['truncated']):,}"),
        (
            "texts cut by a classifier",
            f"{pc.sum(rows['truncated']).as_py():,} of {known:,} answers" if known else "not known",
        ),
        ("rows left out", f"{len(record['bad']):,}"),
    )
    return [Heading("How it was found", level=2), Facts(facts)]


def dilution_blocks(run: RunDir, record: EvaluationRecord) -> list[Block]:
    """What the page of the evaluation `text-dilution` has beside its tables: all classifiers, and samples to read."""
    source = Source(run, record.extra, run.rows("dilutions"))
    return [*_figures(source), *_samples(source)]


IMAGE_TEXT = PageKind[Source](
    title=TITLE,
    read=lambda run: Source(run, run.read_json(RECORD), run.rows("dilutions")),
    sections=(_head, _figures, _added, _samples, _bad, _how),
)
