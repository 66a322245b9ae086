"""`Stressor` and `Corruption`: what all changes to an image share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.pixels import jpeg_compression, through_jpeg, to_pixels, to_planes
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng

Preset = Literal["auto", "imagenet", "cifar", "tiny"]


class Stressor(Parameters):
    """A change of images at a severity. It never sees the model."""

    room: ClassVar[str] = "stress"
    severities: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)

    @final
    def __call__(self, images: Tensor, severity: int, seed: int = 0) -> Tensor:
        """Images in memory, changed: the same as `apply` to a batch.

        Args:
            images: float `[N, C, H, W]` in [0, 1], any size, 1 or 3 channels.
            severity: one of `severities`.
            seed: image i draws from (seed, the method's name, i).

        Returns:
            The same shape, type and device, in [0, 1].

        Raises:
            ParameterError: the severity is not one of `severities`, or the images are smaller than 8 pixels.
            DataError: they have another form or range.
        """
        ids = tuple(str(i) for i in range(len(images)))
        return self.apply(Batch(in_unit_range(images, "images"), None, ids), severity, seed).images

    @final
    def apply(self, batch: Batch, severity: int, seed: int = 0) -> Batch:
        """The same samples, changed.

        Args:
            batch: any size, 1 or 3 channels.
            severity: one of `severities`.
            seed: the run seed; a sample's randomness depends on it, the method and the sample's id alone.

        Returns:
            A batch of the same shape, type and device, in [0, 1].

        Raises:
            ParameterError: the severity is not one of `severities`, or the images are smaller than 8 pixels.
        """
        self._check(severity, *batch.images.shape[2:])
        rng = SampleRng.of(seed, f"{self.info.name}/{severity}", batch.ids).to(batch.images.device)
        with torch.no_grad():
            images = self.for_samples(batch.ids).run(batch.images.float(), severity, rng)
        changed = batch.with_images(images.to(batch.images))
        masks = batch.labels if batch.labels is not None and batch.labels.ndim == 3 else None
        if masks is None and batch.boxes is None:
            return changed
        rng = SampleRng.of(seed, f"{self.info.name}/{severity}", batch.ids).to(batch.images.device)
        if masks is not None:
            changed = replace(changed, labels=self.move_masks(masks, severity, rng))
        if batch.boxes is None:
            return changed
        return replace(changed, boxes=self.move_boxes(batch.boxes, images.shape[2], images.shape[3], severity, rng))

    @final
    def apply_pixels(
        self, pixels: NDArray[np.uint8], severity: int, seed: int = 0, sample: str = "0"
    ) -> NDArray[np.uint8]:
        """One 8-bit picture, changed: what `apply` makes of it, rounded to 8 bits.

        Args:
            pixels: `[H, W, C]`, C 1 or 3.
            severity: one of `severities`.
            seed: the run seed.
            sample: the sample's id.

        Returns:
            The same shape, newly made.

        Raises:
            ParameterError: the severity is not one of `severities`, or the picture is smaller than 8 pixels.
        """
        self._check(severity, *pixels.shape[:2])
        with torch.no_grad():
            return self.for_samples((sample,)).run_pixels(
                pixels, severity, lambda: SampleRng.of(seed, f"{self.info.name}/{severity}", (sample,))
            )

    def for_samples(self, ids: Sequence[str]) -> Self:
        """The method that changes these samples next: itself, unless it keeps something by sample, as depth maps."""
        return self

    @abstractmethod
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        """Images `[N, C, H, W]` in [0, 1], changed at one severity, in [0, 1]."""

    def move_boxes(self, boxes: Tensor, height: int, width: int, severity: int, rng: SampleRng) -> Tensor:
        """Where objects are in the changed images: where they were, unless the method moves pixels.

        Args:
            boxes: `[N, M, 7]`; see `unshaken.core.boxes`.
            height: of the images in pixels.
            width: of the images.
            severity: as of `run`.
            rng: gives the draws that `run` was given.
        """
        return boxes

    def move_masks(self, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        """The class of each pixel of the changed images: as it was, unless the method moves pixels.

        Args:
            masks: `[N, H, W]`; see `unshaken.core.masks`.
            severity: as of `run`.
            rng: gives the draws that `run` was given.
        """
        return masks

    def run_pixels(self, pixels: NDArray[np.uint8], severity: int, rng: Callable[[], SampleRng]) -> NDArray[np.uint8]:
        """A picture `[H, W, C]` of 8 bits, changed at one severity: `run`, rounded, or a shorter way to the same."""
        return to_pixels(self.run(to_planes(pixels)[None], severity, rng())[0])

    # What a run asks beside `apply` (`unshaken.run.adapters.stress`).

    def require(self) -> None:
        """Refuse to start where a package that the method needs is absent.

        Raises:
            MissingExtra: with the package's name.
        """

    def with_resources(self, found: Mapping[type[Any], Any]) -> Self:
        """The method for one batch, with what the data and the run offer; by default itself, which needs nothing.

        Args:
            found: each resource by its type, such as `ObjectMasks`.
        """
        return self

    def problems(self, batch: Batch) -> dict[str, str]:
        """Why samples cannot be changed, by their ids; by default all can."""
        return {}

    def flags(self, batch: Batch, severities: Sequence[int], seed: int) -> list[Flag]:
        """Doubts about images of this method, once they have been made.

        Args:
            batch: the samples.
            severities: that they were changed at.
            seed: the run seed.
        """
        return []

    def _check(self, severity: int, height: int, width: int) -> None:
        self.check_severity(severity)
        if min(height, width) < 8:
            raise ParameterError(
                f"{self.info.name}: images of {(height, width)} pixels are too small; the minimum is 8 x 8"
            )

    def check_severity(self, severity: int) -> None:
        """Refuse a severity that the method does not have.

        Raises:
            ParameterError: with those that it has.
        """
        if severity not in self.severities:
            raise ParameterError(f"{self.info.name}: severity {severity!r} is not one of {list(self.severities)}")


class Severities:
    """The strengths of a corruption at severities 1 to 5, for each preset of image size.

    Args:
        imagenet: for photos of about 224 px (ImageNet-C).
        cifar: for 32 px (CIFAR-C).
        tiny: for 64 px (Tiny-ImageNet-C).
    """

    def __init__(self, *, imagenet: tuple[Any, ...], cifar: tuple[Any, ...], tiny: tuple[Any, ...]) -> None:
        self.of = {"imagenet": imagenet, "cifar": cifar, "tiny": tiny}

    def at(self, preset: str, severity: int) -> Any:
        """The strength of one severity."""
        return self.of[preset][severity - 1]


class Corruption(Stressor):
    """One of the common corruptions, with the authors' strengths, cut to 8 bits as their files are."""

    strengths: ClassVar[Severities]
    chunk: ClassVar[int] = 2**18
    """Numbers (pixels times channels) handed to `corrupt` at once; at least one image."""

    preset: Preset = Field(
        default="auto", description="table of strengths; auto picks by the images' short side in pixels"
    )
    jpeg_roundtrip: bool = Field(
        default=False, description="save as JPEG of quality 85 and read again, as ImageNet-C's files are"
    )
    truncate: bool = Field(default=True, description="cut to 8 bits (towards zero), as the authors do")

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        strength = self.strength(min(images.shape[2:]), severity)
        result: Tensor | None = None
        step = max(1, self.chunk // images.shape[1:].numel())
        for first in range(0, len(images), step):
            rows = slice(first, first + step)
            part = self.corrupt(images[rows], strength, rng[rows])
            if step >= len(images) and _is_own(part, images):  # a copy less, which counts for a large image
                result = part = part.clamp_(0, 1)
            else:
                result = torch.empty_like(images) if result is None else result
                part = torch.clamp(part, 0, 1, out=result[rows])
            if self.truncate or self.jpeg_roundtrip:
                to_8_bit(part, out=part)
        result = torch.empty_like(images) if result is None else result
        return jpeg_compression(result, 85) if self.jpeg_roundtrip else result

    def strength(self, side: int, severity: int) -> Any:
        """The strength of a severity in the table for images of this short side, or in the one that was chosen."""
        preset = "cifar" if side < 48 else "tiny" if side < 96 else "imagenet"
        return self.strengths.at(preset if self.preset == "auto" else self.preset, severity)

    @abstractmethod
    def corrupt(self, images: Tensor, c: Any, rng: SampleRng) -> Tensor:
        """Images `[N, C, H, W]` in [0, 1] at one strength; the caller clips.

        N is any part of the batch, and a sample's result must not depend, to the bit, on who shares it.
        """


def _is_own(changed: Tensor, images: Tensor) -> bool:
    """Whether changed images are laid out as the images are, in memory of their own, and can be written into."""
    form = [(x.shape, x.stride(), x.dtype) for x in (changed, images)]
    return form[0] == form[1] and changed.untyped_storage().data_ptr() != images.untyped_storage().data_ptr()


def to_8_bit(images: Tensor, out: Tensor | None = None) -> Tensor:
    """Cut towards zero to the 256 levels of 8 bits, as a cast to uint8 does: `floor(255 x) / 255`.

    An image that is 8-bit already stays as it is: 1e-4 of a level is forgiven.

    Args:
        images: float32 in [0, 1], any shape.
        out: where to write; it may be `images` itself.

    Returns:
        The same shape.
    """
    return torch.mul(images, 255, out=out).add_(1e-4).floor_().div_(255)


class LevelCorruption(Corruption):
    """A corruption whose result lies on the 256 levels of 8 bits: nothing is left to clip or cut."""

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        result = self.corrupt(images, self.strength(min(images.shape[2:]), severity), rng)
        if self.jpeg_roundtrip:
            result = jpeg_compression(result, 85)
        return result

    @override
    def run_pixels(self, pixels: NDArray[np.uint8], severity: int, rng: Callable[[], SampleRng]) -> NDArray[np.uint8]:
        result = self.corrupt_pixels(pixels, self.strength(min(pixels.shape[:2]), severity))
        if self.jpeg_roundtrip:
            result = through_jpeg(result, 85)
        return result

    @abstractmethod
    def corrupt_pixels(self, pixels: NDArray[np.uint8], c: Any) -> NDArray[np.uint8]:
        """A picture `[H, W, C]` of 8 bits at one strength: equal to `corrupt`, to the bit."""
