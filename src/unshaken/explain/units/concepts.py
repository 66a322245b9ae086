"""Concept sets, images in which it is known pixel by pixel what they show: in memory, in a folder, or made here."""

from __future__ import annotations

import csv
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, View
from unshaken.core.documents import read_text
from unshaken.core.errors import DataError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.core.rng import SampleRng
from unshaken.data import Dataset, load_data, stream
from unshaken.data.arrays import InMemory
from unshaken.data.dataset import BadSample
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


HEAD = ["number", "name", "category"]


class ConceptFolder(ConceptSet):
    """A concept set in a folder of the user's.

    ```text
    DIR/concepts.csv              number,name,category    a line a concept, numbers from 1 without a gap
    DIR/images/NAME.png           the images (any format that is read)
    DIR/masks/CATEGORY/NAME.png   grey, 8 or 16 bits: the number of the concept at each pixel, 0 for none
    ```

    An image without a mask of a category says nothing about it. A mask has the size of its image.

    Args:
        folder: that holds `concepts.csv`, `images` and `masks`.

    Raises:
        DataError: a part of the folder is absent or not as it should be.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        super().__init__(_concepts(self.folder / "concepts.csv"), load_data(f"folder:{self.folder / 'images'}"))
        place = self.folder / "masks"
        found = sorted(p.name for p in place.iterdir() if p.is_dir()) if place.is_dir() else []
        if not found:
            raise DataError(
                f"{place} has no folder of masks: name one for each category ({', '.join(self.categories)})"
            )
        if strange := [name for name in found if name not in self.categories]:
            raise DataError(
                f"{place / strange[0]}: {strange[0]!r} is no category of concepts.csv ({', '.join(self.categories)})"
            )
        stems: dict[str, str] = {}
        for name in self.dataset.ids:
            if (other := stems.setdefault(Path(name).stem, name)) != name:
                raise DataError(
                    f"{self.folder / 'images'}: {other!r} and {name!r} would have one mask, {Path(name).stem}.png: "
                    "rename one of them"
                )
        for mask in (m for name in found for m in sorted((place / name).iterdir())):
            if mask.suffix != ".png" or mask.stem not in stems:
                raise DataError(f"{mask}: there is no image of this name in {self.folder / 'images'}, or it is no PNG")

    @override
    def label_maps(self, ids: Sequence[str], view: View | None) -> Tensor:
        return torch.stack([self._maps(name, view) for name in ids])

    def _maps(self, name: str, view: View | None) -> Tensor:
        pixels = self.dataset.read(self.dataset.ids.index(name))
        size = (pixels.shape[1], pixels.shape[0])
        paths = [self.folder / "masks" / category / f"{Path(name).stem}.png" for category in self.categories]
        if not any(path.is_file() for path in paths):
            raise DataError(f"image {name!r} of {self.folder} has no mask in any category")
        maps = [_read(path, size, view) if path.is_file() else None for path in paths]
        shape = next(m for m in maps if m is not None).shape
        found = torch.stack([torch.full(shape, UNKNOWN, dtype=torch.int16) if m is None else m for m in maps])
        check_numbers(self, found[None], f"masks of {name!r}")
        return found


def _read(path: Path, size: tuple[int, int], view: View | None) -> Tensor:
    """Numbers of a mask as the image is cut, int16 `[H, W]`."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "1", "I;16", "I"):
                raise DataError(f"{path} is of mode {image.mode}: write numbers as a grey image of 8 or 16 bits")
            if image.size != size:
                raise DataError(f"{path} has {image.width} x {image.height} pixels, its image {size[0]} x {size[1]}")
            numbers = np.asarray(image).astype(np.int16)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})") from None
    return torch.from_numpy(numbers) if view is None else cut_map(numbers, view)


def _concepts(path: Path) -> list[Concept]:
    try:
        lines = list(csv.reader(read_text(path).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}): it lists the concepts as {','.join(HEAD)}") from None
    if not lines or lines[0] != HEAD:
        raise DataError(f"{path} must begin with the line {','.join(HEAD)}")
    found = []
    for i, line in enumerate(lines[1:], 1):
        if len(line) != 3 or not line[1].strip() or not line[2].strip():
            raise DataError(f"{path}, line {i + 1}: {shorten(','.join(line))} is not number,name,category")
        if parse_whole(line[0], least=1) != i:
            raise DataError(f"{path}, line {i + 1}: the number is {line[0]}, expected {i}: count from 1 without a gap")
        found.append(Concept(line[1].strip(), line[2].strip()))
    return found


COLOURS = {
    "red": (0.85, 0.15, 0.15), "green": (0.15, 0.7, 0.2), "blue": (0.15, 0.25, 0.85), "yellow": (0.9, 0.85, 0.2),
    "purple": (0.6, 0.2, 0.7), "orange": (0.95, 0.55, 0.1), "black": (0.03, 0.03, 0.03), "white": (0.97, 0.97, 0.97),
}  # fmt: skip
ANGLES = {"vertical stripes": 0.0, "horizontal stripes": 0.5, "rising stripes": 0.25, "falling stripes": 0.75}
"""Direction of the wave of a grating, as a share of half a turn."""
PERIODS = {"fine": 1 / 8, "coarse": 1 / 3}
"""Period of a grating as a share of the patch's side."""
NOISES = {"noise": 1, "blotches": 4}
"""Side of the squares of a noise texture in pixels."""
GREYS = {"black": 0.03, "grey": 0.5, "white": 0.97}
"""Plain colours of images of one channel."""


