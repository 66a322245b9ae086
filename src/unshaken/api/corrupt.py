"""`corrupt`, one stressor on images in memory, and `write_corrupted`, the files of CIFAR-C or ImageNet-C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.consent import of_arguments
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.notebook import facts_card
from unshaken.core.package import public
from unshaken.core.progress import track
from unshaken.core.registry import find_method, parse_method
from unshaken.core.user_code import refuse_exit
from unshaken.data import BadSample, Dataset, DataSource, as_dataset, stream, subset
from unshaken.data.labels import read_class_lines
from unshaken.data.published.samples import SEVERITIES
from unshaken.data.published.write import CifarCWriter, ImageNetCWriter, Writer
from unshaken.run.plan import THE_15
from unshaken.store.output import check_folder
from unshaken.stress.engine.base import Corruption


@public("corrupt")
@refuse_exit()
@keywords()
def corrupt(
    images: Tensor | NDArray[np.uint8], method: str, severity: int, seed: int = 0, preset: str = "auto"
) -> Tensor | NDArray[np.uint8]:
    """Apply a stressor to images.

    Args:
        images: a float tensor `[N, C, H, W]` in [0, 1], or one uint8 array `[H, W, C]` or `[H, W]`.
        method: a registry name of the room `stress`.
        severity: 1 to 5.
        seed: image i of the tensor draws from (seed, method, i).
        preset: table of strengths: `auto`, `imagenet`, `cifar` or `tiny`.

    Returns:
        The same type, shape and device.

    Raises:
        ParameterError: method, severity or preset is not known.
        DataError: the images have another form or range.

    >>> import torch
    >>> corrupt(torch.full((1, 3, 32, 32), 0.5), "brightness", 5).mean().item() > 0.7
    True
    """
    cls = find_method(method, "stress").cls
    stressor = cls(preset=preset) if "preset" in cls.model_fields else cls()
    if isinstance(images, Tensor):
        changed: Tensor = stressor(images, severity, seed)
        return changed
    if images.dtype != np.uint8 or images.ndim not in (2, 3) or (images.ndim == 3 and images.shape[2] not in (1, 3)):
        raise DataError(
            f"an image array must be uint8 [H, W, C] with 1 or 3 channels, or [H, W], not {images.dtype} {images.shape}"
        )
    pixels = images if images.ndim == 3 else images[..., None]
    array: NDArray[np.uint8] = stressor.apply_pixels(pixels, severity, seed).reshape(images.shape)
    return array


Layout = Literal["cifar-c", "imagenet-c"]
LAYOUTS: tuple[Layout, ...] = ("cifar-c", "imagenet-c")
PHOTO = View(224, 224, resize=256)
"""How ImageNet-C cuts a photo before it is corrupted."""


@dataclass(frozen=True, slots=True)
class WrittenCorruptions:
    """Corrupted copies of a data set that were written as files.

    Args:
        folder: where they are.
        layout: `cifar-c` or `imagenet-c`.
        corruptions: names of the corruptions.
        samples: number of samples, each at five severities of each corruption.
    """

    folder: Path
    layout: Layout
    corruptions: tuple[str, ...]
    samples: int

    def _repr_html_(self) -> str:
        facts = {"corruptions": ", ".join(self.corruptions), "samples": f"{self.samples:,}", "data": self.spec}
        following = f"Next: unshaken.audit(model, {self.spec!r}, []) measures a model on them."
        return facts_card(f"Corrupted images in {self.folder}", facts, following)

    @property
    def spec(self) -> str:
        """The data SPEC that reads them, without that of the clean samples."""
        return f"{self.layout}:{self.folder}"


@public("stress.write_corrupted")
@of_arguments
@keywords()
def write_corrupted(
    data: DataSource,
    out: str | Path,
    *,
    layout: Layout = "cifar-c",
    methods: Sequence[str] = THE_15,
    limit: int | None = None,
    seed: int = 0,
    folders: str | Path | None = None,
    workers: int | None = None,
    download: bool = False,
) -> WrittenCorruptions:
    """Write every corruption at five severities, so that other programs read them as the published files.

    Images are decoded once and corrupted a few at a time. With the same seed an audit makes the same images of the same
    samples, but for the JPEG of ImageNet-C.

    Args:
        data: a SPEC or an object, as for `audit`; labelled, and every image readable.
        out: the folder, new or empty.
        layout: `cifar-c`: arrays of images of one size; `imagenet-c`: JPEG files in class folders, of photos whose
            short side is resized to 256 pixels and whose centre of 224 is cut, or as the SPEC's `size` says.
        methods: `NAME[:k=v,...]` of corruptions; default the 15 of the benchmark's test set.
        limit: samples at most, a seeded and stratified subset.
        seed: decides the subset, and what corruptions draw.
        folders: for `imagenet-c`, a file of the class folders' names in label order, one a line; after it a tab and
            anything may stand, as in a list of WordNet ids with their names.
        workers: threads that decode.
        download: allow the data to be fetched from their own source.

    Raises:
        DataError: data, folder or file of names is wrong, an image cannot be read, or the disk is full; what was
            written is deleted.
        ParameterError: there is no such corruption or layout.
    """
    if layout not in LAYOUTS:
        raise ParameterError(f"layout {layout!r} is not one of {', '.join(LAYOUTS)}")
    if folders is not None and layout != "imagenet-c":
        raise ParameterError("folders names class folders, which only the layout imagenet-c has")
    stressors = [parse_method(text, "stress") for text in methods]
    wrong = next((s.info.name for s in stressors if not isinstance(s, Corruption)), None)
    names = tuple(s.info.name for s in stressors)
    if wrong is not None or not names or len(set(names)) < len(names):
        what = f"{wrong!r} is no common corruption" if wrong else "corruptions are none, or one stands twice"
        raise ParameterError(f"{what}: name some of unshaken list stress")
    check_folder(out, "out", ())
    dataset = as_dataset(data, download=download)
    rows, folder = subset(dataset, limit, seed), Path(out)
    view = PHOTO if layout == "imagenet-c" and dataset.options.size is None else None
    writer: Writer
    if layout == "cifar-c":
        writer = CifarCWriter(folder, dataset, rows)
    else:
        lines = [] if folders is None else read_class_lines(Path(folders), dataset.options.spec)
        writer = ImageNetCWriter(folder, dataset, rows, [line.partition("\t")[0].strip() for line in lines])
    try:
        _write_all(writer, dataset, rows, stressors, seed, view, workers)
    except BaseException as error:
        writer.discard()
        if isinstance(error, OSError):
            why = error.strerror or str(error)
            raise DataError(
                f"{folder}: cannot be written ({why}); nothing was kept: free some space, or choose another --out"
            ) from None
        raise
    return WrittenCorruptions(folder, layout, names, len(rows))


def _write_all(
    writer: Writer, dataset: Dataset, rows: NDArray[np.int64], stressors: Sequence[Any], seed: int, view: View | None,
    workers: int | None,
) -> None:  # fmt: skip
    with track("corruptions", len(rows)) as task:
        done = 0
        for batch in stream(dataset, rows.tolist(), view=view, workers=workers, batch_size=64):
            if isinstance(batch, BadSample):
                raise DataError(f"sample {batch}; leave it out, as every part of the files holds the same samples")
            for stressor in stressors:
                for severity in SEVERITIES:
                    changed = stressor.apply(batch, severity, seed).images
                    levels = changed.mul(255).add_(0.5).to(torch.uint8)  # rounded to the nearest
                    writer.put(stressor.info.name, severity, done, levels.permute(0, 2, 3, 1).cpu().numpy())
            done += len(batch)
            task.advance(len(batch))
    writer.finish()
