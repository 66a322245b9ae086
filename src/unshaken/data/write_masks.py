"""`write_object_masks`: masks in a model's view of photos, written in the size of the photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data.boxes import photo_size, seen_as
from unshaken.data.dataset import Dataset
from unshaken.data.mask_names import find_shared, mask_name
from unshaken.data.spec import reason_of
from unshaken.data.view_geometry import place_photo


def write_object_masks(
    folder: str, masks: Tensor, dataset: Dataset, indices: Sequence[int], view: View | None
) -> None:  # fmt: skip
    """Write masks as files that `object_masks` reads: `<id>.png`, white on the object.

    Args:
        folder: for the files; made where it is absent.
        masks: bool `[N, H, W]`, in pixels of what the model sees.
        dataset: whose photos they belong to.
        indices: which of its samples.
        view: how the model looks at photos; None for as they are. What the view cuts off is not object.

    Raises:
        DataError: a file cannot be written, or an id would lie outside of the folder.
    """
    root, seen = Path(folder).expanduser().resolve(), seen_as(dataset, view)
    for mask, index in zip(masks.numpy(), indices, strict=True):
        path = (root / mask_name(dataset.ids[index])).resolve()
        if not path.is_relative_to(root):
            raise DataError(
                f"the mask of sample {dataset.ids[index]!r} would lie outside of {folder!r}: rename the sample"
            )
        whole = mask if seen is None else enlarge_to_photo(mask, *photo_size(dataset, index), seen)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(whole.astype(np.uint8) * 255).save(path)
        except OSError as error:
            raise DataError(f"the mask {str(path)!r} cannot be written: {reason_of(error)}") from error


def check_mask_names(ids: Iterable[str]) -> None:
    """Refuse samples whose masks would be one file.

    Args:
        ids: of all samples whose masks are to be written.

    Raises:
        DataError: two ids differ in their ending alone, as `a.jpg` and `a.png` do.
    """
    for mask, (one, other) in find_shared(ids).items():
        raise DataError(f"the masks of samples {one!r} and {other!r} would be one file, {mask}: rename one")


def enlarge_to_photo(mask: NDArray[np.bool_], width: int, height: int, view: View) -> NDArray[np.bool_]:
    """A mask of the view as one of the whole photo; what the view cuts off is false.

    Args:
        mask: bool `[H, W]`, of the view.
        width: of the photo, in pixels.
        height: of the photo.
        view: how the photo was cut.

    Returns:
        bool `[height, width]`.
    """
    place = place_photo(width, height, view)
    canvas = Image.new("L", (place.width, place.height))
    canvas.paste(Image.fromarray(mask.astype(np.uint8) * 255), (place.left, place.top))
    return np.asarray(canvas.resize((width, height), Image.Resampling.NEAREST)) > 0
