"""Deletion: how fast the score falls while the pixels that count most are removed."""

from __future__ import annotations

from typing import ClassVar

from unshaken.core.registry import register
from unshaken.explain.engine.probed_metric import PerturbationCurve


@register("deletion", reference="Petsiuk et al. 2018, arXiv:1806.07421", group="metric")
class Deletion(PerturbationCurve):
    """Deletion: the area under the class's probability while pixels are removed, those that count most first.

    Lower is better. A constant map removes pixels row by row.
    """

    higher: ClassVar[bool] = False
    removes: ClassVar[bool] = True
