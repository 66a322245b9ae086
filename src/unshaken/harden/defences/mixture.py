"""Mixing an accurate model's class probabilities with a robust one's, which needs no training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.mixture import MixtureNet, check_weight
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.consent import unescape
from unshaken.core.device import device_of
from unshaken.core.errors import UNFIT_INPUT, ModelError
from unshaken.core.registry import register
from unshaken.core.texts import first_line
from unshaken.harden.engine.defence import Defence, GuardedModel
from unshaken.harden.engine.layers import SIDES, channels_of
from unshaken.models.loaders.load import second_model
from unshaken.models.within import choose_same


def mixture(
    accurate: Classifier,
    robust: Classifier,
    *,
    weight: float = 0.8,
    scale_accurate: float = 1.0,
    scale_robust: float = 1.0,
    side: int | None = None,
) -> GuardedModel:
    """`f(x) = log[(1 - a) softmax(T_g g(x)) + a softmax(T_h h(x))]` as a classifier that is attacked through as one.

    Args:
        accurate: g; it is what is guarded.
        robust: h, whose classes are taken in the order of g's, by name; neither is copied.
        weight: a, in [0, 1]. Below 1/2 a sure g always wins, and an attack on g breaks the mixture.
        scale_accurate: T_g.
        scale_robust: T_h; above 1 it sharpens h, which acts like a larger a.
        side: height and width in pixels to which g's images are resized; None to leave them.

    Returns:
        A guarded g whose logits are log-probabilities. Its surrogates are `accurate` and `robust`: each alone.

    Raises:
        ParameterError: weight lies outside [0, 1].
        ModelError: the two do not take the same images, or have other classes.
    """
    check_weight(weight, "mixture")
    robust = choose_same(robust, accurate, purpose="mixture: the robust model")
    net = MixtureNet(
        accurate, robust, alpha=weight, scale_accurate=scale_accurate, scale_robust=scale_robust, side=side
    )

    def surrogates() -> Mapping[str, Classifier]:
        return {"accurate": accurate, "robust": robust}

    random = any(bool(getattr(m, "random", False)) for m in (accurate, robust))
    made = GuardedModel(net, accurate, name="mixture", random=random, surrogates=surrogates)
    made.view = accurate.view if side is None else robust.view
    made.differentiable = accurate.differentiable and robust.differentiable
    check_fit(made, net)
    return made


def check_fit(made: GuardedModel, net: MixtureNet) -> None:
    """Show a blank image to both: of the model's size, or else of the first usual size that both take, if any.

    Args:
        made: the mixture.
        net: its net.

    Raises:
        ModelError: one cannot take images of the model's size, or they have other numbers of classes.
    """
    size = made.input_size
    channels = made.view.channels if made.view is not None else channels_of(net)
    device = device_of(made)
    for height, width in [size] if size else [(side, side) for side in SIDES]:
        blank = torch.zeros(1, channels, height, width, device=device)
        try:
            with evaluating(made), torch.no_grad():
                counts = [z.shape[1] for z in (net.accurate_logits(blank), net.robust_logits(blank))]
        except UNFIT_INPUT as error:
            if size:
                reason = first_line(error)
                raise ModelError(f"mixture: the two do not take the same images: {reason}") from None
            continue
        if counts[0] != counts[1]:
            raise ModelError(f"mixture: the accurate model has {counts[0]} classes, the robust one {counts[1]}")
        return


@register("mixture", reference="Bai et al. 2023, arXiv:2301.12554")
class Mixture(Defence):
    """Mixture: mixes the model's class probabilities with those of a robust model.

    It works because a robust model is far surer when it is right, even under attack, than when it is wrong (measure it
    by `margins`): where it is sure the accurate model cannot overrule it. Nothing is trained. It comes with a
    certificate where the robust model has one: certifier `adaptive-smoothing`.
    """

    robust: str = Field(
        default="", description="SPEC of the robust model; write %26 for & and %2C for a comma inside it"
    )
    weight: float = Field(
        default=0.8, ge=0, le=1, description="weight of the robust model; 0.5 or more to be robust at all"
    )
    scale_accurate: PositiveFloat = Field(default=1.0, description="factor of the accurate model's logits")
    scale_robust: PositiveFloat = Field(
        default=1.0, description="factor of the robust model's logits, part of the defence"
    )
    side: PositiveInt | None = Field(
        default=None, description="pixels a side of the accurate model's images, if resized"
    )

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        if not self.robust:
            raise ModelError(
                "mixture: name the robust model, as in 'SPEC?defence=mixture:robust=run:runs/robust,weight=0.8'"
            )
        other = choose_same(loaded(self.robust), model, purpose="mixture: the robust model")
        device = device_of(model)
        return mixture(
            model,
            other.to(device),
            weight=self.weight,
            scale_accurate=self.scale_accurate,
            scale_robust=self.scale_robust,
            side=self.side,
        )


def loaded(spec: str) -> Classifier:
    """A model, in evaluation mode and without weight gradients, from a SPEC as it is written inside another."""
    return second_model(unescape(spec))


def margins(logits: Tensor, labels: Tensor, *, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Margin `p_(1) - p_(2)` of a model on each image, and whether it is right.

    Args:
        logits: `[N, K]`.
        labels: int64 `[N]`.
        scale: T of the softmax.

    Returns:
        Margins in [0, 1], `[N]`, and bool `[N]`.
    """
    top = (scale * logits).softmax(1).topk(2, dim=1)
    return top.values[:, 0] - top.values[:, 1], top.indices[:, 0] == labels
