"""DivideMix: two networks that divide the samples for each other, and learn from doubted ones without their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.ensemble import Ensemble, alike, apart
from unshaken.harden.engine.recipe import Epoch, FirstTry, Setup, Step
from unshaken.harden.recipes.augmentation.crop_flip import random_crop_flip
from unshaken.harden.recipes.augmentation.mixup import batch_generator, dominant_pairs, mixup_batch
from unshaken.harden.recipes.noisy_labels._two_networks import TwoNetworks, refuse_processes
from unshaken.labels.engine.noise_detection import posterior_of_low
from unshaken.labels.losses import (
    guess_labels,
    linear_ramp,
    mixmatch,
    negative_entropy,
    prior_penalty,
    refine_labels,
)

CLEAN, LOSSES = "clean", "losses"
"""Names in the memory: w `[2, samples]` by each network's own losses; these of the last H epochs `[H, 2, samples]`."""
VIEWS = 2


@register("dividemix", reference="Li, Socher & Hoi 2020, arXiv:2002.07394", group="noisy-labels")
class DivideMix(TwoNetworks):
    """DivideMix: a mixture model of each network's losses says which labels the other one trusts.

    After every epoch from the warm-up's last on, two normal components are fitted to all losses; w is the posterior of
    the lower. Labels with `w > 0.5` of the other network are refined by the network's own predictions, all others are
    replaced by those of both; two views of each image are then mixed. Both networks learn from the same batch, which w
    divides: its two parts are as large as they come, where the publication draws as many of each. Guesses are made in
    training mode. It crops and mirrors its views itself. Published for 300 epochs at batch size 64.
    """

    refuses: ClassVar[Mapping[str, str]] = {
        **TwoNetworks.refuses,
        "inner": "its images are mixed after they are guessed; leave one out",
        "views": "it has views of its own; leave one out",
    }
    first_try: ClassVar[FirstTry] = FirstTry(parameters={"warmup": 1})

    warmup: PositiveInt = Field(
        default=2, description="epochs of cross-entropy before, fewer than all; published: 10, 30 for a hundred classes"
    )
    lambda_u: NonNegativeFloat = Field(default=25.0, description="weight of the squared error on guessed labels")
    ramp: PositiveFloat = Field(default=16.0, description="epochs after the warm-up in which this weight grows")
    temperature: PositiveFloat = Field(default=0.5, description="T of the sharpening", le=1)
    alpha: PositiveFloat = Field(default=4.0, description="parameter of mixup's Beta distribution")
    threshold: float = Field(default=0.5, gt=0, lt=1, description="w above which a label is trusted")
    confidence_penalty: bool = Field(
        default=False, description="keep warm-up predictions from becoming certain; for asymmetric noise"
    )
    averaged: PositiveInt = Field(default=1, description="epochs whose losses are averaged; 5 for 90 % of noise")
    pad: NonNegativeInt = Field(default=4, description="width of the black frame of the crops in pixels; 0 for no crop")
    mirror: float = Field(default=0.5, ge=0, le=1, description="probability of a mirror image")

    @override
    def begin(self, setup: Setup) -> None:
        super().begin(setup)
        refuse_processes(self.info.name)
        device = setup.images.device
        setup.memory[CLEAN] = torch.ones(2, setup.samples, device=device)
        setup.memory[LOSSES] = torch.zeros(self.averaged, 2, setup.samples, device=device)

    @override
    def loss(self, step: Step) -> Tensor:
        rng = step.rng.fold(self.info.name)
        views = [random_crop_flip(step.images, rng.fold(v), self.pad, self.mirror) for v in range(VIEWS)]
        if step.epoch >= self.warmup:
            return self._divided(step, views)
        logits = alike(step, views[0]).float()
        weight = float(self.confidence_penalty)
        return torch.stack([F.cross_entropy(z, step.labels) + weight * negative_entropy(z) for z in logits]).sum()

    def _divided(self, step: Step, views: list[Tensor]) -> Tensor:
        """MixMatch's loss, the labels that the other network doubts replaced."""
        clean = step.memory[self.info.name][CLEAN][:, step.rows.to(step.labels.device)].flip(0)
        guesses, trusted = self._guessed(step, views, clean), (clean > self.threshold).repeat(1, VIEWS)
        mixed = [self._mixed(step, i, torch.cat(views), guesses[i].repeat(VIEWS, 1)) for i in range(2)]
        logits = apart(step, torch.stack([images for images, _ in mixed])).float()
        weight = self.lambda_u * linear_ramp(step.share * step.epochs, self.warmup, self.ramp)
        losses = [
            mixmatch(logits[i], targets, trusted[i], weight) + prior_penalty(logits[i])
            for i, (_, targets) in enumerate(mixed)
        ]
        step.figures["trusted"] = float(trusted.float().mean())
        return torch.stack(losses).sum()

    @torch.no_grad()
    def _guessed(self, step: Step, views: list[Tensor], clean: Tensor) -> Tensor:
        """Targets of each network, `[2, B, K]`, of views `[B, C, H, W]` and of w by the other network, `[2, B]`."""
        p = torch.stack([alike(step, view).float().softmax(2) for view in views], 1)  # [2, V, B, K]
        guessed = guess_labels(p, self.temperature)
        parts = []
        for own, w in zip(p, clean, strict=True):
            refined = refine_labels(step.soft_labels, w, own.mean(0), self.temperature)
            parts.append(torch.where((w > self.threshold)[:, None], refined, guessed))
        return torch.stack(parts)

    def _mixed(self, step: Step, member: int, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One network's mixture of images `[N, C, H, W]` and targets `[N, K]`."""
        rng = batch_generator(step, f"{self.info.name}-{member}")
        return mixup_batch(images, targets, *dominant_pairs(rng, len(images), self.alpha))

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        fitted = epoch.number + 2 - self.warmup
        if fitted < 1:
            return
        net = cast(Ensemble, epoch.model.net)

        def read(images: Tensor) -> Tensor:
            with net.apart():
                answers: Tensor = epoch.model(images.expand(2, *images.shape))
            return answers.transpose(0, 1)

        rows, labels, logits = epoch.evaluate(read)
        history, clean = epoch.memory[LOSSES], epoch.memory[CLEAN]
        history.copy_(history.roll(1, 0))
        for i in range(2):
            losses = F.cross_entropy(logits[:, i].float(), labels, reduction="none")
            span = losses.max() - losses.min()
            history[0, i, rows] = (losses - losses.min()) / span.clamp(min=1e-12)
            mean = history[: min(fitted, self.averaged), i, rows].mean(0)
            posterior = posterior_of_low(mean.cpu().double().numpy())
            clean[i, rows] = torch.from_numpy(posterior).to(clean)
