"""Rows of detectors of marked or generated images: a score an image, whatever was done to it before."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import torch
from torch import Tensor

from unshaken.detect.watermark.watermark import against_the_detector
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part

SCHEMAS["detector_scores"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("strength", pa.float64()),
        ("abnormal", pa.bool_()),
        ("fold", pa.int64()),
        ("score", pa.float64()),
        ("change", pa.float64()),
        ("psnr", pa.float64()),
    ]
)
"""One row an image, as a detector sees it.

`abnormal` is whether it is marked (or generated), `strength` that of what was done to it, `fold` 0 where thresholds are
fitted and 1 where they are judged, `score` the detector's, higher for marked or generated (infinite, against the
detector, where it could not decode the image), `change` the l2 norm of what the mark changed, in [0, 1] pixel units,
and `psnr` that of the image against the one before the attack, in dB, clipped to [0, 1] first; null where neither has a
meaning.
"""
SEEDS = 1000
"""Repetitions of two run seeds share no draws as long as there are at most so many."""
MOST = 99.0
"""PSNR of images that are the same."""


def scored(
    name: str,
    method: str,
    ids: Sequence[str],
    scores: Tensor,
    abnormal: Tensor,
    fold: Tensor,
    *,
    strength: float | None = None,
    change: Tensor | None = None,
    psnr: Tensor | None = None,
) -> Part:
    """Rows of one condition.

    Args:
        name: of the condition.
        method: what was done to the images.
        ids: of the images.
        scores: float `[N]`; NaN where the detector could not decode.
        abnormal: bool `[N]`.
        fold: int64 `[N]`.
        strength: of what was done.
        change: float `[N]`.
        psnr: float `[N]`.
    """
    columns: dict[str, object] = {
        "id": list(ids),
        "strength": [strength] * len(ids),
        "abnormal": abnormal.tolist(),
        "fold": fold.tolist(),
        "score": against_the_detector(scores.double(), abnormal).tolist(),
    }
    columns |= {k: v.double().tolist() for k, v in (("change", change), ("psnr", psnr)) if v is not None}
    return Part("detector_scores", Condition(name, method), columns)


def drawn_from(bench: Bench, number: int) -> int:
    """The seed of a repetition's draws.

    Args:
        bench: knows the run seed.
        number: of the repetition.
    """
    return SEEDS * bench.seed + number


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
