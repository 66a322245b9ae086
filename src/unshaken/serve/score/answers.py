"""`Answers`: what is known of images, before it is written as JSON."""

from __future__ import annotations

from dataclasses import field

from torch import Tensor

from unshaken.core.state import State


class DetectorVerdicts(State):
    """What one detector says of images.

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
    """What is known of images.

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
