"""`ScoreOptions`: what a request asks for beyond class, probabilities and detectors; `Limits`: how much it may."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pydantic import BaseModel, ConfigDict, Field, field_validator

from unshaken.core.errors import did_you_mean
from unshaken.core.numbers import shorten
from unshaken.core.sources import sources_of


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits on a request, a caller and the queue.

    Args:
        bytes: of a request's body.
        images: in a request.
        pixels: of one image, by its header, before any of them is decoded.
        passes: further forward passes that the checks of one request may need; 0 for no checks.
        waiting: passes of the model that may wait; what comes beyond is answered 429.
        seconds: from a request's arrival to its deadline, where it names none.
        reading: seconds that a request's body may take to arrive.
        per_minute: requests of one caller in a minute; None for any number.
    """

    bytes: int = 16 << 20
    images: int = 64
    pixels: int = 25_000_000
    passes: int = 2_000
    waiting: int = 512
    seconds: float = 30.0
    reading: float = 30.0
    per_minute: int | None = None


QUICK = "brightness-1+contrast-1+gaussian_noise-1+gaussian_blur-1+jpeg_compression-1"
"""Perturbations that `perturb=quick` stands for: small ones, that a person hardly sees."""
MOST_PERTURBATIONS = 20
LONGEST_DEADLINE = 600.0
_CORRUPTIONS = "unshaken.stress.corruptions."


@cache
def corruptions() -> frozenset[str]:
    """The corruptions that may be asked for, found without importing any."""
    return frozenset(source.name for source in sources_of("stress") if source.module.startswith(_CORRUPTIONS))


class ScoreOptions(BaseModel):
    """The query of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    top: int = Field(default=5, ge=1, le=1000, description="number of classes to give with their probabilities")
    deadline: float | None = Field(
        default=None, gt=0, le=LONGEST_DEADLINE, description="seconds after which the answer is of no use; default 30"
    )
    certify: int = Field(
        default=0, ge=0, description="noisy copies of each image that vote for a certificate; 0 for none"
    )
    sigma: float = Field(default=0.25, gt=0, le=10, description="deviation of their noise, in [0, 1] pixel units")
    perturb: str = Field(
        default="",
        max_length=400,
        description="perturbations to try, NAME-SEVERITY joined by '+', of the corruptions that 'unshaken list stress' "
        f"names; 'quick' for {QUICK}",
    )

    @field_validator("certify")
    @classmethod
    def _enough(cls, value: int) -> int:
        if 0 < value < 20:
            raise ValueError("fewer than 20 noisy copies certify nothing")
        return value

    @field_validator("perturb")
    @classmethod
    def _known(cls, value: str) -> str:
        text = QUICK if value == "quick" else value.replace(" ", "+")  # a plus sign in a query means a space
        parts = [part for part in text.split("+") if part]
        if len(parts) > MOST_PERTURBATIONS:
            raise ValueError(f"{len(parts)} perturbations are more than {MOST_PERTURBATIONS}")
        for part in parts:
            name, _, severity = part.rpartition("-")
            if name not in corruptions():
                raise ValueError(f"{shorten(name)} is no corruption; {did_you_mean(name, corruptions())}")
            if severity not in tuple("12345"):
                raise ValueError(f"{shorten(part)} does not end in a severity from 1 to 5, as in brightness-1")
        return "+".join(dict.fromkeys(parts))

    @property
    def perturbations(self) -> tuple[tuple[str, int], ...]:
        """The perturbations asked for, as names and severities."""
        pairs = (part.rpartition("-") for part in self.perturb.split("+") if part)
        return tuple((name, int(severity)) for name, _, severity in pairs)

    @property
    def passes(self) -> int:
        """Forward passes an image beyond the one that all answers need."""
        return self.certify + len(self.perturbations)

    @property
    def checks(self) -> tuple[int, float, str]:
        """Settings that images must share to be checked together."""
        return self.certify, self.sigma if self.certify else 0.0, self.perturb
