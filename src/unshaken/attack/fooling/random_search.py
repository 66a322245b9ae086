"""Settings of regularised ascent drawn at random, as the released code searches for good ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unshaken.attack.fooling.ascent import Ascent
from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng

CHOICES: dict[str, Sequence[Any]] = {
    "decay": (0, 1e-4, 0.001, 0.01, 0.1, 0.2, 0.3),
    "blur": (0, 0.3, 0.4, 0.5, 1),
    "blur_every": (1, 2, 3, 4),
    "small_norm": (0, 10, 20, 30, 50, 80, 90),
    "small_benefit": (0, 10, 20, 30, 50, 80, 90),
    "absolute_benefit": (False, True),
    "steps": (250, 500, 750, 1000, 1500),
}
"""What each setting is drawn from, all alike."""
LR_MAX = 1e7 / 255**2
"""The largest rate of the search."""


def random_ascents(n: int, *, seed: int = 0, **fixed: Any) -> list[Ascent]:
    """Settings to try, each drawn by itself: the first ten of a hundred are those of ten.

    Args:
        n: how many.
        seed: decides the draws.
        fixed: settings that are given and not drawn, such as `steps=100`.

    Raises:
        ParameterError: n is below 1, or a given setting is not allowed.

    >>> [a.decay for a in random_ascents(2, decay=0.1)]
    [0.1, 0.1]
    """
    if n < 1:
        raise ParameterError(f"n={n} must be 1 or more")
    found = []
    for source in SampleRng.of(seed, "random-ascents", [str(i) for i in range(n)]).generators():
        drawn = {name: _one(values, source) for name, values in CHOICES.items()}
        found.append(Ascent(**{"lr_max": LR_MAX, **drawn, **fixed}))
    return found


def _one(values: Sequence[Any], source: np.random.Generator) -> Any:
    return values[int(source.integers(len(values)))]
