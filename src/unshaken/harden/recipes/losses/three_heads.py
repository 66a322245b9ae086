"""Three heads: a small robust teacher and changed images teach copies of a large model's last section."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, PrivateAttr
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.ensemble import statistics
from unshaken.harden.engine.recipe import FirstTry, Recipe, Setup, Step
from unshaken.harden.recipes.losses.three_heads_net import (
    AllHeads,
    Mode,
    ThreeHeadsNet,
    divergence,
    dropped,
    entropy,
    route,
    section_of,
)
from unshaken.models.loaders.load import second_model
from unshaken.models.within import choose_same

CLEAN = "three-heads.clean"


def distillation(student: Tensor, teacher: Tensor, tau: float) -> Tensor:
    """`tau^2 KL(softmax(t / tau) || softmax(z / tau))` of each sample.

    Its gradient in z is `tau (softmax(z / tau) - softmax(t / tau))`.

    Args:
        student: logits z `[N, K]`.
        teacher: logits t `[N, K]`.
        tau: temperature above 0.

    Returns:
        `[N]`.

    >>> distillation(torch.tensor([[2.0, 0.0]]), torch.zeros(1, 2), 1.0)
    tensor([0.4338])
    """
    return tau * tau * divergence(teacher / tau, student / tau)


def teacher_passes(teacher: Classifier, images: Tensor, *, rate: float, passes: int, rng: SampleRng) -> Tensor:
    """Logits of a teacher with dropout before its last linear layer (Monte-Carlo dropout).

    Args:
        teacher: ends with a linear layer; one that does not gives its logits, without dropout.
        images: `[N, C, H, W]` in [0, 1].
        rate: share of the features that are dropped, in [0, 1); with 0 all passes are equal.
        passes: S.
        rng: one stream a sample.

    Returns:
        `[S, N, K]`, without a graph.
    """
    linear = [m for m in teacher.net.modules() if isinstance(m, nn.Linear)][-1:]
    features: list[Tensor] = []
    with evaluating(teacher), torch.no_grad(), ExitStack() as hooks:
        for module in linear:
            hooks.enter_context(module.register_forward_pre_hook(lambda _m, args: features.append(args[0])))
        logits = teacher(images)
    with torch.no_grad():
        if len(features) != 1 or features[0].ndim != 2 or not torch.equal(linear[0](features[0]), logits):
            return torch.stack([logits] * passes)
        n, width = features[0].shape
        draws = rng.fresh(passes * width).view(n, passes, width).transpose(0, 1).to(features[0])
        found: Tensor = linear[0](dropped(features[0], rate, draws))
        return found


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a network with three heads.

    Args:
        tunable: parameters that learn.
        original: parameters of the original network.
        flops_original: multiplications and additions of a pass of the original over one image.
        flops_three: the same for a mode that asks all heads.
    """

    tunable: int
    original: int
    flops_original: int
    flops_three: int

    @property
    def share(self) -> float:
        """Ratio of tunable to original parameters."""
        return self.tunable / self.original


