"""Detection of objects: mAP on unchanged and changed images, by size and class, and pictures with boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure.object_detection.average_precision import average_precision, precision_recall_curve
from unshaken.measure.object_detection.errors import KINDS, REPAIRS, cost_figures, find_errors
from unshaken.measure.object_detection.map_figures import Maps, map_difference, map_figure, resampled_map, shifted_map
from unshaken.measure.object_detection.matching import AREAS, Matches
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Details, Facts, Heading, Prose, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.drawings import Plot, Plots
from unshaken.report.figures import plots
from unshaken.report.figures.scene_pictures import boxed_galleries
from unshaken.report.read.tasks import Scene, match_scenes, read_scenes
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.report.sections._task_tables import (
    CLASSIFICATION,
    condition_row,
    conditions_table,
    hundredths,
    lacking,
    opening,
    strength_blocks,
)

RESAMPLES = 200
"""Halves of the images behind an interval."""
AP50, AP75 = 0, 5
"""Places of two thresholds."""
TITLES = {
    "class": "wrong class",
    "location": "wrong place",
    "both": "class and place",
    "duplicate": "repeated",
    "background": "background",
    "missed": "missed",
}
"""What the kinds are called in tables."""


class DetectedObjects(Section):
    """How well objects are found, unchanged and under every change."""

    name = "objects"
    table = "detections"
    task = "detection"
    order = 10
    schema = {
        "objects": {
            "type": ["object", "null"],
            "description": "Figures of a detector of objects; null for a classifier.",
        }
    }
    empty = {"objects": None}

    @override
    def figures(self, source: Source) -> SectionFigures:
        frame, names = source.frame, source.config.classes
        ids = tuple(frame.ids)
        scenes = {c.id: read_scenes(source.run, c.id, ids) for c in frame.conditions}
        matches = {name: match_scenes(found, len(names)) for name, found in scenes.items() if found}
        try:
            maps = {name: resampled_map(one, resamples=RESAMPLES) for name, one in matches.items()}
        except ParameterError as error:
            nothing: Row = {"clean": None, "conditions": [], "objects": None}
            return SectionFigures({**CLASSIFICATION, **nothing}, {"map": f"no mAP: {error}"}, complete=False)
        errors = {name: of_errors(scenes[name], len(names)) for name in matches}
        unchanged, rows = matches[CLEAN.id], []
        clean = {
            "map": figure_of(unchanged),
            "ap50": figure_of(unchanged, threshold=AP50),
            "ap75": figure_of(unchanged, threshold=AP75),
            **{area: figure_of(unchanged, area=area) for area in AREAS if area != "all"},
        }
        for one in frame.conditions:
            if one.id == CLEAN.id or one.id not in maps:
                continue
            same = maps[CLEAN.id].images == maps[one.id].images  # else there are no pairs
            own = {
                "map": map_figure(maps[one.id]).to_json(),
                "ap50": figure_of(matches[one.id], threshold=AP50),
                "difference": map_difference(maps[CLEAN.id], maps[one.id]).to_json() if same else None,
                "errors": errors[one.id],
            }
            rows.append(condition_row(source, one, own))
        changes = cells.changes_of({"conditions": rows})
        changed = [maps[row["condition"]] for row in changes]
        worst = min(changes, key=lambda row: float(row["map"]["value"]), default=None)
        shown = [CLEAN.id, *([worst["condition"]] if worst else [])]
        found = {
            **clean,
            "images": matches[CLEAN.id].images,
            "objects": len(matches[CLEAN.id].object_label),
            "errors": errors[CLEAN.id],
            "shifts": of_shifts(maps[CLEAN.id], changed),
            "classes": by_class({name: one for name, one in matches.items() if name not in frame.apart}, names),
            "curves": [{"condition": name, "precision": mean_curve(matches[name])} for name in shown],
        }
        gaps = lacking(source)
        data = {**CLASSIFICATION, "clean": clean["map"], "conditions": rows, "objects": found}
        return SectionFigures(data, gaps, not frame.unfinished and not gaps, scenes)

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        found, clean = report.data["objects"], report.data["clean"]
        if not clean:
            return ()
        texts = opening(report, "mAP", "map", found["images"])
        if found["shifts"] and len(cells.changes_of(report.data)) > 1:
            drop = found["shifts"]["relative_drop"]
            texts.append(f"Over all changes {wording.percent(drop['value'])} of it is lost ({wording.span(drop)}).")
        return texts

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        clean, found = report.data["clean"], report.data["objects"]
        if not clean:
            return ()
        tiles = [Tile("mAP, unchanged", wording.percent(clean["value"]), wording.span(clean))]
        if worst := cells.worst_of(cells.changes_of(report.data)):
            tiles.append(
                Tile("worst change", wording.percent(worst["map"]["value"]), wording.condition_name(worst), bad=True)
            )
        count = len(cells.changes_of(report.data))
        if found["shifts"] and count > 1:
            mean = found["shifts"]["mean"]
            tiles.append(Tile(f"mean of {count} changes", wording.percent(mean["value"]), wording.span(mean), bad=True))
        return tiles

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        found, data = report.data["objects"], report.data
        if not data["clean"]:
            return ()
        blocks = strength_blocks(report, "mAP")
        blocks += [_conditions(data), _facts(found), _precision(data), Details("Classes", (_classes(found),))]
        blocks += error_blocks(data)
        pictures = boxed_galleries(report.source, report.kept[self.name], data["conditions"])
        if pictures:
            text = (
                "Objects are outlined in green, detections of score 0.5 and more in orange; first the images whose F1 "
                "score fell most."
            )
            blocks += [Heading("Examples", "examples", "Examples"), Prose(text), *pictures]
        return blocks


def _conditions(data: Mapping[str, Any]) -> Table:
    about = "mAP (mean over overlaps of .50 to .95 and classes) and AP50, with 95 % intervals from halves of the images"
    return conditions_table(data, data["objects"], {"map": "mAP", "ap50": "AP50"}, about)


def _facts(found: Mapping[str, Any]) -> Facts:
    lines: list[tuple[str, Text]] = [("images, objects", f"{found['images']:,}, {found['objects']:,}")]
    names = {"ap75": "AP75", "small": "mAP of small objects", "medium": "of medium ones", "large": "of large ones"}
    lines += [(title, _text(found[key])) for key, title in names.items() if found[key]]
    if shifts := found["shifts"]:
        lines.append(("relative drop over all changes", _text(shifts["relative_drop"])))
        value = shifts["effective_robustness"]
        about = " above 0.45 of the clean mAP, the line of detectors that were trained on COCO alone"
        lines.append(
            ("effective robustness", f"{cells.points(value).text} points ({cells.points(value).interval}){about}")
        )
    return Facts(tuple(lines))


def _text(figure: Row) -> str:
    return f"{wording.percent(figure['value'])} ({wording.span(figure)})"


def _precision(data: Mapping[str, Any]) -> Plots:
    names = {CLEAN.id: "unchanged"} | {row["condition"]: wording.condition_name(row) for row in data["conditions"]}
    traces = []
    for style, one in enumerate(data["objects"]["curves"]):
        name = names[one["condition"]]
        marks = [
            plots.point(recall, {"value": p, "low": p, "high": p}, f"recall {recall} %: {wording.percent(p)}")
            for recall, p in enumerate(one["precision"])
        ]
        traces.append(plots.curve(name, style, marks, marked=False))
    ticks = tuple((float(x), str(x)) for x in range(0, 101, 25))
    text = "Precision against recall at an overlap of 0.5, the mean over classes, unchanged and under the worst change."
    return Plots((Plot("Precision against recall, %", "recall, %", ticks, tuple(traces), None, text),), "half")


def _classes(found: Mapping[str, Any]) -> Table:
    heads = cells.columns("class", "AP", "mean under changes", "objects")
    rows = tuple(
        (r["name"], hundredths(r["ap"]), hundredths(r["ap_changed"]), str(r["objects"])) for r in found["classes"]
    )
    return Table("Average precision of each class that has objects, in per cent, the weakest first.", heads, rows)


def figure_of(matches: Matches, **chosen: Any) -> Row | None:
    """MAP of some thresholds or areas; None where there is no such object."""
    try:
        return map_figure(resampled_map(matches, resamples=RESAMPLES, **chosen)).to_json()
    except ParameterError:
        return None


def of_errors(scenes: Mapping[str, Scene], classes: int) -> Row | None:
    """How many errors there are of each kind, and the AP at an overlap of 0.5 that each costs; None without objects."""
    errors = find_errors([s.found for s in scenes.values()], [s.objects for s in scenes.values()], classes)
    try:
        costs = cost_figures(errors, resamples=RESAMPLES)
    except ParameterError:
        return None
    return {"counts": errors.counts(), "costs": {name: one and one.to_json() for name, one in costs.items()}}


def of_shifts(clean: Maps, changed: Sequence[Maps]) -> Row | None:
    """The mean over all changes, the relative drop, and effective robustness by COCO-O's line."""
    if not changed or clean.value == 0:
        return None
    found = shifted_map(clean, changed)
    return {
        "mean": found.mean.to_json(),
        "relative_drop": found.relative_drop.to_json(),
        "effective_robustness": found.effective_robustness.to_json(),
    }


