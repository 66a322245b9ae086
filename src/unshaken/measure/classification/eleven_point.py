"""Average precision as PASCAL VOC 2007 defines it, by eleven recalls."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import flags, numbers, same_length


def eleven_point_precision(scores: ArrayLike, relevant: ArrayLike) -> float:
    """The mean over recalls 0, 0.1, ..., 1 of the best precision at that recall or a larger one.

    Args:
        scores: finite, `[N]`; larger ones come first. Samples with equal scores come in together.
        relevant: bool `[N]`.

    Raises:
        ParameterError: nothing is relevant, or columns do not fit.

    Source: Everingham et al. 2010, The PASCAL Visual Object Classes challenge.

    >>> round(eleven_point_precision([4, 3, 2, 1], [1, 0, 1, 0]), 6)
    0.848485
    """
    largest = np.finfo(np.float64).max
    values, right = numbers("scores", scores, low=-largest, high=largest), flags("relevant", relevant)
    same_length(scores=values, relevant=right)
    if not right.any():
        raise ParameterError("no sample is relevant: average precision is not defined; leave the class out")
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)  # of samples with one score
    found = right[order].cumsum()[last]
    precision, recall = found / (np.flatnonzero(last) + 1), found / right.sum()
    return float(np.mean([precision[recall >= k / 10 - 1e-12].max() for k in range(11)]))
