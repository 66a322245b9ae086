"""Noise self-regression: dark and overexposed images are brought to a middle exposure before the model sees them."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.generate.self_regression import (
    SelfRegression,
    SelfRegressionSettings,
    fit_self_regression,
    load_self_regression,
)
from unshaken.harden.engine.defence import Defence, GuardedModel
from unshaken.stress.engine.filters import luma


@register("noise-self-regression", reference="Zhang et al. 2022, arXiv:2211.04700")
class NoiseSelfRegression(SelfRegressionSettings, Defence):
    """Noise self-regression (NoiSER): brings images to a middle exposure by a network trained on noise alone.

    Training takes seconds and needs no image, so it is done when the model is loaded; the same parameters give the same
    network on a CPU. It also alters images that are exposed well: compare the accuracy on clean images, or let `below`
    and `above` choose by brightness. It does not denoise, and turns images of one colour grey.
    """

    file: str = Field(
        default="", description="file of a network that SelfRegression.save wrote, in the place of training one"
    )
    below: float = Field(
        default=1.0, description="enhance images of this mean luminance or less; 1 for all", ge=0, le=1
    )
    above: float = Field(default=1.0, description="enhance images of more than this mean luminance too", ge=0, le=1)

    def network(self) -> SelfRegression:
        """The network: read from `file`, or trained.

        Raises:
            ModelError: the file holds no such network.
            ParameterError: a file is named, and how to train besides.
        """
        names = SelfRegressionSettings.model_fields.keys()
        if not self.file:
            return fit_self_regression(SelfRegressionSettings(**{name: getattr(self, name) for name in names}))
        if given := sorted(self.model_fields_set & names):
            raise ParameterError(
                f"noise-self-regression: file={self.file!r} is trained already: leave {', '.join(given)} out"
            )
        return load_self_regression(self.file)

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        if model.view is not None and model.view.channels not in (1, 3):
            raise ModelError(
                f"noise-self-regression: model {model.name!r} takes {model.view.channels} channels, not 1 or 3"
            )
        device = device_of(model)
        return GuardedModel(
            EnhancingClassifier(self.network().to(device), self.below, self.above, model), model, name=self.info.name
        )


class EnhancingClassifier(nn.Module):
    """A model behind an enhancement of dark and bright images.

    Args:
        enhance: of images in [0, 1].
        below: mean luminance up to which an image is enhanced; 1 for all.
        above: mean luminance from which on it is, too.
        model: from images in [0, 1] to logits.
    """

    def __init__(self, enhance: nn.Module, below: float, above: float, model: nn.Module) -> None:
        super().__init__()
        self.enhance, self.below, self.above, self.model = enhance, below, above, model

    def enhanced(self, images: Tensor) -> Tensor:
        """Images as the model gets them, `[N, C, H, W]` in [0, 1]."""
        changed: Tensor = self.enhance(images)
        if self.below == 1:
            return changed
        luminance = luma(images).mean((1, 2, 3), keepdim=True)
        return torch.where((luminance <= self.below) | (luminance > self.above), changed, images)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(self.enhanced(images))
        return logits
