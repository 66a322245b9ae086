"""Perceptual hashes of images, and which of many hashes differ in few bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from PIL import Image

from unshaken.measure.statistics.columns import Flags

SIDE, HIGH = 8, 4
"""Side of a hash in bits, and how many times as large the image is that pHash transforms."""
_PIECE = 1024
"""Hashes on either side of the pairs that are looked at together: a few MiB, however many there are."""


def dhash(grey: Image.Image) -> Flags:
    """Difference hash: whether each pixel of the image at 9 x 8 pixels is brighter than its left neighbour.

    Args:
        grey: of mode `L`.

    Returns:
        bool `[8, 8]`.

    Source: Krawetz 2013, Kind of Like That (hackerfactor.com).
    """
    small = np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.LANCZOS))
    return np.asarray(small[:, 1:] > small[:, :-1])


def phash(grey: Image.Image) -> Flags:
    """Perceptual hash: whether each of the 64 lowest frequencies of the image at 32 x 32 is above their median.

    Args:
        grey: of mode `L`.

    Returns:
        bool `[8, 8]`.

    Source: Krawetz 2011, Looks Like It (hackerfactor.com); the DCT is of type II along both axes.
    """
    small = np.asarray(grey.resize((SIDE * HIGH, SIDE * HIGH), Image.Resampling.LANCZOS), np.float64)
    low = scipy.fft.dct(scipy.fft.dct(small, axis=0), axis=1)[:SIDE, :SIDE]
    return np.asarray(low > np.median(low))


def to_hex(bits: Flags) -> str:
    """A hash of 64 bits as 16 hexadecimal digits, the first bit the highest.

    >>> to_hex(np.arange(64).reshape(8, 8) == 63)
    '0000000000000001'
    """
    return np.packbits(bits).tobytes().hex()


def from_hex(texts: NDArray[np.str_]) -> Flags:
    """Hashes as bits.

    Args:
        texts: of 16 hexadecimal digits each, `[N]`.

    Returns:
        bool `[N, 64]`.
    """
    packed = np.frombuffer(b"".join(bytes.fromhex(text) for text in texts.tolist()), np.uint8)
    return np.unpackbits(packed.reshape(len(texts), -1), axis=1).astype(np.bool_)


def near_pairs(bits: Flags, most: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """The pairs of hashes that differ in few bits; memory grows with the number of pairs alone.

    With signs for bits, a pair's product is the number of bits that agree minus the number of those that differ.

    Args:
        bits: bool `[N, B]`.
        most: bits that may differ.

    Yields:
        First and second place of some pairs, the first below the second, and the number of bits that differ.
    """
    signs = np.where(bits, np.float32(1), np.float32(-1))
    length = signs.shape[1]
    least = np.float32(length - 2 * most)
    for start in range(0, len(signs), _PIECE):
        piece = signs[start : start + _PIECE]
        for other in range(start, len(signs), _PIECE):
            product = piece @ signs[other : other + _PIECE].T
            first, second = np.nonzero(product >= least)
            keep = first + start < second + other
            first, second = first[keep], second[keep]
            if len(first):
                differing = ((length - product[first, second]) / 2).round().astype(np.int64)
                yield first + start, second + other, differing