def by_class(matches: Mapping[str, Matches], names: Sequence[str]) -> list[Row]:
    """Average precision of each class that has objects, unchanged and the mean over all changes; the weakest first."""
    values = {name: average_precision(one).mean(0) for name, one in matches.items()}
    others = [v for name, v in values.items() if name != CLEAN.id]
    counts = np.bincount(matches[CLEAN.id].object_label, minlength=len(names))
    found = [
        {
            "class": k,
            "name": names[k] if k < len(names) else str(k),
            "objects": int(counts[k]),
            "ap": float(value),
            "ap_changed": mean_there([float(v[k]) for v in others]),
        }
        for k, value in enumerate(values[CLEAN.id])
        if not np.isnan(value)
    ]
    return sorted(found, key=lambda row: (row["ap"], row["class"]))


def mean_curve(matches: Matches) -> list[float]:
    """Precision at 101 recalls and an overlap of 0.5, the mean over classes that have objects."""
    labels = np.unique(matches.object_label[~matches.object_ignored[0]])
    return [float(p) for p in np.mean([precision_recall_curve(matches, int(k)) for k in labels], 0)]


def mean_there(values: Sequence[float]) -> float | None:
    """The mean of those that are numbers; None without any, as of a class that has left all the images."""
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else None


def error_blocks(data: Mapping[str, Any]) -> Sequence[Block]:
    """A table of costs, and what costs most under the strongest change; nothing where no kind was found.

    Args:
        data: `summary.json` of a detector.
    """
    rows = [("unchanged", data["objects"]["errors"])]
    rows += [(wording.condition_name(row), row["errors"]) for row in data["conditions"]]
    rows = [(name, errors) for name, errors in rows if errors]
    if not rows:
        return ()
    about = "AP at an overlap of 0.5 that would be gained if the errors of one kind alone were repaired, in points"
    heads = cells.columns("condition", *(TITLES[name] for name in KINDS))
    shares = Table(
        f"{about}; the stronger the colour, the larger the kind's share of the costs of all six.",
        heads,
        tuple((name, *_shares(errors)) for name, errors in rows),
        kind="heat",
    )
    every = Table(
        f"{about}, with 95 % intervals from halves of the images. Costs do not add up to what is missing.",
        (*heads, *cells.columns("", "all false", "not found")[1:]),
        tuple((name, *(cells.points(errors["costs"][kind]) for kind in REPAIRS)) for name, errors in rows),
    )
    numbers = Table(
        "Number of errors of each kind.",
        heads,
        tuple((name, *(f"{errors['counts'][kind]:,}" for kind in KINDS)) for name, errors in rows),
    )
    title = Heading("Kinds of errors", "errors", "Errors")
    return (title, Prose(_words(data)), shares, Details("Intervals and numbers of errors", (every, numbers)))


