"""Overexposure."""

from __future__ import annotations

from unshaken.core.registry import register
from unshaken.stress.camera._sensor import REFERENCE, Exposure
from unshaken.stress.engine.base import Severities

STOPS = (1.0, 1.5, 2.0, 2.5, 3.0)


@register("overexposure", reference=REFERENCE, group="exposure")
class Overexposure(Exposure):
    """Take the picture with 2 to 8 times the light: what is more than the sensor holds is lost in white."""

    strengths = Severities(imagenet=STOPS, cifar=STOPS, tiny=STOPS)
