"""`channel-smoothness`: how rough the channels of activation maps are, on clean images and under noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.depth_layers import DepthLayer, depth_layers
from unshaken.explain.filters.smoothness import channel_variation
from unshaken.measure import Figure, paired_difference

ADDED = "added by noise"


@register("channel-smoothness", reference="Rudin, Osher & Fatemi 1992, doi:10.1016/0167-2789(92)90242-F")
class ChannelSmoothness(Analysis):
    """Total variation of the channels of activation maps, on clean images and on the same images with Gaussian noise.

    A channel's variation is the mean absolute difference of neighbouring places over its mean absolute value. What
    noise adds to it is how much of the noise the layer lets through.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "filters"

    sigma: PositiveFloat = Field(0.1, description="deviation of the noise in units of the pixel range", le=10)
    layers: str = Field("", description="layers with maps, joined by +; empty for some over the depth")
    most: PositiveInt = Field(6, description="layers that are chosen where none is named", le=1000)

    def find(self, subject: Subject) -> Findings:
        """Two passes an image: one clean, one with noise that depends on the image's id and the seed.

        Raises:
            DataError: no image could be read.
        """
        rows: list[dict[str, Any]] = []
        figures: dict[str, Figure] = {}
        passes = 0
        for name, model in subject.models.items():
            chosen: list[DepthLayer] = []
            seen: dict[str, list[Tensor]] = {}
            for batch in subject.batches(model.view):
                chosen = chosen or depth_layers(model, batch.images[:1], self.layers, most=self.most, maps=True)
                with evaluating(model), torch.no_grad():
                    for kind, images in (("clean", batch.images), ("noisy", self.noisy(batch, subject.seed))):
                        _, maps = model.features(images, [x.name for x in chosen])
                        for layer in chosen:
                            seen.setdefault(f"{kind} {layer.name}", []).append(_roughness(maps[layer.name]))
                passes += 2 * len(batch)
            if not chosen:
                raise DataError("channel-smoothness: no image could be read")
            for layer in chosen:
                clean, noisy = (torch.cat(seen[f"{kind} {layer.name}"]) for kind in ("clean", "noisy"))
                for quantity, figure in _figures(clean, noisy).items():
                    own = {"model": name, "layer": layer.name, "depth": layer.depth, "quantity": quantity}
                    rows.append({**own, "value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n})
                    if quantity == ADDED:
                        figures[f"{quantity}, {layer.name}"] = figure
        if not rows:
            raise DataError("channel-smoothness: all channels are 0 on these images: there is no variation to measure")
        columns = {key: [row[key] for row in rows] for key in rows[0]}
        return Findings(columns, figures, extra={"sigma": self.sigma}, forwards=passes)

    def noisy(self, batch: Batch, seed: int) -> Tensor:
        """The images with noise, clipped to [0, 1]."""
        noise = SampleRng.of(seed, "channel-smoothness", batch.ids).normal(*batch.images.shape[1:])
        return (batch.images + self.sigma * noise.to(batch.images)).clamp(0, 1)


def _roughness(maps: Tensor) -> Tensor:
    """The mean over an image's channels that are not 0, float64 `[N]`; NaN where all are."""
    return channel_variation(maps).nanmean(1).cpu()


def _figures(clean: Tensor, noisy: Tensor) -> dict[str, Figure]:
    """Means over images and what noise adds, paired; empty where no image has a value under both."""
    known = clean.isfinite() & noisy.isfinite()
    if not bool(known.any()):
        return {}
    before, after = clean[known].numpy(), noisy[known].numpy()
    pairs: Sequence[tuple[str, Any, Any]] = (
        ("variation, clean", 0 * before, before),
        ("variation, noisy", 0 * after, after),
        (ADDED, before, after),
    )
    return {name: paired_difference(one, other) for name, one, other in pairs}
