"""Short videos in memory: coded as H.264 or H.265, damaged, and decoded again, by FFmpeg through PyAV."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import ModelError
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.imports import need
from unshaken.core.pixels import to_pixels, to_planes
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import DepthCorruption
from unshaken.stress.common_3d._moving import draw_forwards, draw_sideways, forwards, frame, sideways

Frames = Sequence[NDArray[np.uint8]]
Codec = Literal["h264", "hevc"]

ENCODERS: dict[Codec, str] = {"h264": "libx264", "hevc": "libx265"}
RATE = 25
"""Frames a second, as in the authors' clips."""
REPEATABLE: dict[Codec, dict[str, str]] = {
    "h264": {"x264-params": "cpu-independent=1"},
    "hevc": {"x265-params": "pools=none:frame-threads=1:log-level=none"},
}
"""Options with which the same frames give the same bytes. x264 else takes kernels that need not agree: its bytes
differed between processors and, with AVX-512, between calls of one process."""
LEAST_SIDE = 72
"""Pixels to which smaller pictures are padded. Below 64 x265 4 writes beyond its memory and ends the process; where one
row of its blocks of 64 pixels is all, its control of the rate gives other bytes each time."""


@dataclass(frozen=True, slots=True)
class Video:
    """A coded video.

    Args:
        codec: how it is coded.
        header: what a decoder needs before the first packet; a container keeps it apart from them.
        packets: coded frames, in the order of decoding.
        times: presentation and decoding time of each packet, in frames.
        size: height and width of the pictures, before they were padded.
    """

    codec: Codec
    header: bytes | None
    packets: tuple[bytes, ...]
    times: tuple[tuple[int, int], ...]
    size: tuple[int, int]

    @property
    def bits_per_second(self) -> float:
        """The mean rate of the packets."""
        return 8 * sum(map(len, self.packets)) * RATE / len(self.packets)


def load_codecs(why: str) -> Any:
    """PyAV, with the encoders that are needed.

    Args:
        why: what needs it, as the start of the message.

    Raises:
        MissingExtra: it is absent.
        ModelError: its FFmpeg was built without these encoders.
    """
    av: Any = need("av", "av", "video", why)
    if absent := sorted(set(ENCODERS.values()) - av.codecs_available):
        raise ModelError(
            f"{why} needs the encoder {absent[0]}, which the FFmpeg of PyAV {av.__version__} here is without: install "
            "the wheel from PyPI"
        )
    return av


def encode(frames: Frames, codec: Codec, options: dict[str, str], bits_per_second: int | None = None) -> Video:
    """Code frames; the same arguments give the same bytes.

    Args:
        frames: 8-bit pictures `[H, W, 3]`, RGB; padded with their last row and column to even sides of 72 or more.
        codec: `h264` or `hevc`.
        options: of the encoder, such as `{"crf": "23"}`.
        bits_per_second: wanted rate; None where the options decide.
    """
    av = load_codecs("coding a video")
    height, width = frames[0].shape[:2]
    context = av.CodecContext.create(ENCODERS[codec], "w")
    context.height, context.width = (max(LEAST_SIDE, side + side % 2) for side in (height, width))
    context.pix_fmt, context.thread_count = "yuv420p", 1
    context.framerate, context.time_base = Fraction(RATE), Fraction(1, RATE)
    context.flags |= av.codec.context.Flags.global_header
    context.options = options | REPEATABLE[codec]
    if bits_per_second is not None:
        context.bit_rate = bits_per_second
    padding = ((0, context.height - height), (0, context.width - width), (0, 0))
    packets = list[Any]()
    for time, pixels in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.pad(pixels, padding, mode="edge"), format="rgb24")
        picture = picture.reformat(format="yuv420p")
        picture.pts, picture.time_base = time, context.time_base
        packets += context.encode(picture)
    packets += context.encode(None)
    times = tuple((packet.pts, packet.dts) for packet in packets)
    return Video(codec, context.extradata, tuple(map(bytes, packets)), times, (height, width))


def decode(video: Video) -> dict[int, NDArray[np.uint8]]:
    """The frames that a decoder gives, by their time: `[H, W, 3]`, RGB.

    Packets that it cannot read are left out, and so, as a rule, are their frames; what it conceals by itself is in.
    """
    av = load_codecs("decoding a video")
    context = av.CodecContext.create(video.codec, "r")
    context.thread_count, context.extradata = 1, video.header
    height, width = video.size
    found = dict[int, NDArray[np.uint8]]()
    for data, (display, decode) in [*zip(video.packets, video.times, strict=True), (None, (0, 0))]:
        packet = None
        if data is not None:
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.time_base = display, decode, Fraction(1, RATE)
        try:
            pictures = context.decode(packet)
        except (av.FFmpegError, EOFError):
            continue
        for picture in pictures:
            if picture.pts is not None and picture.height >= height and picture.width >= width:
                found[picture.pts] = picture.to_ndarray(format="rgb24")[:height, :width]
    return found


def damage(video: Video, hits: float, rng: np.random.Generator) -> Video:
    """Replace single bytes of the packets by random ones, each with the same probability.

    Args:
        video: what is sent.
        hits: number of bytes that are replaced, on average.
        rng: decides which, and by what.
    """
    total = sum(map(len, video.packets))
    stream = np.frombuffer(b"".join(video.packets), np.uint8).copy()
    places = np.flatnonzero(rng.random(total) < hits / total)
    stream[places] = rng.integers(0, 256, len(places), dtype=np.uint8)
    ends = np.cumsum([len(packet) for packet in video.packets])
    parts = np.split(stream, ends[:-1])
    return replace(video, packets=tuple(part.tobytes() for part in parts))


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
        default=PUBLISHED_FRAMES,
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
        frame = to_planes(last).to(image)
        return frame if image.shape[0] == 3 else frame.mean(0, keepdim=True)

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
