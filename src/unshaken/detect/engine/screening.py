"""`screening`: fitted detectors as one step of a run, sharing one pass of the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, field_validator

from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.flag import FlagKind
from unshaken.core.part import Condition, Part
from unshaken.core.registry import Parameters, find_method, list_methods, register
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.rows import NORMAL, answers, detectors_of, joined, scores
from unshaken.detect.engine.screen import screen
from unshaken.run.order import DETECTOR
from unshaken.run.rows import Context

FEW_SAMPLES = FlagKind(
    "few-calibration-samples",
    "thresholds of detectors rest on few samples",
    "Fit with more images, or set thresholds anew with 'unshaken detect threshold --data'.",
)
FITTED_ON = FlagKind(
    "scored-on-fit-data",
    "detectors were scored on the data that they were fitted on",
    "Do not use these figures; score images of the same kind that no detector was fitted on.",
)


class FittedStep(Parameters):
    """Base class of run steps with fitted detectors."""

    room: ClassVar[str] = "detect"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    apart: ClassVar[str] = DETECTOR
    """Its outcomes are answers of the model behind a detector, and no change that the model itself is tried with."""

    folder: str = Field(description="folder of the fitted detectors")
    digest: str = Field(description="digest of the detectors when the run started")
    detectors: str = Field(description="labels of the detectors to use, joined by +")
    accept: float = Field(0.95, gt=0, lt=1, description="minimum share of normal images to accept")

    @property
    def labels(self) -> tuple[str, ...]:
        """The detectors' labels."""
        return tuple(self.detectors.split("+"))

    @property
    def named_methods(self) -> tuple[str, ...]:
        """The methods of the detectors; a label is a method's name, with a number where there are several."""
        known = {m.name for m in list_methods("detect")}
        names = (label if label in known else re.sub(r"-\d+$", "", label) for label in self.labels)
        return tuple(dict.fromkeys(n for n in names if n in known))

    def detector_set(self, context: Context) -> DetectorSet:
        """The detector set for the run's model."""
        return detectors_of(self.folder, self.digest, context.oracle.model, context.once)


@register("screening", reference="Yang et al. 2022 (OpenOOD), arXiv:2210.07242")
class Screening(FittedStep):
    """Screening: scores of all fitted detectors in one pass, and which images they accept."""

    split: str = Field(NORMAL, description="kind of the samples: normal, or GROUP/NAME")
    shifts: str = Field("", description="corruptions to score the images under as well, NAME-SEVERITY joined by +")

    @field_validator("shifts")
    @classmethod
    def _stressors(cls, value: str) -> str:
        for part in filter(None, value.split("+")):
            name, _, severity = part.rpartition("-")
            if not severity.isdigit() or not 1 <= int(severity) <= 5:
                raise ValueError(f"{part!r} is not of the form NAME-SEVERITY, such as gaussian_noise-3")
            find_method(name, "stress")
        return value

    def conditions(self, *, label: str, severities: Sequence[int], eps: Sequence[float], norm: str) -> list[Condition]:
        """One a detector.

        Raises:
            ParameterError: severities or budgets are given.
        """
        if severities or eps:
            raise ParameterError(f"{label}: detectors have no severities and no eps: omit them")
        return [Condition(one, "screening") for one in self.labels]

    def evaluate(self, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
        """Rows of one shard: scores, and the answers of the model behind each detector."""
        detector_set, oracle = self.detector_set(context).only(*self.labels), context.oracle
        views = {self.split: (batch, context.clean)}
        for part in filter(None, self.shifts.split("+")):
            name, _, severity = part.rpartition("-")
            moved = find_method(name, "stress").cls().apply(batch, int(severity), context.seed)
            views[f"covariate/{part}"] = moved, oracle.exact(moved.images)
        found = {
            s: screen(detector_set.detectors, detector_set.anatomy, b, oracle, context.seed)
            for s, (b, _) in views.items()
        }
        parts = []
        for condition in conditions:
            label = condition.id
            threshold, own = detector_set.threshold(label, self.accept).value, found[self.split][label]
            rows = [
                scores(condition, label, b, found[s][label], split=s, threshold=threshold, logits=z)
                for s, (b, z) in views.items()
            ]
            cost = {k: getattr(own, k).cpu().numpy() for k in ("forwards", "backwards", "seconds")}
            answer = answers(condition, batch, own, detector_set.detectors[label], threshold, context.clean, **cost)
            parts += [joined(rows), answer]
        return parts
