"""Slices: accuracy, mAP or mIoU by properties and metadata of the images, what each condition costs, weak slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.core.rng import SampleRng
from unshaken.measure import Comparison, simultaneous
from unshaken.measure.slice_confidence import slice_confidence
from unshaken.measure.slices import Slicing, find_weak_slices, slice_figures
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Column, Details, Heading, Prose, Table, Text
from unshaken.report.cells import Row
from unshaken.report.figures.outcomes import brier_terms
from unshaken.report.gates.grammar import OF_SLICES
from unshaken.report.read.slices import read_slices
from unshaken.report.read.tasks import SLICE_RESAMPLES, TASK_FIGURES, compare_draws
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.report.sections.outcomes import measured

FEW = 20
"""Slices shown at once."""
NAMED = 3
"""Slices named where there is little room."""
MIXED = (
    "The figure of a slice is the mean over the classes that it has: slices with other classes or sizes of objects "
    "differ for that reason too. What a condition costs is paired on the same images."
)
FIGURE = {"$ref": "#/$defs/figure_or_null"}
_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}


class Slices(Section):
    """Figures by slice; the search for weak slices is on unchanged images, and of classifiers alone."""

    name = "slices"
    table = "slices"
    order = 58
    schema = {
        "slices": {
            "type": "array",
            "description": "accuracy, or of other tasks mAP or mIoU, in each slice under each condition, and its "
            "difference from unchanged images",
            "items": {
                "type": "object",
                "required": ["slicing", "part", "condition", "accuracy", "drop", "confidence"],
                "properties": {
                    "slicing": _TEXT, "part": _TEXT, "condition": _TEXT, "accuracy": FIGURE, "drop": FIGURE,
                    "map": FIGURE, "miou": FIGURE,
                    "confidence": {
                        "type": ["object", "null"],
                        "description": "calibration, and accuracy where the model is surest, of unchanged images; each "
                        "interval holds by itself, p_value is corrected for the slices; null under a condition",
                        "required": [*OF_SLICES, "bias", "signed_gap", "p_value"],
                        "properties": {
                            **dict.fromkeys(OF_SLICES, FIGURE), "bias": _NUMBER, "signed_gap": _NUMBER,
                            "p_value": _NUMBER,
                        },
                    },
                },
            },
        },
        "weak_slices": {
            "type": "array",
            "description": "slices found on one half of the samples, measured on the other half",
            "items": {
                "type": "object",
                "required": ["slice", "images", "found", "accuracy", "gap", "p_value", "confirmed"],
                "properties": {
                    "slice": _TEXT, "images": {"type": "integer"}, "found": _NUMBER, "accuracy": FIGURE, "gap": FIGURE,
                    "p_value": _NUMBER, "confirmed": {"type": "boolean"},
                },
            },
        },
    }  # fmt: skip
    empty = {"slices": [], "weak_slices": []}

    @override
    def figures(self, source: Source) -> SectionFigures:
        frame = source.frame
        if source.config.task in TASK_FIGURES:
            return _of_task(source)
        if not frame.labelled:
            return SectionFigures({}, {"slices": "without labels there is no accuracy of a slice"})
        slicings, shown = read_slices(source.run, frame), [0, *frame.natural, *frame.attacks]
        names, sure = [frame.conditions[j].id for j in shown], _confidence(source, slicings)
        rows = [
            {
                "slicing": one.slicing,
                "part": one.part,
                "condition": names[one.condition],
                "accuracy": one.accuracy.to_json(),
                "drop": one.drop and one.drop.to_json(),
                "confidence": None if one.condition else sure.get((one.slicing, one.part)),
            }
            for one in slice_figures(frame.right[:, shown], slicings)
        ]
        known = frame.right[:, 0] >= 0
        keys = SampleRng.of(source.config.seed, "slices", list(frame.ids)).keys.numpy()
        single = [s for s in slicings if "*" not in s.name]
        own = [type(s)(s.name, s.parts, s.codes[known]) for s in single]
        first = (np.argsort(np.argsort(keys[known], kind="stable")) % 2) == 0
        try:
            weak = find_weak_slices(frame.right[known, 0] == 1, own, first) if own else []
        except ParameterError as error:
            return SectionFigures({"slices": rows, "weak_slices": []}, {"weak_slices": str(error)})
        found = [
            {
                "slice": " and ".join(f"{name} = {part}" for name, part in one.parts),
                "images": int(one.rows.sum()),
                "found": one.found,
                "accuracy": one.accuracy.to_json(),
                "gap": one.gap.to_json(),
                "p_value": one.p_value,
                "confirmed": one.confirmed,
            }
            for one in weak
        ]
        return SectionFigures({"slices": rows, "weak_slices": found})

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        every: list[Row] = report.data["slices"]
        if not every:
            return ()
        parts = Counter(name for name, _ in {(r["slicing"], r["part"]) for r in every})
        rows = [r for r in every if parts[r["slicing"]] > 1] or every
        left_out = [name for name in parts if parts[name] == 1] if len(rows) < len(every) else []
        clean = sorted((r for r in rows if r["condition"] == "clean"), key=lambda r: float(_figure(r)["high"]))
        titles = {c["condition"]: wording.condition_name(c) for c in report.data["conditions"]}
        lines = [_line(r, rows, titles) for r in clean]
        contrasts = _contrasts(rows, titles)
        changed = any(r["drop"] for r in rows)
        start, name = measured(report), _name(report)
        heads = cells.columns("slice", name, *(("costs most", "points") if changed else ()), "images")
        caption = (
            f"{start} on unchanged images, first the slices whose interval ends lowest; the condition that costs most "
            "in each, and the points that it costs. The intervals of all slices and conditions hold together at 95 %."
        )
        found: list[Block] = [Heading("Slices", "slices", "Slices"), Prose(_weakest(clean), brief=True)]
        if apart := [one for one in contrasts if one.apart]:
            found.append(Prose(f"{apart[0].sentence()} Of the slices of one column these differ most.", brief=True))
        if left_out:
            found.append(Prose(f"Columns of one slice are left out: {cells.listed(left_out)}.", "small"))
        if (note := report.data["notes"].get("slices")) is not None:
            found.append(Prose(f"Left out: {note}.", "small"))
        found.append(Table(caption, heads, tuple(lines[:FEW])))
        if lines[FEW:]:
            found.append(Details(f"The other {len(lines) - FEW} slices", (Table(caption, heads, tuple(lines[FEW:])),)))
        if report.source.config.task in TASK_FIGURES:
            return [*found, Prose(MIXED, "small"), *_by_condition(rows, contrasts, titles, name)]
        return [*found, *_by_condition(rows, contrasts, titles, name), *_sure(clean), *_weak(report)]


def _of_task(source: Source) -> SectionFigures:
    """The figure of a task in every slice, under every condition; all of its intervals hold together."""
    task, frame, clean = TASK_FIGURES[source.config.task], source.frame, dict[tuple[str, str], Any]()
    ids, slicings, lost = tuple(frame.ids), read_slices(source.run, frame), dict[str, None]()
    found: list[tuple[str, str, str, Any]] = []
    drops: dict[tuple[str, str, str], Comparison] = {}
    for condition in frame.conditions:
        images = task.read(source.run, condition.id, ids)
        at = {name: i for i, name in enumerate(images.ids)}
        places = np.array([at.get(name, -1) for name in ids], np.int64)
        for one in slicings:
            for k, part in enumerate(one.parts):
                rows = np.flatnonzero((one.codes == k) & (places >= 0))
                try:
                    own = images.resample(places[rows], SLICE_RESAMPLES)
                except ParameterError:
                    lost[wording.slice_name(one.name, part)] = None
                    continue
                found.append((one.name, part, condition.id, own))
                if condition.id == CLEAN.id:
                    clean[one.name, part] = rows, own
                elif (one.name, part) in clean and np.array_equal(clean[one.name, part][0], rows):
                    before = clean[one.name, part][1]
                    drops[one.name, part, condition.id] = compare_draws(before, own, np.zeros(len(rows)))
    drops, each = simultaneous(drops), 1 - 0.05 / max(1, len(found))
    data = [
        {
            "slicing": slicing,
            "part": part,
            "condition": condition,
            "accuracy": None,
            task.metric: task.figure(own, level=each).to_json(),
            "drop": drops[key].difference.to_json() if (key := (slicing, part, condition)) in drops else None,
            "confidence": None,
        }
        for slicing, part, condition, own in found
    ]
    notes = {"slices": f"too few images or no object for {task.title}: {'; '.join(lost)}"} if lost else {}
    return SectionFigures({"slices": data, "weak_slices": []}, notes)


def _figure(row: Row) -> Row:
    """The figure of a slice, whatever the task."""
    found: Row = row["accuracy"] or row.get("map") or row["miou"]
    return found


def _name(report: Report) -> str:
    """What the figures are called inside a sentence."""
    task = report.source.config.task
    return TASK_FIGURES[task].title if task in TASK_FIGURES else "accuracy"


def _confidence(source: Source, slicings: Sequence[Slicing]) -> dict[tuple[str, str], Row]:
    """What `summary.json` says of the confidence in each slice, from samples with a label and a finite confidence."""
    frame = source.frame
    use = (frame.right[:, 0] >= 0) & np.isfinite(frame.confidence)
    if not slicings or not use.any():
        return {}
    _, terms = brier_terms(frame, source.run)
    own = [Slicing(s.name, s.parts, s.codes[use]) for s in slicings]
    found = slice_confidence(frame.confidence[use].clip(0, 1), frame.right[use, 0] == 1, terms[use], own)
    return {
        (one.slicing, one.part): {
            "bias": one.bias,
            "signed_gap": one.signed_gap,
            "p_value": one.p_value,
            **{name: figure and figure.to_json() for name in OF_SLICES for figure in [getattr(one, name)]},
        }
        for one in found
    }


def _line(row: Row, rows: Sequence[Row], titles: dict[str, str]) -> tuple[Any, ...]:
    same = [r for r in rows if r["drop"] and (r["slicing"], r["part"]) == (row["slicing"], row["part"])]
    worst = min(same, key=lambda r: float(r["drop"]["value"]), default=None)
    costs: tuple[Cell | Text, ...] = ()
    if worst is not None:
        name = str(worst["condition"])
        costs = (titles.get(name, name), cells.points(worst["drop"]))
    if not costs and any(r["drop"] for r in rows):
        costs = ("", "")
    return cells.line(_title(row), cells.share(_figure(row), bar=True), *costs, str(_figure(row)["n"]))


def _title(row: Row) -> str:
    return wording.slice_name(row["slicing"], row["part"])


def _weakest(clean: Sequence[Row]) -> str:
    """The slices whose interval ends lowest, in a sentence."""
    named = [f"{_title(r)} ({wording.percent(_figure(r)['value'])}, {wording.span(_figure(r))})" for r in clean[:NAMED]]
    which = f"Lowest of {len(clean)} slices, by the upper end of the interval" if len(clean) > NAMED else "Slices"
    return f"{which}, on unchanged images: {cells.listed(named)}."


class _Contrast(NamedTuple):
    """The two slices of one column that a condition costs most differently.

    Args:
        condition: its title.
        most: the slice that it costs most.
        least: the slice that it costs least.
    """

    condition: str
    most: Row
    least: Row

    @property
    def points(self) -> float:
        """By how much the costs differ."""
        return 100 * (float(self.least["drop"]["value"]) - float(self.most["drop"]["value"]))

    @property
    def apart(self) -> bool:
        """Whether the intervals of the two costs are apart."""
        return bool(self.most["drop"]["high"] < self.least["drop"]["low"])

    def sentence(self) -> str:
        """Both costs in words: `Where weather = night, fog costs 31.0 points; where weather = day, it costs 9.0.`."""
        costs, other = (0.0 - 100 * float(r["drop"]["value"]) for r in (self.most, self.least))
        less = f"costs {other:.1f}" if other >= 0 else f"gains {-other:.1f}"
        return (
            f"Where {_title(self.most)}, {self.condition} costs {costs:.1f} points; where {_title(self.least)}, it "
            f"{less}."
        )


def _contrasts(rows: Sequence[Row], titles: dict[str, str]) -> list[_Contrast]:
    """Each condition's clearest contrast, of intervals that are apart where there are such; the largest first."""
    columns: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row["drop"]:
            columns.setdefault(row["condition"], {}).setdefault(row["slicing"], []).append(row)
    found = []
    for name, own in columns.items():
        title, pairs = titles.get(name, name), list[_Contrast]()
        for parts in own.values():
            ordered = sorted(parts, key=lambda r: float(r["drop"]["value"]))
            if len(ordered) > 1:
                pairs.append(_Contrast(title, ordered[0], ordered[-1]))
        if pairs:
            found.append(max(pairs, key=lambda one: (one.apart, one.points)))
    return sorted(found, key=lambda one: -one.points)


