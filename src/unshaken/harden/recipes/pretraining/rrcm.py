"""rRCM: pretraining in which neighbouring points of a noising trajectory get one representation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.func import functional_call
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng, seeded
from unshaken.generate.edm import karras_grid
from unshaken.harden.engine.recipe import CLASSES, UNLABELLED, Memory, Recipe, Setup, Step
from unshaken.harden.engine.strong_views import PHOTOS, SMALL, strong_view
from unshaken.harden.recipes.augmentation.crop_flip import crop_flip
from unshaken.harden.recipes.pretraining._timed import (
    Injection,
    Output,
    TimedNet,
    grid_points,
    projector,
    target_decay,
    timed,
)
from unshaken.stress.corruptions.gaussian_noise import unit_normal

TARGET, SEED = "target.", "seed"


def info_nce(queries: Tensor, keys: Tensor, tau: float = 0.2) -> Tensor:
    """`logsumexp_j(cos(u_b, v_j) / tau) - cos(u_b, v_b) / tau` for each sample; the others of the batch are negatives.

    Args:
        queries: u, `[B, D]`.
        keys: v, `[B, D]`; no gradient passes to them.
        tau: temperature.

    Returns:
        Float32 `[B]`, in nats; `log B` where all are alike.

    Source: van den Oord et al. 2018, arXiv:1807.03748.
    """
    u, v = F.normalize(queries.float(), dim=1), F.normalize(keys.detach().float(), dim=1)
    places = torch.arange(len(u), device=u.device)
    return F.cross_entropy(u @ v.T / tau, places, reduction="none")


@register("rrcm", reference="Lei et al. 2025, arXiv:2501.13094")
class RepresentationConsistency(Recipe):
    """rRCM pretraining: learns features that are consistent across noise levels; needs no labels.

    Two terms, each an InfoNCE: *contrast* between two strong views at the least noise, projected, the keys by an
    average of the network; and *consistency* between neighbouring levels `t_i`, `t_{i+1}` of one image and one noise.
    Labels are not used and the head is not trained: fine-tune with `rrcm-tune`. The level is an input of the encoder;
    what comes out is a classifier at the least one. Negatives are the images of a process's own batch.

    Give `select=last`, for held-out accuracy says nothing here, and beside it `ema` for an average to be kept.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net"})
    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES, UNLABELLED})
    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "there is no label to attack; pretrain first, then train adversarially",
        "targets": "labels are not used; leave it for fine-tuning",
        "views": "it makes views of its own",
    }

    contrast: NonNegativeFloat = Field(
        default=1.0, description="weight of the contrast of two views at the least noise"
    )
    consistency: NonNegativeFloat = Field(default=1.0, description="weight of the consistency of neighbouring levels")
    swap: bool = Field(default=True, description="contrast with the views changed over as well")
    temperature: PositiveFloat = Field(default=0.2, description="temperature of both terms")
    target: Literal["online", "average"] = Field(
        default="online", description="which network gives the keys of consistency"
    )
    project: bool = Field(default=False, description="whether consistency is of projections, not of features")
    index: Literal["batch", "sample"] = Field(
        default="batch", description="one neighbouring pair for the batch, or one an image"
    )
    points: NonNegativeInt = Field(default=0, description="levels N of the grid; 0 for 21, then 41, then 81")
    least: PositiveFloat = Field(
        default=0.002, description="smallest level t, on images in [-1, 1]: twice that of [0, 1]"
    )
    most: PositiveFloat = Field(default=80.0, description="largest level t")
    decay: float = Field(default=0.99, description="share of the average that stays in a step, at first", ge=0, lt=1)
    decay_end: float = Field(
        default=0.9999, description="the same at the end of training; equal to decay for a constant value", ge=0, lt=1
    )
    sharpness: PositiveFloat = Field(
        default=10.0, description="how early the decay rises: 10 for ImageNet, 15 for CIFAR"
    )
    views: Literal["small", "photos"] = Field(
        default="small", description="augmentations: for small images, or MoCo v3's"
    )
    mirror: float = Field(
        default=0.5, description="probability of a mirror image; 0 where left and right mean something", ge=0, le=1
    )
    hidden: PositiveInt = Field(
        default=128, description="units of the projector's hidden layers; 2048 to 4096 is usual"
    )
    projected: PositiveInt = Field(default=64, description="numbers of a projection; 256 is usual")
    injection: Injection = Field(
        default="bias", description="how a network without noise levels gets the level as input; see the guide"
    )
    informed: bool = Field(default=True, description="whether the network gets the noise level as input")
    seed: int = Field(default=0, ge=0, description="random seed of the added weights")

    @model_validator(mode="after")
    def _whole(self) -> RepresentationConsistency:
        if self.contrast == self.consistency == 0:
            raise ValueError("contrast and consistency are both 0: nothing to learn")
        if self.points == 1 or self.least >= self.most:
            raise ValueError("a grid has 2 points or more, and least is below most")
        return self

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        net = timed(model, injection=self.injection, informed=self.informed, seed=self.seed)
        if net.projector is None:
            with seeded(self.seed + 1):
                net.projector = projector(net.encoder.width, self.hidden, self.projected).to(net.level.device)
        return model

    @override
    def begin(self, setup: Setup) -> None:
        net = cast(TimedNet, setup.model.net)
        net.level.fill_(self.least)
        with torch.no_grad(), net.asked(net.level.expand(len(setup.images)), "features"):
            setup.model(setup.images)  # raises at once where features do not fit
        setup.memory.update({TARGET + k: _plain(v) for k, v in net.state_dict().items()})
        setup.memory[SEED] = torch.tensor(setup.seed)
        self._wanted(net, False)

    @override
    def end(self, model: Classifier) -> None:
        self._wanted(cast(TimedNet, model.net), True)

    def _wanted(self, net: TimedNet, wanted: bool) -> None:
        idle = [net.encoder.head]
        if not self.contrast and not self.project:
            idle.append(net.projector)
        for module in idle:
            module.requires_grad_(wanted)

    # One step.

    @override
    def loss(self, step: Step) -> Tensor:
        rng = step.rng.fold(self.info.name)
        noise = unit_normal(rng.fold("noise"), *step.images.shape[1:]).to(step.images)
        total = noise.new_zeros(())
        if self.contrast:
            found = self._contrast(step, rng, noise)
            step.figures["contrast"] = float(found.detach())
            total = total + self.contrast * found
        if self.consistency:
            found = self._consistency(step, rng, noise)
            step.figures["consistency"] = float(found.detach())
            total = total + self.consistency * found
        return total

    @override
    def after_step(self, step: Step) -> None:
        """`average <- mu(k) average + (1 - mu(k)) network`; statistics of batch norms are its own."""
        memory, net = step.memory[self.info.name], step.classifier.net
        steps = step.epochs * step.steps
        mu = target_decay(min(step.number, steps), steps, low=self.decay, high=self.decay_end, sharpness=self.sharpness)
        names, live = zip(*net.named_parameters(), strict=True)
        with torch.no_grad():
            torch._foreach_lerp_([memory[TARGET + k] for k in names], [p.detach() for p in live], 1 - mu)

    def _contrast(self, step: Step, rng: SampleRng, noise: Tensor) -> Tensor:
        level = torch.full((len(noise),), self.least, device=noise.device)
        settings = PHOTOS if self.views == "photos" else SMALL
        first, second = (
            noisy(strong_view(step.images, view, rng.fold(f"view{i}"), self.mirror), noise, level)
            for i, view in enumerate(settings)
        )
        pairs = [(first, second), (second, first)][: 2 if self.swap else 1]
        losses = []
        for one, two in pairs:
            query, key = (ask(step, x, level, "projection") for ask, x in ((self._online, one), (self._average, two)))
            losses.append(info_nce(query, key, self.temperature))
        return torch.stack(losses).sum(0).mean()

    def _consistency(self, step: Step, rng: SampleRng, noise: Tensor) -> Tensor:
        count = self.points or grid_points(step.number, step.epochs * step.steps)
        grid = karras_grid(count, self.most, self.least)
        where = self.drawn(step, rng, count)
        higher, lower = (grid[i].float().to(noise) for i in (where, where + 1))
        turn = rng.fold("mirror").fresh(1)[:, 0].to(step.images.device) < self.mirror
        still = torch.zeros(len(turn), dtype=torch.int64, device=turn.device)
        images = crop_flip(step.images, still, still, turn, 0)
        output: Output = "projection" if self.project else "features"
        found = self._online(step, noisy(images, noise, higher), higher, output)
        with torch.no_grad():
            asked = self._online if self.target == "online" else self._average
            wanted = asked(step, noisy(images, noise, lower), lower, output)
        losses = info_nce(found, wanted, self.temperature)
        quarter = 4 * where // (count - 1)
        for q in sorted(set(quarter.tolist())):
            of_it = losses.detach()[(quarter == q).to(losses.device)]
            step.figures[f"consistency_quarter{q + 1}"] = float(of_it.mean())
        return losses.mean()

    def drawn(self, step: Step, rng: SampleRng, count: int) -> Tensor:
        """The index i of the higher level of each pair, int64 `[N]` in 0..N-2; one for all processes, or one an image.

        Args:
            step: the batch.
            rng: the samples' streams.
            count: points of the grid.
        """
        if self.index == "sample":
            return rng.fold("index").fresh(1).mul_(count - 1).long().clamp_(max=count - 2)[:, 0].cpu()
        seed = int(step.memory[self.info.name][SEED])
        one = SampleRng.of(seed, self.info.name, ["index"]).fold(step.number).integers(0, count - 1)
        return one.expand(len(step.images))

    def _online(self, step: Step, images: Tensor, level: Tensor, output: Output) -> Tensor:
        with cast(TimedNet, step.classifier.net).asked(level, output):
            return step.model(images)

    @torch.no_grad()
    def _average(self, step: Step, images: Tensor, level: Tensor, output: Output) -> Tensor:
        memory: Memory = step.memory[self.info.name]
        weights = {f"net.{k.removeprefix(TARGET)}": v for k, v in memory.items() if k.startswith(TARGET)}
        with cast(TimedNet, step.classifier.net).asked(level, output):
            found: Tensor = functional_call(step.classifier, weights, (images,))
        return found


def _plain(weight: Tensor) -> Tensor:
    """A copy in the layout that a checkpoint gives back, so that a resumed run takes the same kernels."""
    return weight.detach().clone(memory_format=torch.contiguous_format)


def noisy(images: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """`x_t = x + t n` for images on the scale of [-1, 1]; on that of [0, 1] `x + t / 2 n`, not clipped.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        noise: standard normal, as `images`.
        level: t, `[N]`.
    """
    return images + noise * (level / 2).view(-1, 1, 1, 1)
