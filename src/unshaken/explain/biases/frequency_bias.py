"""Frequency bias: whether a model goes by the low or the high frequencies of an image."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import ClassVar

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.explain.biases._answers import (
    Conflicts,
    asking,
    known_labels,
    partners_in,
    read_together,
    required_labels,
)
from unshaken.explain.biases.cue_sets import partners
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.measure import share
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.filters import high_pass, low_pass

CUES = ("low frequencies", "high frequencies")
FILTERS = {"low-pass": low_pass, "high-pass": high_pass}


def hybrids(low: Tensor, high: Tensor, sigma: float) -> Tensor:
    """The blurred part of some images with the remaining part of others: `G a + (b - G b)`.

    Args:
        low: images a, `[N, C, H, W]` in [0, 1].
        high: images b, of the same shape.
        sigma: of the Gaussian, in pixels.

    Returns:
        The same shape, clipped to [0, 1].
    """
    return (gaussian_blur(low, sigma) + high - gaussian_blur(high, sigma)).clamp(0, 1)


@register("frequency-bias", reference="Oliva et al. 2006, doi:10.1145/1141911.1141919")
class FrequencyBias(Analysis):
    """Frequency bias: decisions for the low frequencies of hybrid images, and accuracy by low- and high-pass radius.

    It is no test of shape and texture: it also favours models that ignore high frequencies.
    """

    table: ClassVar[str] = "biases"
    group: ClassVar[str] = "biases"
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images", "labels"})
    several: ClassVar[bool] = True

    sigma: PositiveFloat = Field(
        default=1.5, description="width of the Gaussian that divides low from high, in pixels", le=100
    )
    radii: tuple[PositiveFloat, ...] = Field(
        default=(2.0, 4.0, 8.0, 16.0), description="radii of the low- and high-pass filters, in bins of the image's DFT"
    )

    @override
    def find(self, subject: Subject) -> Findings:
        labels = known_labels(subject)
        found, right, total = Conflicts(), Counter[str](), 0
        with asking(subject) as answers:
            for batch, partner in read_together(subject, partners_in(subject, partners(labels, subject.seed))):
                one, other = (required_labels(b) for b in (batch, partner))
                mixed = batch.with_images(hybrids(batch.images, partner.images, self.sigma))
                found.add(one, other, answers.ask("hybrid", mixed, first=one, second=other))
                total += len(batch)
                for name, radius in product(FILTERS, self.radii):
                    images = FILTERS[name](batch.images, radius).clamp(0, 1)
                    decided = answers.ask(f"{name}-{radius:g}", batch.with_images(images))
                    right.update({f"{m}.{name}-{radius:g}": int((d == one.cpu()).sum()) for m, d in decided.items()})
        if not total:
            raise DataError("frequency-bias: no image could be read")
        figures, remarks = found.figures()
        figures |= {f"accuracy.{name}": share(hits, total) for name, hits in right.items()}
        remarks.append("Frequencies are not shape and texture: a model that ignores high frequencies scores high here.")
        classes = subject.model.classes or [str(i) for i in range(int(labels.max()) + 1)]
        extra = {"cues": CUES, "radii": self.radii, "sigma": self.sigma, **found.counts(classes)}
        return answers.findings(figures=figures, remarks=tuple(remarks), extra=extra)