def _by_condition(
    rows: Sequence[Row], contrasts: Sequence[_Contrast], titles: dict[str, str], figure: str
) -> list[Block]:
    """What each condition costs in the slices: the clearest contrast of each, and all costs behind a title."""
    if not contrasts:
        return []
    heads = (
        Column("condition", number=False), Column("costs most where", number=False), Column("points"),
        Column("and least where", number=False), Column("points"), Column("apart", number=False),
    )  # fmt: skip
    lines = tuple(
        cells.line(
            one.condition, _title(one.most), cells.points(one.most["drop"]), _title(one.least),
            cells.points(one.least["drop"]), "yes" if one.apart else "not shown",
        )
        for one in contrasts
    )  # fmt: skip
    caption = (
        f"The two slices of one column that each condition costs most differently, in points of {figure}. They are "
        "apart where their intervals are, which hold together with those of all slices and conditions at 95 %."
    )
    whole = [_costs(name, rows, titles, figure) for name in dict.fromkeys(r["slicing"] for r in rows)]
    return [
        Heading("What each condition costs, by slice", "slices-by-condition", level=3),
        Table(caption, heads, lines),
        Details("All costs by slice and condition", tuple(whole)),
    ]


def _costs(slicing: str, rows: Sequence[Row], titles: dict[str, str], figure: str) -> Table:
    """What every condition costs in each slice of a column, coloured by the cost."""
    own = [r for r in rows if r["slicing"] == slicing and r["drop"]]
    parts = list(dict.fromkeys(r["part"] for r in own))
    at = {(r["condition"], r["part"]): r["drop"] for r in own}
    lines = []
    for name in dict.fromkeys(r["condition"] for r in own):
        found: list[Cell | Text] = []
        for part in parts:
            drop = at.get((name, part))
            if drop is None:
                found.append("")
                continue
            shown = cells.points(drop)
            text = f"{titles.get(name, name)}, {wording.slice_name(slicing, part)}: {shown.text} ({shown.interval})"
            found.append(Cell(shown.text, heat=round(max(0.0, -drop["value"]), 3), title=text))
        lines.append((titles.get(name, name), *found))
    heads = cells.columns("condition", *parts)
    return Table(f"Points of {figure} by {slicing}; intervals are in summary.json.", heads, tuple(lines), "heat")


