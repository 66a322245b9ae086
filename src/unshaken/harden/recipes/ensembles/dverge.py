"""DVERGE: members of an ensemble that are vulnerable to different things."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.step_length import StepLength
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.meter import Meter
from unshaken.core.oracle import required
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.ensemble import Members, alike, apart, members_in, members_of, summed_cross_entropy
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.recipe import Setup, Step, Threat

__all__ = ["LOGITS", "Dverge", "distil", "distillation_points", "diversity_matrix", "features_at", "symmetric"]

LOGITS = "logits"
"""The last distillation point: the output of the network."""


def distillation_points(model: Classifier) -> tuple[str, ...]:
    """Layers whose outputs are matched unless others are named: what is before a ReLU, and the logits.

    These are the batch norms of the network, or its convolutions where it has none.
    """
    named = list(model.net.named_modules())
    norms = [name for name, m in named if isinstance(m, nn.BatchNorm2d)]
    return (*(norms or [name for name, m in named if isinstance(m, nn.Conv2d)]), LOGITS)


class _LayerReached(Exception):
    """The features of a layer, thrown out of a forward pass."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


@contextmanager
def features_at(model: Classifier, layer: str) -> Iterator[Callable[[Tensor], Tensor]]:
    """Inside, a function from images to a layer's output; nothing after the layer is computed.

    Args:
        model: the classifier.
        layer: as in `net.named_modules()`, or `logits`.

    Raises:
        ModelError: there is no such layer, or a pass does not come by it.
    """
    if layer == LOGITS:
        yield model
        return
    modules = dict(model.net.named_modules())
    if layer not in modules:
        raise ModelError(f"model {model.name!r} has no layer {layer!r}; {did_you_mean(layer, [*modules, LOGITS])}")

    def thrown(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        raise _LayerReached(output)  # before a ReLU that works in place can change it

    def features_of(images: Tensor) -> Tensor:
        try:
            model(images)
        except _LayerReached as reached:
            return reached.features
        raise ModelError(f"model {model.name!r}: a forward pass does not come by the layer {layer!r}")

    with modules[layer].register_forward_hook(thrown):
        yield features_of


def distil(
    model: Classifier,
    sources: Tensor,
    targets: Tensor,
    *,
    layer: str,
    eps: float,
    steps: int = 10,
    rel_stepsize: float = 0.1,
    momentum: float = 1.0,
    meter: Meter | None = None,
) -> Tensor:
    """`argmin_z |f^l(z) - f^l(x)|^2` over `|z - x_s|_inf <= eps` and [0, 1], by sign descent from the source x_s.

    `g <- mu g + grad / |grad|_1`, `z <- z - alpha sign(g)`. The network is used as it stands: put it into evaluation
    mode first (see `evaluating`), or its statistics follow the images.

    Args:
        model: f.
        sources: x_s, `[N, C, H, W]` in [0, 1].
        targets: x, the same shape.
        layer: l, see `features_at`.
        eps: radius in [0, 1] pixel units.
        steps: T.
        rel_stepsize: alpha, as a share of eps.
        momentum: mu; 0 for plain sign descent.
        meter: counts the passes.

    Returns:
        `[N, C, H, W]`.
    """
    ball = Ball.of(sources, torch.full((len(sources),), eps, device=sources.device), "linf")
    z, g = sources, torch.zeros_like(sources)
    with features_at(model, layer) as features_of:
        with torch.no_grad():
            wanted = features_of(targets)
        for _ in range(steps):
            z = z.detach().requires_grad_(True)
            with torch.enable_grad():
                (slope,) = torch.autograd.grad((features_of(z) - wanted).square().sum(), z)
            size = slope.abs().sum((1, 2, 3), keepdim=True).clamp_min(1e-12)
            g = momentum * g + slope / size
            z = ball.project(z.detach() - rel_stepsize * eps * ball.steepest(g, z.detach()))
    if meter is not None:
        meter.forwards += (steps + 1) * len(sources)
        meter.backwards += steps * len(sources)
    return z


DISTILLED, ATTACKED = "dverge.distilled", "dverge.attacked"


@register("dverge", reference="Yang et al. 2020, arXiv:2009.14720")
class Dverge(StepLength, Members):
    """DVERGE: trains an ensemble whose members do not share vulnerabilities, on each other's distilled images.

    Members start from trained ones (an ensemble), or from `warmup` epochs of cross-entropy. The layer is drawn anew
    every epoch (or batch), the same for all members; images are distilled in evaluation mode with the weights of all
    members as they are before the step. Sources are the batch, targets a batch drawn in an order of its own. It
    withstands attacks carried over from other networks, not attacks on itself.

    Controls have the same number of members and a loss of the same size: `own` learns from the images distilled from
    the member itself, `noise` from noise of random signs and size eps, `clean` from the sources.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"inner", "loss"})
    refuses: ClassVar[Mapping[str, str]] = {
        "targets": "distilled images keep the label of their source; leave one of the two out"
    }

    eps: PositiveFloat = Field(default=0.07, description="linf radius of the distilled images in [0, 1] pixel units")
    steps: PositiveInt = Field(default=10, description="steps of the feature matching")
    rel_stepsize: PositiveFloat = Field(default=0.1, description="length of a step, as a share of eps")
    momentum: NonNegativeFloat = Field(
        default=1.0, description="momentum of the feature matching; 0 for plain sign descent"
    )
    layers: tuple[str, ...] = Field(
        default=(), description="layers of a member to draw from; default: before each ReLU, logits"
    )
    learn: Literal["others", "own", "noise", "clean"] = Field(
        default="others",
        description="training images of a member: distilled from the others, or a control; see the class",
    )
    draw: Literal["epoch", "batch"] = Field(default="epoch", description="how often the layer is drawn anew")
    warmup: NonNegativeInt = Field(default=0, description="epochs of plain cross-entropy before")
    adversarial: NonNegativeFloat = Field(
        default=0.0, description="c: CE on PGD images of each member is added to c times it"
    )
    attack_eps: PositiveFloat = Field(default=8 / 255, description="linf radius of these, in [0, 1] pixel units")
    attack_steps: PositiveInt = Field(default=10, description="steps of these, of a quarter of the radius")

    @property
    @override
    def budgets(self) -> tuple[Threat, ...]:
        return (Threat("linf", self.eps), Threat("linf", self.attack_eps))

    @override
    def begin(self, setup: Setup) -> None:
        super().begin(setup)
        members = members_of(setup.model)
        names = self.layers or distillation_points(members[0])
        for member in members:
            for name in self.layers:
                with features_at(member, name):
                    pass
        times = setup.epochs * (setup.steps if self.draw == "batch" else 1)
        draws = SampleRng.of(setup.seed, "dverge", [str(t) for t in range(times)]).integers(0, len(names))
        setup.memory["layers"] = draws

    @override
    def inner(self, step: Step) -> None:
        if step.epoch < self.warmup:
            return
        if self.adversarial:
            attacked = [self._attacked(step, i, m) for i, m in enumerate(members_in(step))]
            step.extra[ATTACKED] = torch.stack(attacked)
        if self.learn in ("others", "own"):
            step.extra[DISTILLED] = self._distilled(step)

    def _distilled(self, step: Step) -> Tensor:
        """`[N, B, C, H, W]`: a batch distilled from each member."""
        members, (_, targets, _) = members_in(step), step.second()
        names = self.layers or distillation_points(members[0])
        drawn = step.memory[self.info.name]["layers"]
        layer = names[int(drawn[step.number % len(drawn) if self.draw == "batch" else step.epoch])]
        found = []
        for member in members:
            with evaluating(member):
                found.append(
                    distil(
                        member,
                        step.images,
                        targets.to(step.images),
                        layer=layer,
                        eps=self.eps,
                        steps=self.steps,
                        rel_stepsize=self.rel_stepsize if self.step_size is None else self.step_size / self.eps,
                        momentum=self.momentum,
                        meter=step.inner.meter,
                    )
                )
        return torch.stack(found)

    @override
    def loss(self, step: Step) -> Tensor:
        if step.epoch < self.warmup:
            return summed_cross_entropy(alike(step, step.images), step.labels)
        turns = range(1, len(members_in(step)))
        if self.learn in ("others", "noise"):
            parts = [summed_cross_entropy(apart(step, self._shown(step, k)), step.labels) for k in turns]
            total = torch.stack(parts).sum()
        else:
            total = len(turns) * summed_cross_entropy(apart(step, self._shown(step, 0)), step.labels)
        if self.adversarial:
            total = self.adversarial * total + summed_cross_entropy(apart(step, step.extra[ATTACKED]), step.labels)
        return total

    def _shown(self, step: Step, turn: int) -> Tensor:
        """Images that each member is shown, `[N, B, C, H, W]`: images distilled from the k-th before it in turn k."""
        n, images = len(members_in(step)), step.images
        if self.learn in ("others", "own"):
            return step.extra[DISTILLED].roll(turn, 0)
        if self.learn == "clean":
            return images.expand(n, *images.shape)
        rng = step.rng.fold("dverge-noise").fold(turn)
        signs = torch.stack([rng.fold(i).uniform(*images.shape[1:], low=-1, high=1).sign() for i in range(n)])
        return (images + self.eps * signs.to(images)).clamp(0, 1)

    def _attacked(self, step: Step, number: int, member: Classifier) -> Tensor:
        inner = Inner(member, step.images[:1], copied=False)
        inner.meter = step.inner.meter
        rng = step.rng.fold("dverge").fold(number)
        attack = PGD(steps=self.attack_steps, rel_stepsize=0.25)
        return inner.find(attack, step.images, step.labels, rng, norm="linf", eps=self.attack_eps)


def diversity_matrix(
    model: Classifier,
    batch: Batch,
    *,
    eps: float = 0.07,
    steps: int = 10,
    rel_stepsize: float = 0.1,
    momentum: float = 1.0,
    layers: tuple[str, ...] = (),
    piece: int = 10,
    seed: int = 0,
) -> Tensor:
    """`L[i, j]`: the mean cross-entropy of member j on images distilled from member i, against the target's label.

    Each image of the batch is a target once; the sources are the same images in another order. High values off the
    diagonal mean that the members are vulnerable to different things; `symmetric` gives `d_ij`.

    Args:
        model: an ensemble.
        batch: labelled images.
        eps: linf radius in [0, 1] pixel units.
        steps: of the feature matching.
        rel_stepsize: as a share of eps.
        momentum: as in `distil`.
        layers: as in the recipe.
        piece: images between draws of the layer.
        seed: of pairs and layers.

    Returns:
        Float64 `[N, N]`, in nats.

    Raises:
        ModelError: the model is a single network.
        ParameterError: there are fewer than two images.
    """
    members, labels = members_of(model), required(batch.labels)
    if len(batch) < 2:
        raise ParameterError(f"diversity_matrix: {len(batch)} image makes no pair: give 2 or more")
    names = layers or distillation_points(members[0])
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x64766572]))
    order = torch.from_numpy(rng.permutation(len(batch))).to(batch.images.device)
    partner = order[order.argsort().add(1).remainder(len(batch))]  # the next of a cycle: nobody pairs with itself
    total = torch.zeros(len(members), len(members), dtype=torch.float64)
    with evaluating(model):
        for rows in torch.split(torch.arange(len(batch), device=order.device), piece):
            layer = names[int(rng.integers(len(names)))]
            for i, member in enumerate(members):
                made = distil(
                    member, batch.images[partner[rows]], batch.images[rows], layer=layer, eps=eps, steps=steps,
                    rel_stepsize=rel_stepsize, momentum=momentum,
                )  # fmt: skip
                with torch.no_grad():
                    for j, other in enumerate(members):
                        total[i, j] += float(F.cross_entropy(other(made), labels[rows], reduction="sum"))
    return total / len(batch)


def symmetric(matrix: Tensor) -> Tensor:
    """`d_ij = (L_ij + L_ji) / 2`.

    Args:
        matrix: `[N, N]`, see `diversity_matrix`.
    """
    return (matrix + matrix.T) / 2
