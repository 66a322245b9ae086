"""Runs shown side by side with the one that a report is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unshaken.core.errors import UnshakenError
from unshaken.report.cells import metric
from unshaken.report.compare import beside, compare_frames
from unshaken.report.comparisons import RunComparison
from unshaken.report.figures.outcomes import consistent_under, right_under
from unshaken.report.read.frame import read_frame
from unshaken.report.summary import Summary, build
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir
from unshaken.tasks.classification import CLASSIFICATION


@dataclass(frozen=True, slots=True)
class Other:
    """Another run's figures.

    Args:
        name: its model.
        place: where it lies.
        figures: condition to its figure, `clean` included; consistency where there are no labels.
        comparison: of this report's run with it as baseline, or None.
        note: why there is no comparison or no figure; empty when there is.
    """

    name: str
    place: str
    figures: dict[str, dict[str, Any]]
    comparison: RunComparison | None
    note: str


def read_others(summary: Summary) -> list[Other]:
    """The baseline first, then the runs that `run.json` names; the note of one that cannot be read says so."""
    run, baseline = summary.source.run, summary.source.baseline
    others = [] if baseline is None else [_read(run, summary, baseline, summary.comparison)]
    known = {str(baseline)}
    for place in beside(run, summary.config):
        if str(place) not in known:
            known.add(str(place))
            others.append(_read(run, summary, place, None))
    return others


def _read(run: RunDir, summary: Summary, place: RunDir, comparison: RunComparison | None) -> Other:
    try:
        config = read_config(place)
        frame = read_frame(place, config)
    except UnshakenError as error:
        return Other(str(place), str(place), {}, None, f"cannot be shown: {error}")
    note = ""
    if comparison is None:
        try:
            comparison = compare_frames(place, config, frame, run, summary.config, summary.frame)
        except UnshakenError as error:
            note = f"not compared by pairs: {error}"
    figures = {}
    if config.task != CLASSIFICATION.name:
        data = build(place).data
        figures = {row["condition"]: metric(row) or {} for row in data["conditions"]}
        return Other(config.model_name, str(place), figures | {"clean": data["clean"]}, comparison, note)
    for j in (0, *frame.natural, *frame.attacks, *frame.aside):
        figure = right_under(frame, j) if summary.frame.labelled else consistent_under(frame, j)
        if figure is not None:
            figures[frame.conditions[j].id] = figure.to_json()
    return Other(config.model_name, str(place), figures, comparison, note)
