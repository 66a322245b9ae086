"""Pieces in which many points of a sample are asked about."""

from __future__ import annotations


def even_piece(count: int, most: int) -> int:
    """The size of a piece, when a count is cut into as few pieces of one size as will do.

    >>> even_piece(52, 16), even_piece(16, 16), even_piece(3, 16)
    (13, 16, 3)

    Args:
        count: 1 or more.
        most: largest size of a piece.
    """
    return -(-count // -(-count // most))
