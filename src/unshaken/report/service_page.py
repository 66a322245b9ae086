"""The page of a score endpoint's history, from its rows and `service.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from unshaken.measure import share
from unshaken.measure.detection.drift import window_alarm
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Facts, Heading, Headline, Notice, Page, Prose, Table, Text
from unshaken.report.drawings import Plot, Plots
from unshaken.report.figures import plots
from unshaken.report.read.service import ServiceRecord, WindowCounts, read_window_counts
from unshaken.report.render.html import render_html
from unshaken.report.render.markdown import render_markdown
from unshaken.store.run_dir import RunDir

SHOWN = 40
"""Windows that the page shows, the latest."""
MOST_CLASSES = 20
"""Classes that the page shows, the most frequent."""
ALPHA = 0.01
"""Chance of a false alarm of a detector over the whole history."""


def write_service_report(run: RunDir) -> Page:
    """Make `report.html` and `report.md` of the history of a score endpoint.

    Args:
        run: as `unshaken serve --score SPEC --history DIR` leaves it.

    Raises:
        RunError: it holds no history, or the pages cannot be written.
    """
    page = service_page(ServiceRecord.read(run), read_window_counts(run))
    run.write(render_markdown(page).encode(), "report.md")
    run.write(render_html(page).encode(), "report.html")
    return page


def service_page(record: ServiceRecord, windows: Sequence[WindowCounts]) -> Page:
    """The page: what was rejected and what was predicted, window by window."""
    title = f"Images scored by {record.model_name}"
    images = sum(_images(window) for window in windows)
    lead: list[Text] = [f"{images:,} images in {len(windows):,} windows of {record.images:,}."]
    if windows:
        lead.append(f"From {_time(windows[0].began)} to {_time(windows[-1].ended)}, UTC.")
    if record.thresholds:
        lead.append(f"Detectors promise to accept {wording.percent(record.accept)} of normal images or more.")
    found: list[Block] = [Headline(title, tuple(lead), tuple(_alarms(record, windows)), brief=True)]
    if windows:
        found += _rejected(record, windows)
        found += _classes(record, windows)
        found += _unusable(windows)
    facts = (("model", record.model_name), ("its fingerprint", record.model_fingerprint[:16]))
    return Page(title, (*found, Facts(facts)), "Made by unshaken from the rows of this folder alone.")


def _alarms(record: ServiceRecord, windows: Sequence[WindowCounts]) -> list[Notice]:
    """A notice for each detector that rejects more than its promise allows."""
    found = []
    for (kind, name), most in _promises(record).items():
        known = [window for window in windows if (kind, name) in window.counts]
        counts = [window.counts[kind, name] for window in known]
        if counts and 0 < most < 1:
            rings = window_alarm([k for k, _ in counts], [n for _, n in counts], most=most, alpha=ALPHA)
            if rings is not None:
                text = f"{name or 'All detectors together'}: more is rejected than normal images explain, first in "
                text += f"window {known[rings].number}, {_time(known[rings].began)}."
                found.append(Notice(text, "rejected"))
    return found


def _promises(record: ServiceRecord) -> dict[tuple[str, str], float]:
    found = {("detector", label): most for label, most in record.most_rejected.items()}
    return {**found, ("all", ""): record.most_rejected_by_any} if len(found) > 1 else found


def _rejected(record: ServiceRecord, windows: Sequence[WindowCounts]) -> list[Block]:
    keys = [("detector", label) for label in record.thresholds]
    if not keys:
        return []
    latest = windows[-SHOWN:]
    head: list[Block] = [Heading("Rejected by detectors", "rejected", "Detectors")]
    text = (
        "Share of the images of each window that a detector does not accept. A window's interval misses the truth by "
        f"chance in 1 of 20; the notice at the top is raised falsely with probability {ALPHA:g} a detector, over all "
        "windows."
    )
    rows: list[tuple[Cell | str, ...]] = [
        (_label(window), f"{_images(window):,}", *(_share(window, key) for key in keys)) for window in reversed(latest)
    ]
    table = Table(
        "Rejected images, with 95 % intervals.", cells.columns("window", "images", *record.thresholds), tuple(rows)
    )
    return [*head, Prose(text, "small"), Plots((_plot(latest, keys),)), table]


def _plot(windows: Sequence[WindowCounts], keys: Sequence[tuple[str, str]]) -> Plot:
    traces = []
    for style, key in enumerate(keys):
        points = []
        for place, window in enumerate(windows):
            count, n = window.counts.get(key, (0, 0))
            if n:
                figure = share(count, n).to_json()
                text = f"{_label(window)}: {wording.percent(count / n)}, {wording.span(figure)}"
                points.append(plots.point(100 * (place + 0.5) / len(windows), figure, text))
        traces.append(plots.curve(key[1], style, points, band=len(keys) == 1))
    places = {0, len(windows) // 2, len(windows) - 1}
    ticks = tuple((100 * (i + 0.5) / len(windows), f"{windows[i].number}") for i in sorted(places))
    words = "Share of rejected images by window; the table below has the figures."
    return Plot("Rejected images", "window", ticks, tuple(traces), None, words)


def _classes(record: ServiceRecord, windows: Sequence[WindowCounts]) -> list[Block]:
    totals: Counter[str] = Counter()
    for window in windows:
        totals.update({name: count for (kind, name), (count, _) in window.counts.items() if kind == "class"})
    images, latest = sum(totals.values()), windows[-1]
    rows = tuple(
        (
            _class_name(record, name),
            cells.share(share(count, images).to_json(), bar=True),
            _share(latest, ("class", name)),
        )
        for name, count in totals.most_common(MOST_CLASSES)
    )
    if not rows:
        return []
    caption = f"Predicted classes, the {MOST_CLASSES} most frequent, with 95 % intervals."
    head = Heading("Predicted classes", "classes", "Classes")
    return [head, Table(caption, cells.columns("class", "all windows", "latest window"), rows, brief=True)]


def _unusable(windows: Sequence[WindowCounts]) -> list[Block]:
    counts = [window.counts.get(("unusable", ""), (0, 0)) for window in windows]
    count, n = sum(k for k, _ in counts), sum(n for _, n in counts)
    if not count:
        return []
    return [Prose(f"{count:,} of {n:,} images could not be scored: damaged, too large, or no output was finite.")]


def _images(window: WindowCounts) -> int:
    return next((n for (kind, _), (_, n) in window.counts.items() if kind == "class"), 0)


def _share(window: WindowCounts, key: tuple[str, str]) -> Cell:
    count, n = window.counts.get(key, (0, _images(window)))
    return cells.share(share(count, n).to_json()) if n else Cell("")


def _class_name(record: ServiceRecord, name: str) -> str:
    number = int(name)
    if number < 0:
        return "output not finite"
    return record.classes[number] if number < len(record.classes) else name


def _label(window: WindowCounts) -> str:
    return f"{window.number}, {_time(window.began)}" + ("" if window.complete else " (open)")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
