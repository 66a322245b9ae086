"""The clip ends at the picture itself; faults grow with severity; lost frames are flagged; the extra is asked for."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.context import Context
from unshaken.core.errors import MissingExtra
from unshaken.core.rng import SampleRng
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.run.plan import load_plan, prepare
from unshaken.stress.common_3d._depth import plane
from unshaken.stress.common_3d._video_corruption import clip
from unshaken.stress.common_3d.bit_error import BitError
from unshaken.stress.common_3d.h265_abr import H265ABR
from unshaken.stress.common_3d.h265_crf import H265CRF
from unshaken.stress.engine.pixels import to_pixels


def pictures(count=3, side=48, channels=3):
    """Smooth pictures, another each."""
    rows, columns = torch.meshgrid(*[torch.arange(side) / 5] * 2, indexing="ij")
    waves = [torch.stack([(rows * (k + 1) + c).sin() * (columns + c).cos() for c in range(3)]) for k in range(count)]
    images = (torch.stack(waves) * 0.4 + 0.5)[:, :channels]
    return Batch(images, torch.zeros(count, dtype=torch.int64), tuple(f"p{i}" for i in range(count)))


def error(changed, batch):
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
    mild, strong = (error(cls(frames=21).apply(batch, severity), batch).mean() for severity in (1, 5))
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
        error(changed, batch)[[0, 2]].max() < 0.05
    )  # the last frame, and the first, at which the camera had not moved


def test_a_plan_names_the_extra_before_anything_runs(monkeypatch):
    assert [step.label for step in prepare(load_plan("3dcc-video"))] == ["bit_error", "h265_abr", "h265_crf"]
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"bit_error needs the package 'av'.*pip install 'unshaken\[video\]'"):
        prepare(load_plan("3dcc-video"))
