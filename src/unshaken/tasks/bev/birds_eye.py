"""`birds-eye`: boxes on the ground that detectors gave, against labels of one's own, by the length of objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from typing_extensions import override

from unshaken.core.documents import parse_json, read_text
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.core.tables import declare_table
from unshaken.measure import Figure
from unshaken.measure.object_detection.map_figures import Maps, draw_halves, map_difference, map_figure
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.bev.average_precision import area_under, match_boxes
from unshaken.tasks.bev.boxes import BevBoxes, read_kitti, read_nuscenes
from unshaken.tasks.bev.loss_noise import loss_noise
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing

BEV_BOXES = declare_table(
    "bev_boxes",
    "condition string, method string, id string, detector string, name string, length double, score double, "
    "object_length double",
)
"""A true box a row (without a detector), or a detection with the length of the object that it takes."""
OBJECTS = "objects"
DRAWS = 500
"""Halves of the scenes behind an interval."""
Span = tuple[float, float]


@register("birds-eye", reference="Kumar et al. 2024, arXiv:2403.20318")
class BirdsEye(Evaluation):
    """Mean average precision of detectors' boxes in bird's-eye view, in bins of the objects' length.

    Boxes and labels are folders of KITTI's label files, or files of nuScenes' form. The first detector, such as one of
    a single stage, is what further ones, such as one of two stages, are compared with on the same scenes.
    """

    title: ClassVar[str] = "How good are boxes in bird's-eye view?"
    measures: ClassVar[tuple[str, ...]] = ("map", "gain")
    needs: ClassVar[frozenset[str]] = frozenset()

    labels: str = Field(description="true boxes: a folder of KITTI's label files (ID.txt), or a nuScenes file (.json)")
    detections: tuple[str, ...] = Field(
        min_length=1,
        description="detectors' boxes with scores, in either form; others are compared with the first",
    )
    classes: tuple[str, ...] = Field(default=(), description="classes that count; default all that have a true box")
    overlap: float = Field(default=0.5, gt=0, le=1, description="least intersection over union of a match")
    edges: tuple[int, ...] = Field(default=(0, 5, 10, 15, 20), description="ends of the bins of length in metres")
    sigma: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="noise in the depth of labels, in metres, for the theorem"
    )

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.labels, *self.detections)))

    @override
    def check(self, subject: EvaluationSubject) -> None:
        if len(self.edges) < 2 or list(self.edges) != sorted({*self.edges}) or self.edges[0] < 0:
            raise ParameterError(
                f"birds-eye: edges {'+'.join(map(str, self.edges))} must rise from 0 or more, two at least"
            )
        names = list(map(_name, self.detections))
        if twice := next((n for n in names if names.count(n) > 1 or n == OBJECTS), None):
            raise ParameterError(f"birds-eye: two files of boxes are called {twice!r}: rename one")
        if len({*self.classes}) != len(self.classes):
            raise ParameterError("birds-eye: classes names one twice: name each once")

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        objects, scenes = _read(self.labels)
        if objects.scores is not None:
            raise DataError(f"birds-eye: {self.labels} has scores, so these are no labels: name true boxes")
        known = list(dict.fromkeys(objects.classes))
        if unknown := next((name for name in self.classes if name not in known), None):
            raise DataError(f"birds-eye: no true box is of the class {unknown!r}; there are {', '.join(known[:8])}")
        classes = self.classes or tuple(known)
        if not classes:
            raise DataError(f"birds-eye: {self.labels} has no box")
        tables = {OBJECTS: subject.rows("bev_boxes", OBJECTS, lambda: _columns(objects))}
        remarks = []
        for file in self.detections:
            found, given = _read(file)
            name = _name(file)
            if len(found) and found.scores is None:
                raise DataError(f"birds-eye: {file} has no scores: give detections, with a score each")
            subject.bad.update({f"{name} {i}": "it has detections and no labels" for i in sorted(given - scenes)})
            if not given & scenes:
                raise DataError(f"birds-eye: none of the scenes of {file} has labels in {self.labels}: name them alike")
            if absent := len(scenes - given):
                remarks.append(
                    f"{name} has no boxes of {absent} of {len(scenes)} scenes, whose objects count as not found"
                )
            kept = found[np.array([i in scenes for i in found.samples], bool)]

            def make(kept: BevBoxes = kept, name: str = name) -> Mapping[str, Sequence[Any]]:
                return _columns(kept, name, self._lengths(kept, objects, classes))

            tables[name] = subject.rows("bev_boxes", name, make)
        return self._findings(subject, tables, sorted(scenes), classes, remarks)

    def _lengths(self, found: BevBoxes, objects: BevBoxes, classes: Sequence[str]) -> list[float | None]:
        """The length of the object that each detection takes; None for none."""
        lengths: list[float | None] = [None] * len(found)
        for name in classes:
            own = found.of_class(name)
            rows = [i for i, kind in enumerate(found.classes) if kind == name]
            true = objects.of_class(name)
            for i, target in match_boxes(own, true, self.overlap, None) if rows else ():
                lengths[rows[i]] = None if target is None else float(true.boxes[target, 3])
        return lengths

    def _findings(
        self, subject: EvaluationSubject, tables: Mapping[str, Any], scenes: Sequence[str], classes: Sequence[str],
        remarks: Sequence[str],
    ) -> EvaluationFindings:  # fmt: skip
        rng = np.random.default_rng([subject.seed, len(scenes)])
        halves = draw_halves(rng, len(scenes), DRAWS).astype(bool)
        spans: dict[str, Span] = {"all": (0.0, np.inf)}
        spans |= {f"{a}-{b}": (float(a), float(b)) for a, b in pairwise(self.edges)}
        place = {name: i for i, name in enumerate(scenes)}
        objects = _Columns(tables[OBJECTS], place)
        counts = {
            key: int((objects.within(*span) & np.isin(objects.name, classes)).sum()) for key, span in spans.items()
        }
        names = list(map(_name, self.detections))
        figures = dict[str, Figure]()
        lines = {key: list[Figure | None]() for key in spans}
        first = dict[str, Maps]()
        for name in names:
            found = _Columns(tables[name], place)
            for key, span in spans.items():
                if not counts[key] or len(scenes) < 2:
                    lines[key] += [None] * (1 if name == names[0] else 2)
                    continue
                maps = _maps(found, objects, classes, span, halves)
                ending = "" if key == "all" else f"_{key}"
                figures[f"map_{name}{ending}"] = map_figure(maps)
                lines[key].append(figures[f"map_{name}{ending}"])
                if name == names[0]:
                    first[key] = maps
                else:
                    figures[f"gain_{name}{ending}"] = map_difference(first[key], maps)
                    lines[key].append(figures[f"gain_{name}{ending}"])
        if not figures:
            raise DataError(f"birds-eye: {len(scenes)} scenes with {counts['all']} objects of the classes are too few")
        heads = [names[0], *(head for name in names[1:] for head in (name, f"{name} less {names[0]}"))]
        rows = tuple((key if key == "all" else f"{key} m", counts[key], *lines[key]) for key in spans)
        caption = (
            f"mAP at an overlap of {self.overlap:g}, by the length of objects, over {len(scenes):,} scenes; intervals "
            "are over scenes, and detectors are compared on the same ones."
        )
        listings = (Listing(caption, ("length", "objects", *heads), rows), self._noise())
        return EvaluationFindings(
            rows={}, figures=figures, answer=_answer(figures, names, spans), listings=listings, remarks=tuple(remarks),
            extra={"scenes": len(scenes), "classes": list(classes)},
        )  # fmt: skip

    def _noise(self) -> Listing:
        """The theorem on the gradient's noise, at the middle of each bin."""
        rows = []
        for low, high in pairwise(self.edges):
            length = (low + high) / 2
            found = [loss_noise(loss, self.sigma, length) for loss in ("dice", "l1", "l2")]
            rows.append((f"{length:g} m", *(one.variance for one in found), found[0].efficiency))
        caption = (
            f"Variance of the gradient of losses by which depth or maps are learned, at a noise of {self.sigma:g} m in "
            "the depth of labels: that of dice falls with the length. Efficiency of dice: pull squared over variance, "
            "which no rescaling of a loss changes."
        )
        return Listing(caption, ("length", "dice", "L1", "L2", "efficiency of dice"), tuple(rows))


