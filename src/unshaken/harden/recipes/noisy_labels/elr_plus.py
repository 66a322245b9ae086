"""ELR+: early-learning regularisation of two networks, each towards the averaged weights of the other."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.func import functional_call
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.ensemble import Ensemble, apart, members_in
from unshaken.harden.engine.recipe import Memory, Setup, Step
from unshaken.harden.recipes.augmentation.mixup import batch_generator, dominant_pairs, mixup_batch
from unshaken.harden.recipes.noisy_labels._two_networks import TwoNetworks, refuse_processes
from unshaken.labels.losses import early_learning, exponential_ramp

TABLE, AVERAGE = "targets", "average."
"""Names in the memory: the tables `[2, samples, K]`, and what the averaged weights' names begin with."""


def average_decay(step: int, steps: int, most: float) -> float:
    """Share of the averaged weights that stays in a step: `most exp(-5 (1 - min(k, S) / S)^2)`.

    Args:
        step: k, from 0.
        steps: S, in which it grows; 0 for `min(1 - 1 / (k + 1), most)`.
        most: its end.

    >>> [round(average_decay(k, 40, 0.997), 4) for k in (0, 20, 40)], [average_decay(k, 0, 0.9) for k in (0, 1, 99)]
    ([0.0067, 0.2856, 0.997], [0.0, 0.5, 0.9])
    """
    return most * exponential_ramp(step, steps) if steps else min(1 - 1 / (step + 1), most)


@register("elr-plus", reference="Liu et al. 2020, arXiv:2007.00151", group="noisy-labels")
class ELRPlus(TwoNetworks):
    """ELR+: ELR with mixup, where targets come from the averaged weights of the other of two networks.

    Averaged copies run in training mode on the unmixed images, without a graph. Published for 200 epochs, the decay
    growing over 40,000 steps, about half of these.
    """

    strength: NonNegativeFloat = Field(default=3.0, description="lambda: 3 for ten classes, 7 for a hundred")
    beta: float = Field(default=0.7, ge=0, lt=1, description="decay of the average of predictions")
    alpha: PositiveFloat = Field(default=1.0, description="parameter of mixup's Beta distribution")
    decay: float = Field(default=0.997, ge=0, lt=1, description="largest decay of the average of weights")
    decay_ramp: float = Field(
        default=0.5, ge=0, le=1, description="share of the run in which it grows; 0: as a plain mean"
    )
    ramp: float = Field(
        default=0.0, ge=0, le=1, description="share of the run in which lambda grows; 0.5 for 100 classes"
    )
    reweigh: bool = Field(default=False, description="multiply labels by the targets first; for a hundred classes")

    @override
    def begin(self, setup: Setup) -> None:
        super().begin(setup)
        refuse_processes(self.info.name)
        setup.memory[TABLE] = torch.zeros(2, setup.samples, setup.classes, device=setup.images.device)
        for name, value in setup.model.net.state_dict().items():  # in the layout that a checkpoint gives them
            setup.memory[AVERAGE + name] = value.detach().clone(memory_format=torch.contiguous_format)

    @override
    def loss(self, step: Step) -> Tensor:
        """The sum over both of `CE(y', p) + lambda log(1 - <q, p>)` on mixed images, q the mixed targets."""
        memory, rows = step.memory[self.info.name], step.rows.to(step.labels.device)
        others = self._averaged(step, memory).softmax(2).flip(0)
        memory[TABLE][:, rows] = self.beta * memory[TABLE][:, rows] + (1 - self.beta) * others
        mixed, labels, targets = [], [], []
        for i in range(len(members_in(step))):
            images, both = self._mixed(step, i, memory[TABLE][i, rows])
            y, q = both.chunk(2, 1)
            mixed.append(images)
            labels.append(y * q / (y * q).sum(1, keepdim=True) if self.reweigh else y)
            targets.append(q)
        strength = self.strength * exponential_ramp(step.share, self.ramp)
        logits = apart(step, torch.stack(mixed)).float()
        losses = [
            F.cross_entropy(z, y) + strength * early_learning(q, z).mean()
            for z, y, q in zip(logits, labels, targets, strict=True)
        ]
        return torch.stack(losses).sum()

    def _mixed(self, step: Step, member: int, targets: Tensor) -> tuple[Tensor, Tensor]:
        """One network's mixture of the batch: images, and labels beside targets `[B, 2 K]`."""
        rng = batch_generator(step, f"{self.info.name}-{member}")
        both = torch.cat([step.soft_labels, targets], 1)
        return mixup_batch(step.shown, both, *dominant_pairs(rng, len(both), self.alpha))

    @torch.no_grad()
    def _averaged(self, step: Step, memory: Memory) -> Tensor:
        """Logits `[2, B, K]` of the averaged weights, whose statistics of batch norms go on in the memory."""
        names = {f"net.{k.removeprefix(AVERAGE)}": v for k, v in memory.items() if k.startswith(AVERAGE)}
        both = step.shown.expand(2, *step.shown.shape)
        step.inner.meter.forwards += 2 * len(step.shown)
        with cast(Ensemble, step.classifier.net).apart():
            logits: Tensor = functional_call(step.classifier, names, (both,))
        return logits.float()

    @torch.no_grad()
    @override
    def after_step(self, step: Step) -> None:
        memory, done = step.memory[self.info.name], step.number + 1
        length = round(self.decay_ramp * step.epochs * step.steps)
        stays = average_decay(done, length, self.decay)
        live = dict(step.classifier.net.named_parameters())
        torch._foreach_lerp_([memory[AVERAGE + k] for k in live], [v.detach() for v in live.values()], 1 - stays)
