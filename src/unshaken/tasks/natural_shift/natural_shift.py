"""`natural-shift`: accuracy on photos found elsewhere, such as ImageNet-R, against a line of baseline models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.oracle import required
from unshaken.core.registry import register
from unshaken.core.tables import declare_table
from unshaken.data import Dataset
from unshaken.measure import Figure, compare, effective_robustness
from unshaken.measure.statistics.intervals import share
from unshaken.measure.statistics.paired import newcombe
from unshaken.models.class_names import ClassNames
from unshaken.models.loaders.check import count_outputs
from unshaken.models.loaders.load import second_model
from unshaken.models.within import published_set
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.natural_shift.baselines import PUBLISHED, Baseline, read_baselines

NATURAL_SHIFT = declare_table(
    "natural_shift",
    "id string, condition string, method string, label int64, name string, prediction int64, predicted string, "
    "correct bool",
)
"""An image a row: the data's class, and the model's best class among those that the shifted set stands for."""
SHIFTED, STANDARD, BEFORE = "shifted", "standard", "before"
_FEWEST = 2


@dataclass(frozen=True, slots=True)
class ClassGroups:
    """Which classes of a model each class of a data set stands for.

    Args:
        groups: numbers of the model's classes, for each class of the data.
        names: of the model's classes.
    """

    groups: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]

    @property
    def allowed(self) -> list[int]:
        """All classes of the model that some class of the data stands for, in order."""
        return sorted({k for group in self.groups for k in group})


def group_classes(dataset: Dataset, classifier: Classifier, outputs: int) -> ClassGroups:
    """Find the classes of a model that each class of a data set stands for.

    A class of the data is found by name, synonym, WordNet id or number; one that is called `a; b` stands for both, so
    that either answer is right.

    Args:
        dataset: with classes, or with labels that number the model's.
        classifier: the model.
        outputs: number K of its classes.

    Raises:
        DataError: a class is not found, is ambiguous, or stands for a class that another one stands for, too.
    """
    own = classifier.classes or tuple(str(k) for k in range(outputs))
    names, wanted = ClassNames(own), dataset.classes
    if not wanted:
        return ClassGroups(tuple((k,) for k in range(outputs)), tuple(own))
    if dataset.several_answers:
        found = [{k for part in name.split("; ") for k in names.find(part)} for name in wanted]
        if absent := [name for name, group in zip(wanted, found, strict=True) if len(group) != len(name.split("; "))]:
            raise DataError(
                f"data {dataset.options.spec!r}: {absent[0]!r} are not all classes of model {classifier.name!r}, "
                f"which has {outputs}"
            )
        return ClassGroups(tuple(tuple(sorted(group)) for group in found), tuple(own))
    if classifier.by_position or (names.unnamed and len(wanted) == outputs and not _numbered(wanted)):
        if len(wanted) > outputs:
            raise DataError(f"data {dataset.options.spec!r} has {len(wanted)} classes, and the model {outputs}")
        return ClassGroups(tuple((k,) for k in range(len(wanted))), tuple(own))
    groups, taken = list[tuple[int, ...]](), dict[int, str]()
    for name in wanted:
        group = set[int]()
        for part in filter(None, (one.strip() for one in name.split(";"))):
            hits = names.find(part)
            if len(hits) != 1:
                what = "is ambiguous" if hits else f"is no class of model {classifier.name!r}"
                near = f"; near are {', '.join(map(repr, names.nearest(part)))}" if names.nearest(part) else ""
                raise DataError(
                    f"data {dataset.options.spec!r}: class {part!r} {what}{near}: say what it is by ?classes=FILE with "
                    "lines of folder, tab, and the model's classes divided by ;"
                )
            group.add(hits[0])
        for k in group:
            if (other := taken.setdefault(k, name)) != name:
                raise DataError(
                    f"data {dataset.options.spec!r}: {other!r} and {name!r} both stand for the model's class {own[k]!r}"
                )
        groups.append(tuple(sorted(group)))
    return ClassGroups(tuple(groups), tuple(own))


def _numbered(names: Sequence[str]) -> bool:
    return all(name.isascii() and name.isdecimal() for name in names)


@register("natural-shift", reference="Taori et al. 2020, arXiv:2007.00644")
class NaturalShift(Evaluation):
    """Accuracy on a naturally shifted set, and effective robustness: what it has beyond a line of baseline models.

    The set's classes are found by WordNet id, name or number, and predictions are made among them alone, on the
    standard test set too, of which only images of these classes count. Where a class of the set stands for several of
    the model's, such as in ObjectNet, each of them is right.
    """

    title: ClassVar[str] = "Does it hold on photos found elsewhere?"
    measures: ClassVar[tuple[str, ...]] = (
        "accuracy", "worst_group_accuracy", "standard_accuracy", "drop", "effective_robustness", "relative_robustness",
    )  # fmt: skip

    standard: str = Field(default="", description="data SPEC of the test set without the shift, such as folder:val")
    standard_accuracy: float | None = Field(
        default=None, gt=0, lt=1, description="the model's accuracy without the shift, where standard is not given"
    )
    set: str = Field(
        default="", description="set in the baselines, such as imagenet-v2; default found for ImageNet-A and ImageNet-R"
    )
    baselines: str = Field(
        default="", description="CSV of model, standard, shifted (and set); default the published ones"
    )
    leave_out: tuple[str, ...] = Field(default=(), description="baselines to leave out, such as the model itself")
    group: str = Field(
        default="", description="column of the data, such as hospital, in whose worst group the accuracy is measured"
    )
    before: str = Field(default="", description="SPEC of the model before an intervention, for relative robustness")

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return (self.standard,) if self.standard else ()

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return (self.baselines,) if self.baselines else ()

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.before,) if self.before else ()

    @override
    def check(self, subject: EvaluationSubject) -> None:
        if self.standard and self.standard_accuracy is not None:
            raise ParameterError("natural-shift: standard and standard_accuracy say the same thing: give one of them")
        if self.baselines and not (self.standard or self.standard_accuracy):
            raise ParameterError(
                "natural-shift: a line of baselines needs the accuracy without the shift: give standard=SPEC or "
                "standard_accuracy"
            )
        self._baselines(subject)
        if self.group and self.group not in (columns := subject.samples.columns()):
            raise ParameterError(
                f"natural-shift: the data have no column {self.group!r}; {did_you_mean(self.group, columns)}"
            )

    def _baselines(self, subject: EvaluationSubject) -> list[Baseline]:
        name = self.set or published_set(subject.samples.classes).lower()
        if not self.baselines and not name:
            return []
        return read_baselines(Path(self.baselines) if self.baselines else PUBLISHED, name, self.leave_out)

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        rows = {SHIFTED: self._rows(subject, SHIFTED, subject.samples)}
        if self.before:
            other = replace(subject, models={self.before: second_model(self.before).to(subject.device)})
            rows[BEFORE] = self._rows(other, BEFORE, subject.samples)
        if self.standard:
            rows[STANDARD] = self._rows(subject.with_data(self.standard), STANDARD, subject.samples)
        found = self._findings(rows, self._baselines(subject))
        if not self.group:
            return found
        groups = dict(zip(subject.samples.ids, subject.samples.columns()[self.group], strict=True))
        worst, answer, listing = _by_group(rows[SHIFTED], groups, self.group)
        return replace(
            found, figures={**found.figures, "worst_group_accuracy": worst}, answer=(*found.answer, answer),
            listings=(listing, *found.listings),
        )  # fmt: skip

    def _rows(self, subject: EvaluationSubject, part: str, shifted: Dataset) -> pa.Table:
        found = subject.rows("natural_shift", part, partial(self._predict, subject, shifted))
        if not len(found):
            raise DataError(f"natural-shift: no image of {subject.samples.options.spec!r} is of the set's classes")
        return found

    def _predict(self, subject: EvaluationSubject, shifted: Dataset) -> Mapping[str, Sequence[Any]]:
        """Rows of a subject's images; those of other classes than the shifted set's are neither read nor classified."""
        found = {key: list[Any]() for key in ("id", "label", "name", "prediction", "predicted", "correct")}
        data = subject.samples
        if data.labels is None:
            raise DataError(f"natural-shift: data {data.options.spec!r} has no labels")
        first = next(iter(subject.batches()), None)
        if first is None:
            return found
        outputs = count_outputs(subject.model, first.images)
        groups, own = (group_classes(one, subject.model, outputs) for one in (shifted, data))
        allowed = torch.tensor(range(outputs) if subject.model.within == "all" else groups.allowed)
        home = {k: g for g, group in enumerate(groups.groups) for k in group}
        index = {c: home[group[0]] for c, group in enumerate(own.groups) if group and group[0] in home}
        named = shifted
        if shifted.several_answers:  # a class is in several sets, so that an image has the classes of its own set
            groups, index, named = own, {c: c for c in index}, data
        chosen = [i for i in subject.indices if int(data.labels[i]) in index]
        for batch in replace(subject, indices=chosen).batches():
            with torch.inference_mode():
                logits = subject.model(batch.images).float().cpu()
            kept = subject.keep_finite(logits, batch.ids).tolist()
            best = allowed[logits[:, allowed].argmax(1)].tolist()
            for id, label, answer, finite in zip(batch.ids, required(batch.labels).tolist(), best, kept, strict=True):
                if finite:
                    group = index[label]
                    name = named.classes[group] if named.classes else groups.names[group]
                    values = (id, group, name, answer, groups.names[answer], answer in groups.groups[group])
                    for key, value in zip(found, values, strict=True):
                        found[key].append(value)
        return found

    def _findings(self, rows: Mapping[str, pa.Table], baselines: Sequence[Baseline]) -> EvaluationFindings:
        right = {part: table["correct"].to_numpy(zero_copy_only=False) for part, table in rows.items()}
        hits = {part: (int(one.sum()), len(one)) for part, one in right.items()}
        figures = {"accuracy": share(*hits[SHIFTED])}
        classes = len(set(rows[SHIFTED]["label"].to_pylist()))
        answer = [f"{_shown(figures['accuracy'])} of {hits[SHIFTED][1]:,} images of {classes:,} classes are right."]
        remarks, lines = list[str](), list[tuple[str | float | Figure | None, ...]]()
        standard, counted = self.standard_accuracy, 0
        if STANDARD in hits:
            figures["standard_accuracy"] = share(*hits[STANDARD])
            (k1, n1), (k0, n0) = hits[SHIFTED], hits[STANDARD]
            figures["drop"] = newcombe((k0, k1), (n0, n1))
            standard, counted = figures["standard_accuracy"].value, n0
            answer.append(f"Without the shift {_shown(figures['standard_accuracy'])} of {n0:,} images are.")
        if BEFORE in right:
            both = _paired(rows[BEFORE], rows[SHIFTED])
            figures["relative_robustness"] = compare(*both).difference
            answer.append(f"That is {_points(figures['relative_robustness'])} against {self.before}.")
        usable = [one for one in baselines if 0 < one.standard < 1 and 0 < one.shifted < 1]
        if unusable := [one.model for one in baselines if one not in usable]:
            remarks.append(f"baselines with an accuracy of 0 or 1 are left out: {', '.join(unusable)}")
        if standard is not None and 0 < standard < 1 and len({one.standard for one in usable}) >= _FEWEST:
            found = effective_robustness(
                standard, figures["accuracy"].value, [one.standard for one in usable], [one.shifted for one in usable],
                samples=(counted, hits[SHIFTED][1]),
            )  # fmt: skip
            figures["effective_robustness"] = found.rho
            answer.append(
                f"{len(usable)} baseline models foretell {100 * found.predicted:.1f} %: effective robustness is "
                f"{_points(found.rho)}."
            )
            lines = [
                (one.model, 100 * one.standard, 100 * one.shifted,
                 100 * (one.shifted - found.line.predict(one.standard)))
                for one in sorted(usable, key=lambda one: one.model)
            ]  # fmt: skip
            if not min(one.standard for one in usable) <= standard <= max(one.standard for one in usable):
                remarks.append("the accuracy without the shift is outside that of the baselines: the line is extended")
        elif baselines:
            remarks.append("no line of baselines: give standard=SPEC or standard_accuracy, and baselines that differ")
        else:
            remarks.append("no baselines: name set=imagenet-v2 or another of the published ones, or baselines=FILE")
        caption = "Baseline models, in per cent; the last column is how far each is from the line."
        listing = Listing(caption, ("model", "standard", "shifted", "from the line"), tuple(lines))
        return EvaluationFindings(
            rows={}, figures=figures, answer=tuple(answer), remarks=tuple(remarks),
            listings=(*((listing,) if lines else ()), _hardest(rows[SHIFTED])),
            forwards=sum(n for _, n in hits.values()),
        )  # fmt: skip


def _paired(before: pa.Table, after: pa.Table) -> tuple[list[bool], list[bool]]:
    """Correctness of both on the images that both have."""
    first = dict(zip(before["id"].to_pylist(), before["correct"].to_pylist(), strict=True))
    pairs = [
        (first[id], own)
        for id, own in zip(after["id"].to_pylist(), after["correct"].to_pylist(), strict=True)
        if id in first
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _by_group(table: pa.Table, groups: Mapping[str, Any], column: str) -> tuple[Figure, str, Listing]:
    """The accuracy of the worst group, a sentence, and a table of all groups; images without a group are left out.

    Of G groups each interval has the level `1 - 0.05 / G`, so that all hold together at 95 %. Then the accuracy of the
    group that is truly the worst lies between the lowest lower and the lowest upper end.
    """
    names = np.array([None if (own := groups.get(id)) is None else str(own) for id in table["id"].to_pylist()], object)
    right = table["correct"].to_numpy(zero_copy_only=False)
    there = sorted(set(names.tolist()) - {None})
    if not there:
        raise DataError(f"natural-shift: no image has a value of {column!r}")
    each = 1 - 0.05 / len(there)
    found = {name: share(int(right[names == name].sum()), int((names == name).sum()), level=each) for name in there}
    name, worst = min(found.items(), key=lambda item: item[1].value)
    low, high = (min(getattr(one, end) for one in found.values()) for end in ("low", "high"))
    figure = replace(
        worst, low=low, high=high, interval=f"{worst.interval.split()[0]} 95% for {len(there)} groups together"
    )
    lines = sorted(found.items(), key=lambda item: item[1].value)
    caption = f"Accuracy by {column}, the worst group first; the intervals hold together at 95 %."
    sentence = f"Of {len(there):,} groups by {column} {name} is the worst: {_shown(figure)}."
    return figure, sentence, Listing(caption, (column, "accuracy"), tuple(lines))


def _hardest(table: pa.Table, most: int = 20) -> Listing:
    """The classes of the shifted set with the lowest accuracy, and what each is taken for most."""
    names, answers = np.array(table["name"].to_pylist()), np.array(table["predicted"].to_pylist())
    right = table["correct"].to_numpy(zero_copy_only=False)
    lines = list[tuple[str, Figure, str | None]]()
    for name in np.unique(names):
        own = names == name
        wrong, counts = np.unique(answers[own & ~right], return_counts=True)
        taken = str(wrong[counts.argmax()]) if len(wrong) else None
        lines.append((str(name), share(int(right[own].sum()), int(own.sum())), taken))
    lines.sort(key=lambda line: line[1].value)
    shown = f"The {most} hardest of {len(lines):,} classes" if len(lines) > most else "Classes, the hardest first"
    return Listing(
        f"{shown}, and what each is taken for most.", ("class", "accuracy", "taken for"), tuple(lines[:most])
    )


def _shown(figure: Figure) -> str:
    return f"{100 * figure.value:.1f} % ({100 * figure.low:.1f} to {100 * figure.high:.1f} %)"


def _points(figure: Figure) -> str:
    return f"{100 * figure.value:+.1f} points ({100 * figure.low:+.1f} to {100 * figure.high:+.1f})"
