"""From the bytes of a JPEG or PNG file to the pixels that the model sees; whatever is too large is not decoded."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unshaken.core.classifier import View
from unshaken.data.decode import BadImage, looks_like, open_image, pixels_of
from unshaken.data.spec import reason_of

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
