"""Where the objects of samples are: a folder of masks, a table, a function, a segmentation model, or an assumption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unshaken.core.errors import DataError, ModelError, ParameterError, UnshakenError
from unshaken.core.flag import FlagKind
from unshaken.data.decode import BadImage, open_image
from unshaken.models.loaders.load import second_model
from unshaken.stress.cues.silhouette import foreground

CENTRE, GREY = "centre", "grey"
"""Assumed objects: an ellipse in the middle of each picture; the side of Otsu's threshold that the border is not on."""

ASSUMED_OBJECT = FlagKind(
    "assumed-object",
    "an attribute was edited of an object whose place was assumed, not given",
    "Give masks=FOLDER with a mask for each sample, or the SPEC of a segmentation model.",
)

MaskFunction = Callable[[Tensor], Tensor]
Masks = Mapping[str, Tensor] | MaskFunction
MaskReader = Callable[[str, str], Tensor]
"""From a folder and a sample's id to its mask, bool `[H, W]`, as the model sees it."""


def is_model(source: str) -> bool:
    """Whether masks come from a model that a SPEC names."""
    return ":" in source and not Path(source).is_dir()


def find_masks(
    source: str | Masks, images: Tensor, ids: Sequence[str], read: MaskReader | None = None
) -> tuple[Tensor, dict[int, str]]:
    """The mask of each image, and by its place the reason why an image has none that can be used.

    Args:
        source: `centre`, `grey`, a folder, the SPEC of a segmentation model; or a table by id; or a function from
            images `[N, C, H, W]` to bool `[N, H, W]`.
        images: `[N, C, H, W]` in [0, 1].
        ids: one an image.
        read: reads a mask from a folder; default one that is as large as the image.

    Returns:
        bool `[N, 1, H, W]`, empty where there is a reason; a mask that is empty or full is a reason.

    Raises:
        ModelError: the model cannot be loaded or gives no class for each pixel.
        ParameterError: there is no such folder.
    """
    size, found = images.shape[2:], list[Tensor | str]()
    if isinstance(source, str) and source not in (CENTRE, GREY) and not is_model(source):
        if not Path(source).is_dir():
            raise ParameterError(
                f"masks={source!r} is no folder: give a folder with ID.png for each sample, {CENTRE}, {GREY}, or the "
                "SPEC of a segmentation model"
            )
        found += [_read(read or _read_whole, source, name) for name in ids]
    elif isinstance(source, Mapping):
        found += [source.get(name, f"no mask of sample {name!r} was given") for name in ids]
    else:
        found += list(_computed(source, images))
    masks, reasons = torch.zeros(len(images), 1, *size, dtype=torch.bool, device=images.device), dict[int, str]()
    for i, mask in enumerate(found):
        if reason := mask if isinstance(mask, str) else _fault(mask, size):
            reasons[i] = reason
        else:
            masks[i, 0] = torch.as_tensor(mask).bool().squeeze().view(size)
    return masks, reasons


def central_ellipse(height: int, width: int) -> Tensor:
    """An ellipse of half the height and half the width, in the middle: bool `[H, W]`."""
    rows, columns = (
        (2 * torch.arange(side, dtype=torch.float64) + 1 - side) / (0.5 * side) for side in (height, width)
    )
    return rows[:, None] ** 2 + columns**2 <= 1


def _computed(source: str | MaskFunction, images: Tensor) -> Tensor:
    """Masks bool `[N, H, W]` or `[N, 1, H, W]` of a rule, a model or a function, one image at a time."""
    if source == CENTRE:
        return central_ellipse(*images.shape[2:]).to(images.device).expand(len(images), -1, -1)
    if source == GREY:
        return foreground(images)
    if isinstance(source, str):
        model = second_model(source).to(images.device)
        masks = []
        for image in torch.split(images, 1):
            logits = model(image)
            if logits.ndim != 4:
                shape = tuple(logits.shape)
                raise ModelError(
                    f"masks={source!r} gives logits of shape {shape}, not a class for each pixel [N, K, H, W]"
                )
            masks.append(logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(1) > 0)  # not the first class
        return torch.cat(masks)
    return source(images)


def _read(read: MaskReader, folder: str, name: str) -> Tensor | str:
    """The mask of a sample, or why there is none."""
    path = Path(folder) / Path(name).with_suffix(".png")
    if not path.is_file():
        return f"no mask {str(path)!r}: write the masks of samples as <id>.png"
    try:
        return read(folder, name)
    except UnshakenError as error:
        return str(error)


def _read_whole(folder: str, name: str) -> Tensor:
    """A mask as it is."""
    path = Path(folder) / Path(name).with_suffix(".png")
    try:
        return torch.from_numpy(np.asarray(open_image(path).convert("L")) > 0)
    except BadImage as error:
        raise DataError(f"the mask {str(path)!r} cannot be read: {error.reason}") from None


def _fault(mask: Tensor, size: torch.Size) -> str:
    """Why a mask cannot be used; empty where it can."""
    shape = tuple(mask.shape[-2:])
    if shape != tuple(size) or mask.numel() != size.numel():
        return f"its mask is {' x '.join(map(str, mask.shape))} pixels, the image {' x '.join(map(str, size))}"
    covered = int(mask.bool().sum())
    if not covered:
        return "its mask is empty: no object is known there"
    return "its object fills the picture: no background is left" if covered == size.numel() else ""
