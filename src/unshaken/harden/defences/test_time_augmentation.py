"""Test-time augmentation: the mean answer over several views of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.boxes import boxed
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.harden.engine.defence import Defence, Draws, GuardedModel, stand_in
from unshaken.harden.engine.ensemble import mean_prediction

WAYS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Moved by whole pixels; the border's pixels are repeated behind.

    Args:
        images: `[B, C, H, W]`.
        down: pixels; below zero for up.
        right: pixels; below zero for left.
    """
    height, width = images.shape[2:]
    rows = (torch.arange(height, device=images.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - right).clamp(0, width - 1)
    return images[:, :, rows][:, :, :, columns]


@register("test-time-augmentation", reference="Krizhevsky et al. 2012, doi:10.1145/3065386")
class TestTimeAugmentation(Defence):
    """Test-time augmentation: averages predictions over the image and its mirrored, shifted and noisy copies."""

    __test__ = False  # no test case, whatever its name begins with

    mirror: bool = Field(default=True, description="mirrored left to right as well")
    shift: NonNegativeInt = Field(default=0, description="pixels of four views moved each way; 0 for none")
    noisy: NonNegativeInt = Field(default=0, description="views with noise of their own at every pass")
    sigma: NonNegativeFloat = Field(default=0.05, description="deviation of that normal noise, in [0, 1] pixel units")
    mean: Literal["probabilities", "logits"] = Field(
        default="probabilities", description="average of: probabilities or logits"
    )
    seed: NonNegativeInt = Field(default=0, description="random seed of the noise")

    @property
    @override
    def random(self) -> bool:
        return self.noisy > 0 and self.sigma > 0

    def views(self, images: Tensor, draws: Draws) -> Iterator[Tensor]:
        """All views of images `[B, C, H, W]`, the images themselves first."""
        yield images
        if self.mirror:
            yield images.flip(3)
        for down, right in WAYS if self.shift else ():
            yield shifted(images, down * self.shift, right * self.shift)
        if self.noisy:
            generator = draws.next()
            for _ in range(self.noisy):
                yield boxed(images + self.sigma * torch.randn(images.shape, generator=generator).to(images))

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        if not (self.mirror or self.shift or self.noisy):
            raise ParameterError("test-time-augmentation: one view only: give mirror, shift or noisy")

        def surrogates() -> Mapping[str, Classifier]:
            if self.mean == "logits":
                return {}
            plain = MultiViewClassifier(self.model_copy(update={"mean": "logits"}), model)
            return {"logits": stand_in(plain, model, "mean-logits")}

        return GuardedModel(
            MultiViewClassifier(self, model), model, name=self.info.name, random=self.random, surrogates=surrogates
        )


class MultiViewClassifier(nn.Module):
    """A model that looks at several views.

    Args:
        rule: which views, and what is averaged.
        model: from images in [0, 1] to logits.
    """

    def __init__(self, rule: TestTimeAugmentation, model: Classifier) -> None:
        super().__init__()
        self.rule, self.model, self.draws = rule, model, Draws(rule.seed)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits = torch.stack([self.model(view) for view in self.rule.views(images, self.draws)], 1)
        return mean_prediction(logits) if self.rule.mean == "probabilities" else logits.mean(1)