class _Columns:
    """Boxes of a table, the surest first, as arrays."""

    def __init__(self, table: Any, place: Mapping[str, int]) -> None:
        scores = np.array([-np.inf if s is None else -s for s in table["score"].to_pylist()])
        order = np.argsort(scores, kind="stable")
        self.scene = np.array([place[i] for i in table["id"].to_pylist()], np.int64)[order]
        self.name = np.array(table["name"].to_pylist(), object)[order]
        self.length = np.array(table["length"].to_pylist(), np.float64)[order]
        self.target = np.array([np.nan if v is None else v for v in table["object_length"].to_pylist()])[order]

    def within(self, low: float, high: float) -> Any:
        """Whether each box has a length in a span."""
        return (self.length >= low) & (self.length < high)


def _maps(found: _Columns, objects: _Columns, classes: Sequence[str], span: Span, halves: Any) -> Maps:
    """MAP over objects of some lengths, of all scenes and of halves of them."""
    low, high = span
    hit = (found.target >= low) & (found.target < high)
    shown = hit | (np.isnan(found.target) & found.within(low, high))
    counted = objects.within(low, high)

    def value(scenes: Any) -> float:
        values = []
        for name in classes:
            count = int((counted & (objects.name == name) & scenes[objects.scene]).sum())
            if count:
                own = shown & (found.name == name) & scenes[found.scene]
                values.append(area_under(hit[own], count))
        return float(np.mean(values)) if values else float("nan")

    everything = np.ones(halves.shape[1], bool)
    draws: Numbers = np.array([value(half) for half in halves])
    return Maps(value(everything), draws[np.isfinite(draws)] if np.isfinite(draws).any() else draws, halves.shape[1])


