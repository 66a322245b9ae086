"""A background of more or less complexity."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.generate.ddpm import DDPM
from unshaken.generate.saved import load_diffusers, load_generator
from unshaken.stress.engine.attribute_edit import REFERENCE, BackgroundEdit
from unshaken.stress.engine.background_diffusion import TIMESTEPS, blend_by_diffusion
from unshaken.stress.engine.complexity import climb_complexity
from unshaken.stress.engine.misleading import Push

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
        20.0, description="lambda at severity 2, half of it at 1 and half more at 3; below 0 for simpler backgrounds"
    )
    generator: str = Field(
        "", description="saved ddpm model, or diffusers:FOLDER; empty for gradient steps on pixels in its place"
    )
    steps: PositiveInt = Field(25, description="diffusion steps of 100, or gradient steps", le=TIMESTEPS)

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
