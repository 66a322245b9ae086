"""Units with exemplars and captions in the format of MILANNOTATIONS: read with memory maps, and written.

A folder has `annotations.csv` with the columns `layer`, `unit` and `summary`, and for each layer a folder with
`images.npy`, uint8 `[U, k, 3, H, W]`, `masks.npy`, `[U, k, 1, H, W]`, and, where units are not 0 to U - 1, `units.npy`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.documents import LONGEST_NAMES, read_text
from unshaken.core.errors import DataError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.explain.units.ablation import Unit
from unshaken.explain.units.exemplars import Exemplars
from unshaken.explain.units.pictures import ImageReader
from unshaken.stress.engine.filters import luma

HEAD = ("layer", "unit")
TEXTS = ("description", "summary", "annotation")
"""Names of the column of texts, in the order in which they are looked for."""
TABLE = "annotations.csv"


def read_annotations(path: str | Path) -> dict[tuple[str, int], list[str]]:
    """The descriptions of each unit, by layer and number.

    A layer is a text, also where it is called by digits. Other columns are left out.

    Args:
        path: a CSV file with a head.

    Raises:
        DataError: it cannot be read, a column is absent, or a unit is no number.
    """
    try:
        lines = list(csv.reader(read_text(Path(path), LONGEST_NAMES).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"annotations {str(path)!r} cannot be read ({error})") from None
    head = lines[0] if lines else []
    text = next((name for name in TEXTS if name in head), None)
    if text is None or any(name not in head for name in HEAD):
        raise DataError(f"annotations {str(path)!r} have the columns {head}: expected layer,unit,description")
    layer_at, unit_at, text_at = (head.index(name) for name in (*HEAD, text))
    found: dict[tuple[str, int], list[str]] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        if len(line) != len(head):
            raise DataError(f"annotations {str(path)!r}, line {number}: {len(line)} values for {len(head)} columns")
        if line[text_at].strip():
            key = line[layer_at], parse_whole(line[unit_at], least=0)
            found.setdefault(key, []).append(line[text_at].strip())
    if not found:
        raise DataError(f"annotations {str(path)!r} hold no description: {shorten(','.join(head))} is all there is")
    return found


@dataclass(frozen=True, slots=True, eq=False)
class PublishedLayer:
    """Exemplars of the units of a layer; the arrays are read where they are asked for.

    Args:
        name: of the layer.
        units: their numbers, int64 `[U]`.
        images: uint8 `[U, k, 3, H, W]`.
        masks: `[U, k, 1, H, W]`; a pixel counts where it is not 0.
    """

    name: str
    units: NDArray[np.int64]
    images: NDArray[np.uint8]
    masks: NDArray[Any]

    def exemplars(self, place: int, view: View | None = None) -> tuple[Tensor, Tensor]:
        """Images `[n, C, H, W]` in [0, 1] and masks, bool `[n, H, W]`, of the unit at a place; without empty masks.

        Args:
            place: in `units`.
            view: of a network of one channel, which is shown the luminance.
        """
        masks = torch.from_numpy(np.array(self.masks[place, :, 0] != 0))
        kept = masks.flatten(1).any(1)
        images = torch.from_numpy(np.array(self.images[place])).float()[kept] / 255
        return luma(images) if view is not None and view.channels == 1 else images, masks[kept]


def read_published(folder: str | Path) -> list[PublishedLayer]:
    """The layers of a folder, sorted by name.

    Raises:
        DataError: there is no such folder, it has no layer, or an array is absent, damaged or of another shape.
    """
    place = Path(folder)
    if not place.is_dir():
        raise DataError(f"units {str(folder)!r}: no such folder; give one with a folder a layer")
    layers = [_read_layer(path) for path in sorted(place.iterdir()) if (path / "images.npy").exists()]
    if not layers:
        raise DataError(f"units {str(folder)!r}: no folder in it holds images.npy and masks.npy, as a layer's does")
    return layers


def _read_layer(path: Path) -> PublishedLayer:
    found: dict[str, NDArray[Any]] = {}
    for name in ("images", "masks", *(["units"] if (path / "units.npy").exists() else [])):
        file = path / f"{name}.npy"
        try:
            found[name] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read ({error}): give an array that numpy.save wrote") from None
    images, masks = found["images"], found["masks"]
    units = np.asarray(found.get("units", np.arange(len(images))))
    if images.ndim != 5 or images.shape[2] != 3 or images.dtype != np.uint8 or not images.size:
        raise DataError(f"{path}: images.npy must be uint8 [U, k, 3, H, W], not {images.dtype} {list(images.shape)}")
    if masks.shape != (*images.shape[:2], 1, *images.shape[3:]) or masks.dtype.kind not in "biuf":
        wanted = [*images.shape[:2], 1, *images.shape[3:]]
        raise DataError(f"{path}: masks.npy must be numbers {wanted}, not {masks.dtype} {list(masks.shape)}")
    if units.shape != images.shape[:1] or units.dtype.kind not in "iu" or units.min() < 0:
        raise DataError(f"{path}: units.npy must be {len(images)} whole numbers, not {units.dtype} {list(units.shape)}")
    return PublishedLayer(path.name, units.astype(np.int64), images, masks)


def annotated_units(
    folder: str | Path, layers: Sequence[PublishedLayer]
) -> Iterator[tuple[PublishedLayer, int, list[str]]]:
    """Each unit of a folder that has descriptions: its layer, its place there, and the descriptions.

    Raises:
        DataError: as `read_annotations`, or none of the units has one.
    """
    texts = read_annotations(Path(folder) / TABLE)
    found = [
        (layer, place, texts[layer.name, unit])
        for layer in layers
        for place, unit in enumerate(layer.units.tolist())
        if (layer.name, unit) in texts
    ]
    if not found:
        layer, unit = next(iter(texts))
        raise DataError(f"{Path(folder) / TABLE}: none of its units is in the folder, such as unit {unit} of {layer!r}")
    yield from found


def write_published(
    folder: str | Path, exemplars: Mapping[str, Exemplars], texts: Mapping[Unit, str | None], reader: ImageReader
) -> None:
    """Write units with their exemplars and descriptions; a layer's folder is called as the layer.

    Args:
        folder: new or empty.
        exemplars: by layer. A unit of fewer exemplars than the others has black images with empty masks behind them.
        texts: the description of each unit; those that have none are left out of the table alone.
        reader: of the images.

    Raises:
        DataError: the folder holds something, a layer's name is no name of a folder, or it cannot be written.
    """
    place = Path(folder)
    try:
        if place.exists() and any(place.iterdir()):
            raise DataError(f"{str(folder)!r} holds something already: name a new folder to write units to")
        for layer, found in exemplars.items():
            if "/" in layer or layer in ("", ".", ".."):
                raise DataError(f"layer {layer!r} cannot be the name of a folder: choose other layers to write")
            (place / layer).mkdir(parents=True)
            shape = (*found.samples.shape, 3, *_size(found, reader))
            images = np.lib.format.open_memmap(place / layer / "images.npy", "w+", np.uint8, shape)
            masks = np.lib.format.open_memmap(place / layer / "masks.npy", "w+", np.uint8, (*shape[:2], 1, *shape[3:]))
            for unit in range(len(images)):
                samples = [s for s in found.samples[unit].tolist() if s >= 0]
                shown = reader.read(samples).mul(255).round().byte().expand(-1, 3, -1, -1)
                images[unit, : len(samples)] = shown.numpy()
                own = F.interpolate(found.mask(unit)[:, None].float(), shape[3:], mode="nearest")
                masks[unit, : len(samples)] = own.byte().numpy()
            np.save(place / layer / "units.npy", np.arange(len(images)), allow_pickle=False)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow((*HEAD, "summary"))
        table.writerows((unit.layer, unit.unit, phrase) for unit, phrase in texts.items() if phrase)
        (place / TABLE).write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{str(folder)!r} cannot be written ({error.strerror or error}): name another folder") from None


def _size(found: Exemplars, reader: ImageReader) -> tuple[int, int]:
    """Height and width of the images of exemplars."""
    first = next(int(s) for s in found.samples.flatten().tolist() if s >= 0)
    height, width = reader.read([first]).shape[2:]
    return height, width
