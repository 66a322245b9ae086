"""`VideoCorruption`: a picture as the last frame of a short video that was coded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import DepthCorruption
from unshaken.stress.common_3d._moving import draw_forwards, draw_sideways, forwards, frame, sideways
from unshaken.stress.common_3d._video import Video, decode, encode, load_codecs
from unshaken.stress.engine.pixels import to_pixels, to_planes

SOURCE = {"crf": "23", "preset": "medium"}
"""Options of x264 for the clip that is corrupted, those that the authors' tool takes by default."""
PUBLISHED_FRAMES = 119

LOST_FRAME = FlagKind(
    "lost-frame",
    "a damaged video could not be decoded to its end: an earlier frame stands in, or grey where there is none",
    "Look at the examples: what the model sees there is another moment of the clip, or nothing.",
)


class VideoCorruption(DepthCorruption):
    """Base class of faults of coded video. A subclass writes `code`.

    A camera moves away from the picture and comes back, sideways or forwards as drawn for each sample; the clip is
    coded as H.264, the fault is done to it, and its last frame, which shows the picture from where it was taken, is
    what the model sees. See `xy_motion_blur` for how frames are made.
    """

    frames: PositiveInt = Field(
        PUBLISHED_FRAMES,
        description="frames of the clip, 119 as published: about a second of work for a photo of 224 px",
        le=1000,
    )
    _lost: set[int] | None = PrivateAttr(None)
    """Keys of the samples whose last frame was lost, while an audit wants to know."""

    @override
    def require(self) -> None:
        load_codecs(self.info.name)

    @override
    def with_resources(self, found: Mapping[type[Any], Any]) -> Self:
        copy = super().with_resources(found)
        copy._lost = set()
        return copy

    @override
    def flags(self, batch: Batch, severities: Sequence[int], seed: int) -> list[Flag]:
        found, lost = super().flags(batch, severities, seed), self._lost
        if not lost:
            return found
        ids = dict[str, None]()
        for severity in severities:
            keys = SampleRng.of(seed, f"{self.info.name}/{severity}", batch.ids).keys.tolist()
            ids |= {name: None for name, key in zip(batch.ids, keys, strict=True) if key in lost}
        text = f"{self.info.name}: the last frame of {len(ids)} of {len(batch)} samples is lost"
        return [*found, LOST_FRAME.flag(text, tuple(ids))]

    @override
    def corrupt_one(self, image: Tensor, depth: Tensor, c: Any, rng: SampleRng) -> Tensor:
        source = encode(clip(image, depth, self.frames, rng.fold("clip")), "h264", SOURCE)
        found = decode(self.code(source, c, rng))
        if self.frames - 1 not in found and self._lost is not None:
            self._lost.add(int(rng.keys[0]))
        last = found[max(found)] if found else np.full((*image.shape[1:], 3), 128, np.uint8)
        shown = to_planes(last).to(image)
        return shown if image.shape[0] == 3 else shown.mean(0, keepdim=True)

    @abstractmethod
    def code(self, source: Video, c: Any, rng: SampleRng) -> Video:
        """The clip as it is decoded.

        Args:
            source: H.264.
            c: the strength.
            rng: of this sample.
        """


def clip(image: Tensor, depth: Tensor, count: int, rng: SampleRng) -> list[NDArray[np.uint8]]:
    """Frames of a camera that moves away and comes back, `[H, W, 3]` of 8 bits; the last one is the image itself.

    Args:
        image: float64 `[C, H, W]` in [0, 1], C 1 or 3.
        depth: of its pixels, `[H, W]`, above 0.
        count: of frames.
        rng: of this sample.
    """
    if float(rng.fold("which").uniform()) < 0.5:
        down, across = draw_forwards(rng.fold("move"))
        places = forwards
    else:
        down, across = draw_sideways(rng.fold("move"), *depth.shape)
        places = sideways
    farthest = max(1, (count - 1) // 2)
    times = [min(left, count - 1 - left) / farthest for left in reversed(range(count))]
    frames = [to_pixels(frame(image, *places(depth, down, across, time)).clamp(0, 1)) for time in times]
    return [pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, 2) for pixels in frames]
