"""Video coded for a constant quality."""

from __future__ import annotations

from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE
from unshaken.stress.common_3d._video import Video, VideoCorruption, decode, encode
from unshaken.stress.engine.base import Severities

FACTORS = (24, 26, 32, 39, 41)


@register("h265_crf", reference=REFERENCE, group="3dcc", comparable="never")
class H265CRF(VideoCorruption):
    """Code the clip again as H.265 of a constant rate factor: the higher, the coarser."""

    strengths = Severities(imagenet=FACTORS, cifar=FACTORS, tiny=FACTORS)

    @override
    def code(self, source: Video, c: int, rng: SampleRng) -> Video:
        return encode(list(decode(source).values()), "hevc", {"crf": str(c)})
