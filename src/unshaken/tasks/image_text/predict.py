"""Probabilities of what is evaluated: any callable from images and texts to probabilities of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from unshaken.core.errors import ModelError
from unshaken.measure.statistics.columns import Numbers

Predict = Callable[[Tensor, Sequence[str]], ArrayLike]
"""From images, float32 `[n, C, H, W]` in [0, 1], and n texts to probabilities `[n, K]`."""
BATCH = 256
"""Samples of one call."""


def ask(
    predict: Predict, images: Tensor, texts: Sequence[str], classes: int, *, rows: Sequence[int] | None = None
) -> Numbers:
    """Probabilities of samples, in batches, checked.

    Args:
        predict: what is evaluated.
        images: uint8 `[M, C, H, W]`.
        texts: N of them.
        classes: number of classes K.
        rows: the image of each text; None where M is N and each has its own.

    Returns:
        float64 `[N, K]`.

    Raises:
        ModelError: it gives another shape, or what are no probabilities: numbers below 0 or not finite, or rows whose
            sum is not 1 within 1e-3.
    """
    found = []
    for first in range(0, len(texts), BATCH):
        part = slice(first, first + BATCH)
        shown = images[part] if rows is None else images[torch.tensor(rows[part])]
        with torch.no_grad():
            answer = predict(shown.float() / 255, list(texts[part]))
        given = np.asarray(answer.detach().cpu() if isinstance(answer, Tensor) else answer, np.float64)
        wanted = (len(texts[part]), classes)
        if given.shape != wanted:
            raise ModelError(f"the classifier gave an array of shape {given.shape} for {wanted[0]} samples of "
                             f"{classes} classes, not {wanted}")  # fmt: skip
        if not np.isfinite(given).all() or given.min() < 0 or (abs(given.sum(1) - 1) > 1e-3).any():
            raise ModelError(
                f"the classifier gave numbers from {given.min():.4g} to {given.max():.4g} whose rows do not all sum "
                "to 1: give probabilities, such as the softmax of logits"
            )
        found.append(given)
    return np.concatenate(found)


def true_probability(probabilities: Numbers, labels: NDArray[np.int64]) -> Numbers:
    """The probability of each sample's own class, `[N]`."""
    return np.asarray(probabilities[np.arange(len(labels)), labels])


def truncations(predict: Predict, texts: Sequence[str]) -> list[bool | None]:
    """The texts of which a classifier reads less than the whole, bool; None where it does not say.

    Args:
        predict: says so by a method `truncates(texts)`, one truth value a text, or None for one that it cannot say.
        texts: any number.
    """
    says = getattr(predict, "truncates", None)
    return [None] * len(texts) if says is None else [cut if cut is None else bool(cut) for cut in says(list(texts))]
