"""`zero-shot`: models of images and texts, and models with a head beside them, over six aspects of robustness."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr
from typing_extensions import override

from unshaken.core.documents import read_yaml
from unshaken.core.errors import ParameterError
from unshaken.core.options import Options
from unshaken.core.registry import register
from unshaken.detect.engine.abnormal_sets import parse_against
from unshaken.measure import Figure
from unshaken.tasks.evaluation import Evaluation, EvaluationFindings, EvaluationSubject
from unshaken.tasks.zero_shot.aspects import JUDGED_HALF
from unshaken.tasks.zero_shot.candidates import Candidate, key_of
from unshaken.tasks.zero_shot.comparison import Comparison

NO_PLAN = "none"


@register("zero-shot", reference="Tu et al. 2024, arXiv:2410.01534")
class ZeroShot(Evaluation):
    """Accuracy, shape bias, abnormal images, calibration, retrieval and corruptions of zero-shot models and others.

    A model `openclip:ARCH/WEIGHTS` classifies by the names of the data's classes in templates of prompts; any other
    model has a head, and takes part in what needs no text. Each aspect is a run of its own inside the run directory.
    """

    title: ClassVar[str] = "How robust are the models in six ways?"
    measures: ClassVar[tuple[str, ...]] = (
        "accuracy", "corrupted", "hard", "shape_bias", "auroc", "ece", "recall_1", "prompts",
    )  # fmt: skip
    needs: ClassVar[frozenset[str]] = frozenset({"models", "images"})

    prompts: str = Field(
        default="plain", description="templates: plain, openai-7, openai-80, or a text file of lines with {}"
    )
    classes: tuple[str, ...] = Field(
        default=(), description="names of the classes for prompts; default those of the data"
    )
    plan: str = Field(
        default="3dcc", description="corruptions, as for audit: a plan by name or a YAML file; none for none"
    )
    hard: str = Field(default="", description="CSV file of what makes images hard: columns id, factor")
    cues: bool = Field(default=True, description="measure the shape bias by conflicts of shape and texture")
    cue_data: str = Field(
        default="", description="data SPEC of images whose cues are put in conflict; default the data"
    )
    against: tuple[str, ...] = Field(default=(), description="abnormal images, each GROUP=SPEC")
    fitting: str = Field(default="", description="data SPEC of images that detectors are fitted on; default the data")
    shifts: tuple[str, ...] = Field(default=(), description="further labelled sets, each NAME=SPEC")
    captions: str = Field(default="", description="CSV file for retrieval: columns image, caption")
    photos: str = Field(default="", description="data SPEC of the images that captions describe; default the data")
    design: str = Field(default="", description="YAML file of each model's factors of design by its SPEC")
    baseline: str = Field(
        default="", description="family that effective robustness is measured against; default all others"
    )

    _given: Comparison | None = PrivateAttr(None)

    @classmethod
    def of(cls, comparison: Comparison) -> ZeroShot:
        """The evaluation of a comparison that was made of objects; see `unshaken.api.holistic`."""
        made = cls()
        made._given = comparison
        return made

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        named = (self.hard, self.captions, self.design)
        return tuple(name for name in (*named, *(p for p in (self.prompts, self.plan) if Path(p).suffix)) if name)

    @property
    @override
    def further_data(self) -> tuple[str, ...]:
        named = [self.cue_data, self.fitting, self.photos, *self._shifts().values()]
        return tuple(spec for spec in (*named, *(parse_against(one)[2] for one in self.against)) if spec)

    @override
    def check(self, subject: EvaluationSubject) -> None:
        self._comparison(subject).check_models(subject.run, _options(subject))

    @override
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        comparison = self._comparison(subject)
        found = comparison.run(subject.run, _options(subject), subject.verbs)
        names = {name: _plain(key_of(place, name)) for place, name in enumerate(found["models"])}
        figures = dict[str, Figure]()
        for name, own in found["models"].items():
            figures |= {f"{what}_{names[name]}{part}": one for (what, part), one in _figures(own).items()}
        remarks = [] if comparison.aspects.cues is not None else ["shape bias was not measured (cues=false)"]
        return EvaluationFindings(
            rows={}, figures=figures, answer=_answer(found["models"]), remarks=tuple(remarks), extra={"names": names}
        )

    def _comparison(self, subject: EvaluationSubject) -> Comparison:
        """What the parameters ask for, or what was given as objects."""
        if self._given is not None:
            return self._given
        declared = {}
        if self.design:
            declared = read_yaml(Path(self.design), f"design {self.design!r}", ParameterError)
            if not isinstance(declared, dict) or not all(isinstance(one, dict) for one in declared.values()):
                raise ParameterError(f"design {self.design!r} must have the factors of each model under its SPEC")
        names = [m if isinstance(m, str) else f"{type(m).__name__}-{i}" for i, m in enumerate(subject.given, 1)]
        for name in names:
            if names.count(name) > 1:
                raise ParameterError(f"zero-shot: model {name!r} is named twice: name each once")
        if unknown := next((name for name in declared if name not in names), None):
            raise ParameterError(f"design {self.design!r}: {unknown!r} is none of the models, {', '.join(names)}")
        return Comparison.of(
            {
                name: Candidate(model=model, factors=declared.get(name, {}), templates=self.prompts)
                for name, model in zip(names, subject.given, strict=True)
            },
            subject.samples, subject.verbs, classes=self.classes, plan=() if self.plan == NO_PLAN else self.plan,
            factors=self.hard or None, cues="cue-conflict" if self.cues else None, cue_data=self.cue_data or None,
            against=self.against, fitting=self.fitting or None, shifts=self._shifts(), captions=self.captions or None,
            photos=self.photos or None, choose=None, asked=1, choices=2, baseline=self.baseline,
            download=subject.options["download"],
        )  # fmt: skip

    def _shifts(self) -> dict[str, str]:
        pairs = [one.partition("=") for one in self.shifts]
        for name, equals, spec in pairs:
            if not equals or not spec:
                raise ParameterError(
                    f"zero-shot: shifts: {name!r} is not of the form NAME=SPEC, such as art=folder:art"
                )
        return {name: spec for name, _, spec in pairs}


def _options(subject: EvaluationSubject) -> Options:
    return {**subject.options, "save_examples": 0}


def _figures(own: Mapping[str, Any]) -> dict[tuple[str, str], Figure]:
    """The figures of one model that sum it up, by measure and what it is of."""
    half = own.get("calibration", {}).get("sets", {}).get(JUDGED_HALF, {})
    found = {("accuracy", ""): own.get("accuracy"), ("shape_bias", ""): own["shape"].get("bias")}
    found |= {("corrupted", f"_{severity}"): one for severity, one in own.get("corruptions", {}).items()}
    found |= {("hard", f"_{_plain(name)}"): one["accuracy"] for name, one in own.get("visual", {}).items()}
    found |= {("auroc", f"_{_plain(name)}"): one["auroc"] for name, one in own["abnormal"].items()}
    found |= {("ece", ""): half.get("ece"), ("prompts", ""): own["prompts"].get("together")}
    found |= {("recall_1", f"_{way}"): one.get("recall_1") for way, one in own["retrieval"].items()}
    return {key: _figure(one) for key, one in found.items() if one is not None}


def _figure(one: Mapping[str, Any]) -> Figure:
    low, high = (end if one[k] is None else one[k] for k, end in (("low", -float("inf")), ("high", float("inf"))))
    return Figure(one["value"], low, high, one["n"], one["interval"])


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9+-]+", "-", name).strip("-")


def _answer(models: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for each model, the most accurate first."""
    lines = []
    for name, own in models.items():
        found = _figures(own)
        accuracy = found.get(("accuracy", ""))
        worst = [one for (what, _), one in found.items() if what == "corrupted"]
        parts = [f"{100 * one.value:.1f} % under the strongest corruptions" for one in worst[-1:]]
        if ("shape_bias", "") in found:
            parts.append(f"a shape bias of {found['shape_bias', ''].value:.2f}")
        parts += [
            f"an AUROC of {one.value:.3f} on {what[1:]}" for (kind, what), one in found.items() if kind == "auroc"
        ]
        if ("ece", "") in found:
            parts.append(f"a calibration error of {found['ece', ''].value:.3f}")
        first = "no labelled outcome" if accuracy is None else (
            f"{100 * accuracy.value:.1f} % accuracy ({100 * accuracy.low:.1f} to {100 * accuracy.high:.1f} %)"
        )  # fmt: skip
        lines.append((0.0 if accuracy is None else accuracy.value, f"{name}: {', '.join([first, *parts])}."))
    return tuple(text for _, text in sorted(lines, key=lambda line: -line[0]))
