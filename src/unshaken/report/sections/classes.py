"""Accuracy by class, and calibration on unchanged images."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Columns, Details, Facts, Heading, Prose, Span, Table, Text
from unshaken.report.cells import Row
from unshaken.report.drawings import Plot, Plots, Trace
from unshaken.report.figures import plots
from unshaken.report.sections import Report, Section

FEW, MOST = 20, 300
"""Classes shown at once, and behind a title."""
MEASURED = {
    "clean": ("unchanged", "on unchanged images"),
    "worst_natural": ("worst natural", "under all changes that need no attacker"),
    "worst_case": ("worst of all", "under all changes"),
}
"""Accuracy of a class: the title of its column, and what it is measured on."""


class Classes(Section):
    """The classes, the weakest first, and the calibration of the model."""

    name = "classes"
    task = "classification"
    order = 60

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        def weakness(row: Row) -> list[float]:
            return [float((row[k] or row["clean"])["value"]) for k in ("worst_natural", "worst_case", "clean")]

        found, classes = list[Block](), sorted(report.data["classes"], key=weakness)
        if classes:
            found += [Heading("By class", "classes", "Classes"), _table(classes[:FEW])]
        if len(classes) > FEW:
            rest = classes[FEW:MOST]
            found.append(Details(f"The other {len(classes) - FEW} classes", (_table(rest),)))
        return [*found, *_calibration(report)]


def _table(classes: Sequence[Row]) -> Table:
    """A row for each class; a column for what was measured alone."""
    measured = [key for key in MEASURED if any(row[key] for row in classes)]
    titles, meanings = ([MEASURED[key][part] for key in measured] for part in (0, 1))
    rows = tuple(
        (
            row["name"],
            *(cells.share(row[key], bar=True, bad=key != "clean") for key in measured),
            str(row["clean"]["n"]),
        )
        for row in classes
    )
    heads = (*(Column(title, number=False) for title in ("class", *titles)), Column("images"))
    caption = f"Accuracy of each class {cells.listed(meanings)}; the weakest class first."
    return Table(caption, heads, rows, "narrow")


def _calibration(report: Report) -> list[Block]:
    data = report.data
    found: Row | None = data["calibration"]
    if found is None:
        return []
    error, gap, brier = found["ece"], 100 * found["signed_gap"], data["aggregates"]["brier"]
    if found["p_calibrated"] >= 0.05:
        text: Text = (
            Span("Confidence and accuracy agree", "strong"),
            f" within what {cells.counted(error['n'], 'image')} can show.",
        )
    else:
        word, side = ("overconfident", "more") if gap < 0 else ("underconfident", "less")
        text = (
            Span(f"The model is {word}", "strong"),
            f": on average its confidence is {abs(gap):.1f} points {side} than its accuracy.",
        )
    by_chance = Span(f" by chance alone, on {cells.counted(error['n'], 'image')}", "soft")
    facts: list[tuple[str, Text]] = [
        ("expected calibration error", f"{wording.percent(error['value'])} ({wording.span(error)})"),
        ("of a perfectly calibrated model", (wording.percent(found["bias"]), by_chance)),
        ("p-value", (f"{found['p_calibrated']:.3g}", Span(" that a calibrated model would be as far off", "soft"))),
        ("largest gap in one bin", wording.percent(found["max_gap"])),
    ]
    if brier:
        ends = f" ({brier['low']:.4f} to {brier['high']:.4f}; 0 is perfect, 2 the worst)"
        facts.append(("Brier score", (f"{brier['value']:.4f}", Span(ends, "soft"))))
    facts.append(("bins", f"{len(found['bins'])} with images, {found['binning']}"))
    if note := data["notes"].get("calibration"):
        facts.append(("note", note))
    about = (Prose(text), Facts(tuple(facts)))
    plot = Plots((reliability(found["bins"]),))
    return [Heading("Calibration on unchanged images", "calibration", "Calibration"), Columns(((plot,), about))]


def reliability(bins: Sequence[Row]) -> Plot:
    """Accuracy against confidence with intervals, the diagonal of perfect calibration, and the images of each bin."""
    most = max(b["accuracy"]["n"] for b in bins)
    marks, corners = [], [(0.0, 100.0)]
    for b in bins:
        text = (
            f"confidence {100 * b['low']:.0f} to {100 * b['high']:.0f} %: mean {100 * b['confidence']:.1f} %, accuracy "
            f"{100 * b['accuracy']['value']:.1f} % of {b['accuracy']['n']}"
        )
        marks.append(plots.point(100 * b["confidence"], b["accuracy"], text))
        top, left, right = 100 - 15 * b["accuracy"]["n"] / most, 100 * b["low"], 100 * b["high"]
        corners += [(left, 100.0), (left, round(top, 1)), (right, round(top, 1)), (right, 100.0)]
    columns = plots.outline([*corners, (100.0, 100.0)])
    traces = (
        Trace("accuracy, 95 % interval", 0, tuple(marks), "", whiskers=True),
        Trace("perfect calibration", 1, (), "0,100 100,0", marked=False),
        Trace("number of images", 2, (), "", columns, marked=False),
    )
    ticks = tuple((float(x), str(x)) for x in (0, 25, 50, 75, 100))
    text = "Reliability diagram: " + "; ".join(m.text for m in marks)
    return Plot("Accuracy against confidence, %", "confidence, %", ticks, traces, None, text)


section = Classes()
