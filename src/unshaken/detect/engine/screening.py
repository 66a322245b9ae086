"""`screening`: fitted detectors as one step of a run, sharing one pass of the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Any, ClassVar

from pydantic import Field, field_validator

from unshaken.core.classifier import Classifier
from unshaken.core.flag import FlagKind
from unshaken.core.part import DETECTOR
from unshaken.core.registry import Parameters, find_method, list_records, register
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.rows import NORMAL, detectors_of

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
    detectors: tuple[str, ...] = Field(description="labels of the detectors to use", min_length=1)
    accept: float = Field(default=0.95, gt=0, lt=1, description="minimum share of normal images to accept")

    @property
    def named_methods(self) -> tuple[str, ...]:
        """The methods of the detectors; a label is a method's name, with a number where there are several."""
        known = {one["name"] for one in list_records("detect")}
        names = (label if label in known else re.sub(r"-\d+$", "", label) for label in self.detectors)
        return tuple(dict.fromkeys(n for n in names if n in known))

    def detector_set(self, model: Classifier, once: Callable[[Hashable, Callable[[], Any]], Any]) -> DetectorSet:
        """The fitted detectors, read once a run.

        Args:
            model: that they were fitted for.
            once: as of `Context`.
        """
        return detectors_of(self.folder, self.digest, model, once)


@register("screening", reference="Yang et al. 2022 (OpenOOD), arXiv:2210.07242")
class Screening(FittedStep):
    """Screening: scores of all fitted detectors in one pass, and which images they accept."""

    split: str = Field(default=NORMAL, description="kind of the samples: normal, or GROUP/NAME")
    shifts: tuple[str, ...] = Field(
        default=(), description="corruptions to score the images under as well, NAME-SEVERITY"
    )

    @field_validator("shifts")
    @classmethod
    def _stressors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parts = list[str]()
        for part in value:
            name, _, severity = part.rpartition("-")
            if severity not in ("1", "2", "3", "4", "5"):
                raise ValueError(f"{part!r} is not of the form NAME-SEVERITY, such as gaussian_noise-3")
            shift = f"{find_method(name, 'stress').name}-{severity}"
            if shift in parts:
                raise ValueError(f"{shift!r} is given twice: give it once")
            parts.append(shift)
        return tuple(parts)
