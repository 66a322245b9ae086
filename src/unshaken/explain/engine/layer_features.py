"""`layer_features`: what named layers of a frozen model put out for images, computed once and kept by content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

from unshaken.core.batch import batch_for
from unshaken.core.cache import cache_dir
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.models import fingerprint
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

Pool = Literal["mean", "max", "gem", "flat", "maps"]
"""How a layer's output becomes a feature: over its places, or as it is."""
GEM = 3.0
"""Power of the generalised mean."""


def layer_features(
    model: Classifier, images: Tensor, layers: Sequence[str], *, pool: Pool = "mean", cache: bool = True
) -> dict[str, Tensor]:
    """Features of images at several layers of a model, from one pass; its weights and its mode stay as they are.

    What was computed before for the same weights, the same pixels, the same layer and pooling is read from the user's
    cache folder (see `cache_dir`), however the model and the images were named then.

    Args:
        model: a classifier.
        images: uint8 `[N, C, H, W]`, as the model takes them.
        layers: names as in `net.named_modules()`; `NAME:in` for what goes into a layer.
        pool: `mean`, `max` or `gem` (the generalised mean of power 3) over places or tokens, `flat` for all numbers in
            a row, `maps` for the output as it is.
        cache: whether to keep features, and to take those that are kept.

    Returns:
        From layer to float32 `[N, D]`, on the CPU; `[N, ...]` for `maps`.

    Raises:
        DataError: images are not bytes, or there is none.
        ModelError: there is no such layer.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
        raise DataError(f"images must be uint8 [N, C, H, W], N at least 1, not {images.dtype} {tuple(images.shape)}")
    folder, names = RunDir(cache_dir() / "features"), dict.fromkeys(layers, "")
    if cache:
        known = f"{fingerprint(model)} {images_digest(images)} {pool}"
        names = {layer: f"{_digest(f'{known} {layer}'.encode())}.safetensors" for layer in layers}
    there = [layer for layer, name in names.items() if cache and folder.exists(name)]
    found = {layer: TensorFile.of(folder.read(names[layer]), names[layer]).tensors["features"] for layer in there}
    if left := [layer for layer in names if layer not in found]:
        fresh = features_of_batches(model, [images], left, pool=pool, count=len(images))
        if cache:
            for layer, features in fresh.items():
                folder.write(TensorFile({"features": features}).to_bytes(), names[layer])
        found |= fresh
    return {layer: found[layer] for layer in layers}


def features_of_batches(
    model: Classifier,
    batches: Iterable[Tensor],
    layers: Sequence[str],
    *,
    pool: Pool = "mean",
    count: int | None = None,
) -> dict[str, Tensor]:
    """Features of images that come in batches, without a cache; see `layer_features`.

    Args:
        model: a classifier.
        batches: uint8, or float32 in [0, 1], `[n, C, H, W]`.
        layers: as in `layer_features`.
        pool: likewise.
        count: number of images, for the progress bar.
    """
    oracle, found = Oracle(model), {layer: list[Tensor]() for layer in layers}
    with evaluating(model), torch.no_grad(), track("features", count) as task:
        for piece in (piece for batch in batches for piece in torch.split(batch, batch_for(batch, oracle.device))):
            pixels = piece.float() / 255 if piece.dtype == torch.uint8 else piece
            _, outputs = oracle.forward(pixels.to(oracle.device), tuple(layers))
            for layer in layers:
                found[layer].append(pooled(outputs[layer].float(), pool).cpu())
            task.advance(len(piece))
    return {layer: torch.cat(parts).contiguous() for layer, parts in found.items()}


def pooled(output: Tensor, pool: Pool) -> Tensor:
    """A layer's output as features.

    Args:
        output: `[N, C, H, W]`, tokens `[N, T, D]`, or `[N, D]`, which any pooling but `flat` leaves as it is.
        pool: as in `layer_features`.

    Returns:
        `[N, C]`, `[N, D]`, or all numbers of a sample in a row; the output itself for `maps`.
    """
    if pool == "maps":
        return output
    if pool == "flat" or output.ndim == 2:
        return output.flatten(1)
    places = output.flatten(2) if output.ndim > 3 else output.transpose(1, 2)
    if pool == "mean":
        return places.mean(2)
    return places.amax(2) if pool == "max" else places.clamp(min=1e-6).pow(GEM).mean(2).pow(1 / GEM)


def images_digest(images: Tensor) -> str:
    """32 hexadecimal digits of the shape and the bytes of images, uint8."""
    return _digest(f"{tuple(images.shape)}".encode(), images.cpu().contiguous().numpy().tobytes())


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
