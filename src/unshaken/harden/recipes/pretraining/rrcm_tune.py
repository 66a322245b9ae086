"""rRCM fine-tuning: a classifier for one level of noise from a pretrained encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Setup, Step, has_several_processes
from unshaken.harden.recipes.losses.consistency import consistency_loss, noisy_logits
from unshaken.harden.recipes.pretraining._timed import Injection, TimedNet, nearest_level, timed


@register("rrcm-tune", reference="Lei et al. 2025, arXiv:2501.13094")
class RepresentationTuning(Recipe):
    """rRCM fine-tuning: trains a pretrained network to classify consistently under noise of one level.

    What comes out is a classifier whose logits know the level: certify it with the same `sigma`. The head learns alone
    at first, on a still encoder. From a net that was not pretrained it is the same training from scratch. Noise is not
    clipped. Give `select=last`: held-out accuracy is that of images without noise.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net"})
    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "the search sees images without noise, which this classifier is not for; take smooth-adv afterwards",
    }

    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units; t is double")
    lbd: NonNegativeFloat = Field(
        default=10.0, description="weight of the disagreement; 10 for sigma=0.25, 20 above is usual"
    )
    eta: NonNegativeFloat = Field(default=0.5, description="weight of the entropy of the mean prediction")
    copies: int = Field(default=2, description="noisy copies of each image; 1 with lbd=0 for plain noise", ge=1)
    head_steps: NonNegativeInt = Field(
        default=0, le=10**12, description="steps at the start in which the head learns alone"
    )
    keep_head: bool = Field(default=False, description="whether the head stays as it is after those")
    points: int = Field(
        default=81, description="number of noise levels to round the input level to; 0 for the exact level", ge=0
    )
    least: PositiveFloat = Field(default=0.002, description="smallest level of the grid, as in pretraining")
    most: PositiveFloat = Field(default=80.0, description="largest level of the grid, as in pretraining")
    injection: Injection = Field(default="bias", description="for a net that was not pretrained: see rrcm")
    informed: bool = Field(
        default=True, description="for a network that was not pretrained: whether it gets the noise level as input"
    )
    seed: int = Field(default=0, ge=0, description="random seed of the added weights")

    @model_validator(mode="after")
    def _whole(self) -> RepresentationTuning:
        if self.points == 1 or self.least >= self.most:
            raise ValueError("a grid has 2 points or more (0: the true level), and least is below most")
        if self.copies == 1 and self.lbd > 0:
            raise ValueError("one copy cannot disagree: give lbd=0, or copies=2")
        if self.keep_head and not self.head_steps:
            raise ValueError("keep_head without head_steps would keep an untrained head: give head_steps")
        return self

    @property
    def level(self) -> float:
        """The level t that the network gets, on images in [-1, 1]."""
        true = 2 * self.sigma
        return nearest_level(true, self.points, least=self.least, most=self.most)[1] if self.points else true

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        net = timed(model, injection=self.injection, informed=self.informed, seed=self.seed)
        net.projector = None
        net.level.fill_(self.level)
        return model

    @override
    def begin(self, setup: Setup) -> None:
        if self.head_steps and has_several_processes():
            raise ParameterError("rrcm-tune: head_steps works in one process: give --devices 1, or head_steps=0")
        with torch.no_grad():
            setup.model(setup.images)

    @override
    def loss(self, step: Step) -> Tensor:
        net, alone = cast(TimedNet, step.classifier.net), step.number < self.head_steps
        rng = step.rng.fold(self.info.name)
        net.encoder.head.requires_grad_(alone or not self.keep_head)
        with net.head_only(alone):
            logits = noisy_logits(step, step.images, self.sigma, self.copies, rng)
        entropy = torch.stack([step.cross_entropy(one) for one in logits]).mean()
        return entropy + consistency_loss(logits, self.lbd, self.eta)

    @override
    def end(self, model: Classifier) -> None:
        cast(TimedNet, model.net).encoder.head.requires_grad_(True)
