"""Operations on many small directed graphs at once, as matrices `[N, M, M]` of connections to row from column."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wired = NDArray[np.bool_]
Places = NDArray[np.int64]


def reaches(wired: Wired) -> Wired:
    """Whether a way leads to the row's node from the column's; every node reaches itself.

    Args:
        wired: bool `[N, M, M]`.
    """
    m = wired.shape[1]
    reach = (wired | np.eye(m, dtype=bool)).astype(np.float32)
    for _ in range(max(1, (m - 1).bit_length())):
        reach = (reach @ reach > 0).astype(np.float32)
    return reach > 0


def acyclic_pairs(wired: Wired) -> Wired:
    """The connections that are absent and would close no circle."""
    return ~wired & ~reaches(wired).transpose(0, 2, 1)


def depths(wired: Wired) -> Places:
    """Length of the longest way into each node, int64 `[N, M]`; 0 where nothing leads in. The graphs have no circle."""
    depth = np.zeros(wired.shape[:2], np.int64)
    for _ in range(wired.shape[1]):
        new = np.where(wired, depth[:, None, :] + 1, 0).max(2)
        if np.array_equal(new, depth):
            break
        depth = new
    return depth


def chosen(allowed: Wired, rng: np.random.Generator) -> tuple[Places, Places, Places]:
    """One allowed place in each graph that has any, drawn uniformly.

    Args:
        allowed: bool `[N, A, B]`.
        rng: source of the draws.

    Returns:
        Graph, row and column of each, the graphs rising.
    """
    flat = allowed.reshape(len(allowed), -1)
    rows = np.flatnonzero(flat.any(1))
    count = flat[rows].sum(1)
    nth = (rng.random(len(rows)) * count).astype(np.int64)
    place = (flat[rows].cumsum(1) == nth[:, None] + 1).argmax(1)
    return rows, *np.divmod(place, allowed.shape[2])


def moved(allowed: Wired, to: Places, source: Places, at_source: Wired) -> Wired:
    """Of the allowed connections those that share one end with a given one, the place of the given one left out.

    Args:
        allowed: bool `[N, M, M]`.
        to: row of the given connection, `[N]`.
        source: its column, `[N]`.
        at_source: bool `[N]`: its source is to move, else its target.
    """
    n = np.arange(len(allowed))
    same = np.zeros_like(allowed)
    same[n[at_source], to[at_source]] = True
    same[n[~at_source], :, source[~at_source]] = True
    same[n, to, source] = False
    return allowed & same
