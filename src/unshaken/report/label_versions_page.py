"""The page of a review's corrections: what changed and why, and models under the labels before and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from unshaken.labels.engine.rows import CHANGES
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Facts, Heading, Headline, Page, Prose, Table, Text, Tile, Tiles
from unshaken.report.figures.pictures import class_name
from unshaken.report.label_agreement import agreement_blocks, alpha_tile
from unshaken.report.label_changes import changed_samples
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir

TITLE = "What correcting labels changed"
RECORD = "label-versions.json"
CHANGED = "changed"
MOST = 12
Record = Mapping[str, Any]


def write_label_versions(run: RunDir) -> Page:
    """Make `report.html` and `report.md` of a comparison of labels.

    Args:
        run: as `compare_labels` leaves it.

    Raises:
        RunError: it holds none, or the pages cannot be written.
    """
    rows = run.rows(CHANGES).to_pylist()
    page = label_versions_page(run.read_json(RECORD), rows, run.examples(CHANGED))
    run.write(render_markdown(page).encode(), "report.md")
    run.write(render_html(page).encode(), "report.html")
    return page


def label_versions_page(
    record: Record, rows: Sequence[Record] = (), pictures: Mapping[str, Tensor] | None = None
) -> Page:
    """The page.

    Args:
        record: what `label-versions.json` holds.
        rows: of the table `label_changes`, those to show first.
        pictures: of changed samples, each `[C, H, W]` in [0, 1].
    """
    blocks: list[Block] = [Headline(TITLE, tuple(_lead(record)), brief=True), _tiles(record)]
    for part in (_models, _retrained, _reasons, _agreement, _classes):
        blocks += part(record)
    blocks += changed_samples(record, rows, pictures or {})
    facts: list[tuple[str, Text]] = [("labels", f"{record['file']}, version {record['labels']}")]
    facts += [(name, text) for name in ("data",) if (text := record[name])]
    facts += [("audits", ", ".join(record["runs"]))] if record["runs"] else []
    blocks += [Heading("Where this comes from", "provenance", "Provenance"), Facts(tuple(facts))]
    return Page(TITLE, tuple(blocks), "Made by unshaken from the rows of the runs and a file of labels.")


def _lead(record: Record) -> list[Text]:
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
        lead.append(f"Retraining with the corrected labels gives {_points(gains)} on other images.")
    return lead


def _points(gains: Record) -> str:
    figure = gains["mean"] or gains["pairs"][0]["difference"]
    value, low, high = (f"{100 * figure[k]:+.1f}" for k in ("value", "low", "high"))
    return f"{value} points of accuracy ({low} to {high})"


def _tiles(record: Record) -> Block:
    examined = record["samples"] + record["removed"]
    found = [Tile("Labels changed", f"{record['changed']:,}", f"of {examined:,}; {record['removed']:,} more removed")]
    if wrong := record["wrong"]:
        found.append(Tile("Wrong in the whole set", wording.percent(wrong["value"]), wording.span(wrong), bad=True))
    if record["review"] is not None:
        found.append(alpha_tile(record["review"]["agreement"]))
    if gains := record["retrained"]:
        figure = gains["mean"] or gains["pairs"][0]["difference"]
        ends = f"{100 * figure['low']:+.1f} to {100 * figure['high']:+.1f} points, retrained"
        found.append(Tile("Gain in accuracy", f"{100 * figure['value']:+.1f}", ends, bad=figure["high"] < 0))
    return Tiles(tuple(found))


def _models(record: Record) -> list[Block]:
    if not record["models"]:
        return []
    rows = tuple(
        cells.line(name, cells.share(m["before"]), f"{m['rank_before']:g}", cells.share(m["after"]),
                   f"{m['rank_after']:g}", cells.points(m["difference"]), f"{m['p_holm']:.2g}")
        for name, m in record["models"].items()
    )  # fmt: skip
    heads = cells.columns("model", "accuracy before", "rank", "after", "rank", "points", "p (Holm)")
    text = (
        "Each model is compared with itself on the same samples; the test is McNemar's, corrected for all models. "
        "Labels that were corrected by a model's own suggestions favour that model and its relatives."
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


def _retrained(record: Record) -> list[Block]:
    gains = record["retrained"]
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


def _reasons(record: Record) -> list[Block]:
    review = record["review"]
    if review is None or not review["reasons"]:
        return []
    rows = tuple(
        cells.line(one["answer"], one["decided"], one["effect"], f"{one['labels']:,}") for one in review["reasons"]
    )
    heads = (*(Column(name, number=False) for name in ("people said", "readers", "the label is")), Column("labels"))
    caption = f"The {review['labels']:,} labels with a verdict in the review {review['name']!r}."
    return [Heading("Why labels changed", "why", "Why"), Table(caption, heads, rows, "narrow", brief=True)]


def _agreement(record: Record) -> list[Block]:
    blocks = agreement_blocks(record["review"]["agreement"]) if record["review"] is not None else []
    return [Heading("How far the readers agree", "agreement", "Agreement"), *blocks] if blocks else []


def _classes(record: Record) -> list[Block]:
    names, found = record["classes"], list[Block]()
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
