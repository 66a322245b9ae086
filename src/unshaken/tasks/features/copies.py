"""Edited copies of images, for copy detection: crops, JPEG, blur."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.registry import find_method
from unshaken.core.rng import SampleRng
from unshaken.measure.retrieval import copy_detection
from unshaken.measure.statistics.intervals import Figure
from unshaken.tasks.features.probes import check_features
from unshaken.tasks.features.transforms import Features, unit

EDITS = ("crop", "jpeg", "blur")
KEPT = 0.5
"""Share of the image that a crop keeps."""
_STRESSORS = {"jpeg": ("jpeg_compression", 5), "blur": ("gaussian_blur", 3)}


def make_copies(images: Tensor, edit: str, *, seed: int = 0) -> Tensor:
    """A copy of each image under an edit.

    Args:
        images: uint8 `[N, C, H, W]`.
        edit: `crop`, half of the area at a random place, enlarged again; `jpeg`, compression at severity 5; `blur`,
            Gaussian blur at severity 3.
        seed: of the crops' places.

    Returns:
        uint8, of the same shape.

    Raises:
        ParameterError: there is no such edit.
        DataError: images are not bytes.
    """
    if edit not in EDITS:
        raise ParameterError(f"there is no edit {edit!r}; {did_you_mean(edit, EDITS)}")
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise DataError(f"images must be uint8 [N, C, H, W], not {images.dtype} {tuple(images.shape)}")
    ids = tuple(str(i) for i in range(len(images)))
    if edit == "crop":
        return _crops(images, SampleRng.of(seed, "copies", ids))
    name, severity = _STRESSORS[edit]
    batch = Batch(images.float() / 255, None, ids)
    changed: Tensor = find_method(name).cls().apply(batch, severity, seed).images
    return changed.mul(255).round().clamp(0, 255).byte()


def find_copies(
    database: Features, copies: Features, originals: Sequence[int], edits: Sequence[str]
) -> dict[str, Figure]:
    """Mean average precision of retrieving originals by the cosine of frozen features, by edit and of `all`.

    Args:
        database: features of originals and distractors, `[G, D]`.
        copies: of the copies, `[Q, D]`.
        originals: row of each copy's original in the database, `[Q]`.
        edits: name of each copy's edit, `[Q]`.

    Raises:
        DataError: features are not finite, or not of one width.
        ParameterError: see `copy_detection`.
    """
    there, asked = check_features(database), check_features(copies)
    if there.shape[1] != asked.shape[1]:
        raise DataError(f"features of copies are of {asked.shape[1]} numbers, those of the database {there.shape[1]}")
    return copy_detection(unit(asked) @ unit(there).T, list(originals), edits)


def _crops(images: Tensor, rng: SampleRng) -> Tensor:
    draws = rng.fresh(2)
    high, wide = (max(1, round(KEPT**0.5 * side)) for side in images.shape[2:])
    found = []
    for image, (one, other) in zip(images, draws.tolist(), strict=True):
        top, left = int(one * (images.shape[2] - high + 1)), int(other * (images.shape[3] - wide + 1))
        found.append(image[:, top : top + high, left : left + wide])
    enlarged = F.interpolate(torch.stack(found).float(), images.shape[2:], mode="bilinear", align_corners=False)
    return enlarged.round().clamp(0, 255).byte()
