"""Randomisation: whether a map changes when the network loses what it learned."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.explain.engine.compare_maps import Similarity, map_agreement
from unshaken.explain.engine.layers import layer_shapes
from unshaken.explain.engine.metric import Case, MapMetric, MapScores
from unshaken.models.loaders.load import second_model


def cascade(model: Classifier, images: Tensor, stages: int, seed: int) -> Iterator[Classifier]:
    """Copies of a model with more and more layers randomised, from the output down; the last one with all.

    The entries of each parameter are permuted: a layer keeps its scale and its distribution of weights, so that
    activations neither vanish nor overflow, and loses what it learned. (The publication draws them anew.)

    Args:
        model: left as it is.
        images: at least one, `[n, C, H, W]`, by which the order of the layers is found.
        stages: number of copies, at equal steps of layers; as many as there are layers at most, and 0 for that many.
        seed: of the permutations.

    Yields:
        The same copy each time, changed further.

    Raises:
        ModelError: the model has no weights.
    """
    names = [name for name in dict(layer_shapes(model, images)) if any(True for _ in _own(model, name))]
    if not names:
        raise ModelError(f"model {model.name!r} has no layer with weights: there is nothing to randomise")
    other, count = copy.deepcopy(model), min(stages or len(names), len(names))
    drawn = torch.Generator().manual_seed(seed)
    done = 0
    for stage in range(1, count + 1):
        until = stage * len(names) // count
        for name in names[::-1][done:until]:
            for weights in _own(other, name):
                with torch.no_grad():
                    order = torch.randperm(weights.numel(), generator=drawn).to(weights.device)
                    weights.copy_(weights.flatten()[order].view_as(weights))
        done = until
        yield other


def _own(model: Classifier, name: str) -> Iterator[nn.Parameter]:
    """The weights of a layer itself, those of layers inside it left out."""
    return model.net.get_submodule(name).parameters(recurse=False)


@register("randomisation", reference="Adebayo et al. 2018, arXiv:1810.03292", group="metric")
class Randomisation(MapMetric):
    """Randomisation: how like the map is to the map of a net with random weights, the mean over a cascade of layers.

    Lower is better: a map that stays the same cannot explain what the net learned. Layers lose their weights from the
    output down (see `cascade`). With `net`, the test of labels: the map is compared with that
    of a second network, trained on random labels. A map of one value counts as unlike. NaN where the original map is
    constant.
    """

    higher: ClassVar[bool] = False

    similarity: Similarity = Field(default="spearman", description="spearman, pearson, top-k or ssim")
    stages: NonNegativeInt = Field(
        default=4, description="randomised nets, at equal steps of layers; 0 for one a layer"
    )
    net: str = Field(default="", description="SPEC of a network trained on random labels, in the place of the cascade")

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.net,) if self.net else ()

    @override
    def judge(self, case: Case) -> MapScores:
        total = torch.zeros(len(case.maps), dtype=torch.float64)
        forwards = torch.zeros(len(case.maps), dtype=torch.int64)
        backwards, nets = forwards.clone(), 0
        for other in self._nets(case):
            found = case.again(case.images, other, case.classes)
            alike = map_agreement(case.maps.cpu(), found.maps.cpu(), self.similarity)
            total += alike.nan_to_num()
            forwards += found.forwards.cpu()
            backwards += found.backwards.cpu()
            nets += 1
        varies = (case.maps.amax((1, 2)) > case.maps.amin((1, 2))).cpu()
        return MapScores(torch.where(varies, total / nets, torch.nan), forwards, backwards)

    def _nets(self, case: Case) -> Iterator[Classifier]:
        if not self.net:
            yield from cascade(case.model, case.images[:1], self.stages, case.seed)
            return
        yield second_model(self.net).to(case.images.device)
