"""Smoothness: the total variation of first filters, and whether pixel noise reaches the maps of deeper layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import widen
from unshaken.core.errors import DataError, ModelError, did_you_mean
from unshaken.core.oracle import Oracle
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.biases._answers import asking
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.measure import Figure
from unshaken.measure.statistics.intervals import bootstrap_figure, bootstrap_means


def total_variation(maps: Tensor) -> Tensor:
    """`sum |a[i+1, j] - a[i, j]| + sum |a[i, j+1] - a[i, j]|` of each map.

    Args:
        maps: `[..., H, W]`.

    Returns:
        `[...]`. It grows with the scale of the map, not with a constant added to it.

    >>> import torch
    >>> float(total_variation(torch.tensor([[1.0, 2, 4], [0, 0, 3], [5, 1, 1]])))
    22.0
    """
    down = maps.diff(dim=-2).abs().sum((-2, -1))
    return down + maps.diff(dim=-1).abs().sum((-2, -1))


def kernel_variation(kernels: Tensor) -> Tensor:
    """The total variation of filters, each of norm 1 over its channels and places.

    Args:
        kernels: weights of a convolution, `[D, C, h, w]`.

    Returns:
        `[D]`, summed over channels; 0 for a filter of zeros.

    Raises:
        DataError: the kernels have one place only, in which nothing can vary.
    """
    if kernels.ndim != 4 or kernels.shape[2] * kernels.shape[3] < 2:
        raise DataError(f"kernels of shape {tuple(kernels.shape)} have no neighbours: take a larger convolution")
    norm = kernels.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
    return total_variation(kernels / norm).sum(1)


OUTLIER = 0.2
"""Change of a channel's variation under noise that makes an outlier, as a share of the first model's mean."""


def outlier_channels(clean: Tensor, noisy: Tensor, mean: float) -> list[int]:
    """Channels whose variation changes under noise by 0.2 or more of a mean, such as that of a standard model's layer.

    Args:
        clean: total variation of the channels, float64 `[D]`.
        noisy: the same under noise.
        mean: that changes are measured by; 0 for no outliers.
    """
    return ((noisy - clean).abs() >= OUTLIER * mean).nonzero().flatten().tolist() if mean else []


def convolutions(model: Classifier) -> dict[str, nn.Conv2d]:
    """The convolutions of a model by name, in order.

    Raises:
        ModelError: there is none.
    """
    found = {name: m for name, m in model.net.named_modules() if isinstance(m, nn.Conv2d)}
    if not found:
        raise ModelError(f"model {model.name!r} has no convolution (Conv2d), and so no channels with places")
    return found


def layers_of(model: Classifier, named: tuple[str, ...]) -> tuple[str, ...]:
    """The layers that a user names, or all convolutions.

    Raises:
        ModelError: one is not there, or there is no convolution.
    """
    if not named:
        return tuple(convolutions(model))
    known = {name for name, _ in model.net.named_modules() if name}
    for name in named:
        if name not in known:
            raise ModelError(f"model {model.name!r} has no layer {name!r}; {did_you_mean(name, known)}")
    return named


def channel_variation(
    oracle: Oracle, layers: tuple[str, ...], images: Tensor, noisy: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """The variation of each channel's maps for images and their noisy versions, each float64 `[N, D]`, by layer."""
    found = {}
    with torch.no_grad():
        outputs = [oracle.forward(x, layers)[1] for x in (images, noisy)]
    for layer in layers:
        if outputs[0][layer].ndim != 4:
            raise ModelError(f"layer {layer!r} gives {list(outputs[0][layer].shape)}, not maps [N, D, h, w]")
        found[layer] = tuple(total_variation(widen(out[layer])).cpu() for out in outputs)
    return found  # type: ignore[return-value]


