"""Learning curves: how many epochs an accuracy takes."""

from __future__ import annotations

from collections.abc import Sequence


def epochs_to(curve: Sequence[float], goal: float) -> float | None:
    """Epochs until an accuracy is first reached, linear between epochs; before the first it is 0. None: never.

    Args:
        curve: accuracy after each epoch.
        goal: the accuracy.

    >>> epochs_to([0.2, 0.4, 0.6], 0.5), epochs_to([0.2, 0.4], 0.1), epochs_to([0.2], 0.3)
    (2.5, 0.5, None)
    """
    before = 0.0
    for epoch, value in enumerate(curve):
        if value >= goal:
            return epoch + (0.0 if value == before else max(0.0, goal - before) / (value - before))
        before = value
    return None
