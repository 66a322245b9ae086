"""`rigid`: do generated images move more in feature space than photos, under a slight noise?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row
from unshaken.papers.effects import complement

MAIN = 0.05
NOISE = f"noise-{MAIN:g}"
TRACES = ("bicubic", "nearest", "low-rank", "auto-encoder")
"""Photos through a process that leaves traces as a generator does."""
UPSCALED = "super-resolution"
"""Photos at half the size, drawn anew by a trained super-resolution network; where its package is installed."""
DRAWN = "spectrum"
STAND_INS = (*TRACES[:3], DRAWN, *TRACES[3:])
GENERATED = ("small-edm", "small-edm-jpeg75")
"""Images of a diffusion model trained here, as they are and through a JPEG file like the photos'."""
AS_IS, AGAIN, BLURRED, NOISY = "as-is", "jpeg90", "blur-1", "noisy-0.02"
"""Treatments of all sets alike: none, a JPEG file of quality 90, a blur of deviation 1 pixel, and noise of deviation
0.02 on [0, 1] pixels."""
CORRUPTIONS = (AGAIN, BLURRED, NOISY)
ALARMS, FLAGGED, ORDER = 0.05, 0.15, 0.01
"""Share of photos beyond the threshold, share of others that may be flagged, and how far a score may move with order
and batches, relative to it."""


@row(__file__)
class RIGIDPaper(Paper):
    """Do the features of photos turn less under a slight noise than those of pictures like generated ones?

    ImageNet photos against what was made of them (half the size and back, few cosines, 1/f noise, an auto-encoder, a
    super-resolution network where npm's package with it is installed), JPEG copies as controls, and images of a small
    diffusion model against those that it learned from. The backbone is a supervised one: what is tried is the
    mechanism, not the accuracy.
    """

    photos: PositiveInt = Field(description="photos scored in each seed")
    calibration: PositiveInt = Field(description="further photos that set the threshold in each seed")
    seeds: PositiveInt = Field(description="groups of photos, each with noise of its own")
    draws: PositiveInt = Field(description="noisy copies at lambda 0.05; one at all others")
    lambdas: tuple[NonNegativeFloat, ...] = Field(
        description="deviations of the noise in units of ImageNet's, 0.226 of a [0, 1] pixel; as text 0+0.05",
    )
    learned: PositiveInt = Field(description="further photos that the auto-encoder learns from")
    coder_steps: PositiveInt = Field(description="in which it learns")
    small: str = Field(description="SPEC of small images that a generator learns from; empty for no such part")
    generator_steps: PositiveInt = Field(description="in which it learns, 32 images each")

    @override
    def needed_data(self, data: str, *, own: bool) -> list[str]:
        return [data, self.small] if self.small else [data]

    @field_validator("lambdas")
    @classmethod
    def _with_main(cls, lambdas: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({*lambdas, MAIN}))

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        aurocs, order = measured["auroc"][NOISE], measured["order"]
        return [
            *(above_chance("traces", name, aurocs[name]) for name in TRACES),
            self._tied(measured["not_tied_at_0"]),
            Check(f"in another order scores move by {order:.1e} of them at most", order <= ORDER, "traces"),
            *(above_chance("trained-network", name, aurocs[name]) for name in (UPSCALED,) if name in aurocs),
            *(above_chance("generated", name, aurocs[name]) for name in GENERATED if name in aurocs),
            *self._flagged(measured["flagged"]),
            *self._corrupted(measured["corrupted"]),
            above_chance("drawn", DRAWN, aurocs[DRAWN]),
        ]

    def _corrupted(self, corrupted: Mapping[str, Any]) -> list[Check]:
        """Traces where real and changed photos went through the same corruption."""
        parts = {AGAIN: "recompression", BLURRED: "other-corruptions", NOISY: "other-corruptions"}
        return [
            above_chance(parts[treatment], f"{name}, {treatment}", corrupted[treatment][name])
            for treatment in CORRUPTIONS
            for name in (*TRACES, UPSCALED)
            if name in corrupted[treatment]
        ]

    def _tied(self, untied: int | None) -> Check:
        if untied is None:
            return Check("without noise every score must be 0; lambda 0 was not run", False, "traces")
        return Check(f"without noise {untied} scores differ from 0", untied == 0, "traces")

    def _flagged(self, flagged: Mapping[str, Any]) -> list[Check]:
        """Real photos that are kept, and images with traces that are flagged."""
        kept = {"other photos": flagged["real"], "JPEG copies of quality 95": flagged["jpeg95"]}
        most = 1 - FLAGGED
        return [
            *(decide("threshold", f"{n} kept", complement(f), above=most, opposed_below=most) for n, f in kept.items()),
            *(
                decide("threshold", f"{name}, flagged", flagged[name], above=0.5, opposed_below=ALARMS)
                for name in TRACES
            ),
        ]

    @override
    def remark(self, measured: Mapping[str, Any]) -> str:
        low = ", ".join(k for k, v in measured["auroc"][NOISE].items() if v["value"] < 0.5)
        alarms = ", ".join(f"{k} {v['value']:.0%}" for k, v in measured["false_alarms"].items())
        flagged = f"Flagged at the threshold for 5 %, of real photos by content and of flat drawings: {alarms}."
        return f"{f'Photos move more than {low}. ' if low else ''}{flagged}"


def above_chance(part: str, name: str, auroc: Mapping[str, Any]) -> Check:
    """Whether photos move less than a set, by its AUROC."""
    return decide(part, f"{name}, AUROC", auroc, above=0.5, opposed_below=0.5)
