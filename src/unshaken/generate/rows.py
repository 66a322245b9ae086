"""Rows of generated images: one an image, with the doubts that they raise about the generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table

GENERATED = declare_table(
    "generated",
    "id string, condition string, method string, label int64, mean double, deviation double, digest string, "
    "file string, error string",
)
REPEATED = FlagKind(
    "repeated-images",
    "several generated images are the same, pixel for pixel",
    "Do not count them as independent samples; train the generator longer, or sample it with more steps.",
)
FLAT = FlagKind(
    "flat-images",
    "generated images are of one shade",
    "Do not use them as data: the generator has not learned; train it longer or at a lower rate.",
)


def generated_rows(condition: Condition, images: Tensor, labels: Tensor | None, files: Sequence[str]) -> Part:
    """The `generated` rows of images, with their flags.

    Args:
        condition: the generator.
        images: float `[N, C, H, W]` in [0, 1].
        labels: the class asked for, int64 `[N]`, or None.
        files: where each image lies in the folder.
    """
    bytes_of = (images * 255).round().to(torch.uint8).cpu()
    flat = widen(images).flatten(1)
    digests = [hashlib.sha256(image.numpy().tobytes()).hexdigest()[:16] for image in bytes_of]
    ids = [f"{i:06d}" for i in range(len(images))]
    deviation = flat.std(1, correction=0).tolist()
    columns = {
        "id": ids,
        "mean": flat.mean(1).tolist(),
        "deviation": deviation,
        "digest": digests,
        "file": list(files),
    }
    if labels is not None:
        columns["label"] = labels.tolist()
    return Part("generated", condition, columns, flags=_flags(ids, deviation, digests))


def _flags(ids: Sequence[str], deviation: Sequence[float], digests: Sequence[str]) -> tuple[Flag, ...]:
    found = []
    first = {digest: i for i, digest in reversed(list(enumerate(digests)))}
    again = [name for i, name in enumerate(ids) if first[digests[i]] != i]
    if again:
        found.append(REPEATED.flag(f"{len(again)} of {len(ids)} images repeat another one", again))
    flat = [name for name, value in zip(ids, deviation, strict=True) if value < 0.5 / 255]
    if flat:
        found.append(FLAT.flag(f"{len(flat)} of {len(ids)} images are of one shade", flat))
    return tuple(found)
