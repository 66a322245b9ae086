"""Arithmetic of weights: checksums, projections, sums, interpolation, batch norms, and quantisers of differences."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError

COUNTLESS = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the keys that are statistics and no parameters."""


def checksum(weights: Mapping[str, Tensor], leave_out: Iterable[str] = ()) -> str:
    """A hash of names, shapes and values, the same in every process.

    Args:
        weights: a state dict.
        leave_out: keys that do not count, such as the classifier's; of batch norms the counts never do.

    Returns:
        32 hexadecimal digits.
    """
    found = hashlib.blake2b(digest_size=16)
    for key in _counting(weights, leave_out):
        value = weights[key].detach().cpu().contiguous()
        found.update(f"{key}\x1f{value.dtype}\x1f{tuple(value.shape)}\x1f".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def architecture(weights: Mapping[str, Tensor], leave_out: Iterable[str] = ()) -> str:
    """A hash of names and shapes alone; see `checksum`."""
    text = "\n".join(f"{key} {tuple(weights[key].shape)}" for key in _counting(weights, leave_out))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def same_body(weights: Mapping[str, Mapping[str, Tensor]], classifier: Iterable[str]) -> None:
    """Refuse weights that are not of one architecture, the classifier aside.

    Args:
        weights: state dicts by what messages call them.
        classifier: keys that may differ.

    Raises:
        ModelError: a key is missing, or has another shape.
    """
    (first, one), *others = weights.items()
    keys = _counting(one, classifier)
    for name, other in others:
        there = _counting(other, classifier)
        if there != keys:
            odd = sorted(set(there) ^ set(keys))[0]
            raise ModelError(f"the weights {first!r} and {name!r} are not of one architecture: only one has {odd!r}")
        for key in keys:
            if one[key].shape != other[key].shape:
                raise ModelError(
                    f"the weights {first!r} and {name!r} are not of one architecture: {key!r} has the shapes "
                    f"{tuple(one[key].shape)} and {tuple(other[key].shape)}"
                )


def _counting(weights: Mapping[str, Tensor], leave_out: Iterable[str]) -> list[str]:
    skipped = set(leave_out)
    return sorted(k for k in weights if k not in skipped and not k.endswith("num_batches_tracked"))


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
    count = 0
    with evaluating(model), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        for images in batches:
            count += len(images)
            for norm in norms:
                norm.momentum = len(images) / count
            model(images)
    for norm, (mean, variance, momentum) in zip(norms, old, strict=True):
        norm.momentum = momentum
        share = alpha if count else 0.0
        _statistic(norm.running_mean).lerp_(mean, 1 - share)
        _statistic(norm.running_var).lerp_(variance, 1 - share)
    if not count:
        raise ParameterError("no image was given to estimate the statistics of batch norms on; they are as they were")
    return count


def _statistic(value: Tensor | None) -> Tensor:
    if value is None:
        raise ModelError("a batch norm keeps no running statistics")
    return value


Quantiser = Literal["linear", "log", "tanh"]
EDGE = 1 - 2**-24
"""The largest value that tanh is taken back from."""


def quantised(values: Tensor, levels: int, kind: Quantiser = "linear") -> Tensor:
    """Values on `n` levels: what `dequantise` makes of `quantise`.

    Args:
        values: any shape.
        levels: n, 2 or more; even and 4 or more for `log`.
        kind: `linear`: `round((v - min) / (max - min) (n - 1)) / (n - 1) (max - min) + min`; `log`:
            `sign(v) 2^q` with q the linear quantiser of n/2 levels on `log2 |v|`, zeros staying zeros; `tanh`: the
            linear quantiser on `tanh v`, taken back. Ties go to the even code; equal values stay as they are.

    Returns:
        The same shape.

    Raises:
        ParameterError: the number of levels is not possible.

    >>> [round(v, 4) for v in quantised(torch.tensor([-1.0, -0.42, 0.1, 0.35, 1.0]), 4).tolist()]
    [-1.0, -0.3333, 0.3333, 0.3333, 1.0]
    """
    codes, low, high = quantise(values, levels, kind)
    return (
        torch.where(values == 0, 0.0, dequantise(codes, low, high, levels, kind))
        if kind == "log"
        else dequantise(codes, low, high, levels, kind)
    )


def quantise(values: Tensor, levels: int, kind: Quantiser = "linear") -> tuple[Tensor, float, float]:
    """Codes int64 of the shape of `values`, and the range that they cover; see `quantised`.

    Codes of `log` are those of the magnitudes, and n/2 more where the value is negative; a zero has the code of the
    smallest magnitude, so keep the places of zeros apart.
    """
    check_levels(levels, kind)
    if kind == "log":
        size = values.abs()
        logs = torch.log2(torch.where(size > 0, size, size[size > 0].min() if bool((size > 0).any()) else 1.0))
        codes, low, high = _linear(logs, levels // 2)
        return codes + (values < 0) * (levels // 2), low, high
    return _linear(torch.tanh(values) if kind == "tanh" else values, levels)


def dequantise(codes: Tensor, low: float, high: float, levels: int, kind: Quantiser = "linear") -> Tensor:
    """Values float32 of codes; see `quantise`."""
    if kind == "log":
        half = levels // 2
        return torch.where(codes >= half, -1.0, 1.0) * torch.exp2(_values(codes % half, low, high, half))
    values = _values(codes, low, high, levels)
    return torch.atanh(values.clamp(-EDGE, EDGE)) if kind == "tanh" else values


def check_levels(levels: int, kind: str) -> None:
    """Raise a `ParameterError` where a quantiser cannot have this number of levels."""
    if kind not in get_args(Quantiser):
        raise ParameterError(f"quantiser {kind!r} is not one of {', '.join(get_args(Quantiser))}")
    least = 4 if kind == "log" else 2
    if not least <= levels <= 2**16 or (kind == "log" and levels % 2):
        even = "an even number " if kind == "log" else ""
        raise ParameterError(f"quantiser {kind!r} takes {even}from {least} to 65536 levels, not {levels}")


def bits(levels: int) -> int:
    """Number of bits of a code.

    >>> bits(2), bits(4), bits(5), bits(256)
    (1, 2, 3, 8)
    """
    return max(1, math.ceil(math.log2(levels)))


def pack(codes: Tensor, levels: int) -> Tensor:
    """Codes as uint8 `[ceil(size bits / 8)]`, the first bit first."""
    width = bits(levels)
    planes = (codes.flatten().numpy()[:, None] >> np.arange(width)) & 1
    return torch.from_numpy(np.packbits(planes.astype(np.uint8)))


def unpack(packed: Tensor, count: int, levels: int) -> Tensor:
    """The `count` codes int64 that were packed."""
    width = bits(levels)
    planes = np.unpackbits(packed.numpy(), count=count * width).reshape(count, width).astype(np.int64)
    return torch.from_numpy((planes << np.arange(width)).sum(1))


def _linear(values: Tensor, levels: int) -> tuple[Tensor, float, float]:
    if not values.numel():
        return values.long(), 0.0, 0.0
    low, high = (v.item() for v in values.aminmax())
    if high == low or levels == 1:
        return torch.zeros_like(values, dtype=torch.int64), low, high
    return torch.round((widen(values) - low) / (high - low) * (levels - 1)).long(), low, high


def _values(codes: Tensor, low: float, high: float, levels: int) -> Tensor:
    if levels == 1:
        return torch.full(codes.shape, low)
    return (widen(codes) / (levels - 1) * (high - low) + low).float()
