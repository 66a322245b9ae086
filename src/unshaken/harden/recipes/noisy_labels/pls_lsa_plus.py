"""PLS-LSA+: two networks that doubt labels together and guess in the place of them together."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.harden.engine.ensemble import Ensemble, alike, apart, members_in, members_of, with_members
from unshaken.harden.engine.projection import Output, ProjectionNet, add_projector, remove_projector
from unshaken.harden.engine.recipe import Epoch, Setup, Step
from unshaken.harden.engine.strong_views import strong_view
from unshaken.harden.recipes.noisy_labels._two_networks import check_two, refuse_processes
from unshaken.harden.recipes.noisy_labels.pls import CONTRAST, GUESS, NOISY, WEIGHT, stage_layer, track
from unshaken.harden.recipes.noisy_labels.pls_lsa import PLSLSA

Doubt = Literal["both", "other", "own"]


@register("pls-lsa-plus", reference="Albert et al. 2024, ECCV, arXiv:2407.05528", group="noisy-labels")
class PLSLSAPlus(PLSLSA):
    """PLS-LSA+: as `pls-lsa`, with two networks that answer by the mean of their logits.

    A label is doubted where both networks doubt it, and its weight is the mean of both; the guess is the sharpened mean
    of both predictions; the pseudo-loss of each network is against the guesses stored for the other. Both learn from
    the same batches in views and mixtures of their own, where the publication trains one after the other. The second
    begins with the first one's weights, but for its last layer, so that both have its pretraining.
    """

    doubt: Doubt = Field(
        default="both", description="networks that must doubt a label: both; the other one, as in dividemix; or its own"
    )

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        model = with_members(model, 2, average="logits", pretrained=True)
        for i, member in enumerate(_nets(model)):
            add_projector(member, 0, self.projected, self.seed + i)
        return model

    @override
    def begin(self, setup: Setup) -> None:
        check_two(self.info.name, setup.model)
        refuse_processes(self.info.name)
        for member in members_of(setup.model):
            stage_layer(member, setup.images, self.stage)
        device, even = setup.images.device, 1 / setup.classes
        setup.memory[GUESS] = torch.full((2, setup.samples, setup.classes), even, device=device)
        setup.memory[NOISY] = torch.zeros(2, setup.samples, dtype=torch.bool, device=device)
        setup.memory[WEIGHT] = torch.ones(2, setup.samples, device=device)

    @override
    def end(self, model: Classifier) -> None:
        for member in _nets(model):
            remove_projector(member)

    # One step.

    @override
    def loss(self, step: Step) -> Tensor:
        name = self.info.name
        streams = [step.rng.fold(f"{name}-{i}") for i in range(2)]
        weak = [self._weak(step.images, rng.fold(0)) for rng in streams]
        if step.epoch >= self.warmup:
            step.extra[GUESS] = torch.stack([self._guess(step, weak[i], rng) for i, rng in enumerate(streams)])
        given = step.soft_labels
        if step.epoch <= self.warmup:
            warm = [self._mixed(step, weak[i], given, f"{name}-{i}")[:2] for i in range(2)]
            logits = apart(step, torch.stack([images for images, _ in warm])).float()
            return torch.stack([F.cross_entropy(logits[i], targets) for i, (_, targets) in enumerate(warm)]).sum()
        noisy, weights = self._doubted(step)
        step.figures["doubted"] = float(noisy.float().mean())
        targets = torch.where(noisy[..., None], step.extra[GUESS], given)
        strong = [strong_view(step.images, CONTRAST, rng.fold("strong"), self.mirror) for rng in streams]
        shown = [torch.where(noisy[i].view(-1, 1, 1, 1), strong[i], weak[i]) for i in range(2)]
        mixed = [self._mixed(step, shown[i], targets[i], f"{name}-{i}") for i in range(2)]
        logits, first = _outputs(step, torch.stack([images for images, *_ in mixed]), "logits", "projection")
        second: list[Tensor | None] = [None, None]
        if self.contrastive:
            views = [strong_view(step.images, CONTRAST, rng.fold("contrast"), self.mirror) for rng in streams]
            second = list(_outputs(step, torch.stack(views), "projection")[0])
        losses = [
            self._objective(logits[i], first[i], second[i], targets[i], weights[i], share, partners)
            for i, (_, _, share, partners) in enumerate(mixed)
        ]
        return torch.stack(losses).sum()

    @override
    def after_step(self, step: Step) -> None:
        if GUESS in step.extra:
            table = step.memory[self.info.name][GUESS]
            table[:, step.rows.to(table.device)] = step.extra[GUESS]

    def _doubted(self, step: Step) -> tuple[Tensor, Tensor]:
        """Whether each network is to doubt each label of the batch, and their weights, `[2, B]`."""
        memory, rows = step.memory[self.info.name], step.rows.to(step.images.device)
        noisy, weights = memory[NOISY][:, rows], memory[WEIGHT][:, rows]
        if self.doubt == "own":
            return noisy, weights
        if self.doubt == "other":
            return noisy.flip(0), weights.flip(0)
        together = noisy.all(0)
        shared = torch.where(together, weights.mean(0), 1.0)
        return together.expand(2, -1), shared.expand(2, -1)

    @override
    def _predicted(self, step: Step, images: Tensor) -> Tensor:
        return alike(step, images).float().softmax(2).mean(0)

    # After an epoch.

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        if epoch.number < self.warmup:
            return
        memory = epoch.memory
        for i, member in enumerate(members_of(epoch.model)):
            tracked = track(member, epoch.evaluate, self.stage)
            self._decide(epoch.number, tracked, memory[GUESS][1 - i], memory[NOISY][i], memory[WEIGHT][i])
            flagged = memory[NOISY][:, tracked.rows]
        epoch.figures["flagged"] = float(flagged.all(0).float().mean())


def _nets(model: Classifier) -> list[Classifier]:
    """The members themselves, whose nets may be changed."""
    return [cast(Classifier, member) for member in cast(Ensemble, model.net).members]


def _outputs(step: Step, images: Tensor, *names: Output) -> tuple[Tensor, ...]:
    """Several outputs of one counted training pass of both networks on `[2, B, C, H, W]`, each `[2, B, its width]`."""
    nets = [cast(ProjectionNet, member.net) for member in members_in(step)]
    with ExitStack() as stack:
        for net in nets:
            stack.enter_context(net.giving(*names))
        found = apart(step, images)
    return tuple(torch.split(found, [nets[0].widths[name] for name in names], 2))
