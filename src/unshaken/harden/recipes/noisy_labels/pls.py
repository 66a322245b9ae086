"""PLS: doubted labels are replaced by guesses, each weighed by how far its network agrees with it an epoch later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.harden.engine.projection import ProjectionNet, add_projector, outputs, remove_projector
from unshaken.harden.engine.recipe import Epoch, Evaluate, Recipe, Setup, Step, frozen_statistics
from unshaken.harden.engine.strong_views import ViewSettings, strong_view
from unshaken.harden.recipes.augmentation.crop_flip import random_crop_flip
from unshaken.harden.recipes.augmentation.mixup import batch_generator, dominant_pairs, mixup_batch
from unshaken.harden.recipes.noisy_labels._two_networks import refuse_processes
from unshaken.labels.engine.noise_detection import (
    Detection,
    detect_by_loss,
    detect_by_neighbours,
    detect_linearly,
    guess_weights,
)
from unshaken.labels.losses import prior_penalty, sharpen, supervised_contrastive, weighted_cross_entropy


@dataclass(frozen=True, slots=True)
class TrainingOutputs:
    """Outputs of the network for all training samples.

    Args:
        rows: places in the data set, int64 `[n]`.
        labels: given, int64 `[n]`.
        logits: `[n, K]`.
        projections: `[n, P]`.
        features: of an intermediate stage, averaged over places, `[n, D]`.
    """

    rows: Tensor
    labels: Tensor
    logits: Tensor
    projections: Tensor
    features: Tensor

    @property
    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy of the given labels, `[n]`."""
        return to_numbers(F.cross_entropy(self.logits, self.labels, reduction="none"))

    def pseudo_losses(self, guesses: Tensor) -> NDArray[np.float64]:
        """Cross-entropy of guesses `[n, K]`, `[n]`."""
        return to_numbers(F.cross_entropy(self.logits, guesses, reduction="none"))


def stage_layer(model: Classifier, images: Tensor, stage: int) -> str:
    """The name of a stage: a layer for each size that the picture has on its way, then the input of the last layer.

    Args:
        model: with a projection head.
        images: a few of them.
        stage: from 0.

    Raises:
        ModelError: the network has fewer.
    """
    net = cast(ProjectionNet, model.net)
    layers = [*Anatomy.of(model, images[:2]).stages, f"encoder.{net.head}{INPUT}"]
    if stage >= len(layers):
        raise ModelError(f"stage={stage}: the network has {len(layers)} stages; give one from 0 to {len(layers) - 1}")
    return layers[stage]


def track(model: Classifier, evaluate: Evaluate, stage: int) -> TrainingOutputs:
    """Note all training samples, unaugmented, in evaluation mode.

    Args:
        model: with a projection head.
        evaluate: of the epoch.
        stage: see `stage_layer`.
    """
    net = cast(ProjectionNet, model.net)

    def read(images: Tensor) -> Tensor:
        layer = stage_layer(model, images, stage)
        with net.giving("logits", "projection"):
            found, given = model.features(images, [layer])
        values = given[layer]
        pooled = values.flatten(2).mean(2) if values.ndim == 4 else values.mean(1) if values.ndim == 3 else values
        return torch.cat([found, pooled], 1)

    rows, labels, found = evaluate(read)
    widths = [net.widths["logits"], net.widths["projection"]]
    parts = torch.split(found.float(), [*widths, found.shape[1] - sum(widths)], 1)
    return TrainingOutputs(rows, labels, *parts)


def to_numbers(values: Tensor) -> NDArray[np.float64]:
    """Values as float64, off the device."""
    return np.asarray(values.cpu().double().numpy(), np.float64)


SmallLoss = Callable[[NDArray[np.float64]], Detection]
"""Decides by losses `[n]`."""


def _linear(tracked: TrainingOutputs, small_loss: SmallLoss, wrong: Tensor) -> Detection | None:
    return detect_linearly(to_numbers(tracked.features), small_loss(tracked.losses).flagged)


def _loss(tracked: TrainingOutputs, small_loss: SmallLoss, wrong: Tensor) -> Detection:
    return small_loss(tracked.losses)


def _rrl(tracked: TrainingOutputs, small_loss: SmallLoss, wrong: Tensor) -> Detection:
    probabilities = to_numbers(tracked.logits.softmax(1))
    return detect_by_neighbours(to_numbers(tracked.projections), probabilities, tracked.labels.cpu().numpy())


def _none(tracked: TrainingOutputs, small_loss: SmallLoss, wrong: Tensor) -> Detection:
    return _oracle(tracked, small_loss, torch.zeros_like(wrong))


def _oracle(tracked: TrainingOutputs, small_loss: SmallLoss, wrong: Tensor) -> Detection:
    flagged = wrong[tracked.rows].cpu().numpy()
    return Detection(flagged.astype(np.float64), flagged)


