"""Seams of a texture in closed form: no network, and a gradient for both."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def seam_ratios(textures: Tensor) -> Tensor:
    """How much larger the step over each seam is than the steps inside: q of rows and of columns.

    `mean |x[first] - x[last]| / mean |x[i + 1] - x[i]|`; about 1 for a texture that tiles. Far below 1 is a fault,
    too: the border stands twice. A texture without any step has 1.

    Args:
        textures: `[N, C, H, W]`.

    Returns:
        `[N, 2]`, over the horizontal seam and over the vertical one.

    >>> ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    >>> [round(q, 4) for q in seam_ratios(ramp)[0].tolist()]
    [1.0, 7.0]
    """
    ratios = []
    for dim in (2, 3):
        last = textures.shape[dim] - 1
        over = (textures.narrow(dim, 0, 1) - textures.narrow(dim, last, 1)).abs().flatten(1).mean(1)
        inside = textures.diff(dim=dim).abs().flatten(1).mean(1)
        flat = inside == 0
        ratios.append(torch.where(flat, torch.where(over == 0, 1.0, torch.inf), over / inside.masked_fill(flat, 1)))
    return torch.stack(ratios, 1)


def seam_fault(textures: Tensor) -> Tensor:
    """The larger `|ln q|` of a texture's two seam ratios, `[N]`: 0 where no seam stands out, infinite where q is 0."""
    return seam_ratios(textures).log().abs().amax(1)


def seam_excess(textures: Tensor) -> Tensor:
    """How far the mean step over each seam lies above those between other lines, in standard deviations of these.

    About 0 for a texture that tiles, whatever edges it has of its own; far below 0 where the border stands twice.

    Args:
        textures: `[N, C, H, W]`, at least 3 pixels each way.

    Returns:
        `[N, 2]`, over the horizontal seam and over the vertical one; 0 for a texture of one colour, infinite where all
        other steps are alike and the one over the seam is not.

    >>> steps_1_2_1_and_4_over_the_seam = torch.tensor([0.0, 1.0, 3.0, 4.0]).expand(1, 1, 4, 4)
    >>> [round(z, 3) for z in seam_excess(steps_1_2_1_and_4_over_the_seam)[0].tolist()]
    [0.0, 5.657]
    """
    found = []
    for dim in (2, 3):
        lines = (textures - textures.roll(1, dim)).abs().mean([d for d in (1, 2, 3) if d != dim])
        inside = lines[:, 1:]
        apart, spread = lines[:, 0] - inside.mean(1), inside.std(1, correction=0)
        found.append(torch.where(apart == 0, 0.0, apart / spread))
    return torch.stack(found, 1)


def smooth_part(textures: Tensor) -> Tensor:
    """The smooth part s of Moisan's split of an image into one that repeats and one with the jump at its border.

    Args:
        textures: `[N, C, H, W]`.

    Returns:
        The same shape, of mean 0; `x - s` has next to no seam.

    Source: Moisan 2011, doi:10.1007/s10851-010-0227-1.
    """
    height, width = textures.shape[2:]
    down, across = textures[:, :, -1:] - textures[:, :, :1], textures[..., -1:] - textures[..., :1]
    jump = torch.cat([down, down.new_zeros(*down.shape[:2], height - 2, width), -down], 2)
    jump = jump + torch.cat([across, across.new_zeros(*across.shape[:3], width - 2), -across], 3)
    rows, columns = (
        2 * torch.cos(2 * math.pi * torch.arange(size, dtype=textures.dtype, device=textures.device) / size)
        for size in (height, width)
    )
    factor = rows[:, None] + columns[None] - 4
    factor[0, 0] = 1
    spectrum = torch.fft.fft2(jump) / factor
    spectrum = spectrum * (torch.arange(height * width, device=textures.device).view(height, width) > 0)
    found: Tensor = torch.fft.ifft2(spectrum).real
    return found


def border_energy(textures: Tensor) -> Tensor:
    """The share of a texture's variance that the jump at its border makes: `sum s^2 / sum (x - mean)^2`.

    Args:
        textures: `[N, C, H, W]`.

    Returns:
        `[N]`, at least 0; 0 for a constant one.
    """
    spread = (textures - textures.mean((2, 3), keepdim=True)).square().flatten(1).sum(1)
    energy = smooth_part(textures).square().flatten(1).sum(1)
    rounding = 32 * torch.finfo(textures.dtype).eps * textures.abs().flatten(1).amax(1)
    constant = spread <= textures[0].numel() * rounding.square()  # what is left of one colour is rounding alone
    return torch.where(constant, 0.0, energy / spread.masked_fill(constant, 1.0))
