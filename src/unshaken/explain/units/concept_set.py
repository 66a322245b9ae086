"""`ConceptSet`: images in which it is known, pixel by pixel, what is to be seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data import Dataset
from unshaken.data.arrays import InMemory
from unshaken.data.decode import cut

UNKNOWN = -1
"""In a label map: the image says nothing about the category."""


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that may be seen.

    Args:
        name: in words, such as `red`.
        category: of the concept, such as `colour`; a pixel has one concept of a category at most.
    """

    name: str
    category: str


class ConceptSet(ABC):
    """Images with a map of concepts for each category.

    Args:
        concepts: all C of them.
        dataset: the images.
    """

    def __init__(self, concepts: Sequence[Concept], dataset: Dataset) -> None:
        self.concepts, self.dataset = tuple(concepts), dataset
        self.categories = tuple(dict.fromkeys(c.category for c in concepts))
        if not self.concepts or len({c.name for c in concepts}) < len(self.concepts):
            names = [c.name for c in concepts]
            twice = max(names, key=names.count, default="")
            raise DataError(
                f"a concept set needs concepts of different names; {twice!r} stands {names.count(twice)} times"
            )

    @property
    def category_of(self) -> Tensor:
        """The place of each concept's category among the categories, int64 `[C]`."""
        return torch.tensor([self.categories.index(c.category) for c in self.concepts])

    @abstractmethod
    def label_maps(self, ids: Sequence[str], view: View | None) -> Tensor:
        """Which concept of each category a pixel shows, int16 `[N, G, H, W]`.

        A concept's number counts from 1; 0 is none of them, `UNKNOWN` an image that says nothing of the category.

        Args:
            ids: of the images.
            view: how the images were cut.

        Raises:
            DataError: a map is absent, damaged or of another size.
        """

    def found(
        self, ids: Sequence[str], view: View | None, size: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Where each concept is, bool `[N, C, H, W]`; and which categories an image speaks of, bool `[N, G]`.

        Args:
            ids: of the images.
            view: how they were cut.
            size: height and width that the maps are brought to; None for that of the images.
        """
        maps = self.label_maps(ids, view)
        if size is not None and tuple(maps.shape[2:]) != size:
            maps = F.interpolate(maps.float(), size, mode="nearest-exact").to(torch.int16)
        numbers = torch.arange(1, len(self.concepts) + 1)[:, None, None]
        return maps[:, self.category_of] == numbers, (maps != UNKNOWN).flatten(2).any(2)


class ConceptImages(ConceptSet):
    """A concept set in memory.

    Args:
        concepts: all C of them.
        images: uint8 `[N, C, H, W]`.
        maps: int16 `[N, G, H, W]`; see `ConceptSet.label_maps`.

    Raises:
        DataError: the maps are of another form, or name a concept that there is not, or of another category.
    """

    def __init__(self, concepts: Sequence[Concept], images: Tensor, maps: Tensor) -> None:
        super().__init__(concepts, InMemory(images))
        wanted = (len(images), len(self.categories), *images.shape[2:])
        if tuple(maps.shape) != wanted:
            raise DataError(f"label maps must be of shape {wanted}, not {tuple(maps.shape)}")
        check_numbers(self, maps, "the label maps")
        self.images = images
        self.maps = maps.to(torch.int16)

    @override
    def label_maps(self, ids: Sequence[str], view: View | None) -> Tensor:
        maps = self.maps[torch.tensor([int(i) for i in ids])]
        if view is None or (view.height, view.width) == tuple(maps.shape[2:]) == (view.resize or view.height,) * 2:
            return maps
        return torch.stack([torch.stack([cut_map(m.numpy(), view) for m in one]) for one in maps])


def cut_map(numbers: NDArray[np.int16], view: View) -> Tensor:
    """A map cut as its image is, without mixing numbers, int16 `[H, W]`.

    Args:
        numbers: `[h, w]`.
        view: how the image is cut.
    """
    whole = Image.fromarray(numbers.astype(np.int32))
    return torch.from_numpy(np.asarray(cut(whole, replace(view, interpolation="nearest"), padding=0)).astype(np.int16))


def check_numbers(concepts: ConceptSet, maps: Tensor, where: str) -> None:
    """Refuse numbers of concepts that there are not, or that belong to another category.

    Args:
        concepts: the set.
        maps: `[N, G, H, W]`.
        where: for messages.

    Raises:
        DataError: there is one.
    """
    for group, category in enumerate(concepts.categories):
        for number in np.unique(maps[:, group].numpy()).tolist():
            if number in (0, UNKNOWN):
                continue
            if not 0 < number <= len(concepts.concepts):
                raise DataError(f"{where}: number {number} is no concept; there are 1 to {len(concepts.concepts)}")
            if (of := concepts.concepts[number - 1]).category != category:
                raise DataError(f"{where}: {of.name!r} (number {number}) is of {of.category}, in the map of {category}")
