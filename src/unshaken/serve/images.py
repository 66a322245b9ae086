"""`Pictures`: the images of a data set as browsers show them, by the id of their sample."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten
from unshaken.data.dataset import Dataset

SIDES = {"thumbnail": 160, "image": 768}
"""Pixels of the longer side at most, by use."""
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
                found = self._kept[id, use] = self._encoded(id, SIDES[use])
                self._bytes += len(found.data)
            self._kept.move_to_end((id, use))
            while self._bytes > self.most_bytes and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)
        return found

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {id: row for row, id in enumerate(self.dataset.ids)}

    def _encoded(self, id: str, side: int) -> Picture:
        if id not in self._rows:
            raise DataError(f"{self.dataset.options.spec} has no sample {shorten(id)}: is it the data of this review?")
        pixels = self.dataset.read(self._rows[id])
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        file, kind = io.BytesIO(), "png" if max(image.size) <= SMALL else "jpeg"
        if kind == "png":
            image.save(file, "PNG")
        else:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            image.save(file, "JPEG", quality=88)
        data = file.getvalue()
        return Picture(data, f"image/{kind}", f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"')
