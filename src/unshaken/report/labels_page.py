"""The page of a search for wrong labels, from its rows and `labels.json`."""

from __future__ import annotations

from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Facts, Heading, Headline, Page, Prose, Span, Table, Text
from unshaken.report.drawings import Exhibit, Gallery, Picture
from unshaken.report.figures import pictures
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir

TITLE = "Labels that are probably wrong"
PAIRS = 12
SHOWN = 60
JUDGED = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision_at_wrong": "precision at the true number",
    "precision": "precision of the flags",
    "recall": "recall of the flags",
}
"""Figures against the true labels, and the heads of their columns."""
AREAS = ("auroc", "average_precision")
"""Those that are no shares of samples."""


def write_labels_report(run: RunDir) -> Page:
    """Make `report.html` and `report.md` of a search for wrong labels.

    Args:
        run: as `unshaken labels find` leaves it.

    Raises:
        RunError: it holds no finished search, or the pages cannot be written.
    """
    page = labels_page(run)
    run.write(render_markdown(page).encode(), "report.md")
    run.write(render_html(page).encode(), "report.html")
    return page


def labels_page(run: RunDir) -> Page:
    """The page; the first finder decides what is shown."""
    record = run.read_json("labels.json")
    name, first = next(iter(record["found"].items()))
    found: list[Block] = [Headline(TITLE, tuple(_lead(record, name, first)), brief=True)]
    found += _finders(record)
    found += _judged(record)
    found += _pairs(record, first)
    found += _worst(run, record, name)
    found += _review(record)
    settings = record["settings"]
    version = settings.get("labels_version")
    facts: list[tuple[str, Text]] = [("data", settings["data"])]
    facts += [("labels", f"version {version}")] if version else []
    facts.append(("probabilities", settings["probabilities"] or _trained(settings)))
    found += [Heading("How it was found", level=2), Facts(tuple(facts))]
    return Page(TITLE, tuple(found), "Made by unshaken from the rows of this folder alone.")


def _lead(record: dict[str, Any], name: str, first: dict[str, Any]) -> list[Text]:
    n = record["samples"]
    lines: list[Text] = []
    if first["flagged"] is not None:
        share = wording.percent(first["flagged"] / n)
        lines.append(f"{name} takes {first['flagged']:,} of {n:,} labels for wrong ({share}).")
    else:
        lines.append(f"{name} ranks {n:,} labels, the most suspect first.")
    predicted = record["agreement"]["predicted"]
    lines.append(f"The model predicts {wording.percent(predicted['value'])} of the labels, of samples it has not seen.")
    if predicted["high"] < 2 * record["agreement"]["largest_class"]:
        lines.append("That is little better than always naming the largest class: what follows says next to nothing.")
    if "noise_rate" in first:
        lines.append(f"By the confident counts {wording.percent(first['noise_rate'])} are wrong.")
    if record["review"]:
        lines.append(f"How many really are wrong, people can tell from {len(record['review']['ids']):,} drawn samples.")
    if record["bad_samples"]:
        lines.append(f"{len(record['bad_samples']):,} samples could not be read and were not examined.")
    return lines


def _finders(record: dict[str, Any]) -> list[Block]:
    if len(record["found"]) == 1:
        return []
    rows = [
        cells.line(name, "" if one["flagged"] is None else f"{one['flagged']:,}", _rate(one))
        for name, one in record["found"].items()
    ]
    caption = "What each finder says."
    return [Table(caption, cells.columns("finder", "flagged", "estimated share wrong"), tuple(rows), brief=True)]


def _rate(one: dict[str, Any]) -> str:
    return wording.percent(one["noise_rate"]) if "noise_rate" in one else ""


def _judged(record: dict[str, Any]) -> list[Block]:
    judged = {name: one["judged"] for name, one in record["found"].items() if "judged" in one}
    if not judged:
        return []
    rows = [
        cells.line(name, *((cells.value if key in AREAS else cells.share)(figures.get(key)) for key in JUDGED))
        for name, figures in judged.items()
    ]
    text = (
        f"The true labels of this data are known: {wording.percent(record['known_wrong']['value'])} of the given ones "
        "are wrong. A ranking that knows nothing has the AUROC 0.5, and this share as average precision."
    )
    table = Table("Each finder against the true labels.", cells.columns("finder", *JUDGED.values()), tuple(rows))
    return [Heading("Against the true labels", "truth", "Truth"), Prose(text), table]


def _pairs(record: dict[str, Any], first: dict[str, Any]) -> list[Block]:
    pairs = first.get("pairs", [])[:PAIRS]
    if not pairs:
        return []
    names = record["classes"]
    rows = tuple(cells.line(names[given], names[other], f"{count:,}") for given, other, count in pairs)
    heads = (Column("given label", number=False), Column("probably", number=False), Column("samples"))
    caption = "The most frequent pairs of given and suggested label."
    return [Heading("Which classes are mixed up", "pairs", "Classes"), Table(caption, heads, rows, brief=True)]


def _worst(run: RunDir, record: dict[str, Any], name: str) -> list[Block]:
    table = run.rows("labels", ["id", "condition", "given", "suggested", "score"]).to_pylist()
    rows = sorted((r for r in table if r["condition"] == name), key=lambda r: r["score"])[:SHOWN]
    images, names = run.examples("worst"), record["classes"]
    exhibits, size = [], 0
    for row in rows:
        if row["id"] not in images or size > pictures.BUDGET:
            continue
        picture = Picture(pictures.address(images[row["id"]]), f"Sample {row['id']}")
        size += len(picture.address)
        given, suggested = (pictures.class_name(names, row[k]) for k in ("given", "suggested"))
        lines = (Span(given, "bad"), f"probably {suggested}", Span(f"{row['id']}, {row['score']:.3g}", "soft"))
        exhibits.append(Exhibit((picture,), lines))
    if not exhibits:
        return []
    pixels = max(next(iter(images.values())).shape[1:]) < pictures.SIDE
    text = "The given label, what the model says instead, and the score: the lower, the more suspect."
    gallery = Gallery(tuple(exhibits), pixels)
    return [Heading("The most suspect samples", "worst", "Samples"), Prose(text, "small"), gallery]


def _review(record: dict[str, Any]) -> list[Block]:
    review = record["review"]
    if not review:
        return []
    counts = [review["strata"].count(h) for h in range(len(review["sizes"]))]
    rows = tuple(
        cells.line(f"{h + 1}", f"{size:,}", f"{drawn:,}")
        for h, (size, drawn) in enumerate(zip(review["sizes"], counts, strict=True))
    )
    text = (
        "People should look at the samples that labels.json lists under review.ids, in an order that tells nothing of "
        "their suspicion. From their verdicts the share of wrong labels follows, with an interval."
    )
    caption = "Samples by suspicion, the most suspect first."
    table = Table(caption, cells.columns("stratum", "samples", "drawn"), rows)
    return [Heading("What to review", "review", "Review"), Prose(text), table]


def _trained(settings: dict[str, Any]) -> str:
    return f"{settings['model']}, {settings['folds']} folds, {settings['training']['epochs']} epochs"
