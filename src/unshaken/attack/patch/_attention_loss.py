"""The attention that a vision transformer pays to a patch, as further objectives beside the cross-entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.errors import ModelError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Gradient, Objective, Passes
from unshaken.core.state import State
from unshaken.models.networks.attention import attention_names, attention_of


class AttentionReader(State):
    """Reads the attention of some layers from what goes into them.

    Args:
        layers: the layers.
        names: of what goes into them, as a query asks for it.
    """

    layers: tuple[nn.Module, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, model: Classifier, first: int, end: int) -> AttentionReader:
        """The attention layers `first` to `end - 1` of a model, one at least; the last one where there are fewer.

        Raises:
            ModelError: the model has no attention of a known form.
        """
        names = attention_names(model)
        first = min(first, len(names) - 1)
        chosen = names[first : max(first + 1, end)]
        modules = dict(model.net.named_modules())
        return cls(tuple(modules[n] for n in chosen), tuple(n + INPUT for n in chosen))

    def to_patches(self, answer: Answer, count: int) -> Tensor:
        """Attention of every token to each patch of the image, heads averaged: `[N, L, T, count]`.

        Args:
            answer: with the features of `names`.
            count: number of patches, the last tokens.

        Raises:
            ModelError: the tokens are not those of whole images.
        """
        found = []
        for layer, name in zip(self.layers, self.names, strict=True):
            tokens = (answer.features or {})[name]
            weight = next(layer.parameters())
            maps = attention_of(layer, tokens.to(weight.dtype)).mean(1)
            if tokens.ndim != 3 or maps.shape[-1] < count or len(maps) != len(required(answer.logits)):
                raise ModelError(
                    f"layer {name.removesuffix(INPUT)!r} does not attend to all {count} patches of an image"
                )
            found.append(maps[..., -count:])
        return torch.stack(found, 1)


class AttentionToCells(Objective):
    """The mean log-attention of all tokens to some patches, by layer, to rise: `mean_q log sum_t A_l[q, t]`.

    Args:
        cells: bool `[N, P]`, the patches.
        reader: of the layers l.
    """

    cells: Tensor
    reader: AttentionReader

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N, L]`."""
        maps = self.reader.to_patches(answer, self.cells.shape[1])
        share = (maps * self.cells[:, None, None].to(maps)).sum(-1)
        return share.clamp_min(torch.finfo(share.dtype).tiny).log().mean(-1)


class GradientWithOthers(Gradient):
    """The gradient of an objective, and in `slopes` those of L others, all from one forward pass.

    Args:
        others: gives `[N, L]` from an answer with features of `layers`.
    """

    others: Objective | None = None

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        """A forward pass; then, unless the goal is met for all rows, a backward pass for each objective.

        For a model with randomness of its own all are means of `passes.draws` passes (EoT).
        """
        points = self.points.detach().requires_grad_(True)
        sums: list[Tensor] = []
        stopped: Tensor | None = None
        for draw in range(passes.draws):
            with torch.enable_grad():
                logits, features = passes.forward(points, self.layers)
                if draw == 0 and goal is not None:
                    with passes.method():
                        stopped = goal(self.points, logits.detach()).cpu()
                    if bool(stopped.all()):
                        return self._said(logits, {}, stopped=stopped, cut=stopped)
                with passes.method():
                    answer = Answer(logits=logits, features=features)
                    value, others = self.of(answer), _given(self.others)(answer)
            gradient = passes.gradient(value, points, keep=True)
            last = others.shape[1] - 1
            slopes = [passes.gradient(others[:, i], points, keep=i < last) for i in range(last + 1)]
            new = [gradient, torch.stack(slopes, 1), value.detach(), logits.detach()]
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        gradient, others, value, logits = sums if passes.draws == 1 else [s / passes.draws for s in sums]
        return self._said(logits, {}, value=value, gradient=gradient, slopes=others, stopped=stopped)


def without_conflict(gradient: Tensor, other: Tensor) -> Tensor:
    """PCGrad: a gradient less its component against another one, where the two conflict.

    `g - (g.o / |o|^2) o` where `g.o < 0`, else g.

    Args:
        gradient: `[N, ...]`.
        other: as `gradient`.

    Source: Yu et al. 2020, arXiv:2001.06782.
    """
    g, o = gradient.flatten(1), other.flatten(1)
    along = (g * o).sum(1, keepdim=True).clamp_max(0) / o.square().sum(1, keepdim=True).clamp_min(1e-30)
    return (g - along * o).view_as(gradient)


def cells_of(mask: Tensor, side: int) -> Tensor:
    """The patches of a transformer that a mask touches, bool `[N, P]`.

    Args:
        mask: bool `[N, 1, H, W]`.
        side: of a patch in pixels.
    """
    return F.max_pool2d(mask.float(), side).flatten(1) > 0


def _given(objective: Objective | None) -> Objective:
    if objective is None:
        raise ModelError("a query for further gradients needs their objective")
    return objective
