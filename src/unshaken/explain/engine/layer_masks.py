"""The score of an image under masks that are maps of one of its layers."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Logits, Passes, Query
from unshaken.explain.engine.activation_map import enlarged


class LayerMasks(Query):
    """Logits of copies of the image under maps of a layer, `b + H_k (x - b)`.

    `H_k` is map k in the size of the image, its values stretched to [0, 1].

    Args:
        points: the images x, `[N, C, H, W]`.
        behind: the images b that show where a mask is 0, `[N, C, H, W]`.
        outputs: of the layer, `[N, D, h, w]`, where they are known.
        fresh: bool `[N]`: they are not known yet, and cost one more forward pass.
        number: which maps, int64 `[N, Q]`.
        layer: name as in `Classifier.features`.
    """

    behind: Tensor
    outputs: Tensor
    fresh: Tensor
    number: Tensor
    layer: str

    @property
    @override
    def width(self) -> int:
        return self.number.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        outputs, rows = self.outputs, self.fresh.nonzero().flatten()
        if len(rows):
            with torch.no_grad():
                parts = [passes.forward(x, (self.layer,))[1] for x in torch.split(self.points[rows], passes.limit)]
            outputs = outputs.index_copy(0, rows, torch.cat([part[self.layer].float() for part in parts]))
        with passes.method():
            masks = stretched(outputs, self.number, self.points.shape[2:])[:, :, None]
            copies = self.behind[:, None] + masks * (self.points - self.behind)[:, None]
        logits = required(Logits(copies).evaluate(passes, None).logits)
        forwards = self.fresh.long() + self.number.shape[1]
        return Answer(logits=logits, features={self.layer: outputs}, forwards=forwards, backwards=forwards * 0)


def stretched(outputs: Tensor, number: Tensor, size: torch.Size) -> Tensor:
    """Maps of a layer in another size, their values stretched to [0, 1]; a constant map becomes 0.

    Args:
        outputs: `[N, D, h, w]`.
        number: which of the D maps, int64 `[N, Q]`.
        size: H and W.

    Returns:
        `[N, Q, H, W]`.
    """
    n, q = number.shape
    chosen = outputs[torch.arange(n, device=number.device)[:, None], number]
    maps = enlarged(chosen.flatten(0, 1), size)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    spread = (high - low).where(high != low, 1.0)
    return ((maps - low) / spread).view(n, q, *size)
