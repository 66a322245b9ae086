"""Retrieval by frozen features: images compared by their parts, edited copies found, places from neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.registry import find_method
from unshaken.core.rng import SampleRng
from unshaken.measure.retrieval import DISTANCES, copy_detection, great_circle, within_distances
from unshaken.measure.statistics.columns import Indices, Numbers, numbers
from unshaken.measure.statistics.intervals import Figure
from unshaken.tasks.features.probes import check_features
from unshaken.tasks.features.transforms import Features, unit


def spatial_patches(images: Tensor, levels: int) -> Tensor:
    """Square parts of square images, enlarged to the images' own size.

    Level i has i x i parts of equal size, of 2 / (i + 1) of the side, that overlap and cover the image; level 1 is the
    image.

    Args:
        images: float32 or uint8 `[N, C, S, S]`.
        levels: h; 4 for references and 3 for queries are published.

    Returns:
        `[N, P, C, S, S]` of the same kind, P = 1 + 4 + ... + h^2: 30 for h = 4, 14 for h = 3.

    Raises:
        DataError: images are not square: parts would be distorted.
        ParameterError: levels is below 1.
    """
    side = images.shape[-1]
    if images.shape[-2] != side:
        raise DataError(f"spatial search needs square images, not {side} x {images.shape[-2]} pixels: cut them first")
    if levels < 1:
        raise ParameterError(f"levels must be at least 1, not {levels}")
    pixels, found = images.float(), []
    for level in range(1, levels + 1):
        length = int(np.ceil(2 * side / (level + 1)))
        places = np.linspace(0, side - length, level).round().astype(int).tolist()
        for y in places:
            for x in places:
                part = pixels[..., y : y + length, x : x + length]
                found.append(F.interpolate(part, (side, side), mode="bilinear", align_corners=False))
    patches = torch.stack(found, 1)
    return patches.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else patches


def spatial_distances(queries: Features, references: Features) -> Numbers:
    """The mean over a query's parts of the distance to the nearest part of a reference.

    Args:
        queries: features `[Q, P, D]`, or `[Q, D]` of whole images.
        references: features `[R, P', D]`, or `[R, D]`.

    Returns:
        L2 distances `[Q, R]`; with one part each, those of whole images.
    """
    asked, there = (v if v.ndim == 3 else v[:, None] for v in (np.asarray(queries), np.asarray(references)))
    found = np.empty((len(asked), len(there)))
    flat = there.reshape(-1, there.shape[-1]).astype(np.float64)
    lengths = (flat**2).sum(1)
    for i, parts in enumerate(asked.astype(np.float64)):
        squared = (parts**2).sum(1)[:, None] + lengths - 2 * parts @ flat.T
        nearest = squared.reshape(len(parts), len(there), -1).min(2)
        found[i] = np.sqrt(np.maximum(nearest, 0)).mean(0)
    return found


def retrieve(distances: Numbers, k: int = 4) -> Indices:
    """The k nearest references of each query, the nearest first, int `[Q, k]`; of equal ones the first."""
    return np.asarray(np.argsort(distances, axis=1, kind="stable")[:, :k], np.int64)


EDITS = ("crop", "jpeg", "blur")
CROP_AREA = 0.5
"""Share of the image's area that a crop has."""
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
    high, wide = (max(1, round(CROP_AREA**0.5 * side)) for side in images.shape[2:])
    found = []
    for image, (one, other) in zip(images, draws.tolist(), strict=True):
        top, left = int(one * (images.shape[2] - high + 1)), int(other * (images.shape[3] - wide + 1))
        found.append(image[:, top : top + high, left : left + wide])
    enlarged = F.interpolate(torch.stack(found).float(), images.shape[2:], mode="bilinear", align_corners=False)
    return enlarged.round().clamp(0, 255).byte()


CELL = 1.0
"""Degrees of latitude and longitude of the cells in which neighbours vote."""


def predict_places(features: Features, places: ArrayLike, queries: Features, *, k: int = 1) -> Numbers:
    """The place of each query: that of its nearest image by cosine, or the commonest cell among the k nearest.

    Args:
        features: of geotagged images, `[G, D]`.
        places: their latitudes and longitudes in degrees, `[G, 2]`.
        queries: features, `[Q, D]`.
        k: neighbours that vote for cells of one degree; the place is that of the nearest one in the cell that wins, of
            equal ones that with the nearest neighbour.

    Returns:
        Latitudes and longitudes, `[Q, 2]`.

    Raises:
        DataError: features are not finite, not of one width, or there is not one place each.
        ParameterError: a latitude or longitude is out of range, or k is not in 1 to G.
    """
    there, asked = check_features(features), check_features(queries)
    known = np.asarray(places, np.float64)
    if there.shape[1] != asked.shape[1] or known.shape != (len(there), 2):
        raise DataError(
            f"features {there.shape}, places {known.shape} and queries {asked.shape} do not fit: [G, D], [G, 2], [Q, D]"
        )
    numbers("latitude", known[:, 0], low=-90, high=90)
    numbers("longitude", known[:, 1], low=-180, high=180)
    if not 1 <= k <= len(there):
        raise ParameterError(f"k must lie in 1 to {len(there)}, the images that there are, not {k}")
    order = np.argsort(-(unit(asked) @ unit(there).T), axis=1, kind="stable")[:, :k]
    cells = np.floor(known / CELL).astype(np.int64)
    chosen = []
    for near in order:
        votes = (cells[near][:, None] == cells[near][None]).all(2).sum(1)
        chosen.append(near[int(votes.argmax())])
    return np.asarray(known[chosen])


def locate(
    features: Features, places: ArrayLike, queries: Features, true_places: ArrayLike, *, k: int = 1,
    distances: Sequence[float] = DISTANCES,
) -> dict[float, Figure]:  # fmt: skip
    """The share of queries that are placed within each distance, in km.

    Args:
        features: as in `predict_places`.
        places: as in `predict_places`.
        queries: as in `predict_places`.
        true_places: where the queries are, `[Q, 2]`.
        k: neighbours that vote.
        distances: in km.

    Raises:
        DataError: as in `predict_places`.
        ParameterError: as in `predict_places`.
    """
    found, truth = predict_places(features, places, queries, k=k), np.asarray(true_places, np.float64)
    if truth.shape != found.shape:
        raise DataError(f"true places must be [{len(found)}, 2], not {truth.shape}")
    return within_distances(great_circle(found[:, 0], found[:, 1], truth[:, 0], truth[:, 1]), distances)
