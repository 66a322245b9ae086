"""Where the depth of each pixel comes from: files by sample, a function, or a plane that is assumed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, PrivateAttr
from torch import Tensor
from torch.nn.functional import interpolate
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.context import PhotoMap
from unshaken.core.device import move, widen
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.rng import SampleRng
from unshaken.data.decode import BadImage
from unshaken.stress.engine.base import Corruption

REFERENCE = "Kar et al. 2022, arXiv:2203.01441"
PLANE = "plane"
NEAR, FAR = 0.2, 1.0
DEEP = ("I;16", "I;16B", "I")
"""Pillow's modes of 16-bit PNG."""

ASSUMED_DEPTH = FlagKind(
    "assumed-depth",
    "a corruption in three dimensions was made with the same assumed depth for all images",
    "Give depth=FOLDER with a depth map for each sample, and compare with published figures only then.",
)

DepthFunction = Callable[[Tensor], Tensor]
CutMap = Callable[[str, NDArray[np.float64]], NDArray[np.float64]]
"""From a sample's id and its depth map to that of what the model sees."""


class DepthCorruption(Corruption):
    """A corruption that depends on the distance of what each pixel shows.

    In a run, a sample whose map is absent or cannot be used is a row with its reason.

    Depth is a positive number, 1 the farthest that a scene has. It comes from a folder with a file for each sample,
    from a function (`with_depth`), such as a renderer or a depth network, or from a plane that rises from near at the
    lower border (0.2) to far at the upper (1): the same for all images, which a flag of the run says. In a run, a map
    that is as large as its photo is cut as the photo is; any other one is resized to the image.
    """

    chunk: ClassVar[int] = 2**62  # all samples at once, so that each finds its own map

    depth: str = Field(
        default=PLANE,
        description="folder of depth maps, ID.npy or 16-bit ID.png, at most 1 is far; plane: one for all images",
    )
    _ids: tuple[str, ...] = PrivateAttr(())
    _function: DepthFunction | None = PrivateAttr(None)
    _cut: CutMap | None = PrivateAttr(None)

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return () if self.depth == PLANE else (self.depth,)

    def with_depth(self, function: DepthFunction) -> Self:
        """The same corruption with the depth that a function gives.

        Args:
            function: from images `[N, C, H, W]` in [0, 1] to depths `[N, H, W]`, positive, 1 for far.
        """
        copy = self.model_copy()
        copy._function = function
        return copy

    @override
    def for_samples(self, ids: Sequence[str]) -> Self:
        copy = self.model_copy()
        copy._ids = tuple(ids)
        return copy

    @override
    def with_resources(self, found: Mapping[type[Any], Any]) -> Self:
        copy = self.model_copy()
        copy._cut = found.get(PhotoMap)
        return copy

    @override
    def flags(self, batch: Batch, severities: Sequence[int], seed: int) -> list[Flag]:
        if self.depth != PLANE or self._function is not None:
            return []
        text = f"{self.info.name}: depth=plane, from {NEAR} at the lower border to {FAR} at the upper"
        return [ASSUMED_DEPTH.flag(text)]

    @override
    def corrupt(self, images: Tensor, c: Any, rng: SampleRng) -> Tensor:
        depths = self._depths(images)
        changed = [
            self.corrupt_one(widen(image), depth, c, rng[i : i + 1])
            for i, (image, depth) in enumerate(zip(images, depths, strict=True))
        ]
        return torch.stack(changed).to(images)

    @abstractmethod
    def corrupt_one(self, image: Tensor, depth: Tensor, c: Any, rng: SampleRng) -> Tensor:
        """One image, float64 `[C, H, W]` in [0, 1], with the depth of its pixels `[H, W]`; the caller clips."""

    @override
    def problems(self, batch: Batch) -> dict[str, str]:
        if self.depth == PLANE or self._function is not None:
            return {}
        if not Path(self.depth).is_dir():
            raise ParameterError(
                f"{self.info.name}: depth={self.depth!r} is no folder: give one with ID.npy or ID.png for each sample, "
                f"or {PLANE}"
            )
        height, width = batch.images.shape[2:]
        found = dict[str, str]()
        for sample in batch.ids:
            try:
                _checked(self._map_of(sample), self.info.name, height, width)
            except (DataError, BadImage) as error:
                found[sample] = str(error)
        return found

    def _map_of(self, sample: str) -> Tensor:
        values = read_depth(Path(self.depth), sample)
        return torch.from_numpy(values if self._cut is None else self._cut(sample, values))

    def _depths(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[2:]
        if self._function is not None:
            found = [one.cpu().double() for one in self._function(images)]
        elif self.depth == PLANE:
            found = [plane(height, width)] * len(images)
        elif len(self._ids) == len(images):
            found = [self._map_of(sample) for sample in self._ids]
        else:
            raise DataError(
                f"{self.info.name}: depth={self.depth!r} is known by sample; use it in an audit or by apply()"
            )
        return [move(_checked(one, self.info.name, height, width), images.device) for one in found]


def plane(height: int, width: int) -> Tensor:
    """The depth of a plane that rises from near at the lower border to far at the upper: float64 `[H, W]`."""
    return torch.linspace(FAR, NEAR, height, dtype=torch.float64)[:, None].expand(height, width)


def read_depth(folder: Path, sample: str) -> NDArray[np.float64]:
    """The depth map of a sample, float64 `[h, w]`.

    Args:
        folder: holds `ID.npy` (numbers as they are) or `ID.png` (16 bits, divided by 65535).
        sample: its id; a suffix such as `.jpg` is left out.

    Raises:
        DataError: there is none, or it cannot be read as one number a pixel.
    """
    stems = (sample, str(Path(sample).with_suffix("")))
    files = [path for stem in stems for suffix in (".npy", ".png") if (path := folder / f"{stem}{suffix}").is_file()]
    if not files:
        raise DataError(f"no depth map of sample {sample!r} in {str(folder)!r}: give {stems[1]}.npy or .png there")
    try:
        values = _read_numbers(files[0])
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"the depth map {str(files[0])!r} cannot be read ({error}); replace it") from None
    if values.ndim != 2:
        raise DataError(f"the depth map {str(files[0])!r} has the shape {values.shape}; give one number a pixel")
    return values


def _read_numbers(file: Path) -> NDArray[np.float64]:
    if file.suffix == ".npy":
        mapped: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)  # refuses a file that claims too much
        return mapped.astype(np.float64)
    with Image.open(file, formats=["PNG"]) as opened:
        if opened.mode not in DEEP:
            raise ValueError(f"it is of the mode {opened.mode}, not of 16 bits: write 16-bit PNG or .npy")
        return np.asarray(opened).astype(np.float64) / 65535


def _checked(depth: Tensor, name: str, height: int, width: int) -> Tensor:
    if not bool(((depth > 0) & depth.isfinite()).all()):
        raise DataError(f"{name}: a depth is not a number above 0; give positive depths, 1 for the farthest")
    if depth.shape == (height, width):
        return depth.cpu().double()
    return interpolate(depth.cpu().double()[None, None], (height, width), mode="nearest")[0, 0]
