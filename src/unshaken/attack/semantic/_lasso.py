"""`lasso_mask`: the coordinates of codes that tell classes apart, so that a search may leave the others alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.core.imports import need


def lasso_mask(codes: Tensor, labels: Tensor, penalty: float, method: str) -> Tensor:
    """The coordinates that a linear model with an l1 penalty uses for any class.

    Args:
        codes: `[N, ...]`, all finite; standardised here.
        labels: int64 `[N]`.
        penalty: alpha of `|y - X w|^2 / 2N + alpha |w|_1`, with y 1 for the class and 0 for the others.
        method: for messages.

    Returns:
        Bool, of the shape of one code.

    Raises:
        MissingExtra: scikit-learn is absent.
        ParameterError: all samples are of one class, or no coordinate is kept.
    """
    linear: Any = need("sklearn.linear_model", "scikit-learn", "labels", f"{method}: latent_mask=lasso")
    x, y = codes.flatten(1).cpu().double().numpy(), labels.cpu().numpy()
    classes = np.unique(y)
    if len(classes) < 2:
        raise ParameterError(f"{method}: latent_mask=lasso needs images of two classes or more, not {len(classes)}")
    spread = x.std(0)
    x = (x - x.mean(0)) / np.where(spread > 0, spread, 1)
    kept = np.zeros(x.shape[1], bool)
    for k in classes:
        kept |= linear.Lasso(alpha=penalty, max_iter=5000, tol=1e-3).fit(x, (y == k).astype(float)).coef_ != 0
    if not kept.any():
        raise ParameterError(
            f"{method}: the lasso keeps none of {x.shape[1]} coordinates: lower penalty={penalty:g}, or use "
            "latent_mask=none"
        )
    return torch.from_numpy(kept).view(codes.shape[1:]).to(codes.device)