@register("smoothness", reference="Chen et al. 2020, arXiv:2006.09373")
class Smoothness(Analysis):
    """Smoothness: total variation of first filters and of every channel's maps, with and without Gaussian noise.

    Compare ratios between models, not raw values: these depend on a channel's scale and on the size of its map.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "biases"
    several: ClassVar[bool] = True

    sigma: float = Field(default=0.1, description="deviation of the noise, in [0, 1] pixel units", gt=0, le=1)
    layers: tuple[str, ...] = Field(default=(), description="names of layers; empty for all convolutions")

    @override
    def find(self, subject: Subject) -> Findings:
        layers = {name: layers_of(model, self.layers) for name, model in subject.models.items()}
        parts: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {}
        with asking(subject) as answers:
            for batch in subject.batches():
                rng = SampleRng.of(subject.seed, "smoothness", batch.ids)
                noise = rng.noise(*batch.images.shape[1:]).to(batch.images.device)
                noisy = (batch.images + self.sigma * noise).clamp(0, 1)
                for name, oracle in answers.oracles.items():
                    for layer, (clean, shaky) in channel_variation(oracle, layers[name], batch.images, noisy).items():
                        kept = subject.keep_finite(clean + shaky, batch.ids)
                        parts.setdefault((name, layer), []).append((clean[kept], shaky[kept]))
        if not parts:
            raise DataError("smoothness: no image could be read")
        found = {key: tuple(torch.cat(column) for column in zip(*pairs, strict=True)) for key, pairs in parts.items()}
        first: dict[str, float] = {}
        for name, model in subject.models.items():
            wide = [m.weight.detach() for m in convolutions(model).values() if m.weight[0, 0].numel() > 1]
            if not wide:
                raise ModelError(f"model {model.name!r} has convolutions of one place only, whose filters cannot vary")
            first[name] = float(kernel_variation(wide[0]).mean())
        meters = [oracle.meter for oracle in answers.oracles.values()]
        return _findings(found, layers, first, self.sigma, sum(m.forwards for m in meters))


def _findings(
    found: Mapping[tuple[str, str], tuple[Tensor, ...]],
    layers: Mapping[str, tuple[str, ...]],
    first: Mapping[str, float],
    noise: float,
    forwards: int,
) -> Findings:
    rows: list[dict[str, Any]] = []
    figures: dict[str, Figure] = {}
    arrays: dict[str, Tensor] = {}
    outliers: dict[str, list[int]] = {}
    ratios: dict[str, float] = {}
    models = list(layers)
    for (model, layer), (clean, noisy) in found.items():
        if not len(clean):
            raise ModelError(
                f"model {model!r}: activations of layer {layer!r} are infinite or NaN for all images: leave it out"
            )
        channels, under_noise = clean.mean(0), noisy.mean(0)
        ratio = variation_quotient(float(channels.sum()), float(under_noise.sum()))
        place = layers[model].index(layer)
        standard = layers[models[0]][place] if place < len(layers[models[0]]) else layer
        mean = float(found[models[0], standard][0].mean()) if (models[0], standard) in found else 0.0
        arrays[f"{model}.{layer}"] = torch.stack([channels, under_noise], 1).float()
        outliers[f"{model}.{layer}"] = outlier_channels(channels, under_noise, mean)
        ratios[f"{model}.{layer}"] = ratio
        figures[f"tv_ratio.{model}.{layer}"] = variation_ratio(clean, noisy)
        where = {"model": model, "layer": layer, "depth": place / max(1, len(layers[model]) - 1), "n": len(clean)}
        means = {"tv-clean": float(channels.mean()), "tv-noisy": float(under_noise.mean()), "tv-ratio": ratio}
        rows += [{**where, "quantity": quantity, "value": value} for quantity, value in means.items()]
    for model, value in first.items():
        where = {"model": model, "layer": layers[model][0], "depth": 0.0, "n": 1}
        rows.append({**where, "quantity": "kernel-tv", "value": value})
    extra = {"models": models, "layers": layers, "noise": noise, "kernel_tv": first}
    extra |= {"ratios": ratios, "outliers": outliers}
    remarks = (f"Noise of deviation {noise:g}. Compare ratios: raw variation depends on the scale of a channel.",)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return Findings(columns, figures, remarks, arrays, extra, forwards=forwards)


def variation_ratio(clean: Tensor, noisy: Tensor) -> Figure:
    """A layer's variation under noise as a multiple of that without, with a bootstrap interval over images.

    Args:
        clean: of each image and channel, float64 `[N, D]`.
        noisy: the same under noise.
    """
    sums = torch.stack([clean.sum(1), noisy.sum(1)], 1).numpy()
    draws = bootstrap_means(sums)
    found = np.array([variation_quotient(*pair) for pair in draws])
    return bootstrap_figure(variation_quotient(*sums.mean(0)), found, len(sums), ends=(0.0, math.inf))


def variation_quotient(clean: float, noisy: float) -> float:
    """A layer's variation under noise as a multiple of that without; 1 for a layer that is zero throughout."""
    return float(noisy / clean) if clean else 1.0
