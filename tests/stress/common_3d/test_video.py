"""Coded in memory: the same bytes again, the rate that was asked for, odd and tiny sizes, damage that is counted."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import MissingExtra, ModelError
from unshaken.core.pixels import to_pixels
from unshaken.core.rng import SampleRng
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.run.plan import load_plan, prepare
from unshaken.stress.common_3d import _video
from unshaken.stress.common_3d._depth import plane
from unshaken.stress.common_3d._video import clip, damage, decode, encode, load_codecs
from unshaken.stress.common_3d.bit_error import BitError
from unshaken.stress.common_3d.h265_abr import H265ABR
from unshaken.stress.common_3d.h265_crf import H265CRF

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


def test_severities_of_video_are_those_of_the_documentation():
    expected = {H265CRF: (24, 26, 32, 39, 41), H265ABR: (2, 4, 8, 16, 32), BitError: (1.6, 3.2, 5.3, 8.0, 16.0)}
    for method, strengths in expected.items():
        assert all(method.strengths.of[size] == strengths for size in ("imagenet", "cifar", "tiny"))


def test_the_average_rate_is_the_clip_s_over_the_strength_and_the_factor_is_the_strength():
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    source, rng = encode(list(noise), "h264", {"crf": "20"}), SampleRng.of(0, "clip", ["a"])
    for share in (4, 16):
        rate = H265ABR().code(source, share, rng).bits_per_second
        assert rate == pytest.approx(source.bits_per_second / share, rel=0.5)
    assert H265CRF().code(source, 41, rng) == encode(list(decode(source).values()), "hevc", COARSE)


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


def pictures(count=3, side=48, channels=3):
    """Smooth pictures, another each."""
    rows, columns = torch.meshgrid(*[torch.arange(side) / 5] * 2, indexing="ij")
    waves = [torch.stack([(rows * (k + 1) + c).sin() * (columns + c).cos() for c in range(3)]) for k in range(count)]
    images = (torch.stack(waves) * 0.4 + 0.5)[:, :channels]
    return Batch(images, torch.zeros(count, dtype=torch.int64), tuple(f"p{i}" for i in range(count)))


def coding_error(changed, batch):
    return (changed.images - batch.images).abs().mean((1, 2, 3))


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_the_camera_comes_back(count):
    image = pictures(1).images[0].double()
    for sample in ("a", "b", "c"):
        shown = clip(image, plane(48, 48), count, SampleRng.of(0, "clip", [sample]))
        assert len(shown) == count
        assert np.array_equal(shown[-1], to_pixels(image))
        if count > 2:
            assert np.array_equal(shown[0], shown[-1])
            assert np.abs(shown[count // 2].astype(int) - shown[-1]).mean() > 5


def test_clips_of_samples_differ_in_their_moves():
    image = pictures(1).images[0].double()
    middles = [clip(image, plane(48, 48), 3, SampleRng.of(0, "clip", [f"s{i}"]))[1] for i in range(8)]
    assert len({one.tobytes() for one in middles}) == 8


@pytest.mark.parametrize("cls", [H265CRF, H265ABR, BitError])
def test_faults_grow_with_severity_and_keep_the_form(cls):
    batch = pictures()
    mild, strong = (coding_error(cls(frames=21).apply(batch, severity), batch).mean() for severity in (1, 5))
    assert 0 < mild < strong
    grey = pictures(1, channels=1)
    changed = cls(frames=3).apply(grey, 1).images
    assert changed.shape == grey.images.shape
    assert float((changed - grey.images).abs().mean()) < 0.1


def test_lost_frames_are_flagged_with_their_samples(monkeypatch):
    batch = pictures()
    net = Classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), name="tiny").eval()
    oracle = Oracle(net)
    context = Context(oracle, 1, oracle.exact(batch.images))
    method = BitError(frames=3).with_depth(lambda images: images[:, 0] + 0.1)
    conditions = conditions_of(method, Line("bit_error", severities=(1, 5)))
    keys = SampleRng.of(context.seed, "bit_error/5", batch.ids).keys.tolist()
    whole = {keys[1]: 0, keys[2]: 1}

    def code(self, source, c, rng):
        kept = whole.get(int(rng.keys[0]), 3)
        return replace(source, packets=(*source.packets[:kept], *[b"\xff" * 20] * (3 - kept)))

    monkeypatch.setattr(BitError, "code", code)
    flags = [flag for part in rows_of(method, batch, conditions, context) for flag in part.flags]
    assert [(flag.name, flag.ids) for flag in flags] == [("lost-frame", ("p1", "p2"))]
    changed = method.apply(batch, 5, context.seed)
    assert (changed.images[1] == changed.images.new_tensor(128 / 255)).all()  # nothing to show
    assert (
        coding_error(changed, batch)[[0, 2]].max() < 0.05
    )  # the last frame, and the first, at which the camera had not moved


def test_a_plan_names_the_extra_before_anything_runs(monkeypatch):
    assert [step.label for step in prepare(load_plan("3dcc-video"))] == ["bit_error", "h265_abr", "h265_crf"]
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"bit_error needs the package 'av'.*pip install 'unshaken\[video\]'"):
        prepare(load_plan("3dcc-video"))
