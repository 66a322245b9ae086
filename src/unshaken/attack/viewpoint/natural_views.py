"""Natural views: those of usual photos. What accuracy under other views is compared with."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unshaken.attack.viewpoint.random_views import UniformViews
from unshaken.core.registry import register


@register("natural-views", reference="Ruan et al. 2023, arXiv:2307.10235")
class NaturalViews(UniformViews):
    """Natural views: shows an object as photos do, from the front half and 10 to 30 degrees above the horizon."""

    region: Literal["natural", "upright", "whole"] = Field(default="natural", description="box of viewpoints")
