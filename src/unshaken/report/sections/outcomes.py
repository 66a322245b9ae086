"""Accuracy on unchanged and changed images: the strips of the first screen, curves and heat maps by strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from unshaken.core.part import CLEAN
from unshaken.measure import Figure, WorstCase
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Details, Facts, Heading, Prose, Span, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.figures import attacks, outcomes
from unshaken.report.gates.grammar import NON_FINITE
from unshaken.report.read.frame import Frame
from unshaken.report.read.tasks import TASK_FIGURES
from unshaken.report.sections import Report, Section, SectionFigures, Source, _headline
from unshaken.report.sections import _strengths as strengths
from unshaken.report.sections._headline import headline
from unshaken.report.sections._task_tables import condition_row
from unshaken.report.sections.confusion import confusion
from unshaken.run.local import labels_not_run
from unshaken.store.config import RunConfig

TITLES = {
    "mean_error": "mean error under corruptions",
    "mce": "mCE (mean corruption error, relative to AlexNet)",
    "relative_mce": "relative mCE",
    "worst_case": "correct under every change",
    "worst_natural": "correct under every change without an attacker",
    "worst_attack": "correct under every attack",
    "ece": "expected calibration error (ECE)",
    "brier": "Brier score",
    "non_finite": "images with outputs that are not finite",
}
"""Aggregates for people."""


class Outcomes(Section):
    """Section on a model's outcomes on unchanged images and under every change."""

    name = "outcomes"
    task = "classification"
    order = 10

    @override
    def figures(self, source: Source) -> SectionFigures:
        frame, config = source.frame, source.config
        notes: dict[str, str] = {}
        error, brier, classes, note = outcomes.calibration(frame, source.run)
        if note:
            notes["calibration"] = note
        # Clean images always count in; nearest examples at any distance are in none of the three.
        kinds = {"worst_case": [*frame.natural, *frame.attacks], "worst_natural": frame.natural}
        worst = {
            name: outcomes.worst_case(frame, [0, *sorted(columns)]) if columns and frame.labelled else None
            for name, columns in (kinds | {"worst_attack": frame.attacks}).items()
        }
        notes |= _worst_notes(frame, worst)
        aggregates, more = outcomes.corruption_figures(frame, config, classes, source.methods)
        aggregates |= {name: found and found.accuracy for name, found in worst.items()}
        aggregates |= {"ece": error and error.ece, "brier": brier, NON_FINITE: outcomes.without_prediction(frame)}
        places = sorted(frame.natural + frame.attacks + frame.aside)
        data: dict[str, Any] = {
            "clean": _json(outcomes.right_under(frame, 0)),
            "conditions": [_condition(source, j) for j in places],
            "aggregates": {name: _json(figure) for name, figure in aggregates.items()},
            "worst_case": _worst(worst["worst_case"]),
            "robust": attacks.robust_by_budget(frame) if frame.labelled else [],
            "budgets": attacks.attacks_by_budget(frame) if frame.labelled else [],
            "calibration": _calibration(error),
            "classes": outcomes.by_class(frame, config.classes, {k: worst[k] for k in ("worst_natural", "worst_case")}),
        }
        data["headline"] = headline(frame, data, classes)
        data["confusion"] = _confusions(frame, config, data["headline"])
        left, impossible = _without_rows(source)
        gaps = _gaps(frame, config) | dict.fromkeys(left, "no row yet: finish the run with --resume")
        gaps |= dict.fromkeys(impossible, "not run: the model or the data do not allow it, as a flag says")
        complete = not frame.unfinished and not frame.lacking() and not left
        return SectionFigures(data, notes | more | gaps, complete)

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        return _headline.lead(report)

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        return _headline.tiles(report.data)

    @override
    def following(self, report: Report) -> Text:
        found = report.data["headline"]
        if not report.data["clean"] or not found or not (found["condition"] or found["collapse"]):
            return ""
        return (Span("unshaken harden --from DIR", "code"), " plans a training against what lowers the accuracy most.")

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        curves, heats = strengths.curves(report), strengths.heat_maps(report)
        what = measured(report)
        found: list[Block] = [Heading("By strength" if curves or heats else "All figures", "strength", "Strength")]
        if curves:
            line = ", the dashed line the unchanged images" if report.data["clean"] else ""
            text = f"{what} against the strength of the change, in per cent; the shade is the 95 % interval{line}."
            found += [Prose(text), *curves]
        if heats:
            found += [
                Heading("Heat map", level=3),
                Prose(f"{what}, in per cent; the redder, the more was lost."),
                *heats,
            ]
        found.append(Details("All figures as a table", condition_tables(report)))
        if facts := aggregates(report.data):
            found.append(Details("Aggregates, and why some are absent", facts))
        return found


