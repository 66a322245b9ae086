"""SwAV: pretraining by clusters, each crop of an image predicts the cluster of another; also for uneven clusters.

Source: Caron et al. 2020, arXiv:2006.09882; Cuturi 2013, arXiv:1306.0895.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import UNFIT_INPUT, ParameterError
from unshaken.core.registry import register
from unshaken.core.texts import first_line
from unshaken.harden.engine.projection import ProjectionNet, attach_projector, outputs
from unshaken.harden.engine.recipe import Epoch, Setup, Step
from unshaken.harden.engine.strong_views import ViewSettings, strong_view
from unshaken.harden.recipes.pretraining.simclr import ContrastivePretraining


def power_law(count: int, alpha: float) -> Tensor:
    """Shares in proportion to `1 / (k + 1)^alpha`, k from 0: how many samples each prototype is to have.

    Args:
        count: number of prototypes K.
        alpha: 0 for equal shares; larger for fewer, larger clusters.

    Returns:
        float64 `[K]`, of sum 1.

    >>> [round(share, 2) for share in power_law(4, 1.0).tolist()]
    [0.48, 0.24, 0.16, 0.12]
    """
    shares = torch.arange(1, count + 1, dtype=torch.float64) ** -alpha
    return shares / shares.sum()


@torch.no_grad()
def sinkhorn_codes(scores: Tensor, *, eps: float = 0.05, iterations: int = 3, shares: Tensor | None = None) -> Tensor:
    """Codes q of samples: nearest to `softmax(scores / eps)` such that prototype k has the share r_k of all samples.

    Each iteration first scales the prototypes to their shares, then the samples to equal weight. It is done with
    logarithms, so that no exponential overflows. A few iterations come near the shares and do not reach them.

    Args:
        scores: s `[B, K]`, cosines of samples with prototypes; no gradient passes.
        eps: the smaller, the nearer to hard assignments; above 0.
        iterations: at least 1.
        shares: r `[K]`, of sum 1; None for `1/K` each.

    Returns:
        float32 `[B, K]`, rows of sum 1.

    Raises:
        ParameterError: eps or iterations are out of range, or scores are not `[B, K]` with one sample at least.

    >>> sinkhorn_codes(torch.tensor([[0.9, 0.1], [0.2, 0.6]]), iterations=100).round(decimals=3).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if not eps > 0 or iterations < 1:
        raise ParameterError(f"eps must be above 0 and iterations at least 1, not {eps} and {iterations}")
    if scores.ndim != 2 or not scores.numel():
        raise ParameterError(f"scores must be [B, K] with at least one sample and prototype, not {tuple(scores.shape)}")
    logs = scores.float() / eps
    logs = logs - logs.amax()
    wanted: float | Tensor = -math.log(scores.shape[1]) if shares is None else shares.log().to(logs)
    for _ in range(iterations):
        logs = logs - logs.logsumexp(0, keepdim=True) + wanted
        logs = logs - logs.logsumexp(1, keepdim=True)  # of sum 1 in place of 1/B: a factor that the next step takes out
    return logs.exp()


def code_entropy(codes: Tensor) -> tuple[float, float]:
    """Entropy of the mean code, and the mean entropy of a code, in nats.

    The first is `ln K` where prototypes share the samples equally. Both are where all samples look alike: training has
    collapsed. It goes well where the first is high and the second is low.

    Args:
        codes: `[B, K]`, rows of sum 1.
    """
    return float(torch.special.entr(codes.mean(0)).sum()), float(torch.special.entr(codes).sum(1).mean())


class PrototypeHead(nn.Module):
    """From features `[N, D]` to the embedding z, of length 1, and its cosines with K prototypes: `[N, d + K]`.

    Prototypes are scaled to length 1 by `normalise` after each optimizer step, not in the forward pass.

    Args:
        width: D.
        hidden: units of the hidden layer; 0 for one linear layer alone.
        embedded: d.
        prototypes: K.
        norm: whether batch norm follows the hidden layer.
    """

    def __init__(self, width: int, *, hidden: int, embedded: int, prototypes: int, norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(hidden or width, embedded)]
        if hidden:
            between = [nn.BatchNorm1d(hidden)] if norm else []
            layers = [nn.Linear(width, hidden), *between, nn.ReLU(inplace=True), *layers]
        self.project = nn.Sequential(*layers)
        self.embedded = embedded
        self.prototypes = nn.Parameter(F.normalize(torch.randn(prototypes, embedded), dim=1))
        self.frozen = False

    @override
    def forward(self, features: Tensor) -> Tensor:
        embedding = F.normalize(cast(Tensor, self.project(features)).float(), dim=1)
        weight = self.prototypes.detach() + 0 * self.prototypes if self.frozen else self.prototypes
        with torch.autocast(features.device.type, enabled=False):
            return torch.cat([embedding, embedding @ weight.float().T], 1)

    @torch.no_grad()
    def normalise(self) -> None:
        """Scale the prototypes to length 1."""
        self.prototypes.copy_(F.normalize(self.prototypes, dim=1))


