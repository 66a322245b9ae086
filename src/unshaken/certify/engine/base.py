"""`Certifier`: what all certificates share, and the table that their rows go into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import NO_CLASS
from unshaken.core.oracle import Oracle
from unshaken.core.part import CERTIFICATE, MODEL, Condition, Part
from unshaken.core.registry import Parameters
from unshaken.core.tables import declare_table

declare_table(
    "certificates",
    "id string, condition string, method string, label int64, prediction int64, abstained bool, radius double, "
    "norm string, p_lower double, samples int64, alpha double, seconds double, reason string, error string",
)


class Certifier(Parameters):
    """Base class of methods that certify how far an input may change without changing the prediction."""

    room: ClassVar[str] = "certify"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    apart: ClassVar[str | None] = CERTIFICATE
    """Its outcomes are answers to the images as they are, and so no change that a model is tried with."""
    gives_certificates: ClassVar[bool] = True
    """Whether it writes rows of `certificates`; an attack on a certified classifier does not."""

    @property
    def subject(self) -> str:
        """Name of the classifier that is certified; attacks on the same one can contradict the certificates."""
        return MODEL

    def certified_radius(self, oracle: Oracle, images: Tensor, prediction: Tensor, eps: float) -> Tensor:
        """Certify how far each image may change before the model's answer can, up to eps; 0 for not at all.

        A certifier of the model's own answers, by one of its `norms`, writes this alone. One of another classifier, or
        of several figures, has functions of its own in `unshaken.run.adapters.certify`.

        Args:
            oracle: runs the model and counts its passes.
            images: `[N, C, H, W]` in [0, 1].
            prediction: the model's answers, int64 `[N]`.
            eps: largest radius of interest.

        Returns:
            float64 `[N]`.
        """
        raise NotImplementedError(f"{type(self).__name__} certifies no single radius")

    def most_passes(self, classes: int) -> int | None:
        """Forward and backward passes that a sample needs at most; None where that is not known.

        Args:
            classes: K.
        """
        return None


NOT_FINITE = "the model gives NaN or infinite values for the image or a noisy copy of it"
"""Reason of a certificate that abstains because an output is not finite."""


def certificates(
    condition: Condition,
    batch: Batch,
    *,
    radius: Tensor,
    norm: str,
    prediction: Tensor | None = None,
    abstained: Tensor | None = None,
    p_lower: Tensor | None = None,
    samples: Tensor | int = 1,
    alpha: float = 0.0,
    seconds: Tensor | float = 0.0,
    reason: Sequence[str | None] | None = None,
    blank: Tensor | None = None,
) -> Part:
    """The `certificates` rows of one condition.

    Args:
        condition: where the rows belong.
        batch: the samples; without labels `label` is null.
        radius: `[N]`: every change of at most this size leaves the answer as it is; 0 where nothing is certified.
        norm: the size's unit, such as `l2`, or `translation` for whole pixels along either axis.
        prediction: int64 `[N]`, the certified class; None where the certificate speaks of no class.
        abstained: bool `[N]`: the method gave no answer; None for never.
        p_lower: `[N]`, lower bound of the top class's probability, for randomised certificates.
        samples: draws a sample, for randomised certificates; 1 for exact ones.
        alpha: the probability that a certificate is wrong; 0 for exact ones.
        seconds: a sample's share of the time.
        reason: why nothing, or no more, is certified of each, or its verdict; None where there is nothing to say.
        blank: int64 `[N]`: draws whose output was NaN or infinite; None for none. Where there are any, as where the
            prediction is `NO_CLASS`, the method abstains, its prediction is `NO_CLASS`, and nothing is certified.
    """
    n = len(batch)
    failed = torch.zeros(n, dtype=torch.bool) if blank is None else blank.cpu() > 0
    if prediction is not None:
        failed |= prediction.cpu() == NO_CLASS
    if bool(failed.any()):
        radius = radius.cpu().masked_fill(failed, 0)
        prediction = None if prediction is None else prediction.cpu().masked_fill(failed, NO_CLASS)
        abstained = failed if abstained is None else abstained.cpu() | failed
        p_lower = None if p_lower is None else p_lower.cpu().masked_fill(failed, 0)
        reasons = [None] * n if reason is None else list(reason)
        reason = [NOT_FINITE if bad else why for bad, why in zip(failed.tolist(), reasons, strict=True)]

    def column(value: Tensor | float) -> list[float | int | bool]:
        return list(value.cpu().tolist()) if isinstance(value, Tensor) else [value] * n

    columns: dict[str, list[float | int | bool] | list[str]] = {
        "id": list(batch.ids),
        "abstained": column(False if abstained is None else abstained),
        "radius": column(radius.cpu().double()),
        "norm": [norm] * n,
        "samples": column(samples),
        "alpha": column(alpha),
        "seconds": column(seconds),
    }
    for name, values in (("label", batch.labels), ("prediction", prediction), ("p_lower", p_lower)):
        if values is not None:
            columns[name] = column(values)
    found: dict[str, object] = dict(columns)
    if reason is not None:
        found["reason"] = list(reason)
    return Part("certificates", condition, found)
