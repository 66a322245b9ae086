"""`make_samples`: the images of a request as one batch, and the reasons of those that cannot be used.

Whatever is too large is not decoded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from starlette.exceptions import HTTPException
from torch import Tensor

from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data.decode import BadImage, looks_like, open_image, pixels_of
from unshaken.data.spec import reason_of
from unshaken.serve.score.bodies import Body
from unshaken.serve.score.options import Limits

SIGNATURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
MOST_SCANS = 64
"""Scans of a progressive JPEG: each goes through all pixels again, and a file of one megabyte may hold thousands."""
_SCAN = b"\xff\xda"


def decode_image(data: bytes, view: View, *, pixels: int) -> Tensor:
    """Decode one image as the model sees it, the same as images of a data set.

    Args:
        data: of a JPEG or PNG file.
        view: how the model looks at photos.
        pixels: of the image at most.

    Returns:
        float32 `[C, H, W]` in [0, 1].

    Raises:
        BadImage: it is no such file, damaged or too large; the reason is one line.
    """
    image = _opened(data)
    if image.width * image.height > pixels:
        raise BadImage(f"{image.width} x {image.height} pixels are more than the limit of {pixels:,}")
    found = np.array(pixels_of(open_image(image), view=view))
    return torch.from_numpy(found).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def _opened(data: bytes) -> Image.Image:
    """The image with its header read alone."""
    kind = next((name for signature, name in SIGNATURES.items() if data.startswith(signature)), None)
    if kind is None:
        what = looks_like(data[:512])
        raise BadImage(f"the image is {what or 'neither JPEG nor PNG'}")
    if kind == "JPEG" and data.count(_SCAN) > MOST_SCANS:
        raise BadImage(f"the JPEG has more than {MOST_SCANS} scans")
    try:
        return Image.open(io.BytesIO(data), formats=(kind,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage("the image has more pixels than any image needs") from None
    except Exception as error:  # Pillow's readers raise almost anything on a damaged header
        raise BadImage(f"the image cannot be read: {reason_of(error)}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The images of a request.

    Args:
        ids: of all of them, in order.
        batch: those that can be used, float32 in [0, 1]; None where none can.
        bad: for the others, the reason by their place.
    """

    ids: tuple[str, ...]
    batch: Batch | None
    bad: dict[int, str]


def make_samples(body: Body, view: View, limits: Limits) -> Samples:
    """Decode the images of a request.

    Args:
        body: of the request.
        view: how the model looks at photos.
        limits: on the pixels of an image.

    Raises:
        HTTPException: 422, tensors are not as the model sees images.
    """
    if body.tensors is not None:
        return Samples(body.ids, _from_tensors(body.tensors, body.ids, view), {})
    images, bad = {}, {}
    for place, data in enumerate(body.files):
        try:
            images[place] = decode_image(data, view, pixels=limits.pixels)
        except BadImage as error:
            bad[place] = error.reason
    if not images:
        return Samples(body.ids, None, bad)
    chosen = tuple(body.ids[place] for place in images)
    return Samples(body.ids, Batch(torch.stack(list(images.values())), None, chosen), bad)


def _from_tensors(images: Tensor, ids: tuple[str, ...], view: View) -> Batch:
    wanted = [view.channels, view.height, view.width]
    if list(images.shape[1:]) != wanted:
        raise HTTPException(
            422, f"Each image must have the shape {wanted} that the model sees, not {list(images.shape[1:])}."
        )
    if images.dtype == torch.uint8:
        return Batch(images.to(torch.float32).div_(255), None, ids)
    try:
        return Batch(in_unit_range(images, "images"), None, ids)
    except DataError:
        raise HTTPException(422, "Pixel values must lie in [0, 1].") from None
