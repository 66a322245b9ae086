"""Images that are in memory already, as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.masks import IGNORED, MOST_CLASSES
from unshaken.data.dataset import Dataset
from unshaken.data.decode import Source
from unshaken.data.spec import Options


class InMemory(Dataset):
    """Labelled or unlabelled images as bytes; `from_arrays` makes one of any array.

    Args:
        images: uint8 `[N, C, H, W]`, C 1 or 3.
        labels: int64 `[N]`, from 0; or masks, a class for each pixel, uint8 `[N, H, W]`, 255 where none; None for none.
        ids: one a sample; default the index.
        classes: names in label order.
        bad: for samples known to be bad, the reason by index.
        options: as of a SPEC; default none.

    Raises:
        DataError: shapes, types or lengths do not fit.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] = (),
        bad: Mapping[int, str] | None = None,
        options: Options | None = None,
    ) -> None:
        if images.ndim != 4 or str(images.dtype) != "torch.uint8" or images.shape[1] not in (1, 3):
            raise DataError(f"images must be uint8 [N, 1 or 3, H, W], not {images.dtype} {tuple(images.shape)}")
        if labels is not None and labels.ndim != 1:
            check_masks(labels, images)
        elif labels is not None and (len(labels) != len(images) or labels.is_floating_point()):
            raise DataError(f"labels must be whole numbers of shape ({len(images)},), not {tuple(labels.shape)}")
        self.images = images
        super().__init__(
            ids=[str(i) for i in range(len(images))] if ids is None else ids,
            labels=None if labels is None else (labels.long() if labels.ndim == 1 else labels.byte()).numpy(),
            classes=classes,
            root="memory",
            options=options or Options(spec="<in memory>"),
            bad=bad,
        )

    @property
    def is_ready(self) -> bool:
        """Whether a sample's pixels are those of `images`, neither resized nor of another mode."""
        return self.options.size is None and self.options.mode is None

    @override
    def fetch(self, index: int) -> Source:
        image = self.images[index]
        return image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).contiguous().numpy()

    @override
    def content(self) -> Iterable[object]:
        labels = b"" if self.labels is None else self.labels.tobytes()
        yield hashlib.blake2b(self.images.contiguous().numpy().tobytes() + labels, digest_size=16).hexdigest()


def check_masks(masks: Tensor, images: Tensor) -> None:
    """Check that masks give a class for each pixel of images.

    Args:
        masks: whole numbers.
        images: `[N, C, H, W]`.

    Raises:
        DataError: they are of another shape or type, or have values that are neither classes nor 255.
    """
    shape = (len(images), *images.shape[2:])
    if masks.is_floating_point() or masks.is_complex() or tuple(masks.shape) != shape:
        raise DataError(
            f"labels must be whole numbers of shape ({len(images)},), or of shape {shape} for masks, not {masks.dtype} "
            f"of shape {tuple(masks.shape)}"
        )
    strange = (masks < 0) | ((masks >= MOST_CLASSES) & (masks != IGNORED))
    if bool(strange.any()):
        raise DataError(
            f"masks hold the value {int(masks[strange][0])}: write classes from 0 to {MOST_CLASSES - 1}, and {IGNORED} "
            "for a pixel that is not to count"
        )
