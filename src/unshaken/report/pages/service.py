"""The page of a score endpoint's history, from its rows and `service.json`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.measure import share
from unshaken.measure.detection.drift import ShareAlarm, share_alarms, window_alarm
from unshaken.measure.statistics.intervals import Figure
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Facts, Heading, Headline, Notice, Prose, Table, Text
from unshaken.report.drawings import Plot, Plots
from unshaken.report.figures import plots
from unshaken.report.pages.page_kind import PageKind, write_page
from unshaken.store.run_dir import RunDir, consistent

RECORD = "service.json"
SHOWN = 40
"""Windows that the page shows, the latest."""
MOST_CLASSES = 20
"""Classes that the page shows, the most frequent."""
ALPHA = 0.01
"""Chance of a false alarm of a detector over the whole history."""


CONFIDENCES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Where the model's confidence is cut for counting: fixed, so that no reference has chosen them."""
DRIFT = "drift.json"


class Reference(BaseModel):
    """Counts of predictions on images that windows are compared with.

    Args:
        data: SPEC.
        images: number of them.
        classes: images by predicted class, of all classes; -1 where the output is not finite.
        confidence: images by the span of their confidence between `CONFIDENCES`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    images: int
    classes: dict[int, int]
    confidence: list[int]


class ServiceRecord(BaseModel):
    """Settings that decide the meaning of a history's rows.

    Args:
        model_name: of the model.
        model_fingerprint: of its weights and code.
        classes: names in order; empty where it has none.
        accept: share of normal images that detectors accept at least.
        thresholds: by detector.
        most_rejected: by detector, the share of normal images that is surely rejected at most, whatever the luck of
            the calibration samples.
        most_rejected_by_any: the same of all detectors together.
        images: of a window.
        reference: what windows are compared with; None for nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
    model_name: str
    model_fingerprint: str
    classes: list[str]
    accept: float
    thresholds: dict[str, float]
    most_rejected: dict[str, float]
    most_rejected_by_any: float
    images: int
    reference: Reference | None = None

    @classmethod
    def read(cls, run: RunDir) -> ServiceRecord:
        """Read the record of a history.

        Raises:
            RunError: it is damaged.
        """
        return validate(cls, run.read_json(RECORD), f"{run}: {RECORD}", RunError, "start a new history")


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """The counts of one window of a history.

    Args:
        number: from 0.
        began: seconds since 1970.
        ended: as `began`.
        complete: whether it has ended.
        counts: by kind and name, the count and of how many images.
    """

    number: int
    began: float
    ended: float
    complete: bool
    counts: dict[tuple[str, str], tuple[int, int]]


def read_window_counts(run: RunDir) -> list[WindowCounts]:
    """All windows of a history, in order.

    Raises:
        RunError: a file is damaged.
    """
    table = run.rows("windows")
    groups: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in table.sort_by("window").to_pylist() if len(table) else ():
        groups[row["window"]].append(row)
    return [
        WindowCounts(
            number,
            rows[0]["began"],
            rows[0]["ended"],
            rows[0]["complete"],
            {(row["kind"], row["name"]): (row["count"], row["n"]) for row in rows},
        )
        for number, rows in groups.items()
    ]


class Source(NamedTuple):
    """Source of the sections: the record of a history and its windows in order."""

    record: ServiceRecord
    windows: Sequence[WindowCounts]


def _head(source: Source) -> list[Block]:
    record, windows = source
    images = sum(_images(window) for window in windows)
    lead: list[Text] = [f"{images:,} images in {len(windows):,} windows of {record.images:,}."]
    if windows:
        lead.append(f"From {_time(windows[0].began)} to {_time(windows[-1].ended)}, UTC.")
    if record.thresholds:
        lead.append(f"Detectors promise to accept {wording.percent(record.accept)} of normal images or more.")
    return [Headline(_title(source), tuple(lead), (*_alarms(record, windows), *_drift_notices(source)), brief=True)]


def _title(source: Source) -> str:
    return f"Images scored by {source.record.model_name}"


def _alarms(record: ServiceRecord, windows: Sequence[WindowCounts]) -> list[Notice]:
    """A notice for each detector that rejects more than its promise allows."""
    found = []
    promises = {("detector", label): most for label, most in record.most_rejected.items()}
    if len(promises) > 1:
        promises["all", ""] = record.most_rejected_by_any
    for (kind, name), most in promises.items():
        known = [window for window in windows if (kind, name) in window.counts]
        counts = [window.counts[kind, name] for window in known]
        if counts and 0 < most < 1:
            rings = window_alarm([k for k, _ in counts], [n for _, n in counts], most=most, alpha=ALPHA)
            if rings is not None:
                text = f"{name or 'All detectors together'}: more is rejected than normal images explain, first in "
                text += f"window {known[rings].number}, {_time(known[rings].began)}."
                found.append(Notice(text, "rejected"))
    return found


class DriftAlarm(NamedTuple):
    """A class or a span of confidence whose share is not that of the reference.

    Args:
        kind: `class` or `confidence`.
        name: of the class, or the span.
        found: the alarm; its window is the place among the windows given.
        window: number of the first window that shows it.
        figure: share there.
    """

    kind: str
    name: str
    found: ShareAlarm
    window: int
    figure: Figure

    def to_json(self) -> dict[str, Any]:
        """The alarm as `drift.json` has it."""
        own = {"kind": self.kind, "name": self.name, "window": self.window, "more": self.found.more}
        return {**own, "least": self.found.least, "most": self.found.most, "share": self.figure.to_json()}