BIG = 2
"""Crops that codes are computed of."""
QUEUE, WRITTEN, COUNTS, USAGE, PROTOTYPES = "queue", "written", "counts", "usage", "prototypes"


def swapped_loss(scores: Sequence[Tensor], codes: Sequence[Tensor], tau: float = 0.1) -> Tensor:
    """The mean over crops t with a code and over all other crops p of `-sum_k q_t[k] log softmax(s_p / tau)[k]`.

    Args:
        scores: s of each crop, `[B, K]`; those with a code come first.
        codes: q of the first crops, `[B, K]`; no gradient passes to them.
        tau: temperature.

    Returns:
        A scalar in nats: `ln K` where codes and predictions are uniform. It does not depend on the number of crops.
    """
    logs = [torch.log_softmax(s.float() / tau, 1) for s in scores]
    terms = [
        -(code.detach() * log).sum(1).mean()
        for t, code in enumerate(codes)
        for p, log in enumerate(logs)
        if p != t
    ]  # fmt: skip
    return torch.stack(terms).mean()


@register("swav", reference="Caron et al. 2020, arXiv:2006.09882; Goyal et al. 2022, arXiv:2202.08360")
class SwAV(ContrastivePretraining):
    """SwAV pretraining: crops of an image predict each other's cluster; needs no labels, and `alpha` is for long tails.

    Two large crops get codes, by the Sinkhorn algorithm in a process's own batch; each is predicted from all other
    crops, the small ones included. With fewer images in a batch than prototypes, embeddings of past batches are queued
    and share the prototypes. Head and prototypes leave after the last step; fine-tune what comes out, or probe its
    features. Give `select=last` where the data has labels.
    """

    norm: bool = Field(default=True, description="whether batch norm follows the projection head's hidden layer")
    prototypes: int = Field(
        default=64, ge=2, le=1 << 20, description="number of clusters K; 3000 is usual for ImageNet"
    )
    temperature: PositiveFloat = Field(default=0.1, description="temperature of the predictions")
    eps: PositiveFloat = Field(default=0.05, description="smoothness of the codes; small ones are nearly hard")
    sinkhorn_iterations: PositiveInt = Field(default=3, description="iterations of the Sinkhorn algorithm")
    alpha: NonNegativeFloat = Field(
        default=0.0, description="exponent of the clusters' sizes, 1 / (k + 1)^alpha; 0 for equal sizes"
    )
    small: NonNegativeInt = Field(default=2, description="small crops of an image; 6 is usual for ImageNet")
    scale: float = Field(
        default=0.5, gt=0, le=1, description="side of a small crop over that of the image; 96/224 is usual"
    )
    area: float = Field(
        default=0.14, gt=0, lt=1, description="smallest share of the image in a large crop, and largest in a small one"
    )
    small_area: float = Field(default=0.05, gt=0, lt=1, description="smallest share of the image in a small crop")
    queue: NonNegativeInt | None = Field(
        default=None,
        description="embeddings in the queue; default: twice the prototypes where a batch is smaller, else none",
    )
    frozen: NonNegativeInt = Field(default=1, description="first epochs in which prototypes do not change")
    hard: NonNegativeInt = Field(default=0, description="first epochs in which codes are the largest entry alone")

    @model_validator(mode="after")
    def _ordered(self) -> SwAV:
        if self.small_area > self.area:
            raise ValueError("small_area must not be larger than area, the largest share in a small crop")
        return self

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        build = partial(
            PrototypeHead, hidden=self.hidden, embedded=self.projected, prototypes=self.prototypes, norm=self.norm
        )
        return attach_projector(model, build, self.projected + self.prototypes, self.seed)

    @override
    def begin(self, setup: Setup) -> None:
        super().begin(setup)
        net = cast(ProjectionNet, setup.model.net)
        size = self._small_size(setup.images)
        if self.small and size != setup.images.shape[2:]:
            shape = setup.images.new_zeros(2, setup.images.shape[1], *size)
            try:
                with torch.no_grad(), net.giving("features"):
                    setup.model(shape)
            except UNFIT_INPUT as error:
                raise ParameterError(
                    f"swav: model {setup.model.name!r} does not take crops of {size[0]} x {size[1]} pixels "
                    f"({first_line(error)}): give small=0, scale=1, or a network that pools over places"
                ) from None
        length = self.queue
        if length is None:
            length = 2 * self.prototypes if setup.batch < self.prototypes else 0
        device = setup.images.device
        setup.memory[QUEUE] = torch.zeros(BIG, length, self.projected, device=device)
        setup.memory[WRITTEN] = torch.zeros((), dtype=torch.int64)
        setup.memory[COUNTS] = torch.zeros(self.prototypes, dtype=torch.int64, device=device)

    def crops(self, step: Step) -> tuple[Tensor, Tensor | None]:
        """Two large crops of each image, `[2 B, C, H, W]`, and the small ones, `[m B, C, h, w]`, crop by crop."""
        rng, images = step.rng.fold(self.info.name), step.images
        colours = (0.8, (0.8, 0.8, 0.8, 0.2), 0.2, 0.5, 0.0)
        large, little = ViewSettings(self.area, *colours), ViewSettings(self.small_area, *colours, most=self.area)
        big = [strong_view(images, large, rng.fold(f"big{i}"), self.mirror) for i in range(BIG)]
        size = self._small_size(images)
        small = [strong_view(images, little, rng.fold(f"small{i}"), self.mirror, size) for i in range(self.small)]
        return torch.cat(big), torch.cat(small) if small else None

    @override
    def loss(self, step: Step) -> Tensor:
        n, memory = len(step.images), step.memory[self.info.name]
        if n < 2:
            raise ParameterError("swav: a batch of 1 image gives uniform codes and teaches nothing: give batch_size 2+")
        head = _head(step.classifier)
        head.frozen = step.epoch < self.frozen
        if head.frozen:
            step.extra[PROTOTYPES] = head.prototypes.detach().clone()
        big, small = self.crops(step)
        (found,) = outputs(step, big, "projection")
        embeddings, scores = torch.split(found, [self.projected, self.prototypes], 1)
        parts = list(scores.chunk(BIG))
        step.extra[QUEUE] = embeddings.detach().view(BIG, n, -1)
        codes = [self._codes(part, memory, head, t, step.epoch) for t, part in enumerate(parts)]
        if small is not None:
            (more,) = outputs(step, small, "projection")
            parts += more[:, self.projected :].chunk(self.small)
        step.extra[COUNTS] = torch.stack(codes).argmax(2).flatten()
        step.figures["mean_code_entropy"], step.figures["code_entropy"] = code_entropy(torch.cat(codes))
        return swapped_loss(parts, codes, self.temperature)

    def _codes(self, scores: Tensor, memory: dict[str, Tensor], head: PrototypeHead, crop: int, epoch: int) -> Tensor:
        """Codes of a large crop, `[B, K]`; the queue, once it is full, shares the prototypes."""
        queue = memory[QUEUE][crop]
        whole = scores.detach().float()
        if len(queue) and int(memory[WRITTEN]) >= len(queue):
            whole = torch.cat([whole, queue @ head.prototypes.detach().float().T])
        shares = power_law(self.prototypes, self.alpha) if self.alpha else None
        codes = sinkhorn_codes(whole, eps=self.eps, iterations=self.sinkhorn_iterations, shares=shares)[: len(scores)]
        if epoch < self.hard:
            codes = torch.zeros_like(codes).scatter_(1, codes.argmax(1, keepdim=True), 1.0)
        return codes

    @override
    def after_step(self, step: Step) -> None:
        memory, head = step.memory[self.info.name], _head(step.classifier)
        if PROTOTYPES in step.extra:
            with torch.no_grad():
                head.prototypes.copy_(step.extra[PROTOTYPES])
        head.normalise()
        memory[COUNTS] += torch.bincount(step.extra[COUNTS], minlength=self.prototypes)
        if length := memory[QUEUE].shape[1]:
            new, start = step.extra[QUEUE][:, :length], int(memory[WRITTEN])
            places = torch.arange(start, start + new.shape[1], device=new.device) % length
            memory[QUEUE][:, places] = new
            memory[WRITTEN] += new.shape[1]

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        memory = epoch.memory
        memory[USAGE], memory[PROTOTYPES] = memory[COUNTS].clone(), _head(epoch.model).prototypes.detach().clone()
        epoch.figures["prototypes_used"] = float((memory[USAGE] > 0).sum())
        memory[COUNTS] = torch.zeros_like(memory[COUNTS])

    def _small_size(self, images: Tensor) -> tuple[int, int]:
        height, width = (max(1, round(self.scale * side)) for side in images.shape[2:])
        return height, width


def _head(model: Classifier) -> PrototypeHead:
    return cast(PrototypeHead, cast(ProjectionNet, model.net).projector)
