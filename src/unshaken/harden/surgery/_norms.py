"""Batch norms in weight surgery: which tensors they are, and their statistics estimated again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError, ParameterError

NormPolicy = Literal["none", "copy", "mean"]
"""Batch norms of a patched model: `none` keeps the base's, `copy` takes those of the last signature, `mean` the mean
over all signatures. For statistics of the data at hand see `re_estimate`."""
COUNT = "num_batches_tracked"


def norm_keys(weights: Mapping[str, Tensor]) -> set[str]:
    """Keys of batch norms in a state dict: scales, shifts and running statistics, their counts left out."""
    paths = {key.removesuffix("running_mean") for key in weights if key.endswith("running_mean")}
    names = ("weight", "bias", "running_mean", "running_var")
    return {path + name for path in paths for name in names if path + name in weights}


def re_estimate(model: Classifier, batches: Iterable[Tensor], *, alpha: float = 1.0) -> int:
    """Running statistics from scratch, in one pass in which every image counts the same.

    The momentum of a batch of b images after n others is `b / (n + b)`. The mean becomes the mean over all images, the
    variance the mean of the batches' unbiased variances, each weighed by its images. Nothing but the statistics
    changes; with alpha below 1 they become `(1 - alpha) old + alpha new`.

    Args:
        model: changed in place.
        batches: images `[b, C, H, W]` in [0, 1], b of 2 or more.
        alpha: share of the new statistics, in [0, 1].

    Returns:
        The number of images.

    Raises:
        ModelError: the model has no batch norm with running statistics.
        ParameterError: there is no image, or alpha is not in [0, 1].
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        raise ModelError(f"model {model.name!r} has no batch norm: there are no statistics to estimate")
    if not 0 <= alpha <= 1:
        raise ParameterError(f"alpha={alpha} is not in [0, 1]")
    old = [(_statistic(m.running_mean).clone(), _statistic(m.running_var).clone(), m.momentum) for m in norms]
    seen = 0
    with evaluating(model), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for images in batches:
            seen += len(images)
            for norm in norms:
                norm.momentum = len(images) / seen
            model(images)
    for norm, (mean, variance, momentum) in zip(norms, old, strict=True):
        norm.momentum = momentum
        share = alpha if seen else 0.0
        _statistic(norm.running_mean).lerp_(mean, 1 - share)
        _statistic(norm.running_var).lerp_(variance, 1 - share)
    if not seen:
        raise ParameterError("no image was given to estimate the statistics of batch norms on; they are as they were")
    return seen


def _statistic(value: Tensor | None) -> Tensor:
    if value is None:
        raise ModelError("a batch norm keeps no running statistics")
    return value
