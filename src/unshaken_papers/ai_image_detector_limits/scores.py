"""Rows of detectors of marked or generated images, and the networks that learn to tell them apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.rng import seeded
from unshaken.detect.watermark.substitution import train_substitute
from unshaken.detect.watermark.watermark import against_the_detector
from unshaken.models.networks.architectures import build
from unshaken.papers.context import Context

MOST = 99.0
"""PSNR of images that are the same."""


def write_scores(
    context: Context, label: str, method: str, ids: Sequence[str], scores: Tensor, abnormal: Tensor | bool,
    fold: Tensor | int, *, strength: float | None = None, change: Tensor | None = None, psnr: Tensor | None = None,
) -> None:  # fmt: skip
    """Write the rows of one condition.

    Args:
        context: of the experiment.
        label: of the condition.
        method: what was done to the images.
        ids: of the images.
        scores: float `[N]`, higher for marked or generated; NaN where the detector could not decode, which counts
            against it.
        abnormal: bool `[N]`, or one for all.
        fold: int64 `[N]`, or one for all.
        strength: of what was done.
        change: float `[N]`.
        psnr: float `[N]`.
    """
    counted = against_the_detector(scores.double(), torch.as_tensor(abnormal).expand(len(ids)))
    columns = {"id": ids, "method": method, "strength": strength, "abnormal": abnormal, "fold": fold, "score": counted}
    columns |= {k: v.double() for k, v in (("change", change), ("psnr", psnr)) if v is not None}
    context.write("detector_scores", label, columns)


def train_detector(one: Tensor, zero: Tensor, *, epochs: int, noise: float, seed: int) -> Classifier:
    """A `small` network that learned to tell two kinds of images apart, by the method that is tried here.

    Args:
        one: uint8 `[N, C, H, W]`: marked or generated.
        zero: uint8 `[M, C, H, W]`: clean or real.
        epochs: of training.
        noise: see `train_substitute`.
        seed: of weights, order and noise.
    """
    return train_substitute(fresh(one, seed), one, zero, epochs=epochs, lr=2e-3, noise=noise, seed=seed).model


def fresh(images: Tensor, seed: int) -> nn.Module:
    """An untrained `small` network of two classes, for images `[N, C, H, W]`, with weights drawn from a seed."""
    with seeded(seed):
        return build("small", classes=2, channels=images.shape[1], side=images.shape[2])


def score(model: Classifier, images: Tensor) -> Tensor:
    """Difference of the two logits, float64 `[N]`, higher for marked or generated."""
    with evaluating(model):
        logits = Oracle(model).exact(images)
    return (logits[:, 1] - logits[:, 0]).double()


def peak_signal_to_noise(images: Tensor, before: Tensor) -> Tensor:
    """`-10 log10` of the mean squared difference of images in [0, 1], after clipping: dB, float64 `[N]`."""
    error = (images.clamp(0, 1).double() - before.double()).square().flatten(1).mean(1)
    return (-10 * torch.log10(error)).clamp(max=MOST)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, rounded to the nearest level."""
    return (255 * images.clamp(0, 1)).round().to(torch.uint8)


def as_saved(images: Tensor) -> Tensor:
    """Images in [0, 1] as an 8-bit file holds them."""
    return to_bytes(images).float() / 255
