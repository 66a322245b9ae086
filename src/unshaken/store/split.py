"""Sizes of shards, and parts of a run: `K/N` names the K-th of N parts, which one process computes by itself.

Part K has the shards K-1, K-1+N, K-1+2N and so on, so that a part of data that is sorted by class has all classes.
"""

from __future__ import annotations

import re

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten

MOST_PARTS = 1_000_000
"""Largest N."""
LARGEST_SHARD = 1024
"""Samples in a shard at most."""
SMALLEST_SHARD = 16
"""Samples in a shard at least, where their images are of a usual size."""

_PART = re.compile(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,6})")


def shard_size(numbers: int) -> int:
    """Samples in a shard: as many as have 2**24 numbers together, from 16 to 1,024; very large images by their memory.

    Args:
        numbers: C x H x W of an image.

    >>> [shard_size(3 * side**2) for side in (32, 224, 1000, 2365, 4000, 8000)]
    [1024, 111, 16, 7, 2, 1]
    """
    from unshaken.core.batch import most_images  # and with it torch, which reading a part of a run does without

    return min(usual_shard_size(numbers), most_images(numbers))


def usual_shard_size(numbers: int) -> int:
    """Samples in a shard whatever the memory; so runs of earlier versions are divided."""
    return max(SMALLEST_SHARD, min(LARGEST_SHARD, 2**24 // numbers))


def parse_part(text: str) -> tuple[int, int]:
    """K and N of `K/N`.

    Args:
        text: such as `2/3`, with K from 1 to N.

    Raises:
        ParameterError: it is of another form, or out of range.

    >>> parse_part("2/3")
    (2, 3)
    """
    found = _PART.fullmatch(text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count <= MOST_PARTS:
        raise ParameterError(f"part {shorten(text)} is not K/N with K from 1 to N, such as 1/2 and 2/2")
    return number, count


def shards_of_part(part: str | None, shards: int) -> range:
    """The shards of a part, from 0; all of them for None.

    Args:
        part: `K/N`, or None.
        shards: of the whole run.

    >>> list(shards_of_part("2/3", 8))
    [1, 4, 7]
    """
    if part is None:
        return range(shards)
    number, count = parse_part(part)
    return range(number - 1, shards, count)


def check_part(part: str | None, shards: int, shard_size: int) -> None:
    """Refuse more parts than there are shards: some would be empty.

    Args:
        part: `K/N`, or None.
        shards: of the whole run.
        shard_size: samples in a shard.

    Raises:
        ParameterError: N is larger than the number of shards.
    """
    if part is not None and parse_part(part)[1] > shards:
        raise ParameterError(
            f"part {part}: this run has {shards} shard{'s' * (shards != 1)} of at most {shard_size:,} samples, which "
            f"make {shards} part{'s' * (shards != 1)} at most: choose a smaller N"
        )