def _sure(clean: Sequence[Row]) -> list[Block]:
    """Calibration and selective prediction in each slice; first those where confidence and accuracy differ clearest."""
    rows = sorted(
        (r for r in clean if r["confidence"]),
        key=lambda r: (r["confidence"]["p_value"], -r["confidence"]["ece"]["value"] + r["confidence"]["bias"]),
    )
    if not rows:
        return []
    off = [r for r in rows if r["confidence"]["p_value"] < 0.05]
    gaps = [
        f"{_title(r)} ({abs(gap):.1f} points {'less' if gap > 0 else 'more'} than its accuracy)"
        for r in off[:NAMED]
        for gap in [100 * float(r["confidence"]["signed_gap"])]
    ]
    text = f"In none of {cells.counted(len(rows), 'slice')} are confidence and accuracy shown to differ."
    if off:
        text = (
            f"In {len(off)} of {cells.counted(len(rows), 'slice')} confidence and accuracy differ by more than chance. "
            f"Mean confidence, where that is clearest: {cells.listed(gaps)}."
        )
    heads = cells.columns(
        "slice", "calibration error", "by chance alone", "p, corrected", "Brier score", "AURC",
        "accuracy at 80 % coverage", "images",
    )  # fmt: skip
    lines = [
        cells.line(
            _title(r), cells.share(own["ece"]), wording.percent(own["bias"]), f"{own['p_value']:.2g}",
            cells.value(own["brier"]), cells.value(own["aurc"]), cells.share(own["accuracy_at_80"]),
            str(own["ece"]["n"]),
        )
        for r in rows
        for own in [r["confidence"]]
    ]  # fmt: skip
    caption = (
        "Expected calibration error, and what a calibrated model would have on as many images; the p-values are "
        "corrected for the number of slices. AURC is the mean share of errors as the model answers the images it is "
        "surest of first, to all of them. Each 95 % interval holds by itself."
    )
    found: list[Block] = [
        Heading("Confidence by slice, on unchanged images", "slices-confidence", level=3),
        Prose(text),
        Table(caption, heads, tuple(lines[:FEW])),
    ]
    if lines[FEW:]:
        found.append(Details(f"The other {len(lines) - FEW} slices", (Table(caption, heads, tuple(lines[FEW:])),)))
    return found


