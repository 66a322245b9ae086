"""`fit`: train a diffusion model or a VAE on images in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from unshaken.core.descent import descend
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.notebook import facts_card
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Diffusion, Generator
from unshaken.generate.latent.vae import VAE

M = TypeVar("M", bound=Generator, covariant=True)
L = TypeVar("L", bound=Diffusion | VAE)


class Fitting(Parameters):
    """Options of the training of a generative model."""

    steps: PositiveInt = Field(default=2000, description="optimizer steps")
    batch_size: PositiveInt = Field(default=32, description="images of a step")
    lr: PositiveFloat = Field(default=2e-3, description="largest learning rate of AdamW; half a cosine down to 0")
    warmup: NonNegativeInt = Field(default=50, description="steps in which the rate rises to it")
    weight_decay: NonNegativeFloat = Field(default=0.0, description="weight decay of AdamW")
    clip: PositiveFloat = Field(default=1.0, description="largest l2 norm of the gradient")
    ema: float = Field(
        default=0.995, description="largest decay of the average of the weights, which is kept", ge=0, lt=1
    )
    drop_class: float = Field(
        default=0.1, description="share of the labels hidden, so that guidance is possible", ge=0, le=1
    )
    seed: NonNegativeInt = Field(default=0, description="decides order, noise and hidden labels")


@dataclass(frozen=True, slots=True)
class TrainedModel(Generic[M]):
    """A generative model after training.

    Args:
        model: with the averaged weights, in evaluation mode.
        losses: one a step; none for a model that is fitted at once.
    """

    model: M
    losses: tuple[float, ...]

    def _repr_html_(self) -> str:
        ends = {"first loss": f"{self.losses[0]:.4g}", "last loss": f"{self.losses[-1]:.4g}"} if self.losses else {}
        return facts_card(f"Trained {type(self.model).__name__}", {"steps": f"{len(self.losses):,}", **ends})


def fit(model: L, images: Tensor, labels: Tensor | None = None, fitting: Fitting | None = None) -> TrainedModel[L]:
    """Train a diffusion model or a VAE; the same arguments give the same weights on a CPU.

    Args:
        model: as it starts; trained in place, on its device.
        images: uint8 `[N, C, H, W]`, all in memory.
        labels: int64 `[N]`, where the model has classes.
        fitting: how long and how fast.

    Returns:
        The same model with the average of its weights over the steps.

    Raises:
        ModelError: images are of another size or number of channels.
        DataError: there is no image, or images are no bytes.
        ParameterError: labels are missing, or there is no such class.
        RunError: the loss is no number any more.
    """
    fitting = Fitting() if fitting is None else fitting
    if images.dtype != torch.uint8 or not len(images):
        raise DataError(f"images to learn from must be uint8 [N, C, H, W], not {images.dtype} of {tuple(images.shape)}")
    model.check(images, labels)
    if model.classes and labels is None:
        raise ParameterError(f"this {model.kind} model has {model.classes} classes: give labels")
    model.train()
    device = device_of(model)
    weights: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    average = [w.detach().clone() for w in weights]

    def loss(rows: Tensor, rng: SampleRng) -> Tensor:
        x = images[rows].to(device).float() / 127.5 - 1
        shown = None
        if labels is not None:  # a share of the labels becomes "no class"
            dropped = rng.fold("class").uniform() < fitting.drop_class
            shown = torch.where(dropped, model.classes, labels[rows]).to(device)
        return model.loss(x, rng.to(device), shown).mean()

    @torch.no_grad()
    def average_weights(step: int) -> None:
        torch._foreach_lerp_(average, weights, 1 - min(fitting.ema, (1 + step) / (10 + step)))

    losses = descend(
        torch.optim.AdamW(weights, lr=fitting.lr, weight_decay=fitting.weight_decay), loss, len(images),
        steps=fitting.steps, batch_size=fitting.batch_size, seed=fitting.seed, name="generate", order="generate-order",
        title=f"fitting {model.kind}", warmup=fitting.warmup, clip=fitting.clip, after_step=average_weights,
    )  # fmt: skip
    with torch.no_grad():
        torch._foreach_copy_(weights, average)
    model.eval()
    return TrainedModel(model, tuple(losses))
