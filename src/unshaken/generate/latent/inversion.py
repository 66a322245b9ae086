"""Codes of given images: a batch is brought into a generator's latent space by descent, its common shift first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from unshaken.core.descent import rate
from unshaken.core.registry import Parameters
from unshaken.generate.latent.latent_generator import LatentGenerator, check_finite

STAGES = ("start", "shift", "codes", "offset")
"""What is added one after the other."""


class Inversion(Parameters):
    """Options of an inversion: `min |G(w) - x|^2 / D + l_p d(G(w), x) + l_r |w - mean|^2`, w = start + shift + v."""

    steps: PositiveInt = Field(default=300, description="steps of Adam in all")
    lr: PositiveFloat = Field(default=0.05, description="largest learning rate; half a cosine down to 0 in each stage")
    shift: float = Field(
        default=0.25, description="share of the steps for the shift that a batch has in common", ge=0, lt=1
    )
    offset: float = Field(default=0.25, description="share of the steps in which features are offset too", ge=0, lt=1)
    distance: NonNegativeFloat = Field(
        default=0.8, description="l_p, weight of a distance of features, where one is given"
    )
    code: NonNegativeFloat = Field(default=1e-3, description="l_r, weight of the squared distance from the mean code")
    feature: NonNegativeFloat = Field(default=1e-2, description="l_F, weight of the squared offset of features")


@dataclass(frozen=True, slots=True)
class ImageCodes:
    """Codes of images, and the errors that they leave.

    Args:
        codes: `[N, d]`.
        offset: of the features, `[N, ...]`; None where there was no such stage.
        errors: stage to the mean squared error of a pixel of each image after it, `[N]`.
        objectives: stage to what was made small, `[N]`. For no image either rises from stage to stage, but for the
            shift, where that holds of their means.
    """

    codes: Tensor
    offset: Tensor | None
    errors: dict[str, Tensor]
    objectives: dict[str, Tensor]


def invert(
    generator: LatentGenerator,
    images: Tensor,
    settings: Inversion | None = None,
    *,
    start: Tensor | None = None,
    distance: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> ImageCodes:
    """Find the code of each image, and the offset of features that it still needs.

    What is found for an image depends on its batch by the shift alone.

    Args:
        generator: its weights are left as they are.
        images: `[N, C, H, W]` in [0, 1].
        settings: see `Inversion`.
        start: codes `[N, d]` or `[d]` to start from; default those of the encoder, or the mean code.
        distance: of generated and given images, `[N]`, such as a perceptual one.

    Raises:
        ModelError: images are of another size, or the generator gives values that are no finite numbers.
    """
    settings = Inversion() if settings is None else settings
    generator.check_images(images)
    if start is None:
        with torch.no_grad():
            start = generator.encode(images)
    mean = generator.mean_code().to(images)
    first = mean if start is None else start
    origin = check_finite(first.expand(len(images), -1).to(images).detach(), "codes", generator.name)

    def objective(codes: Tensor, offset: Tensor | None) -> tuple[Tensor, Tensor]:
        made = generator.generate(codes, offset)
        error = (made - images).square().flatten(1).mean(1)
        total = error + settings.code * (codes - mean).square().sum(1)
        if distance is not None:
            total = total + settings.distance * distance(made, images)
        if offset is not None:
            total = total + settings.feature * offset.square().flatten(1).sum(1)
        return total, error

    with torch.no_grad():
        best, error = objective(origin, None)
        check_finite(best[:, None], "images", generator.name)
        features = generator.features(origin[:1])
    state = _Best(origin, None, best, error)
    errors, objectives = {"start": state.error}, {"start": state.objective}
    counts = {name: round(settings.steps * getattr(settings, name)) for name in ("shift", "offset")}
    counts["codes"] = max(1, settings.steps - sum(counts.values()))
    for stage in STAGES[1:]:
        if not counts[stage]:
            continue
        if stage == "shift":
            moved = [torch.zeros_like(origin[:1])]
        elif stage == "codes":
            moved = [torch.zeros_like(origin)]
        else:
            moved = [torch.zeros_like(origin), features.new_zeros(len(images), *features.shape[1:])]
        state = _descend(objective, state, moved, counts[stage], settings.lr, together=stage == "shift")
        errors[stage], objectives[stage] = state.error, state.objective
    return ImageCodes(state.codes, state.offset, errors, objectives)


@dataclass(frozen=True, slots=True)
class _Best:
    """The best that was met for each image."""

    codes: Tensor
    offset: Tensor | None
    objective: Tensor
    error: Tensor


def _descend(
    objective: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]], state: _Best, moved: list[Tensor], steps: int,
    lr: float, *, together: bool,
) -> _Best:  # fmt: skip
    """Adam on what is added to the codes, and on the offset of features where there is one.

    Each image keeps the best that it met whose error is not above that before; of a shift, which they share, the batch
    keeps the best.
    """
    origin, found = state.codes, state
    for value in moved:
        value.requires_grad_(True)
    adam = torch.optim.Adam(moved, lr=lr)
    for step in range(steps + 1):
        with torch.enable_grad():
            codes, offset = origin + moved[0], moved[1] if len(moved) > 1 else None
            total, error = objective(codes, offset)
        with torch.no_grad():
            better = (total < found.objective) & (error <= state.error)
            if together:
                both = (total.sum() < found.objective.sum()) & (error.sum() <= state.error.sum())
                better = both.expand(len(total))
            found = _Best(
                torch.where(better[:, None], codes, found.codes),
                None if offset is None else _chosen(better, offset, found.offset),
                torch.where(better, total, found.objective),
                torch.where(better, error, found.error),
            )
        if step < steps:
            slopes = torch.autograd.grad(total, moved, torch.ones_like(total))  # the caller may be under no_grad
            for value, gradient in zip(moved, slopes, strict=True):
                value.grad = gradient
            for group in adam.param_groups:
                group["lr"] = lr * rate(step, steps, 0)
            adam.step()
    return found


def _chosen(better: Tensor, new: Tensor, old: Tensor | None) -> Tensor:
    return torch.where(better.view(-1, *(1,) * (new.ndim - 1)), new, torch.zeros_like(new) if old is None else old)
