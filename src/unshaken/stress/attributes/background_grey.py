"""Grey in the place of the background."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.attribute_edit import REFERENCE, BackgroundEdit


@register("background-grey", reference=REFERENCE, group="attributes")
class BackgroundGrey(BackgroundEdit):
    """Put the object on plain grey of 0.5."""

    @override
    def behind(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        return torch.full_like(images, 0.5)