@register("three-heads", reference="Jain et al. 2023, Efficiently Robustify Pre-Trained Models, arXiv:2309.07499")
class ThreeHeads(Recipe):
    """Three heads: tunes two copies of a model's last section, one on corrupted images and one on both kinds.

    `L = CE(u(x~), y) + l w KD(u(x~), T(x~)) + CE(m(x), y) + l w_c KD(m(x), c(x)) + CE(m(x~), y) + l w KD(m(x~), T(x~))`
    with the frozen clean head c, the unclean head u, the combined head m, and a teacher T that was made robust before.
    The weights are `w = 1 - H / log K` of the mean prediction of T under dropout, and of c.

    Recipes named before it change both kinds of images; those named after it make x~ of x, and at least one must. The
    teacher is a model SPEC, or in Python any classifier: `ThreeHeads(...).taught_by(teacher)`. Without a teacher, or
    with `weight` 0, it is partial fine-tuning. What is trained is a specification made for this package: the
    publication's code is not public.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net"})
    first_try: ClassVar[FirstTry] = FirstTry(companions=("noise",))

    teacher: str = Field(
        default="", description="SPEC of a small model, robust already, of the same classes; empty for none"
    )
    section: tuple[str, ...] = Field(default=(), description="modules to copy, as in layer4+fc; empty: by share")
    share: float = Field(default=0.15, gt=0, le=1, description="parameters that may learn, as a share of the model's")
    shared: bool = Field(default=False, description="one copy for both heads but for the last module of the section")
    mode: Mode = Field(default="combined", description="output of the finished model")
    weight: NonNegativeFloat = Field(default=1.0, description="weight l of the distillation terms")
    temperature: PositiveFloat = Field(default=2.0, description="temperature of the distillation")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="rate before the teacher's last layer")
    draws: PositiveInt = Field(default=5, description="passes of the teacher with dropout")
    labelled: bool = Field(
        default=True, description="learn from labels; else from the teacher and the clean head alone"
    )

    _teacher: Classifier | None = PrivateAttr(None)

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.teacher,) if self.teacher else ()

    def taught_by(self, teacher: Classifier) -> ThreeHeads:
        """The same recipe with a teacher at hand."""
        found = self.model_copy()
        found._teacher = teacher
        return found

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        net = model.net
        if not isinstance(net, ThreeHeadsNet):
            net = ThreeHeadsNet(net, section_of(net, self.section, self.share), shared=self.shared, mode=self.mode)
        return _around(model, net)

    @override
    def begin(self, setup: Setup) -> None:
        if not isinstance(setup.model.net, ThreeHeadsNet):
            raise ModelError("the recipe three-heads trains a model that it was given the structure of: see rebuild")
        teacher = self._taught(setup.images.device)
        if teacher is None and not self.labelled and not self.weight:
            raise ParameterError("three-heads: without labels and without distillation there is nothing to learn from")
        if teacher is not None:
            self._teacher = teacher = choose_same(teacher, setup.model, purpose="three-heads: the teacher")
            with evaluating(teacher), torch.no_grad():
                classes = teacher(setup.images[:1]).shape[1]
            if classes != setup.classes:
                raise ModelError(f"the teacher has {classes} classes, the data {setup.classes}")

    @override
    def augment(self, step: Step) -> None:
        step.extra[CLEAN] = step.images

    @override
    def loss(self, step: Step) -> Tensor:
        clean, changed = step.extra[CLEAN], step.shown
        if changed is clean:
            raise ParameterError(
                "three-heads: name a recipe after it that changes the images, such as corruptions or noise"
            )
        logits = step.model(torch.cat([clean, changed]))
        n = len(clean)
        original, unclean = logits[:n, 0].detach(), logits[n:, 0]
        combined, combined_changed = logits[:n, 1], logits[n:, 1]
        total = logits.new_zeros(())
        if self.labelled:
            total = total + sum(step.cross_entropy(z) for z in (unclean, combined, combined_changed))
        if not self.weight:
            return total
        kd = ((1 - entropy(original)) * distillation(combined, original, self.temperature)).mean()
        teacher = self._taught(changed.device)
        if teacher is not None:
            drawn = teacher_passes(teacher, changed, rate=self.dropout, passes=self.draws, rng=step.rng.fold("dropout"))
            target = drawn.softmax(2).mean(0).clamp(min=1e-12).log()
            sure = 1 - entropy(target)
            step.figures["teacher_weight"] = float(sure.mean())
            for student in (unclean, combined_changed):
                kd = kd + (sure * distillation(student, target, self.temperature)).mean()
        return total + self.weight * kd

    def _taught(self, device: torch.device) -> Classifier | None:
        if not self.weight:
            return None
        if self._teacher is not None:
            return self._teacher.to(device)
        return second_model(self.teacher).to(device) if self.teacher else None


def heads(model: Classifier, images: Tensor) -> Tensor:
    """Logits of the three heads, `[3, N, K]` in the order clean, unclean, combined.

    Args:
        model: with three heads.
        images: `[N, C, H, W]` in [0, 1].
    """
    logits: Tensor = _around(model, AllHeads(_three(model)))(images)
    return logits


def routed(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Predictions in the mode `route`, and the head of each.

    Returns:
        Classes int64 `[N]`, and heads int64 `[N]`: 0 clean, 1 unclean.
    """
    logits = heads(model, images)
    chosen = route(logits)
    return logits.argmax(2).gather(0, chosen[None])[0], chosen


def in_mode(model: Classifier, mode: Mode) -> Classifier:
    """The same weights in another mode: `route`, `combined`, `clean`, `unclean`, `average` or `uncertainty-only`."""
    net = copy.copy(_three(model))
    net.mode = mode
    return _around(model, net)


def original(model: Classifier) -> Classifier:
    """The model as it was before the heads came, bit for bit."""
    return _around(model, _three(model).net)


def cost(model: Classifier, image: Tensor) -> Cost:
    """Parameters that learn, and operations of a pass.

    Args:
        model: with three heads.
        image: `[1, C, H, W]` in [0, 1].
    """
    net = _three(model)
    tunable = sum(p.numel() for part in (net.unclean, net.combined) for p in part.parameters())
    tunable -= sum(p.numel() for p in {*net.unclean.parameters()} & {*net.combined.parameters()})
    return Cost(
        tunable,
        sum(p.numel() for p in net.net.parameters()),
        _flops(original(model), image),
        _flops(in_mode(model, "route"), image),
    )


def _flops(model: Classifier, image: Tensor) -> int:
    with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return int(counter.get_total_flops())


def _three(model: Classifier) -> ThreeHeadsNet:
    if not isinstance(model.net, ThreeHeadsNet):
        raise ModelError(f"model {model.name!r} has no three heads: train it with the recipe three-heads")
    return model.net


def _around(model: Classifier, net: nn.Module) -> Classifier:
    """A classifier that differs in its network alone."""
    found = Classifier(
        net, **statistics(model), classes=model.classes, view=model.view, differentiable=model.differentiable,
        name=model.name, reject=model.reject,
    )  # fmt: skip
    return found.to(device_of(model)).train(model.training)
