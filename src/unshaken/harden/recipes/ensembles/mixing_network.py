"""The mixing network: a small network that detects attacks, and then gives the robust of two models more weight."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.mixture import normalised
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.consent import unescape
from unshaken.core.device import device_of, widen
from unshaken.core.errors import UNFIT_INPUT, ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng, seeded
from unshaken.core.texts import first_line
from unshaken.core.values import text_of
from unshaken.harden.defences.mixture import loaded
from unshaken.harden.engine.recipe import AdversarialRecipe, FirstTry, Setup, Step
from unshaken.harden.recipes.ensembles._mixing_net import (
    Gate,
    GateLoss,
    GatePGD,
    Join,
    MixingNet,
    TargetedOrNot,
    Trunk,
    channels_at,
    named,
)
from unshaken.models.within import choose_same

__all__ = ["GateLoss", "GatePGD", "MixingNet", "MixingNetwork", "detector_accuracy", "gamma_and_alpha", "mixing_loss"]

FOUND = "mixing-network.found"


def mixing_loss(
    log_probabilities: Tensor,
    gamma: Tensor,
    labels: Tensor,
    attacked: Tensor,
    *,
    c_bce: float = 1.5,
    c_ce: float = 0.0,
    c_prod: float = 0.2,
) -> Tensor:
    """`mean(c_bce B + c_ce C + c_prod B C)`: B the cross-entropy of gamma against "attacked", C that of the mixture.

    Args:
        log_probabilities: of the mixture, `[N, K]`.
        gamma: logits of "attacked", `[N]`.
        labels: int64 `[N]`.
        attacked: bool `[N]`.
        c_bce: weight of B.
        c_ce: weight of C.
        c_prod: weight of their product.

    >>> z, y = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([0])
    >>> round(mixing_loss(z, torch.zeros(1), y, torch.tensor([True])).item(), 4)  # 1.5 ln 2 + 0.2 ln^2 2
    1.1358
    """
    b = F.binary_cross_entropy_with_logits(gamma, attacked.to(gamma), reduction="none")
    c = F.cross_entropy(log_probabilities, labels, reduction="none")
    return (c_bce * b + c_ce * c + c_prod * b * c).mean()


@register("mixing-network", reference="Bai et al. 2023, arXiv:2301.12554")
class MixingNetwork(AdversarialRecipe):
    """Mixing network: learns, for each image, the weight of a robust model in a mixture with an accurate one.

    Both models are frozen. From two of each one's feature maps it learns to tell clean images (trust the accurate one)
    from images that were attacked through the whole mixture, with strengths drawn for each and a share of the effort
    spent on fooling the mixing network itself. It has a detector's weakness: judge it by `GatePGD` over several shares,
    as well as by attacks through it. The robust model is a SPEC, or in Python any classifier:
    `MixingNetwork(...).beside(model)`. Certificates hold for the smallest weight alone.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"inner", "loss", "net"})
    refuses: ClassVar[dict[str, str]] = {"targets": "an attack on the mixture is an attack on one class"}
    first_try: ClassVar[FirstTry] = FirstTry(
        arch="strided-cnn", parameters={"robust": "demo:robust", "widths": "8+12+16", "blocks": 1}
    )

    robust: str = Field(
        default="", description="SPEC of the robust model; write %26 for & and %2C for a comma inside it"
    )
    layers_accurate: tuple[str, ...] = Field(
        default=(), description="an earlier and a later layer, as in body.1+body.3; empty: spread"
    )
    layers_robust: tuple[str, ...] = Field(default=(), description="the same of the robust model")
    scale_accurate: PositiveFloat = Field(default=2.0, description="T_g, factor of the accurate model's logits")
    scale_robust: PositiveFloat = Field(default=1.0, description="T_h, factor of the robust model's logits")
    alpha_bias: float = Field(default=0.84, ge=0, le=1, description="smallest weight of the robust model in use")
    alpha_scale: float = Field(default=0.15, ge=0, le=1, description="how much larger the weight may be")
    gate_scale: PositiveFloat = Field(default=2.0, description="factor of the normalised gate")
    gate_bias: float = Field(default=1.3, description="added to the gate in use")
    training_bias: float = Field(default=0.4, description="added to the gate in training")
    momentum: float = Field(default=0.01, gt=0, le=1, description="momentum of the gate's batch norm")
    widths: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(32, 48, 64), description="channels of the three stages"
    )
    blocks: PositiveInt = Field(default=2, description="residual blocks a stage")
    join: Join = Field(default="conv", description="how later maps are added: direct (of the stage's shape) or conv")
    copies: PositiveInt = Field(
        default=10, description="attacked copies of an image: the first untargeted, others targeted"
    )
    steps: PositiveInt = Field(
        default=75, description="mean number of steps of an attack, which is drawn for each copy"
    )
    weakest: PositiveFloat = Field(default=0.4, description="smallest radius of an attack, as a share of eps")
    strongest: PositiveFloat = Field(default=1.1, description="largest radius of an attack, as a share of eps")
    gate_share: float = Field(default=0.4, ge=0, le=1, description="largest share of an attack spent on the gate")
    c_bce: NonNegativeFloat = Field(default=1.5, description="weight of the gate's cross-entropy")
    c_ce: NonNegativeFloat = Field(default=0.0, description="weight of the mixture's cross-entropy")
    c_prod: NonNegativeFloat = Field(default=0.2, description="weight of the product of the two")
    seed: NonNegativeInt = Field(default=0, description="random seed of the mixing network's initial weights")

    _robust: Classifier | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits(self) -> MixingNetwork:
        if self.alpha_bias + self.alpha_scale > 1 + 1e-9:
            raise ValueError(f"alpha_bias + alpha_scale = {self.alpha_bias + self.alpha_scale:g} must not exceed 1")
        if self.weakest > self.strongest:
            raise ValueError(f"weakest={self.weakest:g} must not exceed strongest={self.strongest:g}")
        for name, names in (("layers_accurate", self.layers_accurate), ("layers_robust", self.layers_robust)):
            if len(names) not in (0, 2):
                raise ValueError(f"{name}={text_of(names)} must be two names, such as body.1+body.3")
        return self

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (unescape(self.robust),) if self.robust else ()

    def beside(self, robust: Classifier) -> MixingNetwork:
        """The same recipe with a robust model at hand; it is not changed."""
        found = self.model_copy()
        found._robust = robust
        return found

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        if isinstance(model.net, MixingNet):
            return model
        if self._robust is None and not self.robust:
            raise ModelError("mixing-network: name the robust model, as in mixing-network:robust=run:runs/robust")
        robust = copy.deepcopy(loaded(self.robust) if self._robust is None else self._robust)
        robust = choose_same(robust.to(device_of(model)), model, purpose="mixing-network: the robust model")
        layers = named(self.layers_accurate, model), named(self.layers_robust, robust)
        early, late = channels_at(model, robust, layers)
        with seeded(self.seed):
            trunk = Trunk(early, late, self.widths, self.blocks, self.join)
        gate = Gate(
            scale=self.gate_scale,
            bias=self.gate_bias,
            training_bias=self.training_bias,
            low=self.alpha_bias,
            span=self.alpha_scale,
            momentum=self.momentum,
        )
        scales = {"scale_accurate": self.scale_accurate, "scale_robust": self.scale_robust}
        device = device_of(model)
        model.net = MixingNet(model, robust, layers, trunk, gate, **scales).to(device)
        return model

    @override
    def begin(self, setup: Setup) -> None:
        net, images = _mixing(setup.model), setup.images[:2]
        with evaluating(setup.model), torch.no_grad():
            try:
                accurate, robust, _ = net.outputs(normalised(setup.model, images))
            except UNFIT_INPUT as error:
                raise ModelError(
                    f"mixing-network: one of the two models cannot take these images: {first_line(error)}"
                ) from None
        if accurate.shape[1] != robust.shape[1]:
            raise ModelError(
                f"mixing-network: the accurate model has {accurate.shape[1]} classes, the robust {robust.shape[1]}"
            )

    @override
    def inner(self, step: Step) -> Tensor:
        images, labels, k = step.images, step.labels, step.classes
        with evaluating(step.classifier):
            clean = step.inner.logits(images).scatter(1, labels[:, None], -torch.inf)
            rivals = clean.topk(min(max(1, self.copies - 1), k - 1), dim=1).indices
            rows = [torch.full_like(labels, -1), *(rivals[:, j % rivals.shape[1]] for j in range(self.copies - 1))]
            rng = SampleRng.concat([step.rng.fold(f"mixing-network-{j}") for j in range(self.copies)])
            many = labels.repeat(self.copies)
            strength = rng.fold("eps").fresh(1, low=self.weakest, high=self.strongest)[:, 0].to(images)
            found = step.inner.find(
                GatePGD(steps=self.steps, share=self.gate_share, varied=True),
                images.repeat(self.copies, 1, 1, 1),
                many,
                rng,
                norm=self.norm,
                eps=self.eps * strength,
                objective=TargetedOrNot(many, torch.cat(rows)),
            )
        step.extra[FOUND] = found
        return found[: len(images)]

    @override
    def loss(self, step: Step) -> Tensor:
        net, found = _mixing(step.classifier), step.extra[FOUND]
        shown = torch.cat([step.images.repeat(self.copies, 1, 1, 1), found])
        labels = step.labels.repeat(2 * self.copies)
        attacked = torch.arange(len(shown), device=shown.device) >= len(found)
        net.tells_gamma = True
        try:
            answers = step.model(shown)
        finally:
            net.tells_gamma = False
        gamma = answers[:, -1]
        right = (gamma.detach() > self.training_bias) == attacked
        step.figures["detector_accuracy"] = float(right.float().mean())
        return mixing_loss(
            answers[:, :-1], gamma, labels, attacked, c_bce=self.c_bce, c_ce=self.c_ce, c_prod=self.c_prod
        )


