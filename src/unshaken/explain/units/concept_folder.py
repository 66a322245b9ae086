"""A concept set in a folder of the user's.

```text
DIR/concepts.csv              number,name,category    a line a concept, numbers from 1 without a gap
DIR/images/NAME.png           the images (any format that is read)
DIR/masks/CATEGORY/NAME.png   grey, 8 or 16 bits: the number of the concept at each pixel, 0 for none
```

An image without a mask of a category says nothing about it. A mask has the size of its image.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import View
from unshaken.core.documents import read_text
from unshaken.core.errors import DataError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.data import load_data
from unshaken.explain.units.concept_set import UNKNOWN, Concept, ConceptSet, check_numbers, cut_map

HEAD = ["number", "name", "category"]


class ConceptFolder(ConceptSet):
    """A concept set in a folder; see the module for its layout.

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
