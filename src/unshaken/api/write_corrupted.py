"""`write_corrupted`: corrupted copies of a data set as files, in the layout of CIFAR-C or ImageNet-C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.consent import of_arguments
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.notebook import facts_card
from unshaken.core.progress import track
from unshaken.core.registry import parse_method
from unshaken.data import BadSample, Dataset, DataSource, as_dataset, stream, subset
from unshaken.data.labels import read_class_lines
from unshaken.data.published.samples import SEVERITIES
from unshaken.data.published.write import CifarCWriter, ImageNetCWriter, Writer
from unshaken.run.plan import THE_15
from unshaken.stress.engine.base import Corruption

Layout = Literal["cifar-c", "imagenet-c"]
LAYOUTS: tuple[Layout, ...] = ("cifar-c", "imagenet-c")
PHOTO = View(224, 224, resize=256)
"""How ImageNet-C cuts a photo before it is corrupted."""


@dataclass(frozen=True, slots=True)
class WrittenCorruptions:
    """Files that were written.

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
        return facts_card(f"Corrupted images in {self.folder}", facts)

    @property
    def spec(self) -> str:
        """The data SPEC that reads them, without that of the clean samples."""
        return f"{self.layout}:{self.folder}"


@of_arguments
@keywords()
def write_corrupted(
    data: DataSource,
    out: str | Path,
    *,
    layout: Layout = "cifar-c",
    corruptions: Sequence[str] = THE_15,
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
        corruptions: `NAME[:k=v,...]` of corruptions; default the 15 of the benchmark's test set.
        limit: samples at most, a seeded and stratified subset.
        seed: decides the subset, and what corruptions draw.
        folders: for `imagenet-c`, a file of the class folders' names in label order, one a line; after it a tab and
            anything may stand, as in a list of WordNet ids with their names.
        workers: threads that decode.
        download: allow the data to be fetched from their own source.

    Raises:
        DataError: data, folder or file of names is wrong, or an image cannot be read.
        ParameterError: there is no such corruption or layout.
    """
    if layout not in LAYOUTS:
        raise ParameterError(f"layout {layout!r} is not one of {', '.join(LAYOUTS)}")
    if folders is not None and layout != "imagenet-c":
        raise ParameterError("folders names class folders, which only the layout imagenet-c has")
    stressors = [parse_method(text, "stress") for text in corruptions]
    wrong = next((s.info.name for s in stressors if not isinstance(s, Corruption)), None)
    names = tuple(s.info.name for s in stressors)
    if wrong is not None or not names or len(set(names)) < len(names):
        what = f"{wrong!r} is no common corruption" if wrong else "corruptions are none, or one stands twice"
        raise ParameterError(f"{what}: name some of unshaken list stress")
    dataset = as_dataset(data, download=download)
    rows, folder = subset(dataset, limit, seed), Path(out)
    view = PHOTO if layout == "imagenet-c" and dataset.options.size is None else None
    writer = _writer(layout, folder, dataset, rows, folders)
    with track("corruptions", len(rows)) as task:
        done = 0
        for batch in stream(dataset, rows.tolist(), view=view, workers=workers, batch_size=64):
            if isinstance(batch, BadSample):
                raise DataError(f"sample {batch}; leave it out, as every part of the files holds the same samples")
            for stressor in stressors:
                for severity in SEVERITIES:
                    changed = stressor.apply(batch, severity, seed).images
                    writer.put(stressor.info.name, severity, done, _pixels(changed))
            done += len(batch)
            task.advance(len(batch))
    writer.finish()
    return WrittenCorruptions(folder, layout, names, len(rows))


def _writer(
    layout: Layout, folder: Path, dataset: Dataset, rows: NDArray[np.int64], folders: str | Path | None
) -> Writer:
    if layout == "cifar-c":
        return CifarCWriter(folder, dataset, rows)
    lines = [] if folders is None else read_class_lines(Path(folders), dataset.options.spec)
    return ImageNetCWriter(folder, dataset, rows, [line.partition("\t")[0].strip() for line in lines])


def _pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images `[N, C, H, W]` in [0, 1] as uint8 `[N, H, W, C]`, rounded to the nearest level."""
    levels: NDArray[np.uint8] = images.mul(255).add_(0.5).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return levels
