"""Insertion: how fast the score rises while the pixels that count most are put into a blurred image."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from unshaken.core.registry import register
from unshaken.explain.engine.baselines import Substrate
from unshaken.explain.engine.probed_metric import PerturbationCurve


@register("insertion", reference="Petsiuk et al. 2018, arXiv:1806.07421", group="metric")
class Insertion(PerturbationCurve):
    """Insertion: the area under the class's probability while pixels return, those that count most first.

    Higher is better. It begins with the image blurred by a kernel of 11 pixels and standard deviation 5, as published;
    the image's border is reflected there. A constant map inserts pixels row by row.
    """

    substrate: Substrate = Field(
        default="blur", description="image that it begins with: blur, model-mean, black, grey, white, mean or noise"
    )
    removes: ClassVar[bool] = False
