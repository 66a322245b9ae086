"""`ImageTextSet`: images with a text and a label each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten


@dataclass(frozen=True, slots=True)
class ImageTextSet:
    """Samples of an image and a text each, in memory.

    Args:
        images: uint8 `[N, C, H, W]`.
        texts: one a sample, none of them blank.
        labels: int64 `[N]`, 0 to K - 1.
        ids: one a sample, none twice.
        classes: names of the K classes.
        truncated: ids of samples whose text was cut when it was read.
        bad: id of each row that was left out when they were read, and why.

    Raises:
        DataError: shapes, types or lengths do not fit, an id comes twice, a text is blank, or a label has no class.
    """

    images: Tensor
    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    truncated: frozenset[str] = frozenset()
    bad: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                f"images must be uint8 [N, C, H, W], not {self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        counts = {
            "images": len(self.images), "texts": len(self.texts), "labels": len(self.labels), "ids": len(self.ids)
        }  # fmt: skip
        if len(set(counts.values())) > 1 or not self.ids:
            raise DataError(f"give one image, text, label and id a sample, and one sample at least, not {counts}")
        seen: set[str] = set()
        if twice := next((i for i in self.ids if i in seen or seen.add(i)), None):  # type: ignore[func-returns-value]
            raise DataError(f"the id {shorten(twice)} comes twice: give every sample an id of its own")
        if blank := [i for i, text in zip(self.ids, self.texts, strict=True) if not text.strip()]:
            raise DataError(f"{len(blank)} texts are blank, the first that of {shorten(blank[0])}: leave them out")
        if not np.issubdtype(self.labels.dtype, np.integer) or self.labels.ndim != 1:
            raise DataError(f"labels must be integers [N], not {self.labels.dtype} of shape {self.labels.shape}")
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise DataError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, and there are {len(self.classes)} "
                "classes: name every class"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Sequence[int] | NDArray[np.int64] | slice) -> ImageTextSet:
        """Some samples, by their indices or a slice."""
        index = np.arange(len(self))[rows]
        ids = tuple(self.ids[i] for i in index)
        return replace(
            self, images=self.images[torch.from_numpy(index)], texts=tuple(self.texts[i] for i in index),
            labels=self.labels[index], ids=ids, truncated=self.truncated & set(ids),
        )  # fmt: skip

    def with_texts(self, texts: Sequence[str]) -> ImageTextSet:
        """The same samples with other texts."""
        return replace(self, texts=tuple(texts))

    def with_images(self, images: Tensor) -> ImageTextSet:
        """The same samples with other images, uint8."""
        return replace(self, images=images)

    def batch(self) -> Batch:
        """Images in [0, 1] with labels and ids, for stressors and classifiers."""
        return Batch(self.images.float() / 255, torch.from_numpy(self.labels.astype(np.int64)), self.ids)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, rounded: what a picture file holds."""
    return images.mul(255).round().clamp(0, 255).to(torch.uint8)
