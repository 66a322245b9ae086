"""`Window`: counts of the images that were scored in a span of time, and their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.measure.statistics.intervals import clopper_pearson
from unshaken.report.pages.service import CONFIDENCES
from unshaken.serve.score.answers import Answers

WINDOWS = declare_table(
    "windows",
    "condition string, window int64, kind string, name string, count int64, n int64, share double, low double, "
    "high double, began double, ended double, complete bool",
)
SERVED = Condition("served", "served")
CLASS, CONFIDENCE, DETECTOR, ALL, UNUSABLE = "class", "confidence", "detector", "all", "unusable"
"""Kinds of counts: images by predicted class; by the model's confidence; those that a detector, or any of them,
does not accept; those that could not be scored."""


@dataclass(slots=True)
class Window:
    """Counts of one window.

    Args:
        number: from 0.
        began: seconds since 1970 at its first image.
        ended: at its last one.
        images: that were scored.
        unusable: images that could not be scored, beside these.
        classes: images by predicted class.
        confidence: images by their place among `CONFIDENCES`.
        rejected: images that each detector does not accept; all detectors are there from the start.
        rejected_by_any: images that are not accepted.
    """

    number: int
    began: float
    ended: float
    images: int = 0
    unusable: int = 0
    classes: Counter[int] = field(default_factory=Counter)
    confidence: Counter[int] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_by_any: int = 0

    def add(self, answers: Answers | None, unusable: int, now: float) -> None:
        """Count the images of a request.

        Args:
            answers: of those that were scored; None for none.
            unusable: number of the others.
            now: seconds since 1970.
        """
        self.ended = max(self.ended, now)
        self.unusable += unusable
        if answers is None:
            return
        self.images += len(answers)
        self.classes.update(answers.predictions.tolist())
        sure = answers.probabilities.amax(1)
        edges = torch.tensor(CONFIDENCES, dtype=sure.dtype, device=sure.device)
        self.confidence.update(torch.bucketize(sure[sure.isfinite()], edges, right=True).tolist())
        for label, found in answers.detected.items():
            self.rejected[label] += int((~found.accepted).sum())
        if answers.accepted is not None:
            self.rejected_by_any += int((~answers.accepted).sum())

    @property
    def by_confidence(self) -> list[int]:
        """Images in each span between `CONFIDENCES`, `[len(CONFIDENCES) + 1]`."""
        return [self.confidence[k] for k in range(len(CONFIDENCES) + 1)]

    def counts(self, detectors: Sequence[str]) -> list[tuple[str, str, int, int]]:
        """Kind, name, count and of how many images."""
        found = [(CLASS, str(k), count, self.images) for k, count in sorted(self.classes.items())]
        found += [(CONFIDENCE, str(k), count, self.images) for k, count in sorted(self.confidence.items())]
        found += [(DETECTOR, label, self.rejected[label], self.images) for label in detectors]
        found += [(ALL, "", self.rejected_by_any, self.images)] if detectors else []
        return [*found, (UNUSABLE, "", self.unusable, self.images + self.unusable)]


def window_rows(windows: Sequence[Window], detectors: Sequence[str], *, open_window: int | None = None) -> Part:
    """The rows of windows: a row a count, with its Clopper-Pearson interval.

    Args:
        windows: in order.
        detectors: labels.
        open_window: number of the one that is not complete; None for none.
    """
    rows = [(window, *count) for window in windows for count in window.counts(detectors)]
    rows = [row for row in rows if row[4]]
    low, high = clopper_pearson([row[3] for row in rows], [row[4] for row in rows])
    columns: dict[str, Any] = {
        "window": [row[0].number for row in rows],
        "kind": [row[1] for row in rows],
        "name": [row[2] for row in rows],
        "count": [row[3] for row in rows],
        "n": [row[4] for row in rows],
        "share": [row[3] / row[4] for row in rows],
        "low": low.tolist(),
        "high": high.tolist(),
        "began": [row[0].began for row in rows],
        "ended": [row[0].ended for row in rows],
        "complete": [row[0].number != open_window for row in rows],
    }
    return Part("windows", SERVED, columns)


def read_windows(rows: Sequence[dict[str, Any]]) -> list[Window]:
    """The windows of rows that `window_rows` made, in order."""
    found: dict[int, Window] = {}
    for row in rows:
        window = found.setdefault(row["window"], Window(row["window"], row["began"], row["ended"]))
        kind, count = row["kind"], row["count"]
        if kind == UNUSABLE:
            window.unusable = count
        else:
            window.images = row["n"]
        if kind == CLASS:
            window.classes[int(row["name"])] = count
        elif kind == CONFIDENCE:
            window.confidence[int(row["name"])] = count
        elif kind == DETECTOR:
            window.rejected[row["name"]] = count
        elif kind == ALL:
            window.rejected_by_any = count
    return [found[number] for number in sorted(found)]