def _confusions(frame: Frame, config: RunConfig, shown: Row | None) -> list[Row]:
    """Confusions on the unchanged images, and under the condition of the headline."""
    names = [CLEAN.id, *([shown["condition"]] if shown and shown["condition"] else [])]
    return [one for name in names if (one := confusion(frame, name, config.classes)) is not None]


def _worst_notes(frame: Frame, worst: Mapping[str, WorstCase | None]) -> dict[str, str]:
    notes, least = {}, worst["worst_case"]
    if least is None:
        notes["worst_case"] = "no labels" if not frame.labelled else "no sample has a row in every condition"
    elif len(least.ids) < len(frame.ids):
        notes["worst_case"] = (
            f"left out for lack of a condition: {cells.counted(len(frame.ids) - len(least.ids), 'sample')}"
        )
    absent = {"worst_natural": "no change was run that needs no attacker", "worst_attack": "no attack was run"}
    return notes | {k: reason for k, reason in absent.items() if frame.labelled and worst[k] is None}


def _json(figure: Figure | None) -> Row | None:
    return None if figure is None else figure.to_json()


def _condition(source: Source, place: int) -> Row:
    frame = source.frame
    figures = {
        "accuracy": _json(outcomes.right_under(frame, place)),
        "consistency": _json(outcomes.consistent_under(frame, place)),
    }
    one = frame.conditions[place]
    return condition_row(source, one, figures)


def _gaps(frame: Frame, config: RunConfig) -> dict[str, str]:
    notes = {
        c: f"{k} of {cells.counted(len(frame.ids), 'sample')} {'has' if k == 1 else 'have'} no row yet"
        for c, k in frame.lacking().items()
    }
    elsewhere = len(config.ids) - config.own_samples
    if elsewhere:
        others = f"{cells.counted(elsewhere, 'sample')} {'is' if elsewhere == 1 else 'are'} of other parts"
        notes["part"] = f"{others} than {config.part}: join all with unshaken merge"
    if frame.unfinished > elsewhere:
        left = frame.unfinished - elsewhere
        notes["clean"] = (
            f"{cells.counted(left, 'sample')} {'has' if left == 1 else 'have'} no row yet: finish the run with --resume"
        )
    unlabelled = int((frame.labels < 0).sum())
    if frame.labelled and unlabelled:
        notes["labels"] = f"{unlabelled} of {len(frame.ids)} samples have no label and are left out of accuracies"
    if not frame.labelled:
        notes["accuracy"] = "no labels: consistency with the clean prediction is given instead"
    return notes


def _without_rows(source: Source) -> tuple[list[str], list[str]]:
    """Conditions of the plan that have no row: those still to be run, and those that cannot be run.

    Runs of versions that kept no conditions have methods in their place.
    """
    config, there = source.config, {c.id for c in source.frame.conditions}
    if not config.steps:
        return sorted({e.method for e in config.plan} - {c.method for c in source.frame.conditions}), []
    skipped = labels_not_run(source.run.rows("flags", ["name", "detail"]))
    absent = [(step.label in skipped, c) for step in config.steps for c in step.conditions if c not in there]
    return [c for never, c in absent if not never], [c for never, c in absent if never]


def _worst(worst: WorstCase | None) -> Row | None:
    if worst is None:
        return None
    names, counts = worst.conditions, dict.fromkeys(worst.conditions, 0)
    for name in worst.first_breaker:
        if name is not None:
            counts[name] += 1
    return {
        "conditions": list(names),
        "first_broken": counts,
        "broken_by_this_alone": worst.only,
        "after": {name: figure.to_json() for name, figure in worst.after.items()},
    }


