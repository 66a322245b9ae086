"""`Answers`: what is known of images, before it is written as JSON; certificates, and perturbed predictions."""

from __future__ import annotations

from dataclasses import field

import torch
from torch import Tensor

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.oracle import Oracle
from unshaken.core.registry import find_method
from unshaken.core.state import State
from unshaken.stress.engine.base import Stressor


class DetectorVerdicts(State):
    """The scores and decisions of one detector for images.

    Args:
        scores: float64 `[N]`, higher is more abnormal.
        accepted: bool `[N]`, at the detector's own threshold, as of `DetectorSet.decide`.
        p_values: float64 `[N]`, for a normal image at most u with a probability of u.
    """

    scores: Tensor
    accepted: Tensor
    p_values: Tensor


class Certificates(State):
    """Certificates by randomised smoothing; see `unshaken.certify.smoothing`.

    Args:
        predictions: int64 `[N]`, of the smoothed classifier.
        abstained: bool `[N]`.
        radius: float64 `[N]`, l2 in [0, 1] pixel units.
        p_lower: float64 `[N]`.
    """

    predictions: Tensor
    abstained: Tensor
    radius: Tensor
    p_lower: Tensor


class Answers(State):
    """The answers of a model and its detectors for images.

    Args:
        logits: float32 `[N, K]`.
        probabilities: float64 `[N, K]`, calibrated.
        predictions: int64 `[N]`, `NO_CLASS` where the model's output is not finite.
        detected: by detector.
        accepted: bool `[N]`: no detector rejects the image, at thresholds that all together reject the promised share
            of normal images at most; None without detectors.
        certificates: None where none were asked for.
        perturbed: int64 `[N, P]`, predictions under the perturbations asked for; None for none.
    """

    logits: Tensor
    probabilities: Tensor
    predictions: Tensor
    detected: dict[str, DetectorVerdicts] = field(default_factory=dict)
    accepted: Tensor | None = None
    certificates: Certificates | None = None
    perturbed: Tensor | None = None


ALPHA = 0.001
"""Probability that a certificate is wrong."""


def smoothing(copies: int, sigma: float) -> Smoothing:
    """The certifier that draws a number of noisy copies, a tenth of which select the class.

    Args:
        copies: 20 or more.
        sigma: deviation of the noise.
    """
    selecting = copies // 10
    return Smoothing(sigma=sigma, n0=selecting, n=copies - selecting, alpha=ALPHA)


def certify(oracle: Oracle, batch: Batch, copies: int, sigma: float, seed: int) -> Certificates:
    """Certificates of the images, the same as of `Smoothing.certify`."""
    found = smoothing(copies, sigma).certify(oracle, batch, seed=seed)
    failed = found.tally.blank.cpu() > 0
    return Certificates(
        found.prediction.cpu(),
        found.abstained.cpu() | failed,
        found.radius.cpu().masked_fill(failed, 0),
        found.p_lower.cpu().masked_fill(failed, 0),
    )


def perturb(oracle: Oracle, batch: Batch, perturbations: tuple[tuple[str, int], ...], seed: int) -> Tensor:
    """Predictions under perturbations, int64 `[N, P]`, of the images as `Stressor.apply` changes them.

    Args:
        oracle: runs the model.
        batch: the images.
        perturbations: name and severity of each.
        seed: of those that draw.
    """
    found = []
    for name, severity in perturbations:
        stressor: Stressor = find_method(name, "stress").cls()
        found.append(predict(oracle.exact(stressor.apply(batch, severity, seed).images)).cpu())
    return torch.stack(found, 1)
