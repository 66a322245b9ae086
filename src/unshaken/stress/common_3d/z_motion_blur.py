"""Blur by a camera that moves forwards."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE, DepthCorruption
from unshaken.stress.common_3d._moving import draw_forwards, forwards, frame_times, mean_frame
from unshaken.stress.engine.base import Severities

FRAMES = (20, 25, 30, 35, 38)


@register("z_motion_blur", reference=REFERENCE, group="3dcc", comparable="never")
class ZMotionBlur(DepthCorruption):
    """Move the camera forwards while the shutter is open; see `xy_motion_blur` for what differs from the authors'."""

    strengths = Severities(imagenet=FRAMES, cifar=FRAMES, tiny=FRAMES)

    @override
    def corrupt_one(self, image: Tensor, depth: Tensor, c: int, rng: SampleRng) -> Tensor:
        down, across = draw_forwards(rng.fold("move"))
        return mean_frame(image, [forwards(depth, down, across, time) for time in frame_times(c)])
