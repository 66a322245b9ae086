"""Pieces in which many points of a sample are asked about."""

from __future__ import annotations


def even_piece(count: int, most: int) -> int:
    """The size of the pieces that a count is cut into, so that the last one lacks least; of such the largest.

    >>> even_piece(52, 16), even_piece(50, 16), even_piece(16, 16), even_piece(3, 16)
    (13, 10, 16, 3)

    Args:
        count: 1 or more.
        most: largest size of a piece; no piece is smaller than half of it where there are several.
    """
    if count <= most:
        return count
    return min(range(most, most // 2, -1), key=lambda size: -count % size)
