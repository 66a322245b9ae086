"""The page of a search for wrong labels, from its rows and `labels.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.report import cells, wording
from unshaken.report.blocks import (
    Block,
    Column,
    Details,
    Facts,
    Heading,
    Headline,
    Prose,
    Span,
    Table,
    Text,
    Tile,
    Tiles,
)
from unshaken.report.drawings import Gallery
from unshaken.report.figures import pictures
from unshaken.report.pages.page_kind import Folder, PageKind

TITLE = "Which labels are wrong?"
PAIRS = 12
SHOWN, FIRST = 60, 24
"""Samples whose pictures are on the page, and those that are open."""
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


LARGE = 200
"""Samples to draw for a review where none were."""
ENOUGH = 60
"""Answers after which the interval of a review is narrow enough to use."""


Source = Folder[dict[str, Any]]


def share_sentence(record: Mapping[str, Any], run: str) -> str:
    """What is known of the share of wrong labels, or why nothing is, and what to do.

    Args:
        record: `labels.json` of a finished search.
        run: its directory.
    """
    estimate, drawn = record.get("estimate"), record["review"]
    if estimate is None:
        return "wrong labels: no estimate: an earlier version searched, without an interval; search again for one"
    if estimate["usable"]:
        return f"wrong labels: {wording.span(estimate)} of all; a review of {_some(drawn)} narrows this"
    agreement = wording.percent(record["agreement"]["predicted"]["value"])
    first = f"unshaken labels review {run}" if drawn else f"unshaken labels find --review-size {LARGE}"
    return (
        f"wrong labels: no estimate: the model agrees with {agreement} of the labels only, with which "
        f"{wording.span(estimate)} of them may be wrong; review {_some(drawn)} for one: {first}, then "
        f"unshaken labels estimate {run}"
    )


def expected_sentence(found: Mapping[str, Any]) -> str:
    """How many of a finder's flags are expected to be right, as the end of a sentence; empty where it has none.

    Args:
        found: of the finder, in `labels.json`.
    """
    expected = found.get("expected_wrong")
    if not found["flagged"]:
        return ""
    return (
        f"; {wording.span(expected)} of these are expected to be wrong" if expected else "; how many are is not known"
    )


def _some(drawn: Mapping[str, Any] | None) -> str:
    return f"{min(ENOUGH, len(drawn['ids'])) if drawn else ENOUGH} images"


def _first(source: Source) -> tuple[str, dict[str, Any]]:
    """The first finder with its name: it decides which samples are shown."""
    found: dict[str, dict[str, Any]] = source.record["found"]
    return next(iter(found.items()))


def _head(source: Source) -> list[Block]:
    record, (name, first) = source.record, _first(source)
    n = record["samples"]
    lines: list[Text] = []
    if first["flagged"] is not None:
        lines.append(f"{name} takes {first['flagged']:,} of {n:,} labels for wrong{expected_sentence(first)}.")
    else:
        lines.append(f"{name} ranks {n:,} labels, the most suspect first.")
    predicted = record["agreement"]["predicted"]
    lines.append(f"The model predicts {wording.percent(predicted['value'])} of the labels, of samples it has not seen.")
    if predicted["high"] < 2 * record["agreement"]["largest_class"]:
        lines.append("That is little better than always naming the largest class: what follows says next to nothing.")
    sentence = share_sentence(record, "DIR")
    lines.append(f"{sentence[0].upper()}{sentence[1:]}.")
    if record["bad_samples"]:
        n = cells.counted(len(record["bad_samples"]), "sample")
        lines.append(f"{n} could not be examined; labels.json says why.")
    if record["review"]:
        following: Text = (
            Span("unshaken labels review DIR", "code"),
            f" shows {_some(record['review'])} for review now.",
        )
    else:
        command = Span(f"unshaken labels find --review-size {LARGE}", "code")
        following = (command, " draws the samples for a review.")
    return [Headline(TITLE, tuple(lines), following=following, brief=True)]


def _tiles(source: Source) -> list[Block]:
    record, (name, first) = source.record, _first(source)
    found = list[Tile]()
    if first["flagged"] is not None:
        expected = first.get("expected_wrong")
        known = (
            f"{wording.span(expected)} of them expected to be wrong" if expected else "how many are wrong: not known"
        )
        count = f"{first['flagged']:,} of {record['samples']:,}"
        found.append(Tile("suspect labels", count, f"{name}; {known}", bad=True))
    estimate = record.get("estimate")
    if estimate and estimate["usable"]:
        found.append(Tile("wrong labels of all", wording.span(estimate), "95 % interval, before any review"))
    predicted = record["agreement"]["predicted"]
    found.append(Tile("labels that the model predicts", wording.percent(predicted["value"]), wording.span(predicted)))
    return [Tiles(tuple(found))]


def _finders(source: Source) -> list[Block]:
    record = source.record
    if len(record["found"]) == 1:
        return []
    rows = [
        cells.line(
            name,
            "" if one["flagged"] is None else f"{one['flagged']:,}",
            wording.span(one.get("expected_wrong")),
        )
        for name, one in record["found"].items()
    ]
    caption = "What each finder says."
    return [Table(caption, cells.columns("finder", "flagged", "of these wrong, expected"), tuple(rows), brief=True)]


def _judged(source: Source) -> list[Block]:
    record = source.record
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


def _pairs(source: Source) -> list[Block]:
    pairs = _first(source)[1].get("pairs", [])[:PAIRS]
    if not pairs:
        return []
    names = source.record["classes"]
    rows = tuple(cells.line(names[given], names[other], f"{count:,}") for given, other, count in pairs)
    heads = (Column("given label", number=False), Column("probably", number=False), Column("samples"))
    caption = "The most frequent pairs of given and suggested label."
    return [Heading("Which classes are mixed up", "pairs", "Classes"), Table(caption, heads, rows, brief=True)]


def _worst(source: Source) -> list[Block]:
    run, (name, _) = source.run, _first(source)
    table = run.rows("labels", ["id", "condition", "given", "suggested", "score"]).to_pylist()
    rows = sorted((r for r in table if r["condition"] == name), key=lambda r: r["score"])[:SHOWN]
    images, names = run.examples("worst"), source.record["classes"]

    def lines(row: Mapping[str, Any]) -> tuple[Text, ...]:
        given, suggested = (pictures.class_name(names, row[k]) for k in ("given", "suggested"))
        return Span(given, "bad"), f"probably {suggested}", Span(row["id"], "soft"), Span(f"{row['score']:.3g}", "soft")

    exhibits = pictures.sample_exhibits(rows, images, lines)
    if not exhibits:
        return []
    pixels = max(next(iter(images.values())).shape[1:]) < pictures.SIDE
    text = "The given label, what the model says instead, and the score: the lower, the more suspect."
    found: list[Block] = [
        Heading("The most suspect samples", "worst", "Samples", open=True),
        Prose(text, "small"),
        Gallery(exhibits[:FIRST], pixels),
    ]
    if more := exhibits[FIRST:]:
        found.append(Details(cells.counted(len(more), "further sample"), (Gallery(more, pixels),)))
    return found


def _review(source: Source) -> list[Block]:
    review = source.record["review"]
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


def _how(source: Source) -> list[Block]:
    settings = source.record["settings"]
    facts: list[tuple[str, Text]] = [("data", settings["data"])]
    facts += [("labels", f"version {version}")] if (version := settings.get("labels_version")) else []
    probabilities = settings["probabilities"]
    if not probabilities:
        epochs = settings["training"]["epochs"]
        probabilities = f"{settings['model']}, {settings['folds']} folds, {epochs} epochs"
    return [Heading("How it was found", level=2), Facts((*facts, ("probabilities", probabilities)))]


LABELS = PageKind[Source](
    title=TITLE,
    read=lambda run: Folder(run, run.read_json("labels.json")),
    sections=(_head, _tiles, _finders, _worst, _review, _judged, _pairs, _how),
)
