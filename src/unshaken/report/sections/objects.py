"""Detection of objects: mAP on unchanged and changed images, by size and class, and pictures with boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure.object_detection.map_figures import resampled_map
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Facts, Heading, Prose, Span, Table, Text, Tile
from unshaken.report.cells import Row
from unshaken.report.drawings import Plot, Plots
from unshaken.report.figures import objects, plots
from unshaken.report.figures.boxed_pictures import boxed_galleries
from unshaken.report.read.objects import find_scene_errors, match_scenes, read_scenes
from unshaken.report.sections import _strengths as strengths
from unshaken.report.sections._error_kinds import error_blocks
from unshaken.report.sections._task_tables import CLASSIFICATION, condition_row, conditions_table, hundredths, lacking
from unshaken.report.sections.section import Report, Section, SectionFigures, Source


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
        scenes = {c.id: read_scenes(source.run, c.id, frame.ids) for c in frame.conditions}
        matches = {name: match_scenes(found, len(names)) for name, found in scenes.items() if found}
        try:
            maps = {name: resampled_map(one, resamples=objects.RESAMPLES) for name, one in matches.items()}
        except ParameterError as error:
            nothing: Row = {"clean": None, "conditions": [], "objects": None}
            return SectionFigures({**CLASSIFICATION, **nothing}, {"map": f"no mAP: {error}"}, complete=False)
        errors = {name: objects.of_errors(find_scene_errors(scenes[name], len(names))) for name in matches}
        clean, rows = objects.of_clean(matches[CLEAN.id]), []
        for one in frame.conditions:
            if one.id == CLEAN.id or one.id not in maps:
                continue
            own = objects.of_condition(maps[CLEAN.id], maps[one.id], matches[one.id])
            rows.append(condition_row(source, one, own | {"errors": errors[one.id]}))
        changed = [maps[row["condition"]] for row in rows]
        worst = min(rows, key=lambda row: float(row["map"]["value"]), default=None)
        shown = [CLEAN.id, *([worst["condition"]] if worst else [])]
        found = {
            **clean,
            "images": matches[CLEAN.id].images,
            "objects": len(matches[CLEAN.id].object_label),
            "errors": errors[CLEAN.id],
            "shifts": objects.of_shifts(maps[CLEAN.id], changed),
            "classes": objects.by_class(matches, names),
            "curves": [{"condition": name, "precision": objects.mean_curve(matches[name])} for name in shown],
        }
        gaps = lacking(source)
        data = {**CLASSIFICATION, "clean": clean["map"], "conditions": rows, "objects": found}
        return SectionFigures(data, gaps, not frame.unfinished and not gaps, scenes)

    @override
    def lead(self, report: Report) -> Sequence[Text]:
        found, clean = report.data["objects"], report.data["clean"]
        if not clean:
            return ()
        source = Span(report.data["provenance"]["data"], "code")
        texts: list[Text] = [
            (
                f"The mAP on {found['images']} unchanged images of ", source, " is ",
                Span(wording.percent(clean["value"]), "strong"), f" ({wording.span(clean)}).",
            )
        ]  # fmt: skip
        if worst := cells.worst_of(report.data["conditions"]):
            name = Span(wording.condition_name(worst), "strong")
            texts.append(
                (name, " lowers it most: ", Span(wording.percent(worst["map"]["value"]), "strong"), " are left.")
            )
        if found["shifts"] and len(report.data["conditions"]) > 1:
            drop = found["shifts"]["relative_drop"]
            texts.append(f"Over all changes {wording.percent(drop['value'])} of it is lost ({wording.span(drop)}).")
        return texts

    @override
    def tiles(self, report: Report) -> Sequence[Tile]:
        clean, found = report.data["clean"], report.data["objects"]
        if not clean:
            return ()
        tiles = [Tile("mAP, unchanged", wording.percent(clean["value"]), wording.span(clean))]
        if worst := cells.worst_of(report.data["conditions"]):
            tiles.append(
                Tile("worst change", wording.percent(worst["map"]["value"]), wording.condition_name(worst), bad=True)
            )
        if found["shifts"] and len(report.data["conditions"]) > 1:
            mean = found["shifts"]["mean"]
            count = len(report.data["conditions"])
            tiles.append(Tile(f"mean of {count} changes", wording.percent(mean["value"]), wording.span(mean), bad=True))
        return tiles

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        found, data = report.data["objects"], report.data
        if not data["clean"]:
            return ()
        curves, heats = strengths.curves(report), strengths.heat_maps(report)
        blocks: list[Block] = [Heading("By strength" if curves or heats else "All figures", "strength", "Strength")]
        if curves:
            blocks += [
                Prose("mAP against the strength of the change, in per cent; the shade is the 95 % interval."),
                *curves,
            ]
        blocks += heats
        blocks += [_conditions(data), _facts(found), _precision(found), Details("Classes", (_classes(found),))]
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


def _precision(found: Mapping[str, Any]) -> Plots:
    traces = []
    for style, one in enumerate(found["curves"]):
        name = "unchanged" if one["condition"] == CLEAN.id else one["condition"]
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


section = DetectedObjects()
