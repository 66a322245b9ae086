"""Training images: in memory as bytes where they fit, else decoded on the way; and the part held out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.core.masks import IGNORED
from unshaken.core.rng import SampleRng
from unshaken.data.arrays import InMemory
from unshaken.data.dataset import BadSample, Dataset
from unshaken.data.mix import MixDataset
from unshaken.data.selection import subset
from unshaken.data.streaming import stream

RESIDENT_BYTES = 2**31
"""Images are held in memory up to this number of bytes in all."""
COUNTED = 5000
"""Images that mean and deviation are computed over, at most."""


class Samples:
    """The samples of a data set that training may see.

    Args:
        dataset: labelled, but where `unlabelled` says that it need not be.
        view: how the model looks at photos.
        classes: number of classes K.
        workers: threads that decode.
        limit: maximum number of images: a seeded, stratified draw.
        seed: the run seed.
        sparse: whether classes may be without any image, as when a model of many classes is tuned on a few.
        unlabelled: whether the data may be without labels; each image then has the label 0, which says nothing.
        hold: whether images may be held in memory; else they are decoded whenever they are asked for, and those that
            cannot be read are found only then.

    Raises:
        DataError: no labels, or a class without any image.
    """

    def __init__(
        self,
        dataset: Dataset,
        view: View | None,
        classes: int,
        *,
        workers: int | None = None,
        limit: int | None = None,
        seed: int = 0,
        sparse: bool = False,
        unlabelled: bool = False,
        hold: bool = True,
    ) -> None:
        self.labelled = dataset.labels is not None
        if dataset.labels is None and not unlabelled:
            raise DataError(f"data {dataset.options.spec!r} has no labels: training needs the class of each image")
        self.dataset, self.view, self.classes, self.workers = dataset, view, classes, workers
        given = np.zeros(len(dataset), np.int64) if dataset.labels is None else dataset.labels
        self.labels = torch.from_numpy(given)
        self.bad: dict[int, str] = dict(dataset.bad)
        self.resident: Tensor | None = None
        self.place = torch.zeros(0)
        good = np.array([i for i in subset(dataset, limit, seed).tolist() if i not in self.bad], np.int64)
        self.good = self._loaded(good, hold=hold)
        if sparse or not self.labelled:
            return
        counts = self._counts(classes)
        if len(absent := (counts == 0).nonzero().flatten().tolist()):
            names = dataset.classes if len(dataset.classes) == classes else [str(i) for i in range(classes)]
            lacking = ", ".join(repr(names[i]) for i in absent[:3]) + (", ..." if len(absent) > 3 else "")
            raise DataError(
                f"data {dataset.options.spec!r}: {len(absent)} of {classes} classes have no image to train on "
                f"({lacking}); add images, or train a model without these classes"
            )

    @classmethod
    def of(cls, images: Tensor, labels: Tensor, classes: int) -> Samples:
        """Samples that are in memory already.

        Args:
            images: uint8 `[N, C, H, W]`.
            labels: int64 `[N]`, or masks, uint8 `[N, H, W]`.
            classes: number of classes K.
        """
        return cls(InMemory(images, labels, classes=[str(i) for i in range(classes)]), None, classes)

    @property
    def are_masks(self) -> bool:
        """Whether labels give a class for each pixel."""
        return self.labels.ndim > 1

    def _counts(self, classes: int) -> Tensor:
        """Samples of each class; of masks pixels."""
        labels = self.labels[self.good]
        if self.are_masks:
            labels = labels[labels != IGNORED]
            if labels.numel() and int(labels.max()) >= classes:
                raise DataError(
                    f"data {self.dataset.options.spec!r}: masks hold the class {int(labels.max())}, but there are "
                    f"{classes} classes, from 0"
                )
        return torch.bincount(labels, minlength=classes)

    def _loaded(self, rows: NDArray[np.int64], *, hold: bool) -> NDArray[np.int64]:
        """Hold all images as bytes where they fit; rows that cannot be read are left out."""
        if isinstance(self.dataset, InMemory) and self.dataset.is_ready and self.view is None:
            self.shape, self.resident = tuple(self.dataset.images.shape[1:]), self.dataset.images
            self.place = torch.arange(len(self.dataset))
            return rows
        first = next((b for b in self._stream(rows[:64], 1) if isinstance(b, Batch)), None)
        if first is None:
            reason = next((f"; {self.dataset.ids[i]}: {why}" for i, why in self.dataset.bad.items()), "")
            raise DataError(f"none of the first images of {self.dataset.options.spec!r} can be read{reason}")
        self.shape = tuple(first.images.shape[1:])
        if not hold or first.images.numel() * len(rows) > RESIDENT_BYTES:
            return rows
        place = {name: i for i, name in enumerate(self.dataset.ids)}
        held = torch.empty(len(rows), *self.shape, dtype=torch.uint8)
        read: list[int] = []
        for found in self._stream(rows, 512):
            if isinstance(found, BadSample):
                self.bad[place[found.id]] = found.reason
                continue
            held[len(read) : len(read) + len(found)] = found.images.mul(255).round_().to(torch.uint8)
            read += [place[name] for name in found.ids]
        self.resident = held[: len(read)]
        self.place = torch.full((len(self.dataset),), -1, dtype=torch.int64)
        self.place[torch.tensor(read)] = torch.arange(len(read))
        return np.array(read, np.int64)

    def split(self, held_out: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to train on and rows held out: a seeded, stratified split.

        Of a mix only real images are held out, those that would be without the generated ones.

        Args:
            held_out: how many to hold out; at most a fifth are.
            seed: the run seed.
        """
        judged, real = self.dataset, self.good
        if isinstance(self.dataset, MixDataset) and len(self.dataset.rows):
            judged, real = self.dataset.real, self.good[self.good < len(self.dataset.real)]
        wanted = min(held_out, len(real) // 5)
        if not wanted:
            return self.good, self.good[:0]
        apart = np.intersect1d(subset(judged, wanted, seed), real)
        return np.setdiff1d(self.good, apart), apart

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of the channels over 5,000 images at most, spread over all of them."""
        images = self.whole(self.good[spread(len(self.good), COUNTED)]).images
        return images.mean((0, 2, 3)).tolist(), images.std((0, 2, 3)).clamp(min=1e-3).tolist()

    def keys(self, seed: int) -> SampleRng:
        """One stream a sample of the data set, in its order."""
        return SampleRng.of(seed, "harden", self.dataset.ids)

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches in the order asked for: rows `[n]`, float32 images in [0, 1], int64 labels or masks."""
        if self.resident is not None:
            for part in torch.split(torch.from_numpy(rows), size):
                yield part, self.resident[self.place[part]].float().div_(255), self.labels[part].long()
            return
        place = {self.dataset.ids[i]: int(i) for i in rows}
        for found in self._stream(rows, size):
            if isinstance(found, BadSample):
                self.bad[place[found.id]] = found.reason
                continue
            part = torch.tensor([place[name] for name in found.ids])
            yield part, found.images, self.labels[part].long()

    def whole(self, rows: NDArray[np.int64]) -> Batch:
        """Read some samples as one batch, in the order of their rows."""
        found = list(self.batches(rows, max(1, len(rows))))
        indices = torch.cat([f[0] for f in found]).tolist()
        return Batch(
            torch.cat([f[1] for f in found]),
            torch.cat([f[2] for f in found]),
            tuple(self.dataset.ids[i] for i in indices),
        )

    def _stream(self, rows: NDArray[np.int64], size: int) -> Iterator[Batch | BadSample]:
        return stream(self.dataset, rows.tolist(), view=self.view, workers=self.workers, batch_size=size)


def spread(n: int, most: int) -> NDArray[np.int64]:
    """Places spread evenly over a row of n, in rising order: one in each of `most` equal parts, all where n is no more.

    The place within a part moves by the golden ratio from one to the next, so that no period of the row is met.

    Args:
        n: length of the row.
        most: number of places.

    >>> spread(3, 5).tolist(), spread(10, 4).tolist()
    ([0, 1, 2], [0, 3, 5, 9])
    """
    if n <= most:
        return np.arange(n)
    bounds = np.arange(most + 1) * n // most
    share = np.arange(most) * 0.6180339887498949 % 1
    return bounds[:-1] + (share * np.diff(bounds)).astype(np.int64)


def order(
    rows: NDArray[np.int64], seed: int, epoch: int, use: str = "order", weights: Tensor | None = None
) -> NDArray[np.int64]:
    """The rows in the order of an epoch, a pure function of (seed, epoch, use) and the weights.

    Args:
        rows: places in the data set, `[n]`.
        seed: the run seed.
        epoch: from 0.
        use: what they are drawn for; each use has an order of its own.
        weights: of all samples of the data set, `[samples]`, none negative: `n` rows are drawn in proportion to these,
            with replacement. None for each row once.
    """
    draw = SampleRng.of(seed, use, [str(epoch)]).generators()[0]
    if weights is None:
        return rows[draw.permutation(len(rows))]
    share = weights.cpu().double().numpy()[rows]
    return rows[draw.choice(len(rows), len(rows), p=share / share.sum())]