DETECTORS: Mapping[str, Callable[[TrainingOutputs, SmallLoss, Tensor], Detection | None]] = {
    "linear": _linear,
    "loss": _loss,
    "rrl": _rrl,
    "none": _none,
    "oracle": _oracle,
}
"""Name to what decides by tracked samples, small loss with its settings, and which samples `[samples]` are known to be
wrong; None where it cannot decide."""


GUESS, NOISY, WEIGHT = "guess", "noisy", "weight"
"""Names in the memory: the guesses stored last `[samples, K]`, which labels are doubted, and weights, `[samples]`."""
CONTRAST = ViewSettings(0.3, 0.8, (0.4, 0.4, 0.4, 0.1), 0.2, 0.0, 0.0)
"""The view that the contrastive loss compares with, and the strong one of doubted samples."""


DetectorName = Literal["linear", "loss", "rrl", "none", "oracle"]
"""Names of detectors."""


@register("pls", reference="Albert et al. 2023, WACV, arXiv:2210.04578", group="noisy-labels")
class PLS(Recipe):
    """PLS: labels of large loss are replaced by guesses, and a guess that the network takes back later weighs little.

    After each epoch a detector says which labels are doubted. A doubted sample is shown in a strong view, and learns
    the sharpened prediction on a weak one; its weight is the posterior that the loss against the guess stored before,
    the pseudo-loss, is of the smaller of two groups. Mixup, and a supervised contrastive loss over labels and guesses.
    It crops and mirrors its views itself. Published for 200 epochs after contrastive pretraining (`simclr`).
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net", "targets", "views"})
    refuses: ClassVar[Mapping[str, str]] = {"inner": "its images are mixed after they are guessed; leave one out"}

    alternate: tuple[DetectorName, ...] = Field(
        default=("loss",),
        min_length=1,
        description="detectors, one an epoch in turn, as linear+loss: linear, loss, rrl (neighbours), none, oracle",
    )
    warmup: NonNegativeInt = Field(default=0, description="last epoch of cross-entropy on all labels, from 0")
    threshold: float = Field(
        default=0.95, gt=0, lt=1, description="posterior of a large loss above which a label is doubted"
    )
    share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of labels that small loss doubts, if it is known; 0 for the threshold",
    )
    stage: NonNegativeInt = Field(
        default=1, description="stage of the network whose features the linear detector sees, from 0"
    )
    gamma: PositiveFloat = Field(default=2.0, description="power that sharpens guesses; 1 for none")
    guesses: PositiveInt = Field(default=2, le=8, description="weak views whose mean prediction is the guess")
    weighted: bool = Field(default=True, description="whether guesses weigh by their pseudo-loss")
    contrastive: NonNegativeFloat = Field(
        default=1.0, description="weight of the supervised contrastive loss; 0 for none"
    )
    temperature: PositiveFloat = Field(default=0.2, description="temperature of the contrastive loss")
    balance: bool = Field(default=False, description="keep the mean prediction near even, as for WebVision")
    mixup: NonNegativeFloat = Field(default=1.0, description="parameter of mixup's Beta distribution; 0 for no mixup")
    pad: NonNegativeInt = Field(
        default=4, description="width of the black frame of weak views in pixels; 0 for no crop"
    )
    mirror: float = Field(default=0.5, ge=0, le=1, description="probability of a mirror image")
    projected: PositiveInt = Field(default=128, description="numbers of a projection")
    seed: int = Field(default=0, ge=0, description="random seed of the projection head")
    wrong: tuple[int, ...] = Field(
        default=(), description="places of samples known to be wrong, for the detector oracle"
    )

    @model_validator(mode="after")
    def _whole(self) -> PLS:
        if bool(self.wrong) != ("oracle" in self.alternate):
            raise ValueError("the detector oracle needs the samples that are wrong, and no other does")
        return self

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        return add_projector(model, 0, self.projected, self.seed)

    @override
    def begin(self, setup: Setup) -> None:
        refuse_processes(self.info.name)
        stage_layer(setup.model, setup.images, self.stage)
        device, even = setup.images.device, 1 / setup.classes
        setup.memory[GUESS] = torch.full((setup.samples, setup.classes), even, device=device)
        setup.memory[NOISY] = torch.zeros(setup.samples, dtype=torch.bool, device=device)
        setup.memory[WEIGHT] = torch.ones(setup.samples, device=device)

    @override
    def end(self, model: Classifier) -> None:
        remove_projector(model)

    # One step.

    @override
    def loss(self, step: Step) -> Tensor:
        memory, rng = step.memory[self.info.name], step.rng.fold(self.info.name)
        weak, targets = self._weak(step.images, rng.fold(0)), step.soft_labels
        if step.epoch >= self.warmup:
            step.extra[GUESS] = self._guess(step, weak, rng)
        if step.epoch <= self.warmup:
            images, targets = self._mixed(step, weak, targets, self.info.name)[:2]
            return F.cross_entropy(step.model(images).float(), targets)
        rows = step.rows.to(step.images.device)
        noisy, weights = memory[NOISY][rows], memory[WEIGHT][rows]
        step.figures["doubted"] = float(noisy.float().mean())
        strong = strong_view(step.images, CONTRAST, rng.fold("strong"), self.mirror)
        images = torch.where(noisy.view(-1, 1, 1, 1), strong, weak)
        targets = torch.where(noisy[:, None], step.extra[GUESS], targets)
        return self._learned(step, rng, images, targets, weights)

    @override
    def after_step(self, step: Step) -> None:
        if GUESS in step.extra:
            table = step.memory[self.info.name][GUESS]
            table[step.rows.to(table.device)] = step.extra[GUESS]

    def _learned(self, step: Step, rng: SampleRng, images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        mixed, _, share, partners = self._mixed(step, images, targets, self.info.name)
        logits, first = outputs(step, mixed, "logits", "projection")
        second = None
        if self.contrastive:
            view = strong_view(step.images, CONTRAST, rng.fold("contrast"), self.mirror)
            (second,) = outputs(step, view, "projection")
        return self._objective(logits, first, second, targets, weights, share, partners)

    def _objective(
        self, logits: Tensor, first: Tensor, second: Tensor | None, targets: Tensor, weights: Tensor, share: float,
        partners: Tensor,
    ) -> Tensor:  # fmt: skip
        """The loss of one network.

        Args:
            logits: of mixed images, `[B, K]`.
            first: their projections, `[B, P]`.
            second: projections of another view; None without the contrastive loss.
            targets: before they were mixed, `[B, K]`.
            weights: `[B]`.
            share: of the image that prevails.
            partners: places of the others, `[B]`.
        """
        sides = ((share, torch.arange(len(targets), device=targets.device)), (1 - share, partners))
        total = sum(part * weighted_cross_entropy(logits, targets[o], weights[o]) for part, o in sides)
        if second is not None:
            classes = targets.argmax(1)
            losses = [
                supervised_contrastive(first, second, classes[o, None] == classes, self.temperature) for _, o in sides
            ]
            total = total + self.contrastive * (share * losses[0] + (1 - share) * losses[1]).mean()
        if self.balance:
            total = total + prior_penalty(logits.float())
        return torch.as_tensor(total)

    def _mixed(self, step: Step, images: Tensor, targets: Tensor, stream: str) -> tuple[Tensor, Tensor, float, Tensor]:
        """Mixed images and targets, the share of the image that prevails, and the partners `[N]`, by a named stream."""
        if not self.mixup:
            return images, targets, 1.0, torch.arange(len(images), device=images.device)
        weights, partners = dominant_pairs(batch_generator(step, stream), len(images), self.mixup)
        partners = partners.to(images.device)
        return *mixup_batch(images, targets, weights, partners), float(weights[0]), partners[1]

    def _weak(self, images: Tensor, rng: SampleRng) -> Tensor:
        return random_crop_flip(images, rng.fold("weak"), self.pad, self.mirror)

    @torch.no_grad()
    def _guess(self, step: Step, weak: Tensor, rng: SampleRng) -> Tensor:
        """The sharpened mean prediction on weak views, the first of which is there."""
        views = [weak, *(self._weak(step.images, rng.fold(i)) for i in range(1, self.guesses))]
        with frozen_statistics(step.classifier):
            found = torch.stack([self._predicted(step, view) for view in views]).mean(0)
        return sharpen(found, 1 / self.gamma)

    def _predicted(self, step: Step, images: Tensor) -> Tensor:
        """Probabilities `[B, K]` in training mode."""
        return step.model(images).float().softmax(1)

    # After an epoch.

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        if epoch.number < self.warmup:
            return
        memory, tracked = epoch.memory, track(epoch.model, epoch.evaluate, self.stage)
        self._decide(epoch.number, tracked, memory[GUESS], memory[NOISY], memory[WEIGHT])
        epoch.figures["flagged"] = float(memory[NOISY][tracked.rows].float().mean())

    def _decide(self, number: int, tracked: TrainingOutputs, guesses: Tensor, noisy: Tensor, weights: Tensor) -> None:
        """Write which labels one network doubts after an epoch, and how much its guesses weigh, to the last two.

        Args:
            number: of the epoch.
            tracked: outputs of the network for all samples.
            guesses: stored before, `[samples, K]`.
            noisy: bool `[samples]`.
            weights: `[samples]`.
        """
        rows, known = tracked.rows, torch.zeros_like(noisy)
        known[torch.tensor(self.wrong, dtype=torch.int64, device=known.device)] = True
        small_loss = partial(detect_by_loss, threshold=self.threshold, share=self.share)
        detection = DETECTORS[self.alternate[number % len(self.alternate)]](tracked, small_loss, known)
        if detection is not None:  # else the decision before stands
            noisy[rows] = torch.from_numpy(detection.flagged).to(known)
        if self.weighted:
            found = guess_weights(tracked.pseudo_losses(guesses[rows]), noisy[rows].cpu().numpy())
            weights[rows] = torch.from_numpy(found).to(weights)