def made_concepts(
    n: int = 400,
    side: int = 32,
    channels: int = 3,
    seed: int = 0,
    objects: tuple[Tensor, Tensor, list[str]] | None = None,
) -> ConceptImages:
    """Composites on a ground of faint noise: a plain colour, a texture and an object, each in a quarter of the image.

    Args:
        n: images.
        side: of an image in pixels.
        channels: 1 or 3; with one, colours are shades of grey.
        seed: of all that is drawn.
        objects: float32 images `[M, C, h, w]` in [0, 1], their classes int64 `[M]`, and the names of these; None for
            the embedded data.
    """
    images, classes, names = objects or _embedded(channels)
    shades = COLOURS if channels == 3 else {name: (value,) * 3 for name, value in GREYS.items()}
    textures = [f"{period} {angle}" for period in PERIODS for angle in ANGLES] + list(NOISES)
    concepts = [Concept(name, "colour") for name in shades]
    concepts += [Concept(name, "texture") for name in textures]
    concepts += [Concept(name, "object") for name in names]
    half = side // 2
    large = F.interpolate(images.float(), (half, half), mode="bilinear", align_corners=False).clamp(0, 1)
    if large.shape[1] != channels:
        large = large.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    rng = SampleRng.of(seed, "concepts", [str(i) for i in range(n)])
    found = 0.45 + 0.1 * rng.fold("ground").uniform(channels, side, side)
    maps = torch.zeros(n, 3, side, side, dtype=torch.int16)
    draws = rng.fold("draws").uniform(8)
    noise = rng.fold("noise").uniform(channels, half, half)
    corners = rng.fold("corners").uniform(4).argsort(1)
    for i in range(n):
        numbers = [int(draws[i, j] * m) for j, m in enumerate((len(shades), len(textures), len(large)))]
        colour = torch.tensor(list(shades.values())[numbers[0]])[:channels, None, None].expand(-1, half, half)
        texture = _texture(numbers[1], half, channels, float(draws[i, 4]), noise[i])
        parts = (colour, texture, large[numbers[2]])
        labels = (numbers[0], len(shades) + numbers[1], len(shades) + len(textures) + int(classes[numbers[2]]))
        for group, (part, label) in enumerate(zip(parts, labels, strict=True)):
            top, left = (half * k for k in divmod(int(corners[i, group]), 2))
            found[i, :, top : top + half, left : left + half] = part
            maps[i, group, top : top + half, left : left + half] = label + 1
    return ConceptImages(concepts, found.mul(255).round().byte(), maps)


def _texture(number: int, side: int, channels: int, phase: float, noise: Tensor) -> Tensor:
    """A grating or noise, `[C, side, side]`."""
    gratings = [(period, angle) for period in PERIODS.values() for angle in ANGLES.values()]
    if number < len(gratings):
        period, angle = gratings[number]
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        along = columns * math.cos(math.pi * angle) + rows * math.sin(math.pi * angle)
        wave = 0.5 + 0.45 * torch.sin(2 * math.pi * (along / max(2.0, period * side) + phase))
        return wave.expand(channels, -1, -1)
    square = list(NOISES.values())[number - len(gratings)]
    small = noise[:, : -(-side // square), : -(-side // square)]
    return small.repeat_interleave(square, 1).repeat_interleave(square, 2)[:, :side, :side]


def _embedded(channels: int, each: int = 12) -> tuple[Tensor, Tensor, list[str]]:
    """A few images of each class of the embedded data."""
    dataset = load_data("demo")
    labels = np.zeros(0, np.int64) if dataset.labels is None else dataset.labels
    rows = [i for c in range(len(dataset.classes)) for i in (labels == c).nonzero()[0][:each].tolist()]
    parts = [b for b in stream(dataset, sorted(rows)) if not isinstance(b, BadSample)]
    images = torch.cat([b.images for b in parts]).expand(-1, channels, -1, -1)
    return images, torch.cat([b.labels for b in parts if b.labels is not None]), list(dataset.classes)


MADE = "made"
SIDE = 32
"""Side of made images for a model that takes any size."""


def open_concepts(name: str, model: Classifier, *, images: int, seed: int) -> ConceptSet:
    """Open the made concept set, or the one in a folder.

    Args:
        name: `made`, or a folder; see `ConceptFolder`.
        model: that will look at the images: made ones have its size and its channels.
        images: number of made images.
        seed: of made images.

    Raises:
        DataError: the folder is not as it should be.
    """
    if name != MADE:
        return ConceptFolder(name)
    if model.view is None:
        side, channels = SIDE, next((m.in_channels for m in model.net.modules() if isinstance(m, nn.Conv2d)), 3)
    else:
        side, channels = min(model.view.height, model.view.width), model.view.channels
    return made_concepts(images, side - side % 2, channels, seed)
