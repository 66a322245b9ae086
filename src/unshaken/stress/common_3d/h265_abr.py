"""Video coded for a channel of few bits a second."""

from __future__ import annotations

from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE
from unshaken.stress.common_3d._video import Video, VideoCorruption, decode, encode
from unshaken.stress.engine.base import Severities

SHARES = (2, 4, 8, 16, 32)
LEAST_RATE = 1000
"""Bits a second: x265 counts in thousands."""


@register("h265_abr", reference=REFERENCE, group="3dcc", comparable="never")
class H265ABR(VideoCorruption):
    """Code the clip again as H.265 of an average bit rate: a half to a thirty-second of what it had."""

    strengths = Severities(imagenet=SHARES, cifar=SHARES, tiny=SHARES)

    @override
    def code(self, source: Video, c: int, rng: SampleRng) -> Video:
        rate = max(LEAST_RATE, int(source.bits_per_second / c))
        limits = {"maxrate": str(rate), "bufsize": str(rate)}
        return encode(list(decode(source).values()), "hevc", limits, rate)
