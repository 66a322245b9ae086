"""Blur by a camera that moves sideways."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE, DepthCorruption
from unshaken.stress.common_3d._moving import draw_sideways, frame_times, mean_frame, sideways
from unshaken.stress.engine.base import Severities

FRAMES = (20, 30, 40, 50, 60)


@register("xy_motion_blur", reference=REFERENCE, group="3dcc", comparable="never")
class XyMotionBlur(DepthCorruption):
    """Move the camera sideways while the shutter is open.

    The authors render frames from a cloud of points and fill what was hidden by a network; here every pixel reads the
    image at a place that its own depth moves, so that no network is needed and figures do not compare with theirs.
    """

    strengths = Severities(imagenet=FRAMES, cifar=FRAMES, tiny=FRAMES)

    @override
    def corrupt_one(self, image: Tensor, depth: Tensor, c: int, rng: SampleRng) -> Tensor:
        down, across = draw_sideways(rng.fold("move"), *image.shape[1:])
        return mean_frame(image, [sideways(depth, down, across, time) for time in frame_times(c)])