def gamma_and_alpha(model: Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of the mixing network: the logit of "attacked" and the weight of the robust model, both `[N]`.

    Args:
        model: with a mixing network.
        images: `[N, C, H, W]` in [0, 1].
    """
    net = _mixing(model)
    with evaluating(model), torch.no_grad():
        gamma = torch.cat([net.outputs(normalised(model, x))[2] for x in torch.split(images, 256)])
        return gamma, net.gate.alpha(gamma)


def detector_accuracy(model: Classifier, clean: Tensor, attacked: Tensor) -> float:
    """The share of clean images with gamma below the gate's bias, and of attacked ones with gamma above, together.

    Args:
        model: with a mixing network.
        clean: `[N, C, H, W]` in [0, 1].
        attacked: `[M, C, H, W]` in [0, 1].

    Raises:
        ParameterError: there are no images.
    """
    if not len(clean) + len(attacked):
        raise ParameterError("detector_accuracy: there are no images to judge it by")
    bias = _mixing(model).gate.bias
    right = [gamma_and_alpha(model, clean)[0] < bias, gamma_and_alpha(model, attacked)[0] > bias]
    return float(widen(torch.cat(right)).mean())


def _mixing(model: Classifier) -> MixingNet:
    if not isinstance(model.net, MixingNet):
        raise ModelError(f"model {model.name!r} has no mixing network: train one by the recipe mixing-network")
    return model.net
