"""Backgrounds made anew by a diffusion model around an object that stays, simpler or more complex by guidance."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import ModelError
from unshaken.core.rng import SampleRng
from unshaken.generate.ddpm import DDPM, ddim_step
from unshaken.stress.engine.complexity import complexity
from unshaken.stress.engine.misleading import Push

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
