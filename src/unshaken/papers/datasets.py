"""`Split` and `Datasets`: labelled images in memory, for training, for choosing and for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError, UnshakenError
from unshaken.data import Dataset, load_data, subset
from unshaken.data.arrays import InMemory
from unshaken.data.resident import Samples
from unshaken.papers.cache import digest_tensors

if TYPE_CHECKING:
    from unshaken.papers.record import Record


@dataclass(frozen=True, slots=True)
class Split:
    """Labelled images in memory.

    Args:
        images: uint8 `[N, C, H, W]`.
        labels: int64 `[N]`, from 0.
        ids: one a sample.
        classes: number of classes K.
        names: of the classes; empty when unknown.
    """

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]
    classes: int
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, images: Tensor, labels: Tensor, *, classes: int | None = None) -> Split:
        """Images that were made here, such as points or drawings; ids are their indices."""
        count = int(labels.max()) + 1 if classes is None else classes
        return cls(images, labels, tuple(str(i) for i in range(len(images))), count)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | Tensor | NDArray[np.int64]) -> Split:
        """Some samples: a slice, indices, or a bool mask."""
        chosen = torch.arange(len(self))[rows if isinstance(rows, slice) else torch.as_tensor(rows)]
        ids = tuple(self.ids[i] for i in chosen.tolist())
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], ids=ids)

    def first(self, n: int) -> Split:
        """The first samples, at most `n`; of a whole data set the same in every run: see `block`."""
        return self[:n]

    def block(self, n: int, seed: int) -> Split:
        """At most `n` samples that follow each other, others for each seed: from place `n * seed` on, in a circle."""
        return self[torch.arange(len(self)).roll(-n * seed)[:n]]

    def stratified(self, n: int, seed: int) -> Split:
        """At most `n` samples: seeded, each class with its share, in their order; see `unshaken.data.subset`."""
        return self if n >= len(self) else self[subset(InMemory(self.images, self.labels, ids=self.ids), n, seed)]

    def drawn(self, n: int, rng: np.random.Generator) -> Split:
        """At most `n` samples at random, in their order."""
        return self[np.sort(rng.permutation(len(self))[:n])]

    def cut(self, n: int, seed: int) -> tuple[Split, Split]:
        """Two parts at random: `n` samples, and the others."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self[order[:n]], self[order[n:]]

    def relabelled(self, labels: Tensor) -> Split:
        """The same images under other labels."""
        return replace(self, labels=labels)

    def batch(self) -> Batch:
        """All samples as float32 in [0, 1]."""
        return Batch(self.images.float() / 255, self.labels, self.ids)

    @property
    def digest(self) -> str:
        """32 hexadecimal digits of images and labels: what a network learns from."""
        return digest_tensors({"images": self.images, "labels": self.labels})

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and deviation of the channels over the first 5,000 images."""
        some = self.images[:5000].float() / 255
        return some.mean((0, 2, 3)).tolist(), some.std((0, 2, 3)).clamp(min=1e-3).tolist()


@dataclass(frozen=True, slots=True)
class Parts:
    """The three parts of an experiment's data.

    Args:
        training: to learn from.
        testing: for what is reported.
        choosing: disjoint from both, to choose settings on.
    """

    training: Split
    testing: Split
    choosing: Split


@dataclass(frozen=True, slots=True)
class Datasets:
    """Data sets of an experiment, each read once: the row's own, or the user's in its place.

    Args:
        spec: of the row's data.
        download: whether sources may be fetched.
        record: receives the SPEC and the fingerprint of what is read, before any image is decoded; and where there are
            fewer images than asked for.
        seed: the run seed, which draws the images where fewer than all are used.
    """

    spec: str
    download: bool
    record: Record
    seed: int = 0
    _read: dict[tuple[str, View | None], Split] = field(default_factory=dict)

    def open(self, split: str | None = None, spec: str | None = None) -> Dataset:
        """A data set without its images, for what needs no more.

        Args:
            split: such as `train` or `test`; None for a SPEC without splits.
            spec: default the row's data.

        Raises:
            DataError: the data is absent, and one line says how to get it; or the SPEC names a split itself.
        """
        whole = _with_split(spec or self.spec, split)
        dataset = load_data(whole, download=self.download)
        self.record.add_input(f"data {whole}", dataset.fingerprint)
        return dataset

    def check(self, spec: str) -> None:
        """Open data to see that it is there: as a whole, or its splits `train` and `test`.

        Raises:
            UnshakenError: it is absent, and one line says how to get it.
        """
        try:
            load_data(spec, download=self.download)
        except DataError as absent:  # or a folder of splits, of which one must be named
            try:
                for split in ("train", "test"):
                    load_data(_with_split(spec, split), download=self.download)
            except DataError:
                raise absent from None

    def read(self, split: str | None, spec: str | None = None, *, view: View | None = None) -> Split:
        """All readable samples of a split.

        Args:
            split: as in `open`.
            spec: as in `open`.
            view: how a user's model cuts photos; None for images as they are.

        Raises:
            DataError: the data is absent, has no labels, or does not fit into memory.
        """
        place = f"{spec or self.spec}|{split}", view
        if place not in self._read:
            self._read[place] = _resident(self.open(split, spec), view, sparse=split != "train")
        return self._read[place]

    def stratified(
        self, split: str | None, n: int | None, seed: int | None = None, spec: str | None = None, *,
        view: View | None = None,
    ) -> Split:  # fmt: skip
        """A stratified part of a split; the run keeps a note where the data has fewer images.

        Args:
            split: as in `open`.
            n: how many; None for all.
            seed: of the choice; default the run seed.
            spec: as in `open`.
            view: as in `read`.

        Raises:
            DataError: as `read`.
        """
        whole = self.read(split, spec, view=view)
        if n is None:
            return whole
        if len(whole) < n:
            self.record.add_fewer(_with_split(spec or self.spec, split), asked=n, there=len(whole))
        return whole.stratified(n, self.seed if seed is None else seed)

    def parts(self, train: int | None, test: int | None, choosing: int = 0) -> Parts:
        """Stratified parts of the splits `train` and `test`, drawn by the run seed; what is chosen on is of `test` too.

        Args:
            train: training images; None for all.
            test: test images for what is reported; None for all but those to choose on.
            choosing: further test images to choose settings on.

        Raises:
            DataError: as `read`; or too few test images for both.
        """
        held = self.stratified("test", None if test is None else test + choosing)
        share = len(held) - choosing if test is None else round(len(held) * test / (test + choosing))
        if share < 1 or (choosing and share >= len(held)):
            raise DataError(f"data {self.spec!r}: {len(held)} test images are too few to choose on and to report")
        testing, rest = held.cut(share, self.seed)
        return Parts(self.stratified("train", train), testing, rest)

    def grey_by_class(self, split: str, classes: Sequence[int], count: int) -> list[Tensor]:
        """Grey images of some classes, each uint8 `[n, 1, H, W]`.

        Args:
            split: such as `train`.
            classes: in the order wanted.
            count: how many of each at most, others for each run seed, as of `Split.block`.

        Raises:
            DataError: as `read`; or there is none of a class.
        """
        data = self.read(split)
        grey = data.images.float().mean(1, keepdim=True).round().to(torch.uint8)
        found = [grey[data.labels == c].roll(-count * self.seed, 0)[:count] for c in classes]
        if not all(len(images) for images in found):
            raise DataError(f"data {self.spec!r}: the classes {', '.join(map(str, classes))} must all have images")
        return found

    def of_other_kind(self, name: str, like: Batch, count: int) -> Batch | None:
        """Test images of another data set, in the size and the channels of the row's own.

        Args:
            name: of a data set.
            like: images of the row's data.
            count: how many at most.

        Returns:
            Images and their labels in the other set; None where it is not installed, or is the row's own data.
        """
        if self.spec.partition("?")[0] == name:
            return None
        try:
            chosen = self.stratified("test", count, spec=name).batch()
        except UnshakenError:
            return None
        channels, height, width = like.images.shape[1:]
        images = F.interpolate(chosen.images, (height, width), mode="bilinear", align_corners=False).clamp(0, 1)
        if images.shape[1] != channels:
            images = images.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        return chosen.with_images(images.contiguous())


def read_split(spec: str, *, download: bool = False) -> Split:
    """All readable samples of a data SPEC.

    Raises:
        DataError: the data is absent, has no labels, or does not fit into memory.
    """
    return _resident(load_data(spec, download=download), None, sparse=False)


def _with_split(spec: str, split: str | None) -> str:
    if split is None:
        return spec
    if any(option.startswith("split=") for option in spec.partition("?")[2].split("&")):
        raise DataError(f"data {spec!r}: the experiment reads the split {split!r} by itself; leave split= out")
    return f"{spec}{'&' if '?' in spec else '?'}split={split}"


def _resident(dataset: Dataset, view: View | None, *, sparse: bool) -> Split:
    spec = dataset.options.spec
    if dataset.labels is None or not len(dataset):
        raise DataError(f"data {spec!r} has no labels: the experiment needs the class of each image")
    classes = len(dataset.classes) or int(dataset.labels.max()) + 1
    samples = Samples(dataset, view, classes, sparse=sparse)
    if samples.resident is None:
        raise DataError(f"data {spec!r} does not fit into memory: name smaller images, or give ?size=")
    rows = torch.from_numpy(samples.good)
    ids = tuple(dataset.ids[i] for i in samples.good.tolist())
    return Split(samples.resident[samples.place[rows]], samples.labels[rows], ids, classes, tuple(dataset.classes))


def prepared(model: Classifier, images: Tensor) -> Tensor:
    """Images, uint8 `[N, C, H, W]`, in the size and with the channels that a model takes; bicubic."""
    if model.view is None:
        return images
    wanted = (model.view.height, model.view.width)
    if images.shape[1] == 1 and model.view.channels == 3:
        images = images.expand(-1, 3, -1, -1)
    pieces = [
        F.interpolate(p.float(), wanted, mode="bicubic", align_corners=False, antialias=True)
        .round().clamp(0, 255).byte()
        for p in torch.split(images, 256)
    ]  # fmt: skip
    return torch.cat(pieces)
