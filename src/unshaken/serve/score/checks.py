"""What a request may ask for beyond the model's pass: a certificate, and the prediction under small perturbations."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.oracle import Oracle
from unshaken.core.registry import find_method
from unshaken.serve.score.answers import Certificates
from unshaken.stress.engine.base import Stressor

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