def _calibration(error: Any) -> Row | None:
    if error is None:
        return None
    bins = [
        {"low": b.low, "high": b.high, "confidence": b.confidence, "accuracy": b.accuracy.to_json()} for b in error.bins
    ]
    names = ("bias", "p_calibrated", "signed_gap", "max_gap", "binning")
    return {"ece": error.ece.to_json(), **{k: getattr(error, k) for k in names}, "bins": bins}


# Tables of all conditions, and the aggregates over them.


def measured(report: Report) -> str:
    """Name of a report's figures, at the start of a sentence."""
    if report.source.config.task in TASK_FIGURES:
        return TASK_FIGURES[report.source.config.task].title
    return "Accuracy" if report.data["clean"] else "Share of predictions that stay as on the unchanged image"


def condition_tables(report: Report) -> tuple[Table, ...]:
    """The conditions of the model itself, and those that evaluate another predictor, such as one behind a detector."""
    own, data = cells.changes_of(report.data), report.data
    apart = [row for row in data["conditions"] if row not in own]
    clean = {"condition": "clean", "accuracy": data["clean"], "consistency": None}
    found = [_table(report, [*([clean] if data["clean"] else []), *own], "Every change", brief=True)]
    if apart:
        about = (
            "Certificates, whose accuracy is the certified accuracy at their size, targeted attacks, and conditions of "
            "another predictor than the bare model, such as an attacked smoothed one, or the model behind a detector, "
            "where an image that is rejected counts as wrong"
        )
        found.append(_table(report, apart, about))
    return tuple(t for t in found if t.rows)


def _table(report: Report, rows: Sequence[Row], about: str, *, brief: bool = False) -> Table:
    """Accuracy, what was lost, the same prediction, passes; of runs beside this one the accuracy."""
    clean, others = report.data["clean"], [o for o in report.others if o.figures]
    what = "accuracy" if clean else "same prediction"
    heads = cells.columns(
        "condition",
        Column("accuracy", brief=bool(clean)),
        Column("drop", brief=bool(clean)),
        *(Column(f"{what}, {o.name}") for o in others),
        Column("same prediction", brief=not clean),
        *(cells.aside(title) for title in ("images", "forwards", "backwards")),
    )
    lines = []
    for row in rows:
        figure, accuracy = cells.metric(row), row["accuracy"]
        n = figure["n"] if figure else 0
        lost = clean and accuracy and row["condition"] != "clean"
        drop = f"{100 * (clean['value'] - accuracy['value']):.1f}" if lost else ""
        line: list[Cell | Text] = [
            wording.condition_name(row) if "norm" in row else "unchanged",
            cells.share(accuracy),
            drop,
            *(cells.share(o.figures.get(row["condition"])) for o in others),
            cells.share(row["consistency"]),
            str(n),
            *(wording.number(row[k] / n) if n and k in row else "" for k in ("forwards", "backwards")),
        ]
        lines.append(tuple(line))
    caption = (
        f"{about}: accuracy, percentage points below the unchanged images, and the share of predictions that are those "
        "of the unchanged image, with 95 % intervals; passes a sample."
    )
    return Table(caption, heads, tuple(lines), brief=brief)


def _titled(name: str) -> str:
    family = name.removeprefix("mean_error_")
    return TITLES.get(name) or (f"mean error under {family}" if family != name else name)


def aggregates(data: Mapping[str, Any]) -> tuple[Block, ...]:
    """Figures over several conditions, and apart from them those that could not be given, with the reason."""
    there, absent = list[tuple[str, Text]](), list[tuple[str, Text]]()
    for name, figure in data["aggregates"].items():
        if name == NON_FINITE and figure and not figure["value"]:
            continue  # as it should be
        if figure is None:
            reason = data["notes"].get(name) or data["notes"].get("calibration") or "no labels"
            absent.append((_titled(name), Span(f"none: {reason}", "soft")))
        else:
            about = f", n = {figure['n']}, {figure['interval']}; gates call it {name}"
            there.append((_titled(name), (wording.figure_text(name, figure), Span(about, "soft"))))
    return tuple(Facts(tuple(facts), brief=facts is there) for facts in (there, absent) if facts)


section = Outcomes()
