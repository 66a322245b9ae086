"""`Pictures`: the images of a recorded data set as browsers show them; `LazyCache`: costly values, kept."""

from __future__ import annotations

import hashlib
import io
import textwrap
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.responses import Response
from markupsafe import escape
from PIL import Image

from unshaken.core.consent import call, refuse_code
from unshaken.core.errors import DataError, UnshakenError
from unshaken.core.numbers import shorten
from unshaken.core.texts import printable
from unshaken.data.dataset import Dataset
from unshaken.data.load import load_data

SIDES = {"thumbnail": 160, "image": 768}
"""Pixels of the longer side at most, by use."""
LINE = 28
"""Characters of a line of a placeholder."""
HOUR = "private, max-age=3600"
SMALL = 96
"""Images whose longer side has no more pixels than this keep every one of them, as PNG."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture: its bytes, their media type, and a tag that changes when they do."""

    data: bytes
    media_type: str
    tag: str


class Pictures:
    """Pictures of a data set's samples, decoded by the data set itself; those used last are kept.

    Args:
        dataset: where the samples are.
        most_bytes: of the encoded pictures that are kept.
    """

    def __init__(self, dataset: Dataset, *, most_bytes: int = 64 << 20) -> None:
        self.dataset, self.most_bytes = dataset, most_bytes
        self._kept: OrderedDict[tuple[str, str], Picture] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def picture(self, id: str, use: str) -> Picture:
        """The picture of a sample.

        Args:
            id: of the sample.
            use: a key of `SIDES`.

        Raises:
            DataError: the data set has no such sample.
            BadSample: its image cannot be read.
        """
        with self._lock:  # a data set is read by one thread at a time
            found = self._kept.get((id, use))
            if found is None:
                if id not in self._rows:
                    raise DataError(f"{self.dataset.options.spec} has no sample {shorten(id)}: is it the same data?")
                found = self._kept[id, use] = encode_picture(self.dataset.read(self._rows[id]), SIDES[use])
                self._bytes += len(found.data)
            self._kept.move_to_end((id, use))
            while self._bytes > self.most_bytes and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)
        return found

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.dataset.ids)}


def encode_picture(pixels: Any, side: int) -> Picture:
    """Encode pixels as a picture for browsers.

    Args:
        pixels: uint8 `[H, W, C]`, 1 or 3 channels.
        side: pixels of the longer side at most; small images keep every one of theirs.
    """
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    file, kind = io.BytesIO(), "png" if max(image.size) <= SMALL else "jpeg"
    if kind == "png":
        image.save(file, "PNG")
    else:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.save(file, "JPEG", quality=88)
    data = file.getvalue()
    return Picture(data, f"image/{kind}", f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"')


def answer_picture(request: Request, make: Callable[[], Picture]) -> Response:
    """A picture, or one that says why there is none; browsers show it whatever the status of the answer.

    Args:
        request: for it; a browser that has the picture already gets it not again.
        make: gives the picture; the message of an error of this package is sent in its place.
    """
    try:
        picture = make()
    except UnshakenError as error:
        lines = textwrap.wrap(f"No picture: {error}", LINE, max_lines=7)
        spans = "".join(f'<tspan x="80" dy="1.3em">{escape(printable(line))}</tspan>' for line in lines)
        words = (
            f'<text y="24" font-family="sans-serif" font-size="10" text-anchor="middle" fill="#7a8694">{spans}</text>'
        )
        placeholder = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 160">{words}</svg>'
        return Response(placeholder, 404, media_type="image/svg+xml")
    headers = {"etag": picture.tag, "cache-control": HOUR}
    if picture.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.media_type, headers=headers)


def open_recorded(spec: str, where: str, *, download: bool = False) -> Dataset:
    """Open the data set that a record names. Code that it names is refused unless the user named it in this call.

    A program that serves runs has no call under way, and then `load_data` takes every SPEC for the program's own.

    Args:
        spec: in the record.
        where: the record, for messages.
        download: whether the data may be fetched.

    Raises:
        ModelError: the record names code that the user did not name.
        DataError: the data cannot be opened here.
    """
    with call():
        refuse_code(spec, where)
        return load_data(spec, download=download)


V = TypeVar("V")


class LazyCache(Generic[V]):
    """Values by key, made once each, also where several threads ask at once.

    Args:
        most: values that are kept, or the sum of their weights.
        weigh: weight of a value.
        drop: called with each value that is kept no longer.

    >>> kept = LazyCache[int](2)
    >>> [kept.get(k, lambda: len(made)) for made in ["abc"] for k in "xxy"], len(kept)
    ([3, 3, 3], 2)
    """

    def __init__(
        self, most: int, weigh: Callable[[V], int] = lambda value: 1, drop: Callable[[V], None] = lambda value: None
    ) -> None:
        self.most, self.weigh, self.drop = most, weigh, drop
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            while self._values:
                self.drop(self._values.popitem()[1])

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of a key, made where there is none; what `make` raises is raised and not kept."""
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        try:
            with own:
                with self._lock:
                    if key in self._values:
                        self._values.move_to_end(key)
                        return self._values[key]
                value = make()
                with self._lock:
                    self._values[key] = value
                    while len(self._values) > 1 and sum(map(self.weigh, self._values.values())) > self.most:
                        self.drop(self._values.popitem(last=False)[1])
                return value
        finally:
            with self._lock:
                self._locks.pop(key, None)