def _shares(errors: Row) -> list[Cell]:
    """The costs of a condition in points, coloured by their share of the sum of all kinds."""
    costs = errors["costs"]
    total = sum(max(0.0, one["value"]) for name in KINDS if (one := costs[name]))
    found = []
    for name in KINDS:
        if (one := costs[name]) is None:
            found.append(Cell(""))
            continue
        share = max(0.0, one["value"]) / total if total > 0 else 0.0
        number = cells.counted(errors["counts"][name], "error")
        text = f"{TITLES[name]}: {number}, {wording.percent(share, 0)} of the costs of all kinds"
        found.append(Cell(f"{100 * one['value']:.1f}", heat=share, title=text))
    return found


def _words(data: Mapping[str, Any]) -> str:
    """Errors that cost most unchanged and under the strongest change."""
    worst = cells.worst_of([row for row in cells.changes_of(data) if row["errors"]])
    places = [("On unchanged images", data["objects"]["errors"])]
    places += [(f"Under {wording.condition_name(worst)}", worst["errors"])] if worst else []
    sentences = []
    for where, errors in places:
        known = {name: one["value"] for name in KINDS if errors and (one := errors["costs"][name])}
        if known and (most := max(known, key=known.__getitem__)) and known[most] > 0:
            sentences.append(f"{where} errors of the kind '{TITLES[most]}' cost most: {100 * known[most]:.1f} points.")
    return " ".join([*sentences, "The kinds are those of TIDE."])


section = DetectedObjects()
