"""`data-health`: copies, damaged and odd images, and labels that are given away, by registered checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import as_methods, list_methods, register
from unshaken.core.tables import declare_table
from unshaken.data.decode import BadImage
from unshaken.inspect.engine.base import Check, Issues, Measurements, ModelUse
from unshaken.inspect.engine.measure import decode_sample
from unshaken.measure import Figure, share
from unshaken.store.tensor_file import TensorFile
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject, Listing
from unshaken.tasks.inspection.measured import SampleSet, measure_sets, read_correct

ISSUES = declare_table(
    "issues",
    "id string, condition string, method string, source string, label string, rank int64, score double, "
    "image_group int64, note string",
)
"""What each check (`condition`) points at, the worst first; `source` is the set, `data` or the SPEC of another."""
SHOWN, GROUPS, A_GROUP = 24, 16, 4
"""Pictures of a check that are kept; groups of alike images, and pictures of each."""
SIDE = 160
"""Long side of a picture in pixels."""
PICTURES = "pictures"
"""Folder of the run directory with the pictures of each check."""
_HOW = {"labels": "give data with one class an image", "model": "name one by model"}


def choose_checks(names: Sequence[str], *, labelled: bool, model: bool) -> dict[str, Check]:
    """The checks that were asked for, or all that the data and the model allow, by name.

    Args:
        names: `NAME[:k=v,...]`; none for all.
        labelled: whether the data has one class an image.
        model: whether there is a model.

    Raises:
        ParameterError: there is no such check, one is given twice, or it needs what is not there.
    """
    there = {name for name, given in (("labels", labelled), ("model", model)) if given}
    if not names:
        return {m.name: m.cls() for m in list_methods("inspect") if m.cls.needs <= there}
    found: dict[str, Check] = {}
    for check in as_methods(list(names), "inspect"):
        name = check.info.name
        if name in found:
            raise ParameterError(f"check {name!r} is given twice: give it once")
        if lacking := sorted(check.needs - there):
            raise ParameterError(
                f"check {name!r} needs a {lacking[0].rstrip('s')}: {_HOW[lacking[0]]}, or leave it out"
            )
        found[name] = check
    return found


@register("data-health", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class DataHealth(Evaluation):
    """Look for copies, leaks between sets, damaged and odd images, and labels that a property gives away."""

    title = "What is wrong with this data?"
    measures = ("share", "leak", "accuracy", "inflation", "rarest", "property")
    needs = frozenset({"images"})
    checks: tuple[str, ...] = Field(
        default=(), description="checks, see 'unshaken list inspect'; default all that can be made"
    )
    against: tuple[str, ...] = Field(
        default=(), description="SPECs of further sets, such as the training data, for copies"
    )
    model: str = Field(default="", description="SPEC of a model, for outliers")
    run: str = Field(
        default="", description="run directory of a model on the data, for the effect of copies on its accuracy"
    )

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        return self.against

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.model,) if self.model else ()

    @override
    def check(self, subject: EvaluationSubject) -> None:
        self._checks(subject)
        if self.run:
            read_correct(self.run)

    def _checks(self, subject: EvaluationSubject) -> dict[str, Check]:
        labels = subject.samples.labels
        return choose_checks(self.checks, labelled=labels is not None and labels.ndim == 1, model=bool(self.model))

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        checks = self._checks(subject)
        others = [(spec, subject.with_data(spec)) for spec in self.against]
        sets = [SampleSet("data", subject.samples, subject.indices)]
        sets += [SampleSet(spec, one.samples, one.indices) for spec, one in others]
        options = subject.options
        model = ModelUse(self.model, subject.device, subject.seed, options["download"]) if self.model else None
        measured = measure_sets(subject, sets, list(checks.values()), model, self.run)
        every = {name: check.find(measured) for name, check in checks.items()}
        found = dict(sorted(every.items(), key=lambda item: -_flagged(item[1], measured)))  # most is shown first
        figures: dict[str, Figure] = {}
        for name, issues in found.items():
            write_issues(subject, name, issues, measured)
            write_pictures(subject, name, issues, measured, sets)
            if checks[name].counts and issues.checked:
                figures[f"share_{name.replace('-', '_')}"] = share(_flagged(issues, measured), issues.checked)
            figures |= issues.figures
        remarks = tuple(f"{checks[name].title}: {remark}" for name, one in found.items() for remark in one.remarks)
        overview = tuple(
            (checks[name].title, float(_flagged(one, measured)), figures.get(f"share_{name.replace('-', '_')}"))
            for name, one in found.items() if checks[name].counts or len(one.rows)
        )  # fmt: skip
        tables = [Listing(*one.table) for one in found.values() if one.table is not None]
        return EvaluationFindings(
            {}, figures, remarks, answer=(_answer(found, measured),),
            listings=(Listing("What each check points at.", ("check", "images", "share"), overview), *tables),
            extra={"titles": {name: check.title for name, check in checks.items()}},
        )  # fmt: skip


def _flagged(issues: Issues, measured: Measurements) -> int:
    """Number of samples of the data that a check points at."""
    return int((measured.set_of[issues.rows] == 0).sum())


def _answer(found: Mapping[str, Issues], measured: Measurements) -> str:
    rows = np.unique(np.concatenate([one.rows for one in found.values()]))
    count, own = int((measured.set_of[rows] == 0).sum()), int((measured.set_of == 0).sum())
    if not count:
        return f"None of {own:,} images is pointed at by a check."
    leaks = [f.value for one in found.values() for name, f in one.figures.items() if name.startswith("leak_")]
    text = f"{count:,} of {own:,} images are pointed at by a check or more."
    return text + (f" {max(leaks):.1%} of the images are in another set as well." if max(leaks, default=0) else "")


def write_issues(subject: EvaluationSubject, name: str, issues: Issues, measured: Measurements) -> None:
    """Write the rows of samples to look at; none where there are none.

    Args:
        subject: whose run directory keeps them.
        name: of the check: the rows' condition.
        issues: the samples, the worst first.
        measured: of all samples.
    """
    if not len(issues.rows):
        return
    rows = issues.rows.tolist()
    subject.rows(
        "issues",
        name,
        lambda: {
            "id": [measured.ids[i] for i in rows],
            "source": [measured.sets[measured.set_of[i]] for i in rows],
            "label": [measured.labels[i] for i in rows],
            "rank": list(range(1, len(rows) + 1)),
            "score": issues.scores.tolist(),
            "image_group": [None] * len(rows) if issues.groups is None else issues.groups.tolist(),
            "note": [None] * len(rows) if issues.notes is None else list(issues.notes),
        },
    )


def write_pictures(
    subject: EvaluationSubject, name: str, issues: Issues, measured: Measurements, sets: Sequence[SampleSet]
) -> None:
    """Write small pictures of the worst samples, by their rank; of groups the first few of each.

    Args:
        subject: whose run directory keeps them.
        name: of the check: the file's name.
        issues: the samples, the worst first.
        measured: of all samples.
        sets: they are of.
    """
    if subject.run.exists(PICTURES, f"{name}.safetensors"):
        return
    places = list(range(min(SHOWN, len(issues.rows))))
    if issues.groups is not None:
        within = np.arange(len(issues.groups)) - np.searchsorted(issues.groups, issues.groups)
        places = np.flatnonzero((issues.groups < GROUPS) & (within < A_GROUP)).tolist()
    starts = np.cumsum([0, *(len(one.rows) for one in sets)])
    pictures: dict[str, Tensor] = {}
    for place in places:
        row = int(issues.rows[place])
        if measured.errors[row]:
            continue
        number = int(measured.set_of[row])
        picture = _picture(sets[number], int(sets[number].rows[row - starts[number]]))
        if picture is not None:
            pictures[str(place + 1)] = picture
    if pictures:
        subject.run.write_tensors(TensorFile(pictures), PICTURES, f"{name}.safetensors")


def _picture(samples: SampleSet, index: int) -> Tensor | None:
    """A sample as a small picture, uint8 `[C, H, W]`; None where it can no longer be read."""
    try:
        image = decode_sample(samples.dataset, samples.dataset.fetch(index)).image
    except BadImage:
        return None
    image.thumbnail((SIDE, SIDE))
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