def _read(file: str) -> tuple[BevBoxes, set[str]]:
    """Boxes of a folder of KITTI or a file of nuScenes, and the names of all its scenes."""
    if Path(file).is_dir():
        return read_kitti(file), {path.stem for path in Path(file).glob("*.txt")}
    boxes = read_nuscenes(file)
    return boxes, set(parse_json(read_text(Path(file)), file, DataError)["results"])


def _columns(boxes: BevBoxes, detector: str = "", lengths: Sequence[float | None] = ()) -> dict[str, Sequence[Any]]:
    scores: Sequence[float | None] = [None] * len(boxes) if boxes.scores is None else boxes.scores.tolist()
    return {
        "id": list(boxes.samples), "detector": [detector] * len(boxes), "name": list(boxes.classes),
        "length": boxes.boxes[:, 3].tolist(), "score": scores,
        "object_length": list(lengths) or [None] * len(boxes),
    }  # fmt: skip


def _name(file: str) -> str:
    """The name of a detector in figures: that of its file or folder, with `-` for what is no letter or digit."""
    path = Path(file)
    return re.sub(r"[^A-Za-z0-9]+", "-", path.stem if path.suffix == ".json" else path.name).strip("-") or "detector"


def _answer(figures: Mapping[str, Figure], names: Sequence[str], spans: Mapping[str, Span]) -> tuple[str, ...]:
    first = names[0]
    sentences = []
    if (whole := figures.get(f"map_{first}")) is not None:
        sentences.append(f"{first} has a mAP of {whole.value:.3f} ({whole.low:.3f} to {whole.high:.3f}).")
    longest = next((key for key in reversed(list(spans)) if f"map_{first}_{key}" in figures), None)
    for name in names[1:]:
        for key in ("all", longest):
            gain = figures.get(f"gain_{name}" if key == "all" else f"gain_{name}_{key}")
            if gain is not None:
                of = "over all objects" if key == "all" else f"over objects of {key} m"
                word = "more" if gain.low > 0 else "less" if gain.high < 0 else "no difference for sure"
                sentences.append(f"{name} {of}: {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}), {word}.")
    return tuple(sentences)
