"""The distortions that take one cue away, by a name with its strength, such as `scramble-4` or `blur-1.5`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import parse_number
from unshaken.core.registry import find_method
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.cues.contour import contour
from unshaken.stress.cues.phase_noise import exchange_phases
from unshaken.stress.cues.scramble import scramble_inside
from unshaken.stress.cues.silhouette import silhouette
from unshaken.stress.engine.base import Stressor
from unshaken.stress.engine.hsv import luma

Apply = Callable[[Batch, Batch, int], Tensor]
"""From samples, their partners of other classes, and the run seed to changed images."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """A change that takes cues away.

    Args:
        name: with its strength.
        words: what it does, with its strength and unit.
        apply: does it.
        paired: whether it needs a partner of another class for each sample.
    """

    name: str
    words: str
    apply: Apply
    paired: bool = False


def _noise(batch: Batch, sd: float, seed: int) -> Tensor:
    draws = SampleRng.of(seed, f"gaussian noise {sd:g}", batch.ids).noise(*batch.images.shape[1:])
    return batch.images + sd * draws.to(batch.images.device)


_STRONG: Mapping[str, tuple[str, Callable[[float], Apply]]] = {
    "scramble": ("{0:g} x {0:g} tiles in another order", lambda p: lambda b, o, s: scramble_inside(b.images, int(p))),
    "blur": ("Gaussian blur, sigma {0:g} px", lambda sigma: lambda b, o, s: gaussian_blur(b.images, sigma)),
    "noise": ("Gaussian noise, deviation {0:g}", lambda sd: lambda b, o, s: _noise(b, sd, s)),
}
"""Name to words and to what makes the change of a strength."""
LARGEST = 100
"""Strength of a blur, in pixels, and of noise: what is more takes time and leaves nothing of the image."""
_PLAIN: Mapping[str, tuple[str, Apply, bool]] = {
    "grey": ("without colour", lambda b, o, s: luma(b.images).expand_as(b.images), False),
    "silhouette": ("black outline on white, by Otsu's threshold", lambda b, o, s: silhouette(b.images), False),
    "contour": ("edges by Canny's method", lambda b, o, s: contour(b.images), False),
    "other-amplitude": (
        "amplitudes of an image of another class, own phases; stands in for another style",
        lambda b, o, s: exchange_phases(o.images, b.images),
        True,
    ),
}
"""Name to words, the change, and whether it needs partners."""


def read_distortion(text: str) -> Distortion:
    """A distortion by its name.

    Args:
        text: `scramble-P` with P tiles along each side, `blur-SIGMA` in pixels, `noise-SD` in [0, 1] pixel units,
            `grey`, `silhouette`, `contour`, `other-amplitude`, or any stressor as `NAME@SEVERITY`, such as `fog@3`.

    Raises:
        ParameterError: there is none of this name, or its strength is not allowed.
    """
    if text in _PLAIN:
        words, apply, paired = _PLAIN[text]
        return Distortion(text, words, apply, paired)
    name, at, severity = text.partition("@")
    if at:
        return _stressor(text, name, severity)
    name, _, strength = text.rpartition("-")
    if name not in _STRONG:
        known = [*_PLAIN, *(f"{n}-2" for n in _STRONG), "fog@3"]
        raise ParameterError(f"no distortion {text!r}; {did_you_mean(text, known)}")
    value = parse_number(strength)
    if value <= 0 or (name == "scramble" and (value < 2 or value != int(value))):
        wanted = "a whole number of tiles from 2" if name == "scramble" else "a strength above 0"
        raise ParameterError(f"distortion {text!r}: give {wanted}")
    if value > LARGEST and name != "scramble":
        raise ParameterError(f"distortion {text!r}: give a strength of {LARGEST} at most")
    words, make = _STRONG[name]
    return Distortion(text, words.format(value), make(float(value)))


def _stressor(text: str, name: str, severity: str) -> Distortion:
    stressor = find_method(name, "stress").cls()
    if not isinstance(stressor, Stressor) or severity not in map(str, stressor.severities):
        known = ", ".join(map(str, getattr(stressor, "severities", ())))
        raise ParameterError(f"distortion {text!r}: the severities of {name!r} are {known}")
    level = int(severity)
    return Distortion(text, f"{name}, severity {level}", lambda b, o, s: stressor.apply(b, level, s).images)
