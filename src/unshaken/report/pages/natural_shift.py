"""The picture of effective robustness: baseline models, their line, and the model of the run with its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from unshaken.measure import fit_line
from unshaken.report import wording
from unshaken.report.blocks import Block, Heading
from unshaken.report.drawings import Plot, Plots, Point
from unshaken.report.figures import plots
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationRecord

TICKS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02), *(k / 20 for k in range(1, 20)), *(0.98, 0.99, 0.995, 0.998),
)  # fmt: skip
"""Accuracies at which an axis may have a line."""
MARGIN = 0.25
"""Space beyond the outermost marks, in units of the logit."""
STEPS = 33
"""Points of the drawn line."""


def robustness_blocks(run: RunDir, record: EvaluationRecord) -> list[Block]:
    """The picture; nothing where the run has no effective robustness.

    Args:
        run: its directory.
        record: what `evaluate.json` holds.
    """
    figures = record.figures
    standard = figures.get("standard_accuracy", {}).get("value", record.params.get("standard_accuracy"))
    known = [
        one["rows"] for one in record.listings if one["columns"] == ["model", "standard", "shifted", "from the line"]
    ]
    if "effective_robustness" not in figures or standard is None or not known:
        return []
    baselines = [(name, x / 100, y / 100) for name, x, y, _ in known[0]]
    own = figures["accuracy"]
    line = fit_line([x for _, x, _ in baselines], [y for *_, y in baselines])
    xs = [standard, *(x for _, x, _ in baselines)]
    ys = [own["value"], own["low"], own["high"], *(y for *_, y in baselines)]
    along, ticks = logit_axis(xs)
    up, rows = logit_axis([y for y in ys if 0 < y < 1])

    def mark(x: float, y: float, text: str, low: float, high: float, label: str = "") -> Point:
        return Point(along(x), 100 - up(y), 100 - up(low), 100 - up(high), text, label)

    drawn = special.expit(np.linspace(special.logit(min(xs)), special.logit(max(xs)), STEPS)).tolist()
    at = [(x, line.predict(x)) for x in drawn]
    inside = [(x, y) for x, y in at if 0 <= up(y) <= 100]
    model = record.settings["models"][0] if record.settings["models"] else "the model"
    words = f"{model}: {wording.percent(standard)} without the shift, {wording.percent(own['value'])} with it"
    traces = (
        replace(plots.curve(model, 0, [mark(standard, own["value"], words, own["low"], own["high"])]), whiskers=True),
        plots.curve("line of the baselines", 2, [mark(x, y, "line", y, y) for x, y in inside], marked=False),
        replace(
            plots.curve("baselines", 1, [mark(x, y, f"{name}: {wording.percent(x)}, {wording.percent(y)}", y, y)
                                         for name, x, y in baselines]),
            line="",
        ),
    )  # fmt: skip
    text = (
        f"Accuracy on the shifted set against that without the shift, in per cent on logit axes: {len(baselines)} "
        f"baseline models, the line through them, and {words}, its 95 % interval {wording.span(own)}. The distance to "
        "the line is the effective robustness."
    )
    plot = Plot("Accuracy under the shift, %", "accuracy without the shift, %", ticks, traces, None, text, tuple(
        (100 - place, name) for place, name in rows
    ))  # fmt: skip
    return [Heading("Effective robustness", "effective", "Effective robustness"), Plots((plot,))]


def logit_axis(values: list[Any]) -> tuple[Callable[[float], float], tuple[tuple[float, str], ...]]:
    """The place of an accuracy on an axis of the logit, in per cent from its beginning, and ticks.

    Args:
        values: accuracies inside (0, 1) that the axis holds.
    """
    places = special.logit(np.clip(values, 1e-4, 1 - 1e-4))
    low, high = float(places.min()) - MARGIN, float(places.max()) + MARGIN

    def place(value: float) -> float:
        return 100 * (float(special.logit(min(max(value, 1e-9), 1 - 1e-9))) - low) / (high - low)

    found = [(at, f"{100 * tick:g}") for tick in TICKS if 0 <= (at := place(tick)) <= 100]
    while len(found) > 7:
        found = found[::2]
    return place, tuple(found)
