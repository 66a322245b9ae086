"""Dice: training of masks by the overlap of whole maps."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import MASKS, FirstTry, Recipe, Step

CLIP = 1e-3
"""Probabilities made of logits stay this far from 0 and 1."""


def dice_loss(
    maps: Tensor, target: Tensor, *, logits: bool = True, per_image: bool = False, eps: float = 1.0,
    smooth_above: bool = True, squared: bool = False, classwise: bool = True, ignored: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """One less the mean Dice coefficient, `1 - mean_c (2 sum p g + e) / (sum p + sum g + e)`.

    Sums run over the batch and all pixels, in float32 or wider.

    Args:
        maps: `[N, C, H, W]`, a map for each class, without one for the background: logits, whose sigmoid is clipped to
            [0.001, 0.999], or values in [0, 1].
        target: the same shape, 0 or 1; classes may overlap.
        logits: which of the two `maps` are.
        per_image: one ratio for each image and class, instead of one for each class and batch.
        eps: e. It decides what an empty class costs.
        smooth_above: False to leave e out above the line.
        squared: `sum p^2 + sum g^2` below the line.
        classwise: False for one ratio over all classes.
        ignored: bool `[N, 1, H, W]` or `[N, C, H, W]`: pixels that count for nothing.

    Returns:
        A scalar in [0, 1].

    Raises:
        ParameterError: the shapes differ, or values are outside [0, 1].

    >>> p, g = torch.tensor([[[[0.9, 0.2], [0.1, 0.6]]]]), torch.eye(2)[None, None]
    >>> round(float(dice_loss(p, g, logits=False)), 6)
    0.166667

    Source: Kumar et al. 2024, arXiv:2403.20318 (SeaBird); Milletari et al. 2016, arXiv:1606.04797.
    """
    if maps.shape != target.shape or maps.ndim != 4:
        raise ParameterError(f"maps {tuple(maps.shape)} and target {tuple(target.shape)} must both be [N, C, H, W]")
    p = maps.float() if maps.element_size() < 4 else maps
    g = target.to(p)
    if logits:
        p = p.sigmoid().clamp(CLIP, 1 - CLIP)
    elif float(p.detach().amin()) < 0 or float(p.detach().amax()) > 1:
        raise ParameterError("maps must lie in [0, 1]; give logits=True for those that are not squashed")
    if ignored is not None:
        p, g = p.masked_fill(ignored, 0), g.masked_fill(ignored, 0)
    over = [2, 3] if per_image else [0, 2, 3]
    both = (p * g).sum(over)
    total = (p**2 + g**2 if squared else p + g).sum(over)
    if not classwise:
        both, total = both.sum(-1), total.sum(-1)
    return 1 - ((2 * both + (eps if smooth_above else 0.0)) / (total + eps)).mean()


def foreground(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of all classes but the background, which is class 0, with their targets and what is ignored.

    A class's map is its logit less that of the background, so that a sigmoid of one half and more is where it exceeds
    the background.

    Args:
        logits: `[N, K, H, W]`.
        masks: int64 `[N, H, W]`.

    Returns:
        Logits `[N, K - 1, H, W]`, targets of that shape, and bool `[N, 1, H, W]`.
    """
    kinds = torch.arange(1, logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    return logits[:, 1:] - logits[:, :1], (masks[:, None] == kinds).to(logits), (masks == IGNORED)[:, None]


@register("dice-loss", reference="Milletari et al. 2016, arXiv:1606.04797; Kumar et al. 2024, arXiv:2403.20318")
class DiceLoss(Recipe):
    """Dice: masks are learned by the overlap of whole maps, so that a large object's pixels pull less each.

    Class 0 is the background; a class's map is its logit less that of the background.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    learns_from: ClassVar[frozenset[str]] = frozenset({MASKS})
    first_try: ClassVar[FirstTry] = FirstTry(arch="unet")

    smooth: float = Field(default=1.0, gt=0, description="e, added above and below the line")
    per_image: bool = Field(default=False, description="one ratio for each image, instead of one for the batch")
    cross_entropy: float = Field(default=0.0, ge=0, description="weight of the cross-entropy beside it")

    @override
    def loss(self, step: Step) -> Tensor:
        logits = step.model(step.shown)
        maps, target, ignored = foreground(logits, step.labels)
        loss = dice_loss(maps, target, per_image=self.per_image, eps=self.smooth, ignored=ignored)
        return loss + self.cross_entropy * step.cross_entropy(logits) if self.cross_entropy else loss