def _weak(report: Report) -> list[Block]:
    """The slices that were found, and what the other half of the images says of them."""
    note = report.data["notes"].get("weak_slices")
    heading, rows = Heading("Weak slices", "weak-slices"), report.data["weak_slices"]
    if note:
        return [heading, Prose(f"Not searched: {note}.")]
    if not rows:
        return [heading, Prose("On one half of the images no slice of one or two columns stood out as weak.")]
    heads = (
        Column("slice", number=False), Column("accuracy"), Column("less than elsewhere, points"),
        Column("p, corrected"), Column("images"), Column("confirmed", number=False),
    )  # fmt: skip
    lines = tuple(
        cells.line(
            r["slice"], cells.share(r["accuracy"]), cells.points(r["gap"]), f"{r['p_value']:.2g}",
            str(r["accuracy"]["n"]), "yes" if r["confirmed"] else "no",
        )
        for r in rows
    )  # fmt: skip
    confirmed = sum(r["confirmed"] for r in rows)
    text = (
        f"All slices of one column and of two were searched on one half of the images, and the {len(rows)} clearest "
        f"were measured on the other half: {confirmed} of them {'is' if confirmed == 1 else 'are'} confirmed. The "
        "chance that any slice is confirmed which is not worse than the other images is 5 % at most."
    )
    return [
        heading,
        Prose(text, brief=True),
        Table("Slices found, as they are on the other half of the images.", heads, lines),
    ]


section = Slices()
