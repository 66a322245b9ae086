"""Relative Mahalanobis distance: how much farther the nearest class is than the data as a whole."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.layerwise import named_layers
from unshaken.detect.scores.mahalanobis import class_gaussian, eigen, shrunk, squared_distances, whitening


@register("relative-mahalanobis", reference="Ren et al. 2021, arXiv:2106.09022", needs=("features",))
class RelativeMahalanobis(Detector):
    """Relative Mahalanobis: distance to the nearest class, minus the distance to one Gaussian of all normal samples.

    What is unusual for every class and for the data alike, in directions that tell no class from another, drops out.
    """

    labelled = True

    layer: str = Field(default="penultimate", description="penultimate, or the name of a layer", min_length=1)
    shrinkage: float = Field(
        default=0.0, description="share of both covariances replaced by their mean variance", ge=0, le=1
    )

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        names = named_layers(anatomy, (self.layer,))
        if len(names) != 1:
            raise ParameterError(f"relative-mahalanobis: layer={self.layer!r} names {len(names)} layers; name one")
        return names

    @override
    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        return self.layers(anatomy)

    @override
    def fit(self, fit_data: FitData) -> Bank:
        moments = fit_data.moments[self.layers(fit_data.anatomy)[0]]
        bank = class_gaussian(moments, self.shrinkage)
        variances, directions = eigen(moments, "covariance")
        background = whitening(shrunk(variances, self.shrinkage), directions, bank["origin"].abs().max())
        return {**bank, "background": background}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        features = forward.pooled(self.layers(forward.anatomy)[0])
        classes = squared_distances(features, bank["whiten"], bank["origin"], bank["centres"]).amin(1)
        centre = torch.zeros_like(bank["background"][:1, :1]).expand(1, len(bank["background"]))
        return classes - squared_distances(features, bank["background"], bank["origin"], centre)[:, 0]
