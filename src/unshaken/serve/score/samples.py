"""`make_samples`: the images of a request as one batch, and the reasons of those that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from starlette.exceptions import HTTPException
from torch import Tensor

from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data.decode import BadImage
from unshaken.serve.score.bodies import Body
from unshaken.serve.score.decode import decode_image
from unshaken.serve.score.limits import Limits


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
