"""Video sent over a channel that makes errors."""

from __future__ import annotations

from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE
from unshaken.stress.common_3d._video import Video, VideoCorruption, damage
from unshaken.stress.engine.base import Severities

HITS = (1.6, 3.2, 5.3, 8.0, 16.0)
"""Bytes of a clip that are hit on average: what the authors' one byte of 100,000, 50,000, 30,000, 20,000 and 10,000
comes to in 159 kB, the mean of clips of three photos in the size that they render, 512 px. A rate a byte would leave
the clips of small images whole."""


@register("bit_error", reference=REFERENCE, group="3dcc", comparable="never")
class BitError(VideoCorruption):
    """Replace bytes of the coded clip at random; the decoder conceals what it can, and errors run on to the last frame.

    Where the decoder gives no last frame, the last one that it gave stands in, and grey where it gave none: a flag of
    the run names those samples.
    """

    strengths = Severities(imagenet=HITS, cifar=HITS, tiny=HITS)

    @override
    def code(self, source: Video, c: float, rng: SampleRng) -> Video:
        return damage(source, c, rng.fold("bytes").generators()[0])
