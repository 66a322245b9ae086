"""A background of more or less complexity."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.generate.ddpm import DDPM, ddim_step
from unshaken.generate.saved import load_diffusers, load_generator
from unshaken.stress.engine.attribute_edit import REFERENCE, BackgroundEdit
from unshaken.stress.engine.complexity import Push, climb_complexity, complexity

RANGE_PENALTY = 50.0
"""Weight of what a prediction has outside of [-1, 1], as in the authors' program."""
TIMESTEPS = 100
"""Timesteps to which the chain is thinned out, of which the last few are run."""


def blend_by_diffusion(
    model: DDPM,
    backgrounds: Tensor,
    objects: Tensor,
    masks: Tensor,
    rng: SampleRng,
    *,
    steps: int,
    guidance: float,
    push: Push | None = None,
) -> Tensor:
    """Backgrounds that a diffusion model makes around objects.

    Noise of the first of `steps` timesteps, of 100 in the chain, is added to the background. After each step back, the
    object's region is overwritten by the equally noised object. The mean of each step moves by its variance times the
    gradient of `guidance C(z) - 50 mean (x - clip x)^2`, z being the predicted picture x in [0, 1].

    Args:
        model: its images may have another size; backgrounds are made at its size and enlarged.
        backgrounds: float32 `[N, C, H, W]` in [0, 1], without their objects.
        objects: likewise, shown where the masks are true.
        masks: bool `[N, 1, H, W]`.
        rng: of these samples.
        steps: of `TIMESTEPS`, at least 1.
        guidance: lambda; above 0 the background becomes more complex, below 0 simpler, at 0 it is only made anew.
        push: a direction, from predicted pictures in [0, 1], that the mean of each step follows besides; it is not
            taken through the diffusion model.

    Returns:
        Backgrounds `[N, C, H, W]` in [0, 1]; what they show inside of the masks is not to be shown.

    Raises:
        ModelError: the model makes images of another number of channels.

    Source: Li et al. 2023, arXiv:2303.17096.
    """
    channels, *size = model.image
    if channels != backgrounds.shape[1]:
        raise ModelError(f"the diffusion model makes images of {channels} channels, not of {backgrounds.shape[1]}")
    start, x_o = (2 * F.interpolate(x, size, mode="bilinear", antialias=True) - 1 for x in (backgrounds, objects))
    m = F.interpolate(masks.to(x_o.dtype), size, mode="nearest-exact")
    chain = torch.linspace(len(model.alpha_bar) - 1, 0, TIMESTEPS, dtype=torch.float64).round().int().tolist()
    timesteps = chain[-steps:]
    x_t = model.noised(start, timesteps[0], rng.fold("start").normal(*model.image))
    for t, s in pairwise(timesteps):
        a_t, a_s = float(model.alpha_bar[t]), float(model.alpha_bar[s])
        variance = (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
        x, slope = _prediction(model, x_t, t, guidance)
        if push is not None:
            slope = slope + push((x + 1) / 2) / 2  # by x, which is twice as wide
        noise = rng.fold(t).normal(*model.image)
        x_t = ddim_step(x_t, x, a_t, a_s, noise, eta=1.0) + variance * slope
        x_t = x_t * (1 - m) + model.noised(x_o, s, rng.fold("object").fold(s).normal(*model.image)) * m
    made = (model.predict(x_t, timesteps[-1]) + 1) / 2
    return F.interpolate(made, backgrounds.shape[2:], mode="bilinear", antialias=True).clamp(0, 1)


def _prediction(model: DDPM, x_t: Tensor, t: int, guidance: float) -> tuple[Tensor, Tensor]:
    """The predicted picture, clipped, and the gradient of the objective by `x_t`, both `[N, C, H, W]`."""
    if guidance == 0:
        return model.predict(x_t, t), torch.zeros_like(x_t)
    with torch.enable_grad():
        point = x_t.detach().requires_grad_()
        x = model.predict(point, t, clip=False)
        clipped = x.clamp(-1, 1)
        beyond = (x - clipped).square().mean((1, 2, 3))
        objective = guidance * complexity((x + 1) / 2) - RANGE_PENALTY * beyond
        (slope,) = torch.autograd.grad(objective.sum(), point)
    return clipped.detach(), slope.detach()


DIFFUSERS = "diffusers:"
GROWTH = (0.5, 1.0, 1.5)
"""Share of the guidance at severities 1 to 3; the benchmark has that of severity 2."""
CHANGE = 0.01
"""Without a diffusion model, how much complexity changes for each unit of guidance, as a share of it."""


@register("background-complexity", reference=REFERENCE, group="attributes")
class BackgroundComplexity(BackgroundEdit):
    """Make the background more complex (guidance above 0) or simpler (below 0) by the mean magnitude of its spectrum.

    With a generator it is made anew by diffusion around the object, under guidance. Without one, gradient steps on the
    pixels of the background are a stand-in, whose images are less natural.
    """

    severities: ClassVar[tuple[int, ...]] = (1, 2, 3)

    guidance: float = Field(
        default=20.0,
        description="lambda at severity 2, half of it at 1 and half more at 3; below 0 for simpler backgrounds",
    )
    generator: str = Field(
        default="", description="saved ddpm model, or diffusers:FOLDER; empty for gradient steps on pixels in its place"
    )
    steps: PositiveInt = Field(default=25, description="diffusion steps of 100, or gradient steps", le=TIMESTEPS)

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        generator = self.generator.removeprefix(DIFFUSERS)
        return (*super().further_files, *([generator] if generator else []))

    @override
    def behind(self, images: Tensor, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        growth, filled = GROWTH[severity - 1], self.backgrounds(images, masks)
        rows = [slice(i, i + 1) for i in range(len(images))]
        if not self.generator:
            change = CHANGE * self.guidance * growth
            made = [climb_complexity(images[r], masks[r], change, self.steps, self.push(images[r], 1.0)) for r in rows]
            return torch.cat(made)
        model = self.once("generator", lambda: load_ddpm(self.generator)).to(images.device)
        made = [
            blend_by_diffusion(
                model, filled[r], images[r], masks[r], rng[r],
                steps=self.steps, guidance=self.guidance * growth, push=self.push(images[r], growth),
            )
            for r in rows
        ]  # fmt: skip
        return torch.cat(made)

    def push(self, image: Tensor, growth: float) -> Push | None:
        """A direction that backgrounds follow besides; None for complexity alone.

        Args:
            image: `[1, C, H, W]` in [0, 1].
            growth: share of the guidance at this severity.
        """
        return None


def load_ddpm(generator: str) -> DDPM:
    """The DDPM that a file holds, or a folder of diffusers after `diffusers:`.

    Raises:
        ModelError: it is absent, or another kind of model.
    """
    if generator.startswith(DIFFUSERS):
        return load_diffusers(Path(generator.removeprefix(DIFFUSERS)))
    model = load_generator(Path(generator))
    if not isinstance(model, DDPM):
        raise ModelError(f"generator {generator!r} is a model of the kind {model.kind}: give one of the kind ddpm")
    return model