def drift_alarms(source: Source) -> list[DriftAlarm]:
    """What drifts from the reference in the windows that have ended, at `ALPHA` for all of it together."""
    record, reference = source.record, source.record.reference
    windows = [window for window in source.windows if window.complete and _images(window)]
    if reference is None or not windows:
        return []
    names = dict(enumerate(record.classes)) | {-1: "output not finite"}
    keys = [("class", str(k), names.get(k, str(k))) for k in reference.classes]
    keys += [("confidence", str(k), name) for k, name in enumerate(_spans())]
    counts = [[window.counts.get((kind, place), (0, 0))[0] for kind, place, _ in keys] for window in windows]
    sizes, of = [_images(window) for window in windows], [*reference.classes.values(), *reference.confidence]
    return [
        DriftAlarm(
            kind, name, one, windows[one.window].number, share(counts[one.window][one.category], sizes[one.window])
        )
        for one in share_alarms(counts, sizes, of, reference.images, alpha=ALPHA)
        for kind, _, name in [keys[one.category]]
    ]


def _spans() -> list[str]:
    edges = [f"{100 * edge:g} %" for edge in CONFIDENCES]
    return [f"below {edges[0]}", *(f"{a} to {b}" for a, b in pairwise(edges)), f"{edges[-1]} and above"]


def _drift_notices(source: Source) -> list[Notice]:
    found = drift_alarms(source)
    return [
        Notice(f"{words} drift from the reference, first in window {own[0].window}.", "drift")
        for kind, words in (("class", "Predicted classes"), ("confidence", "Confidences of the model"))
        if (own := [one for one in found if one.kind == kind])
    ]


def _drift(source: Source) -> list[Block]:
    """Classes and spans of confidence whose share is not that of the reference."""
    reference = source.record.reference
    if reference is None:
        return []
    found = drift_alarms(source)
    promise = (
        f"Compared with {reference.images:,} images of {reference.data}: shares of predicted classes and of spans of "
        "the model's confidence, in every window that has ended. Where the images of windows and reference are "
        "independent and of one source, the chance of any false alarm among all of them, however many windows come, is "
        f"{ALPHA:g} at most."
    )
    head: list[Block] = [Heading("Drift from the reference", "drift", "Drift"), Prose(promise, "small")]
    if not found:
        return [*head, Prose("No drift is shown.", brief=True)]
    rows = tuple(
        cells.line(
            f"{one.kind} {one.name}", str(one.window), cells.share(one.figure.to_json()),
            f"{wording.percent(one.found.least)} to {wording.percent(one.found.most)}",
        )
        for one in found
    )  # fmt: skip
    caption = "What drifts, and the first window that shows it, with the shares that the reference allows."
    heads = cells.columns("share of", "window", "share there", "by the reference")
    return [*head, Table(caption, heads, rows, brief=True)]


def _rejected(source: Source) -> list[Block]:
    """The share that detectors reject, window by window."""
    record, windows = source
    keys = [("detector", label) for label in record.thresholds]
    if not keys or not windows:
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


def _classes(source: Source) -> list[Block]:
    """The most frequent predicted classes, in all windows and in the latest."""
    record, windows = source
    if not windows:
        return []
    totals: Counter[str] = Counter()
    for window in windows:
        totals.update({name: count for (kind, name), (count, _) in window.counts.items() if kind == "class"})
    images, latest = sum(totals.values()), windows[-1]
    rows = tuple(
        (
            "output not finite" if int(name) < 0 else dict(enumerate(record.classes)).get(int(name), name),
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


def _unusable(source: Source) -> list[Block]:
    counts = [window.counts.get(("unusable", ""), (0, 0)) for window in source.windows]
    count, n = sum(k for k, _ in counts), sum(n for _, n in counts)
    if not count:
        return []
    return [Prose(f"{count:,} of {n:,} images could not be scored: damaged, too large, or no output was finite.")]


def _images(window: WindowCounts) -> int:
    return next((n for (kind, _), (_, n) in window.counts.items() if kind == "class"), 0)


def _share(window: WindowCounts, key: tuple[str, str]) -> Cell:
    count, n = window.counts.get(key, (0, _images(window)))
    return cells.share(share(count, n).to_json()) if n else Cell("")


def _label(window: WindowCounts) -> str:
    return f"{window.number}, {_time(window.began)}" + ("" if window.complete else " (open)")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _model(source: Source) -> list[Block]:
    record = source.record
    return [Facts((("model", record.model_name), ("its fingerprint", record.model_fingerprint[:16])))]


SERVICE = PageKind[Source](
    title=_title,
    read=lambda run: Source(ServiceRecord.read(run), read_window_counts(run)),
    sections=(_head, _drift, _rejected, _classes, _unusable, _model),
)


def write_history(run: RunDir) -> None:
    """Write the page of a history, and `drift.json` where it has a reference.

    Raises:
        RunError: the directory holds no history, or a file cannot be written.
    """
    with consistent(run):
        source = SERVICE.read(run)
    if source.record.reference is not None:
        alarms = [one.to_json() for one in drift_alarms(source)]
        run.write_json({"schema": 1, "false_alarms": ALPHA, "windows": len(source.windows), "alarms": alarms}, DRIFT)
    write_page(run, SERVICE.page(source))
