"""Trade-offs of clean and robust accuracy: the chord between two networks, and the best of a sweep between them."""

from __future__ import annotations

from itertools import pairwise


def chord_at(clean: float, accurate: tuple[float, float], robust: tuple[float, float]) -> float:
    """Robust accuracy on the straight line between the points (clean, robust) of two networks.

    Args:
        clean: where; outside the two the nearer end counts.
        accurate: point of g.
        robust: point of h.

    >>> round(chord_at(0.83, (0.873, 0.0), (0.806, 0.723)), 3)
    0.464
    """
    if accurate[0] <= robust[0]:
        return max(accurate[1], robust[1])
    share_of_h = min(1.0, max(0.0, (accurate[0] - clean) / (accurate[0] - robust[0])))
    return accurate[1] + share_of_h * (robust[1] - accurate[1])


def fixed_at(robust: float, points: list[tuple[float, float]]) -> float:
    """The best clean accuracy of fixed weights at a robust accuracy, linear between neighbours of the sweep.

    Args:
        robust: where.
        points: (clean, robust) by rising weight.

    >>> fixed_at(0.5, [(0.9, 0.0), (0.8, 0.4), (0.7, 0.6)])
    0.75
    """
    found = [clean for clean, held in points if held >= robust]
    for (c0, r0), (c1, r1) in pairwise(points):
        if min(r0, r1) <= robust <= max(r0, r1) and r0 != r1:
            found.append(c0 + (robust - r0) / (r1 - r0) * (c1 - c0))
    return max(found, default=points[-1][0])
