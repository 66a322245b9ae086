"""`Training`: how long, how fast and how checked. What is learned is the recipes' matter."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, TypedDict, Unpack

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import nn

from unshaken.core.registry import Parameters

Schedule = Literal["one-cycle", "cosine", "linear", "step", "cyclic", "constant"]


class Training(Parameters):
    """Options of the loop that every recipe shares."""

    epochs: PositiveInt = Field(default=10, description="passes over the training images")
    batch_size: PositiveInt = Field(default=128, description="images of an optimizer step, over all processes")
    lr: PositiveFloat = Field(default=0.1, description="largest learning rate")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(default="sgd", description="sgd has the momentum below")
    momentum: NonNegativeFloat = Field(default=0.9, description="momentum of sgd")
    nesterov: bool = Field(default=False, description="Nesterov's momentum, of sgd")
    weight_decay: NonNegativeFloat = Field(default=5e-4, description="weight decay of the optimizer")
    decay_norms: bool = Field(default=True, description="whether weight decay reaches biases and norms too")
    schedule: Schedule = Field(default="one-cycle", description="learning rate over the run; see rate")
    warmup: NonNegativeFloat = Field(default=0.25, description="share of the run in which one-cycle rises", le=1)
    milestones: tuple[float, ...] = Field(
        default=(0.5, 0.75), description="shares of the run at which step divides by 10"
    )
    smoothing: NonNegativeFloat = Field(default=0.0, description="label smoothing of the plain cross-entropy", lt=1)
    clip: PositiveFloat | None = Field(default=None, description="largest l2 norm of the gradient; None for any")
    held_out: PositiveInt = Field(
        default=1000, description="images kept apart to choose the checkpoint, at most a fifth"
    )
    check_images: PositiveInt = Field(
        default=512, description="number of held-out images that are attacked after an epoch"
    )
    check_steps: PositiveInt = Field(default=10, description="PGD steps of that attack")
    check_every: PositiveInt = Field(default=1, description="epochs between checks")
    select: Literal["auto", "robust", "clean", "last"] = Field(
        default="auto",
        description="held-out accuracy that chooses the checkpoint; auto: robust where a recipe has a threat",
    )
    max_clean_loss: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="largest loss of held-out accuracy, against the starting weights, of what is kept",
    )
    patience: PositiveInt | None = Field(default=None, description="checks without a better one after which to stop")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="precision of the training passes")
    inner_precision: Literal["fp32", "bf16"] = Field(default="fp32", description="precision of the inner search")
    channels_last: bool = Field(default=True, description="memory format of images and weights")
    folded: bool = Field(default=True, description="search a copy with batch norms folded, equal but for rounding")
    save_every: PositiveInt = Field(
        default=200, le=10**12, description="optimizer steps between checkpoints of the state"
    )
    seed: NonNegativeInt = Field(default=0, description="decides weights, order, split and all that is drawn")

    @model_validator(mode="after")
    def _fits(self) -> Training:
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov is for sgd with a momentum above 0")
        if any(not 0 < m < 1 for m in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise ValueError("milestones are rising shares of the run, between 0 and 1")
        return self


class TrainingOptions(TypedDict, total=False):
    """Names and types of `Training` as keywords, for type checkers, which derive neither from the other.

    Defaults, bounds and descriptions are those of `Training`; a test compares names and types.
    """

    epochs: int
    batch_size: int
    lr: float
    optimizer: Literal["sgd", "adam", "adamw"]
    momentum: float
    nesterov: bool
    weight_decay: float
    decay_norms: bool
    schedule: Schedule
    warmup: float
    milestones: tuple[float, ...]
    smoothing: float
    clip: float | None
    held_out: int
    check_images: int
    check_steps: int
    check_every: int
    select: Literal["auto", "robust", "clean", "last"]
    max_clean_loss: float | None
    patience: int | None
    precision: Literal["fp32", "bf16"]
    inner_precision: Literal["fp32", "bf16"]
    channels_last: bool
    folded: bool
    save_every: int
    seed: int


def training_of(size: int, updates: int, **options: Unpack[TrainingOptions]) -> Training:
    """A training of a number of optimizer steps, however many images the set has, that takes its last weights.

    It has whole epochs, one at least, and holds one image apart.

    Args:
        size: images of the set.
        updates: optimizer steps.
        options: others of `Training`.

    >>> [training_of(size, 600, batch_size=128).epochs for size in (100, 250, 1000, 200_000)]
    [600, 600, 86, 1]
    """
    given = Training(**options)
    epochs = max(1, round(updates / max(1, (size - 1) // given.batch_size)))
    return given.model_copy(update={"epochs": epochs, "check_every": epochs, "held_out": 1, "select": "last"})


def rate(share: float, schedule: Schedule, *, warmup: float = 0.25, milestones: Iterable[float] = (0.5, 0.75)) -> float:
    """The learning rate at a share of the run, as a share of the largest.

    one-cycle: linear up for `warmup`, then half a cosine down to 0. cyclic: linear up to the middle, then down.

    Args:
        share: of the run that is done, in [0, 1].
        schedule: its name.
        warmup: share in which one-cycle rises.
        milestones: shares at which step divides by 10.

    >>> [round(0.2 * rate(e / 15, "cyclic"), 3) for e in (0, 3.75, 7.5, 11.25, 15)]
    [0.0, 0.1, 0.2, 0.1, 0.0]
    """
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return math.prod(0.1 for m in milestones if share >= m)
    if schedule == "linear":
        return 1 - share
    if schedule == "cyclic":
        return 2 * min(share, 1 - share)
    if schedule == "one-cycle" and share < warmup:
        return share / warmup
    start = warmup if schedule == "one-cycle" else 0.0
    return 0.5 * (1 + math.cos(math.pi * (share - start) / max(1 - start, 1e-12)))


def build_optimizer(net: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The optimizer of all weights that want a gradient; without `decay_norms`, biases and norms decay by nothing."""
    weights = [p for p in net.parameters() if p.requires_grad]
    decay = training.weight_decay
    groups = [{"params": weights, "weight_decay": decay}]
    if not training.decay_norms:
        groups = [
            {"params": [p for p in weights if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in weights if p.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [g for g in groups if g["params"]]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=training.lr, momentum=training.momentum, nesterov=training.nesterov)
    build = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
    return build(groups, lr=training.lr)
