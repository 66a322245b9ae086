"""Tables that users write: columns of a CSV file, and `Captions`, one or several an image."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unshaken.core.documents import read_text
from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten

LARGEST = 1 << 30
"""Bytes of a file."""


def read_table(path: Path, names: Sequence[str], what: str) -> list[list[str]]:
    """Some columns of a CSV file with a heading, surrounding space cut off.

    Args:
        path: of the file.
        names: of the columns that it must have.
        what: it holds, for messages.

    Raises:
        DataError: it cannot be read, lacks a column, has a line that is too short, or no line at all.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_text(path, LARGEST).removeprefix("\ufeff"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{what}: cannot read {str(path)!r} ({getattr(error, 'strerror', None) or error})") from None
    head = [name.strip() for name in lines[0]] if lines else []
    lost = [name for name in names if name not in head]
    if lost:
        met = ", ".join(map(shorten, head)) or "nothing"
        raise DataError(f"{what}: {str(path)!r} has no column {lost[0]!r}; its heading has {met}")
    places, found = [head.index(name) for name in names], []
    for number, line in enumerate(lines[1:], 2):
        if line and len(line) <= max(places):
            raise DataError(f"{path}, line {number}: {len(line)} values, but the heading has {len(head)}")
        if line:
            found.append([line[place].strip() for place in places])
    if not found:
        raise DataError(f"{what}: {str(path)!r} has a heading and no line")
    return found


@dataclass(frozen=True, slots=True)
class Captions:
    """Captions, each with the image that it describes.

    Args:
        texts: one a caption.
        images: id of the image of each.

    Raises:
        DataError: there is none, one is empty, or a caption has no image.
    """

    texts: tuple[str, ...]
    images: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.images) or not self.texts:
            raise DataError(f"{len(self.texts)} captions came with {len(self.images)} images: give one image a caption")
        for number, (text, image) in enumerate(zip(self.texts, self.images, strict=True)):
            if not text.strip():
                raise DataError(f"caption {number} (image {shorten(image)}) is empty")
            if not image:
                raise DataError(f"caption {number} ({shorten(text)}) has no image")

    @classmethod
    def of(cls, captions: Mapping[str, Sequence[str]]) -> Captions:
        """Captions from those of each image.

        Args:
            captions: id of an image to its captions.
        """
        pairs = [(text, image) for image, texts in captions.items() for text in texts]
        return cls(tuple(t for t, _ in pairs), tuple(i for _, i in pairs))

    def among(self, ids: Sequence[str], *, whole: bool = True) -> Captions:
        """The captions of images that are there.

        Args:
            ids: of the data's samples.
            whole: whether these are all of them; of a subset the captions of other images are left out.

        Raises:
            DataError: a caption's image is no sample of the data, or none is.
        """
        known = set(ids)
        pairs = [(t, i) for t, i in zip(self.texts, self.images, strict=True) if i in known]
        lost = next((i for i in self.images if i not in known), None)
        if lost is not None and (whole or not pairs):
            raise DataError(
                f"{len(self.texts) - len(pairs)} captions are of images that the data does not have, such as "
                f"{shorten(lost)}; its ids are like {shorten(next(iter(ids), ''))}"
            )
        return Captions(tuple(t for t, _ in pairs), tuple(i for _, i in pairs))


def read_captions(file: str | Path) -> Captions:
    """Captions from a CSV file with the columns `image` (a sample's id) and `caption`, one line a caption.

    Raises:
        DataError: the file cannot be read or lacks a column, a caption is empty or has no image.
    """
    rows = read_table(Path(file), ("caption", "image"), "captions")
    return Captions(tuple(text for text, _ in rows), tuple(image for _, image in rows))
