"""The question of a search over viewpoints: a model's logits on pictures that are rendered as they are asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import predict
from unshaken.core.query import Answer, Goal, Passes, Query

Render = Callable[[int, Tensor], Tensor]
"""From the number of an object and viewpoints `[n, 6]` to pictures `[n, C, H, W]` in [0, 1]."""


class RenderedViews(Query):
    """Logits of objects seen from viewpoints; no more pictures are held than one pass takes.

    Args:
        points: viewpoints `[N, Q, 6]`.
        objects: number of each object, int64 `[N]`.
        render: makes the pictures; its time counts as the method's.
    """

    objects: Tensor
    render: Render

    @property
    @override
    def width(self) -> int:
        return self.points.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        n, count = self.points.shape[:2]
        found: list[Tensor] = []
        with torch.inference_mode():
            for rows in torch.split(torch.arange(n * count), passes.limit):
                with passes.method():
                    images = torch.cat(
                        [
                            self.render(int(self.objects[i]), self.points[i, rows[rows // count == i] % count])
                            for i in torch.unique(rows // count).tolist()
                        ]
                    )
                total = passes.forward(images)[0]
                for _ in range(1, passes.draws):
                    total = total + passes.forward(images)[0]
                found.append(total / passes.draws)
        logits = torch.cat(found).view(n, count, -1).clone()  # a plain tensor again
        return Answer(logits=logits, labels=predict(logits))
