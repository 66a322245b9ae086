"""Arithmetic of weights: projections, sums, interpolation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.surgery._checksum import same_body

Weights = Mapping[str, Tensor]
Projection = Literal["tensor", "whole", "none"]


def orthogonal(change: Tensor, direction: Tensor) -> Tensor:
    """`d - (<d, a> / <a, a>) a`: what is left of a change d beside a direction a; d itself where a is 0.

    >>> orthogonal(torch.tensor([5.0, 1.0]), torch.tensor([3.0, 4.0]))
    tensor([ 2.7200, -2.0400])
    """
    d, a = widen(change), widen(direction)
    square = (a * a).sum()
    return (d - (d * a).sum() / square * a).to(change.dtype) if square > 0 else change.clone()


def differences(
    pretrained: Weights, standard: Weights, robust: Weights, keys: Sequence[str], how: Projection
) -> dict[str, Tensor]:
    """The signature's tensors: see `Signature.extract`."""
    if how == "none":
        return {k: robust[k].float() - standard[k].float() for k in keys}
    a = {k: standard[k].float() - pretrained[k].float() for k in keys}
    d = {k: robust[k].float() - pretrained[k].float() for k in keys}
    if how == "tensor":
        return {k: orthogonal(d[k], a[k]) for k in keys}
    whole = orthogonal(*(torch.cat([part[k].flatten() for k in keys]) for part in (d, a)))
    parts = torch.split(whole, [d[k].numel() for k in keys])
    return {k: part.view_as(d[k]) for k, part in zip(keys, parts, strict=True)}


def coefficients(alpha: float, signatures: int, *, official_scaling: bool = False) -> list[float]:
    """The factors of several signatures that share one alpha: `alpha / m` each.

    The publication's code multiplies the differences by its factor before the projection and after it again, so that
    `(alpha / m)^2` is what counts; `official_scaling` does the same.

    >>> coefficients(1.0, 2), coefficients(1.0, 2, official_scaling=True)
    ([0.5, 0.5], [0.25, 0.25])
    """
    if signatures < 1:
        raise ParameterError(f"signatures={signatures} must be 1 or more")
    one = alpha / signatures
    return [one * one if official_scaling else one] * signatures


def interpolate(start: Weights, end: Weights, alpha: float) -> dict[str, Tensor]:
    """WiSE-FT: `(1 - alpha) start + alpha end`; bit for bit one of them at 0 and 1. Whole numbers are the end's.

    Args:
        start: a state dict, such as that before fine-tuning.
        end: as `start`.
        alpha: in [0, 1].

    Raises:
        ParameterError: alpha is not in [0, 1].
        ModelError: the weights are not of one architecture.

    Source: Wortsman et al. 2022, arXiv:2109.01903.
    """
    if not 0 <= alpha <= 1:
        raise ParameterError(f"alpha={alpha} is not in [0, 1]")
    same_body({"start": start, "end": end}, ())
    if alpha in (0, 1):
        return {k: v.clone() for k, v in (end if alpha else start).items()}
    return {
        k: ((1 - alpha) * widen(v) + alpha * widen(end[k])).to(v.dtype) if v.is_floating_point() else end[k].clone()
        for k, v in start.items()
    }


def relative_change(start: Weights, end: Weights, layers: Iterable[Iterable[str]]) -> list[float]:
    """`|end - start| / |start|` of each layer's parameters.

    Args:
        start: a state dict.
        end: a state dict of the same shapes.
        layers: keys of each layer.
    """
    found = []
    for keys in layers:
        one, two = (widen(torch.cat([w[k].flatten() for k in keys])) for w in (start, end))
        found.append(float((two - one).norm() / one.norm().clamp(min=1e-300)))
    return found


def added(base: Weights, tensors: Weights, alpha: float) -> dict[str, Tensor]:
    """`base + alpha tensors`: a new state dict; keys that the tensors lack stay.

    Raises:
        ModelError: a key is absent or has another shape.
    """
    if absent := [k for k in tensors if k not in base or base[k].shape != tensors[k].shape]:
        raise ModelError(
            f"the weights have no {absent[0]!r} of shape {tuple(tensors[absent[0]].shape)}, as the signature has"
        )
    return {k: v + alpha * tensors[k].to(v) if k in tensors else v for k, v in base.items()}
