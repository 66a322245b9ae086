"""Corruptions: learn from images with the common corruptions, each image with one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method, list_methods, register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.measure import BENCHMARK
from unshaken.stress.engine.base import Corruption


def corrupted(
    images: Tensor, stressors: Sequence[Corruption], chosen: Tensor, severity: Tensor, rng: SampleRng
) -> Tensor:
    """Images, each changed by one corruption.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        stressors: M corruptions.
        chosen: int64 `[N]`: the place in `stressors`; an image with -1 stays as it is.
        severity: int64 `[N]`; the images of a corruption share that of the first of them, for a pass over one image is
            hardly quicker than one over ten.
        rng: one stream a sample.

    Returns:
        The same shape, in [0, 1]; `images` is left as it is.
    """
    found = images.clone()
    order = chosen.argsort(stable=True)
    counts = torch.bincount(chosen + 1, minlength=len(stressors) + 1).tolist()
    for place, rows in enumerate(torch.split(order, counts), -1):
        if place >= 0 and len(rows):
            changed = stressors[place].run(images[rows].contiguous(), int(severity[rows[0]]), rng[rows])
            found[rows] = changed.to(found)
    return found


Severity = Annotated[int, Field(ge=1, le=5)]


@register("corruptions", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261")
class Corruptions(Recipe):
    """Training on corruptions: each image gets a random one of the corruptions named, or stays clean.

    In a batch the images of one corruption share a severity. Judge what is learned on corruptions that are
    not named here: those named say nothing of the unforeseen.
    """

    names: tuple[str, ...] = Field(
        default=("all",), description="corruptions of the room stress; all: the 15 of ImageNet-C", min_length=1
    )
    severities: tuple[Severity, ...] = Field(
        default=(1, 2, 3, 4, 5), description="severities to draw from", min_length=1
    )
    clean: float = Field(
        default=0.0, ge=0, le=1, description="share of the images that stay as they are, each by its own draw"
    )
    preset: Literal["auto", "imagenet", "cifar", "tiny"] = Field(
        default="auto", description="table of strengths; auto: by size"
    )

    @field_validator("names")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            _corruptions(names, "auto")
        except ParameterError as error:
            raise ValueError(str(error)) from None
        return names

    def stressors(self) -> list[Corruption]:
        """The corruptions that are named."""
        return _corruptions(self.names, self.preset)

    @torch.no_grad()
    @override
    def augment(self, step: Step) -> None:
        stressors, rng = self.stressors(), step.rng.fold("corruptions")
        draws = rng.fold("choice").fresh(3)
        chosen = (draws[:, 0] * len(stressors)).long().clamp_(max=len(stressors) - 1)
        chosen[draws[:, 1] < self.clean] = -1
        severities = torch.tensor(self.severities, device=draws.device)
        severity = severities[(draws[:, 2] * len(severities)).long().clamp_(max=len(severities) - 1)]
        step.images = corrupted(step.images, stressors, chosen, severity, rng)


def _corruptions(names: tuple[str, ...], preset: str) -> list[Corruption]:
    if names == ("all",):
        methods = [m for m in list_methods("stress") if m.name in BENCHMARK]
    else:
        methods = [find_method(name, "stress") for name in names]
        if odd := [m.name for m in methods if not issubclass(m.cls, Corruption)]:
            raise ParameterError(f"{odd[0]!r} is no common corruption")
    return [m.cls(preset=preset) for m in methods]
