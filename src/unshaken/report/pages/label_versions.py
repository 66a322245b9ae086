"""The page of a review's corrections: what changed and why, and models under the labels before and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from unshaken.labels.correct.outcome import ANOTHER
from unshaken.labels.engine.rows import CHANGES
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Facts, Heading, Headline, Prose, Span, Table, Text, Tile, Tiles
from unshaken.report.drawings import Gallery
from unshaken.report.figures import pictures
from unshaken.report.figures.pictures import class_name
from unshaken.report.pages.page_kind import PageKind
from unshaken.store.run_dir import RunDir

HEADS = (Column("readers", number=False), Column("items"), Column("same answer"), Column("Cohen's kappa"))
RIGHT = (Column("reader", number=False), Column("answers that are right"))
SAME = "all answers are the same"
TEXT = (
    "Each reader's first answer counts, given before the model's suggestion or another verdict could be seen. "
    "0 is the agreement of chance, 1 is full agreement; intervals are of a bootstrap over items."
)
TITLE = "What correcting labels changed"
RECORD = "label-versions.json"
CHANGED = "changed"
MOST = 12
WITH_MODELS = (
    "The label before the review, the one after it, and how many models predict that; those that most models predict, "
    "and most surely, come first."
)
NO_MODELS = "The label before the review and the one after it; the most suspect ones of the search come first."
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Corrections:
    """A comparison of labels before and after a review.

    Args:
        record: what `label-versions.json` holds.
        rows: of the table `label_changes`, the clearest first.
        images: of changed samples by id, each `[C, H, W]` in [0, 1].
    """

    record: Record
    rows: Sequence[Record] = ()
    images: Mapping[str, Tensor] = field(default_factory=dict)


def _head(source: Corrections) -> list[Block]:
    record = source.record
    changed, removed = record["changed"], record["removed"]
    examined = record["samples"] + removed
    share = wording.percent((changed + removed) / examined)
    lead: list[Text] = [f"{changed:,} of {examined:,} labels changed, and {removed:,} have none after ({share})."]
    wrong, gains = record["wrong"], record["retrained"]
    if wrong is not None:
        ends = wording.span(wrong)
        lead.append(f"In the whole set {wording.percent(wrong['value'])} of the labels are wrong ({ends}).")
    if len(record["models"]) > 1:
        swaps = len(record["swaps"])
        changes = f"{cells.counted(swaps, 'pair')} of models {'changes its' if swaps == 1 else 'change their'} order."
        lead.append(changes if swaps else "The order of the models stays.")
    if gains is not None:
        value, low, high = (f"{100 * _gain(gains)[k]:+.1f}" for k in ("value", "low", "high"))
        points = f"{value} points of accuracy ({low} to {high})"
        lead.append(f"Retraining with the corrected labels gives {points} on other images.")
    return [Headline(TITLE, tuple(lead), brief=True)]


def _gain(gains: Record) -> Record:
    """The mean gain in accuracy, or that of the only pair."""
    figure: Record = gains["mean"] or gains["pairs"][0]["difference"]
    return figure


def _tiles(source: Corrections) -> list[Block]:
    record = source.record
    examined = record["samples"] + record["removed"]
    found = [Tile("Labels changed", f"{record['changed']:,}", f"of {examined:,}; {record['removed']:,} more removed")]
    if wrong := record["wrong"]:
        found.append(Tile("Wrong in the whole set", wording.percent(wrong["value"]), wording.span(wrong), bad=True))
    if record["review"] is not None:
        found.append(alpha_tile(record["review"]["agreement"]))
    if gains := record["retrained"]:
        figure = _gain(gains)
        ends = f"{100 * figure['low']:+.1f} to {100 * figure['high']:+.1f} points, retrained"
        found.append(Tile("Gain in accuracy", f"{100 * figure['value']:+.1f}", ends, bad=figure["high"] < 0))
    return [Tiles(tuple(found))]


def _models(source: Corrections) -> list[Block]:
    record = source.record
    if not record["models"]:
        return []
    rows = tuple(
        cells.line(name, cells.share(m["before"]), f"{m['rank_before']:g}", cells.share(m["after"]),
                   f"{m['rank_after']:g}", cells.points(m["difference"]), f"{m['p_adjusted']:.2g}")
        for name, m in record["models"].items()
    )  # fmt: skip
    heads = cells.columns("model", "accuracy before", "rank", "after", "rank", "points", "p (adjusted)")
    text = (
        "Each model is compared with itself on the same samples. The intervals hold for all models together, and p is "
        "McNemar's, multiplied by their number. Labels that were corrected by a model's own suggestions favour that "
        "model and its relatives."
    )
    found: list[Block] = [Heading("Models before and after", "models", "Models")]
    found += [Table("Accuracy under both versions of the labels.", heads, rows, brief=True), Prose(text, "small")]
    if record["swaps"]:
        swaps = tuple(
            cells.line(" over ".join(one["models"][::-1]), cells.points(one["before"]), cells.points(one["after"]))
            for one in record["swaps"][:MOST]
        )
        caption = "Difference in accuracy, in points."
        found += [Heading("Whose order changes", level=3)]
        found += [Table(caption, cells.columns("models", "before", "after"), swaps, brief=True)]
    return found


def _retrained(source: Corrections) -> list[Block]:
    gains = source.record["retrained"]
    if gains is None:
        return []
    rows = [
        cells.line(one["after"], cells.share(one["accuracy_before"]), cells.share(one["accuracy_after"]),
                   cells.points(one["difference"]), f"{one['p_value']:.2g}")
        for one in gains["pairs"]
    ]  # fmt: skip
    if gains["mean"] is not None:
        rows.append(cells.line("mean", "", "", cells.points(gains["mean"]), ""))
    heads = cells.columns("retrained network", "trained before", "after", "points", "p")
    caption = "Accuracy on other images, of networks trained on the labels before and after the correction."
    text = "Each pair is compared on the same images; the interval of the mean is over the pairs."
    found: list[Block] = [Heading("What retraining gains", "retrained", "Retrained")]
    return [*found, Table(caption, heads, tuple(rows), brief=True), Prose(text, "small")]


def _reasons(source: Corrections) -> list[Block]:
    review = source.record["review"]
    if review is None or not review["reasons"]:
        return []
    rows = tuple(
        cells.line(one["answer"], one["decided"], one["effect"], f"{one['labels']:,}") for one in review["reasons"]
    )
    heads = (*(Column(name, number=False) for name in ("people said", "readers", "the label is")), Column("labels"))
    caption = f"The {review['labels']:,} labels with a verdict in the review {review['name']!r}."
    return [Heading("Why labels changed", "why", "Why"), Table(caption, heads, rows, "narrow", brief=True)]


def _agreement(source: Corrections) -> list[Block]:
    review = source.record["review"]
    blocks = agreement_blocks(review["agreement"]) if review is not None else []
    return [Heading("How far the readers agree", "agreement", "Agreement"), *blocks] if blocks else []


def _classes(source: Corrections) -> list[Block]:
    record, found = source.record, list[Block]()
    names = record["classes"]
    if record["moves"]:
        moves = tuple(
            cells.line(class_name(names, a), class_name(names, b), f"{n:,}") for a, b, n in record["moves"][:MOST]
        )
        heads = (Column("label before", number=False), Column("after", number=False), Column("samples"))
        found += [Heading("Which labels changed", level=3), Table("The most frequent changes.", heads, moves)]
    if record["confusions"]:
        pairs = tuple(
            cells.line(f"{class_name(names, a)}, {class_name(names, b)}", f"{m:,}", f"{n:,}", f"{n - m:+,}")
            for a, b, m, n in record["confusions"][:MOST]
        )
        caption = "Predictions of all models that take one class for the other, either way round."
        found.append(Heading("Which classes the models confuse", level=3))
        found.append(Table(caption, cells.columns("classes", "before", "after", "change"), pairs, brief=True))
    return [Heading("Which classes are mixed up", "classes", "Classes"), *found] if found else []


def _samples(source: Corrections) -> list[Block]:
    """A gallery of the clearest mistakes; where pictures are missing, a line that says why."""
    record, images = source.record, source.images
    if not source.rows:
        return []
    found: list[Block] = [Heading("The clearest mistakes", "worst", "Samples")]
    exhibits = pictures.sample_exhibits(source.rows, images, lambda row: tuple(_lines(record, row)))
    if exhibits:
        small = max(max(image.shape[1:]) for image in images.values()) < pictures.SIDE
        found.append(Prose(WITH_MODELS if record["models"] else NO_MODELS, "small"))
        found.append(Gallery(exhibits, small))
    if record["pictures"]:
        found.append(Prose(f"Pictures are missing: {record['pictures']}.", "note"))
    return found if len(found) > 1 else []


def _lines(record: Record, row: Record) -> list[Text]:
    names, models = record["classes"], len(record["models"])
    after = "no single label" if row["after"] is None else class_name(names, row["after"])
    lines: list[Text] = [Span(class_name(names, row["before"]), "bad"), Span(after, "good")]
    if models and row["after"] is not None:
        lines.append(Span(f"{row['right_after']} of {cells.counted(models, 'model')}", "soft"))
    if row["reason"]:
        lines.append(Span(row["decided"] if row["reason"] == ANOTHER else f"{row['reason']}, {row['decided']}", "soft"))
    return [*lines, Span(row["id"], "soft")]


def _provenance(source: Corrections) -> list[Block]:
    record = source.record
    facts: list[tuple[str, Text]] = [("labels", f"{record['file']}, version {record['labels']}")]
    facts += [("data", record["data"])] if record["data"] else []
    facts += [("audits", ", ".join(record["runs"]))] if record["runs"] else []
    return [Heading("Where this comes from", "provenance", "Provenance"), Facts(tuple(facts))]


def _read(run: RunDir) -> Corrections:
    return Corrections(run.read_json(RECORD), run.rows(CHANGES).to_pylist(), run.examples(CHANGED))


LABEL_VERSIONS = PageKind[Corrections](
    title=TITLE,
    read=_read,
    sections=(_head, _tiles, _models, _retrained, _reasons, _agreement, _classes, _samples, _provenance),
    footer="Made by unshaken from the rows of the runs and a file of labels.",
)


# How far the readers of a review agree.


def agreement_blocks(found: Mapping[str, Any]) -> list[Block]:
    """Tiles, a table of pairs, and each reader's accuracy; none where no item has two answers.

    Args:
        found: as `Agreement.to_json` gives it.
    """
    blocks: list[Block] = []
    if found["pairs"]:
        rows = tuple(
            cells.line(" and ".join(p["readers"]), f"{p['items']:,}", wording.percent(p["same"] / p["items"]),
                       _kappa(p["kappa"]))
            for p in found["pairs"]
        )  # fmt: skip
        items, same = (sum(p[k] for p in found["pairs"]) for k in ("items", "same"))
        shared = Tile("Same answer", wording.percent(same / items), f"of {items:,} pairs of answers")
        blocks += [Tiles((alpha_tile(found), shared)), Prose(TEXT, "small")]
        blocks.append(Table("Pairs of readers.", HEADS, rows, "narrow"))
    if found["accuracy"]:
        lines = tuple(cells.line(reader, wording.percent(value)) for reader, value in found["accuracy"].items())
        blocks.append(Table("Estimated from all answers together (Dawid and Skene).", RIGHT, lines, "narrow"))
    return blocks


def alpha_tile(found: Mapping[str, Any]) -> Tile:
    """Krippendorff's alpha of all readers.

    Args:
        found: as for `agreement_blocks`.
    """
    alpha = found["alpha"]
    value = "–" if alpha is None else f"{alpha['value']:.2f}"
    return Tile("Krippendorff's alpha", value, SAME if alpha is None else _ends(alpha))


def _kappa(figure: Mapping[str, Any] | None) -> Cell:
    return Cell("–", note=SAME) if figure is None else Cell(f"{figure['value']:.2f}", interval=_ends(figure))


def _ends(figure: Mapping[str, Any]) -> str:
    return f"{figure['low']:.2f} to {figure['high']:.2f}"
