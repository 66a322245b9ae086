"""Image quilting: a texture of a photo's blocks, joined where they differ least; wrapped, it tiles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

POSITIONS = 400
"""Random places of the photo among which the block that fits best is looked for."""
OVERLAP = 4
"""A block is longer by one part in as many, which it shares with its neighbour."""

Pixels = NDArray[np.float32]


def least_cut(error: Pixels) -> NDArray[np.bool_]:
    """The path from top to bottom of least error, by dynamic programming: True to its right.

    Args:
        error: of the pixels of an overlap, `[H, W]`, at least 0.

    Returns:
        `[H, W]`; from one row to the next the path moves by one pixel at most.

    >>> least_cut(np.array([[9, 0, 9], [9, 9, 0]], np.float32)).tolist()
    [[False, True, True], [False, False, True]]
    """
    cost = error.copy()
    for above, row in pairwise(cost):
        left, right = np.append(np.inf, above[:-1]), np.append(above[1:], np.inf)
        row += np.minimum(np.minimum(left, above), right)
    keep = np.zeros(cost.shape, bool)
    first, last = 0, cost.shape[1]
    for row, line in zip(cost[::-1], keep[::-1], strict=True):
        column = first + int(row[first:last].argmin())
        line[column:] = True
        first, last = max(0, column - 1), column + 2
    return keep


def quilt(photo: Pixels, side: int, block: int, rng: np.random.Generator, *, wrapped: bool = True) -> Pixels:
    """Lay blocks of a photo in rows, each the best of random ones, cut where it differs least from what is there.

    Args:
        photo: `[H, W, C]`; both sides at least `block + block // 4`.
        side: of the result in pixels, at least twice the block.
        block: pixels from one block to the next; the result has the largest whole number of them, a little longer.
        rng: gives the places.
        wrapped: the last blocks of rows and columns are cut to fit the first ones, too, so that the result tiles.

    Returns:
        `[side, side, C]`, pixels of the photo alone.

    Source: Efros & Freeman 2001, doi:10.1145/383259.383296.
    """
    count = side // block
    starts = [place * side // count for place in range(count)]
    shared = block // OVERLAP
    width = -(-side // count) + shared
    extent = side if wrapped else side + width
    made, known = np.zeros((extent, extent, photo.shape[2]), np.float32), np.zeros((extent, extent), bool)
    pixels, line = photo.reshape(-1, photo.shape[2]), photo.shape[1]
    for row, top in enumerate(starts):
        for column, left in enumerate(starts):
            place = np.ix_(np.arange(top, top + width) % extent, np.arange(left, left + width) % extent)
            there, old = known[place], made[place]
            drawn = rng.integers(0, (photo.shape[0] - width + 1, line - width + 1), (POSITIONS, 2))
            down, across = there.nonzero()
            shown = pixels[(drawn @ (line, 1))[:, None] + down * line + across]
            first, start = drawn[np.square(shown - old[there]).sum((1, 2)).argmin()]
            new = photo[first : first + width, start : start + width]
            error = np.square(new - old).sum(2) * there
            keep = np.ones_like(there)
            last = wrapped and column == count - 1, wrapped and row == count - 1
            for turns, joined in enumerate((column > 0, row > 0, *last)):  # the left, top, right and bottom edge
                if joined:
                    np.rot90(keep, turns)[:, :shared] &= least_cut(np.rot90(error, turns)[:, :shared])
            made[place] = np.where((keep | ~there)[..., None], new, old)
            known[place] = True
    return made[:side, :side]
