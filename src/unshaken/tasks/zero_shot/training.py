"""`ImageText`: training of an image encoder towards frozen vectors of captions in the one training loop; its losses."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.registry import Method
from unshaken.harden.engine.recipe import Recipe, Step

LARGEST_SCALE = 100.0
REFERENCE = "Radford et al. 2021, arXiv:2103.00020"


class CaptionedNet(nn.Module):
    """A network from images to embeddings with the learned scale and bias of its similarities.

    Args:
        net: from normalised images to `[N, D]`.
        scale: s at the start: 10 for the sigmoid loss, 1/0.07 for InfoNCE.
        bias: b at the start, of the sigmoid loss.
    """

    def __init__(self, net: nn.Module, *, scale: float = 1 / 0.07, bias: float = -10.0) -> None:
        super().__init__()
        self.net = net
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.logit_bias = nn.Parameter(torch.tensor(bias))

    @override
    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.net(images)
        return found

    def encode_image(self, images: Tensor) -> Tensor:
        """The same, as dual encoders call it."""
        return self.forward(images)


class ImageText(Recipe):
    """Train an image encoder against frozen captions; the net is a `CaptionedNet`, its text encoder is not trained.

    `captions` has M vectors of length 1 for each class, `[K, M, D]`; each step draws one for each image, or takes the
    one that a recipe before it named in `step.extra["caption"]`, int64 `[N]`. Equal captions of a batch are one target.
    """

    info: ClassVar[Method]
    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    captions: Tensor
    objective: Literal["info-nce", "sigmoid"] = Field(
        default="info-nce", description="softmax over the batch, or each pair"
    )

    @override
    def loss(self, step: Step) -> Tensor:
        captions = self.captions.to(step.images)
        which = step.extra.get("caption")
        if which is None:
            which = step.rng.fold("caption").integers(0, captions.shape[1]).to(step.labels.device)
        net = step.classifier.net
        cosines = F.normalize(step.model(step.shown), dim=1) @ captions[step.labels, which].T
        place = step.labels * captions.shape[1] + which
        positive = place[:, None] == place[None]
        scale = net.logit_scale.exp().clamp(max=LARGEST_SCALE)  # type: ignore[operator]
        if self.objective == "info-nce":
            return info_nce(cosines, scale, positive)
        return sigmoid_pairs(cosines, scale, net.logit_bias, positive)  # type: ignore[arg-type]


ImageText.info = Method("image-text", "harden", ImageText, REFERENCE)


def info_nce(similarities: Tensor, scale: Tensor | float, positive: Tensor | None = None) -> Tensor:
    """The mean of the cross-entropies over rows and over columns of `s V W^T`.

    Args:
        similarities: cosines of images and captions, `[N, N]`, a pair on the diagonal.
        scale: s.
        positive: bool `[N, N]`, where images and captions belong together, such as equal captions in a batch: they
            share the target. None for the diagonal.

    Returns:
        A scalar, in nats.

    Source: Radford et al. 2021, arXiv:2103.00020.

    >>> round(float(info_nce(torch.eye(2), 1.0)), 6), abs(round(float(info_nce(torch.eye(2), 100.0)), 6))
    (0.313262, 0.0)
    """
    z = scale * similarities
    same = torch.eye(len(z), device=z.device) if positive is None else positive.to(z)
    rows = F.cross_entropy(z, same / same.sum(1, keepdim=True))
    columns = F.cross_entropy(z.T, same.T / same.T.sum(1, keepdim=True))
    return (rows + columns) / 2


def sigmoid_pairs(
    similarities: Tensor, scale: Tensor | float, bias: Tensor | float, positive: Tensor | None = None
) -> Tensor:
    """Each image and caption on its own: mean over images of `sum_j -log sigmoid(z_ij (s cos_ij + b))`.

    Args:
        similarities: cosines `[N, N]`, a pair on the diagonal.
        scale: s, 10 at the start.
        bias: b, -10 at the start.
        positive: bool `[N, N]`, where z is +1; None for the diagonal. Elsewhere it is -1.

    Returns:
        A scalar, in nats.

    Source: Zhai et al. 2023, arXiv:2303.15343.

    >>> round(float(sigmoid_pairs(torch.ones(1, 1), 10.0, -10.0)), 6)
    0.693147
    """
    same = torch.eye(len(similarities), device=similarities.device) if positive is None else positive.to(similarities)
    return -F.logsigmoid((2 * same - 1) * (scale * similarities + bias)).sum(1).mean()
