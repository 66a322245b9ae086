"""Body of a request: image files, one or several, or tensors; nothing is decoded yet."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from torch import Tensor

from unshaken.core.documents import first_problem
from unshaken.serve.score.options import Limits

JSON = "application/json"
TENSORS = "application/vnd.safetensors"
FORM = "multipart/form-data"
IMAGES = ("image/jpeg", "image/png")
LONGEST_ID = 200
"""Characters of an image's id."""
MOST_HEADER = 1 << 20
"""Bytes of the header of a safetensors file: one tensor and the ids of its images."""


class ImageItem(BaseModel):
    """One image."""

    model_config = ConfigDict(extra="forbid")

    data: str = Field(description="JPEG or PNG file, in base64")
    id: str | None = Field(
        default=None, max_length=LONGEST_ID, description="name of the image in the answer; default its place"
    )


class ScoreRequest(BaseModel):
    """Images as JSON."""

    model_config = ConfigDict(extra="forbid")

    images: list[ImageItem] = Field(min_length=1, description="in the order of the answers")


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The images of a request, in order.

    Args:
        ids: one an image.
        files: their bytes; empty where tensors were sent.
        tensors: float32 or uint8 `[N, C, H, W]`, as the model sees them; None where files were sent.
    """

    ids: tuple[str, ...]
    files: tuple[bytes, ...] = ()
    tensors: Tensor | None = None


def media_type(request: Request) -> str:
    """The media type of a request's body, in lower case, without its parameters.

    Raises:
        HTTPException: 415, it is none of those taken, or the body is compressed.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "Send the body as it is, without a content encoding.")
    if kind not in (*IMAGES, JSON, TENSORS, FORM):
        raise HTTPException(415, f"The content type must be one of {', '.join((*IMAGES, JSON, TENSORS, FORM))}.")
    return kind


async def read_form_files(request: Request, limits: Limits) -> Body:
    """The files of a multipart form; the names of the files or of their fields serve for nothing.

    Raises:
        HTTPException: 400, it is no such form, has other fields, or more files than allowed.
    """
    try:
        async with request.form(max_files=limits.images, max_fields=0, max_part_size=0) as form:
            parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            files = tuple([await part.read() for part in parts])
    except (ValueError, LookupError, RecursionError):  # of a damaged header, such as an unknown character set
        raise HTTPException(400, "The body is no multipart form of files.") from None
    _check_number(len(files), limits)
    return Body(_places(len(files)), files)


def parse_body(kind: str, data: bytes, limits: Limits) -> Body:
    """The images in a body that is no form.

    Args:
        kind: its media type.
        data: all of it.
        limits: on the number of images.

    Raises:
        HTTPException: 400, it is not what its media type says; 413, it holds more images than allowed.
    """
    if kind == JSON:
        return _from_json(data, limits)
    return _from_tensors(data, limits) if kind == TENSORS else Body(("0",), (data,))


def _check_number(images: int, limits: Limits) -> None:
    if not images:
        raise HTTPException(400, "The request holds no image.")
    if images > limits.images:
        raise HTTPException(413, f"{images} images are more than the limit of {limits.images} in one request.")


def _places(n: int) -> tuple[str, ...]:
    return tuple(str(i) for i in range(n))


def _from_json(data: bytes, limits: Limits) -> Body:
    marks = sum(data.count(mark) for mark in (b",", b"{", b"["))  # each value takes memory before it can be counted
    if marks > 3 + limits.images * (3 + LONGEST_ID):
        raise HTTPException(
            413, f"The body lists more than {limits.images} images, the limit of one request, can need."
        )
    try:
        sent = ScoreRequest.model_validate_json(data)
    except ValidationError as error:
        raise HTTPException(400, f"The body is not as it should be: {first_problem(error)}.") from None
    _check_number(len(sent.images), limits)
    files = []
    for place, item in enumerate(sent.images):
        try:
            files.append(base64.b64decode(item.data, validate=True))
        except (binascii.Error, ValueError):
            raise HTTPException(400, f"images.{place}.data is not in base64.") from None
    return Body(_ids([item.id for item in sent.images]), tuple(files))


def _from_tensors(data: bytes, limits: Limits) -> Body:
    size = int.from_bytes(data[:8], "little")
    if size > MOST_HEADER:
        raise HTTPException(400, f"The header of the safetensors file is larger than {MOST_HEADER:,} bytes.")
    try:
        tensors = load(data)
        names = json.loads(json.loads(data[8 : 8 + size]).get("__metadata__", {}).get("ids", "[]"))
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise HTTPException(400, "The body is no safetensors file.") from None
    images = tensors.get("images")
    if images is None or images.ndim != 4 or images.dtype not in (torch.float32, torch.uint8):
        raise HTTPException(400, "The tensor 'images', float32 or uint8 [N, C, H, W], is missing.")
    _check_number(len(images), limits)  # before names are made: a tensor of no bytes may claim to hold any number
    if not isinstance(names, list) or (names and len(names) != len(images)):
        raise HTTPException(400, "The metadata 'ids' must be a list in JSON with one text for each image.")
    return Body(_ids(names) if names else _places(len(images)), tensors=images)


def _ids(names: list[str | None]) -> tuple[str, ...]:
    """The names, or the place where there is none."""
    for name in names:
        fine = name is None or (isinstance(name, str) and 0 < len(name) <= LONGEST_ID and name.isprintable())
        if not fine:
            raise HTTPException(400, f"An id is no printable text of 1 to {LONGEST_ID} characters.")
    return tuple(str(place) if name is None else name for place, name in enumerate(names))
