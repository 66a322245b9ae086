"""Underexposure."""

from __future__ import annotations

from unshaken.core.registry import register
from unshaken.stress.camera._sensor import REFERENCE, Exposure
from unshaken.stress.engine.base import Severities

STOPS = (-2.0, -3.0, -4.0, -5.0, -6.0)


@register("underexposure", reference=REFERENCE, group="exposure")
class Underexposure(Exposure):
    """Take the picture with 1/4 to 1/64 of the light, by a sensor with shot and read noise, and 8 bits."""

    strengths = Severities(imagenet=STOPS, cifar=STOPS, tiny=STOPS)
