"""`ObjectEdit`: the object is zoomed, moved or turned, and pasted on its own background."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.rng import SampleRng
from unshaken.stress.engine.attribute_edit import AttributeEdit, Edits
from unshaken.stress.engine.object_layers import Layer, paste


class ObjectEdit(AttributeEdit):
    """Base class of edits of the object. A subclass writes `change`."""

    @abstractmethod
    def change(self, image: Tensor, mask: Tensor, severity: int, rng: SampleRng) -> Layer:
        """Change the object of one image.

        Args:
            image: float32 `[C, H, W]` in [0, 1].
            mask: bool `[H, W]`, neither empty nor full.
            severity: one of `severities`.
            rng: of this sample.
        """

    @override
    def edit(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Edits:
        layers = [self.change(images[i], masks[i, 0], severity, rng[i : i + 1]) for i in range(len(images))]
        problems = {i: layer.problem for i, layer in enumerate(layers) if layer.problem}
        lost = {i: "nothing of its object is left in the picture" for i, x in enumerate(layers) if not x.mask.any()}
        objects, fronts = torch.stack([x.image for x in layers]), torch.stack([x.mask for x in layers])[:, None]
        return Edits(paste(objects, fronts, self.backgrounds(images, masks)), fronts, lost | problems)
