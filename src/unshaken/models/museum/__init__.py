"""A museum of broken defences: wrappers that look robust to a careless attack, and are not.

Each factory takes a network, by default `demo:standard`, and returns it behind one defence of the kinds that Athalye
et al. 2018 (arXiv:1802.00420) and Tramer et al. 2020 (arXiv:2002.08347) broke. They are here to try attacks and trust
flags on, as `py:unshaken.models.museum:bit_depth` and so on; none of them protects anything.
"""

from __future__ import annotations

from unshaken.models.museum.inputs import anti_adversary, me_net, mixup, pixel_deflection, thermometer, total_variation
from unshaken.models.museum.layers import mixed_precision, pruned
from unshaken.models.museum.wrappers import (
    bit_depth,
    cold,
    detector,
    distilled,
    jpeg,
    median_filtered,
    noise,
    random_resize,
    rounded,
)

FIRST = ("bit_depth", "jpeg", "distilled", "cold", "noise", "random_resize", "detector")
"""The exhibits that `auto` was first made with."""
DEVELOPMENT = ("anti_adversary", "mixup", "thermometer", "total_variation")
"""Published defences, rebuilt small, that `auto` was developed on."""
KEPT_ASIDE = ("me_net", "mixed_precision", "pixel_deflection", "pruned")
"""Published defences, rebuilt small, that `auto` met only when it was finished."""
EXHIBITS = (*FIRST, *DEVELOPMENT, *KEPT_ASIDE)
"""The names of all factories."""

__all__ = [
    "DEVELOPMENT",
    "EXHIBITS",
    "FIRST",
    "KEPT_ASIDE",
    "anti_adversary",
    "bit_depth",
    "cold",
    "detector",
    "distilled",
    "jpeg",
    "me_net",
    "median_filtered",
    "mixed_precision",
    "mixup",
    "noise",
    "pixel_deflection",
    "pruned",
    "random_resize",
    "rounded",
    "thermometer",
    "total_variation",
]
