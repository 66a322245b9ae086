"""Guided backpropagation: the gradient, with negative parts cut at every ReLU."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.explain.engine.guided import GuidedGradient, GuidedReLUs
from unshaken.explain.engine.single_gradient import OneGradient, SingleGradient
from unshaken.explain.engine.target import TargetScore


@register("guided-backprop", reference="Springenberg et al. 2015, arXiv:1412.6806")
class GuidedBackprop(SingleGradient):
    """Guided backpropagation: the gradient, where every ReLU passes only positive gradients.

    Beware: such maps hardly change when the model's weights are replaced by random ones (Adebayo et al. 2018,
    arXiv:1810.03292; Nie et al. 2018, arXiv:1805.07039). They show edges of the image rather than what the model
    decides by: do not judge a model by them alone. ReLUs and ReLU6s are changed, whether modules or functions.
    """

    remarks: ClassVar[tuple[str, ...]] = (
        "Maps of guided backpropagation hardly change when the model's weights are replaced by random ones: they show "
        "edges of the image rather than what the model decides by (Adebayo et al. 2018, arXiv:1810.03292).",
    )

    @override
    def prepare(self, model: Classifier, images: Tensor) -> Self:
        with evaluating(model), torch.no_grad(), GuidedReLUs() as found:
            model(images[:1])
        if not found.count:
            raise ModelError(
                f"guided-backprop: model {model.name!r} calls no ReLU that could be changed (GELU and SiLU are none, "
                "and calls inside a compiled net are not seen): use gradient or smoothgrad"
            )
        return self

    @override
    def values(self, images: Tensor, gradient: Tensor) -> Tensor:
        return gradient

    @override
    def ask(self, state: OneGradient) -> GuidedGradient:
        return GuidedGradient(state.target.images, of=TargetScore(state.target.classes, self.score))
