"""Rules of image moderation: votes of several prompts, refusals, the concept filter, and budgets in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.measure.statistics.columns import Flags, Numbers

SAFE, UNSAFE, UNCERTAIN = 0, 1, 2
Refusals = Literal["random", "unsafe", "safe"]
"""What becomes of an answer that settles nothing."""


def majority(votes: ArrayLike) -> NDArray[np.int64]:
    """The answer of most prompts: 0 safe, 1 unsafe, 2 uncertain. Where no answer has more votes than each other, 2.

    Args:
        votes: `[N, P]` of 0, 1 and 2.

    Returns:
        int64 `[N]`.

    Raises:
        ParameterError: another shape or another value.

    >>> majority([[1, 1, 0], [2, 1, 1], [0, 1, 2], [2, 2, 1]]).tolist()
    [1, 1, 2, 2]
    """
    marked = np.asarray(votes)
    if marked.ndim != 2 or not marked.shape[1] or not np.isin(marked, (SAFE, UNSAFE, UNCERTAIN)).all():
        raise ParameterError(f"votes must be [N, P] of 0 safe, 1 unsafe, 2 uncertain, not of shape {marked.shape}")
    counts = np.stack([(marked == answer).sum(1) for answer in (SAFE, UNSAFE, UNCERTAIN)], 1)
    alone = (counts == counts.max(1, keepdims=True)).sum(1) == 1
    return np.where(alone, counts.argmax(1), UNCERTAIN).astype(np.int64)


def settled(answers: ArrayLike, ids: Sequence[str], refusals: Refusals = "random", seed: int = 0) -> Flags:
    """Which images count as flagged, uncertain answers filled in.

    Args:
        answers: `[N]` of 0, 1 and 2, as `majority` gives.
        ids: of the samples; a random fill hangs on them and the seed alone.
        refusals: what an uncertain answer becomes. Report the share of these beside the figure.
        seed: of the random fill.

    Returns:
        bool `[N]`.
    """
    marked = np.asarray(answers)
    coin = SampleRng.of(seed, "moderation", ids).uniform(1)[:, 0].numpy() < 0.5
    fill = {"random": coin, "unsafe": np.ones(len(marked), bool), "safe": np.zeros(len(marked), bool)}[refusals]
    return np.where(marked == UNCERTAIN, fill, marked == UNSAFE)


def concept_filter(
    cosines: ArrayLike,
    thresholds: ArrayLike,
    special: ArrayLike | None = None,
    special_thresholds: ArrayLike | None = None,
    raised: float = 0.01,
) -> tuple[Numbers, Flags]:
    """The rule of Stable Diffusion's filter: cosines over their thresholds, all raised where a special concept is hit.

    Args:
        cosines: of an image's embedding with each concept, `[N, M]`.
        thresholds: `[M]`.
        special: cosines with the concepts of special care, `[N, S]`; None for none.
        special_thresholds: `[S]`.
        raised: what a hit among these adds to every score.

    Returns:
        Scores `[N, M]`, rounded to 3 decimals, and which images are unsafe `[N]`: any score above 0, strictly.
    """
    care = np.zeros(len(np.asarray(cosines)), bool)
    if special is not None and special_thresholds is not None:
        care = (np.round(np.asarray(special) - np.asarray(special_thresholds), 3) > 0).any(1)
    scores = np.round(np.asarray(cosines) - np.asarray(thresholds) + raised * care[:, None], 3)
    return scores, (scores > 0).any(1)


def rms_of_l2(budget: float, values: int) -> float:
    """Root mean square change of a value under an l2 budget spent evenly: `budget / sqrt(n)`."""
    return budget / math.sqrt(values)


def pixel_budget(budget: float, std: float) -> float:
    """A budget in normalised units as [0, 1] pixels: times the deviation that pixels were divided by."""
    return budget * std
