"""`mask_name` and `check_mask`: which file holds the mask of a sample, and whether it is of that sample alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import PurePosixPath

from unshaken.core.errors import DataError


def mask_name(sample: str) -> str:
    """The file of a sample's mask, relative to its folder: the id without its own ending, and `.png`.

    >>> mask_name("cats/a.jpg"), mask_name("12")
    ('cats/a.png', '12.png')
    """
    path = PurePosixPath(sample)
    return path.with_suffix(".png").as_posix() if path.name else f"{sample}.png"


def check_mask(sample: str, samples: tuple[str, ...], folder: str) -> None:
    """Refuse a mask that would be read for two samples.

    Args:
        sample: id of the one whose mask is read.
        samples: ids of all samples of the data.
        folder: of the masks, for the message.

    Raises:
        DataError: another id differs in its ending alone, as `a.jpg` and `a.png` do.
    """
    if pair := _shared(samples).get(mask_name(sample)):
        raise DataError(
            f"the mask {mask_name(sample)!r} in {folder!r} would be that of both {pair[0]!r} and {pair[1]!r}: rename "
            "one of the two, and its mask"
        )


def find_shared(samples: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Two samples of each mask that several would have, by the name of the mask's file.

    >>> find_shared(["a.jpg", "b.jpg", "a.png"])
    {'a.png': ('a.jpg', 'a.png')}
    """
    first: dict[str, str] = {}
    found: dict[str, tuple[str, str]] = {}
    for sample in samples:
        name = mask_name(sample)
        if (other := first.setdefault(name, sample)) != sample:
            found.setdefault(name, (other, sample))
    return found


@lru_cache(maxsize=1)
def _shared(samples: tuple[str, ...]) -> Mapping[str, tuple[str, str]]:
    """Find shared masks once for a data set, whose masks are read a few at a time."""
    return find_shared(samples)
