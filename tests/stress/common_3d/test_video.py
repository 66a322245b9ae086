"""Coded in memory: the same bytes again, the rate that was asked for, odd and tiny sizes, damage that is counted."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from unshaken.core.errors import MissingExtra, ModelError
from unshaken.stress.common_3d import _video
from unshaken.stress.common_3d._video import damage, decode, encode, load_codecs

COARSE = {"crf": "41"}


def frames(height=32, width=48, count=6):
    """A smooth grey picture, which loses nothing by halved chroma, that moves by a pixel a frame."""
    rows, columns = np.mgrid[:height, : width + count] / 6
    wave = (np.stack([np.sin(rows) * np.cos(columns)] * 3, 2) * 100 + 128).astype(np.uint8)
    return [np.ascontiguousarray(wave[:, i : i + width]) for i in range(count)]


def error(found, wanted):
    return float(np.abs(found.astype(float) - wanted).mean())


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_what_was_coded_is_decoded_and_the_same_again(codec):
    shown = frames()
    video = encode(shown, codec, {"crf": "10"})
    assert video == encode(shown, codec, {"crf": "10"})
    found = decode(video)
    assert sorted(found) == list(range(len(shown)))
    assert max(error(found[i], one) for i, one in enumerate(shown)) < 6
    coarse = decode(encode(shown, codec, COARSE))
    assert error(coarse[5], shown[5]) > 2 * error(found[5], shown[5])


def test_kernels_of_this_processor_give_the_bytes_of_plain_code(monkeypatch):
    rng = np.random.default_rng(0)
    photo = np.kron(rng.integers(0, 256, (12, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    shown = [np.ascontiguousarray(np.roll(photo, 3 * i, 1)) for i in range(60)]
    video = encode(shown, "h264", {"crf": "23", "preset": "medium"})
    monkeypatch.setitem(_video.REPEATABLE, "h264", {"x264-params": "no-asm=1"})
    assert encode(shown, "h264", {"crf": "23", "preset": "medium"}) == video


@pytest.mark.parametrize("size", [(9, 8), (17, 33)])
def test_odd_and_tiny_pictures_keep_their_size(size):
    shown = frames(*size, count=2)
    for codec in ("h264", "hevc"):
        found = decode(encode(shown, codec, {"crf": "5"}))
        assert found[1].shape == (*size, 3)
        assert error(found[1], shown[1]) < 12


def test_an_average_rate_is_met_by_the_same_bytes_each_time():
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    for rate in (200_000, 400_000):
        limits = {"maxrate": str(rate), "bufsize": str(rate)}
        video = encode(list(noise), "hevc", limits, rate)
        assert video.bits_per_second == pytest.approx(rate, rel=0.5)  # on a clip of 20 frames
        assert all(encode(list(noise), "hevc", limits, rate) == video for _ in range(3))


def test_damage_hits_as_many_bytes_as_it_should():
    video = encode(frames(), "h264", {"crf": "10"})
    assert damage(video, 0, np.random.default_rng(0)) == video

    def changed(seed):
        other = damage(video, 20, np.random.default_rng(seed))
        assert [len(p) for p in other.packets] == [len(p) for p in video.packets]
        assert (other.header, other.times) == (video.header, video.times)
        return sum(
            a != b for one, two in zip(video.packets, other.packets, strict=True) for a, b in zip(one, two, strict=True)
        )

    counts = [changed(seed) for seed in range(40)]
    assert np.mean(counts) == pytest.approx(20 * 255 / 256, abs=4 * (20 / 40) ** 0.5)  # one byte of 256 stays


def test_what_cannot_be_decoded_is_left_out():
    video = encode(frames(), "h264", {"crf": "10", "bf": "0"})
    nothing = replace(video, packets=tuple(b"\xff" * 20 for _ in video.packets))
    assert decode(nothing) == {}
    cut = replace(video, packets=(*video.packets[:-1], b"\xff" * 20))
    assert max(decode(cut)) == 4


def test_frames_of_another_size_are_left_out():
    """As damage to what says the size would make them: higher than the clip, and not as wide."""
    video, other = (encode(frames(*size, count=2), "h264", COARSE) for size in ((80, 200), (96, 72)))
    assert decode(replace(other, size=video.size)) == {}
    assert sorted(decode(other)) == [0, 1]


def test_an_absent_package_and_an_absent_encoder_are_named(monkeypatch):
    av = load_codecs("a test")
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx265"})
    with pytest.raises(ModelError, match="h265_crf needs the encoder libx265"):
        load_codecs("h265_crf")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"h265_crf needs the package 'av'.*unshaken\[video\]"):
        load_codecs("h265_crf")
