"""NudeNet: what its package detects, on a harmless drawing; its rule by hand; absent and other packages."""

import io
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from unshaken.core.errors import DataError, MissingExtra, ModelError, ParameterError
from unshaken.core.registry import find_method
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation import nudenet
from unshaken.detect.moderation.nudenet import LABELS, NudeNet, part_score


def drawn(width=224):
    """A face as a child would draw it: by mistake it sets one of the labels of covered parts off."""
    picture = Image.new("RGB", (224, 224), (90, 140, 90))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((62, 40, 162, 180), fill=(224, 180, 150))
    for x in (85, 121):
        pen.ellipse((x, 90, x + 18, 102), fill=(255, 255, 255))
        pen.ellipse((x + 6, 92, x + 14, 100), fill=(40, 30, 20))
        pen.arc((x, 76, x + 20, 90), 200, 340, fill=(60, 40, 20), width=3)
    pen.polygon([(112, 100), (104, 128), (120, 128)], fill=(205, 155, 125))
    pen.ellipse((92, 142, 132, 156), fill=(190, 80, 80))
    pen.pieslice((58, 25, 166, 120), 180, 360, fill=(60, 40, 20))
    pen.rectangle((95, 170, 130, 200), fill=(224, 180, 150))
    pen.rectangle((40, 195, 185, 224), fill=(30, 60, 140))
    return picture.crop((0, 0, width, 224))


def forward_pass_of(anatomy, picture):
    images = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    return ForwardPass(anatomy, torch.zeros(1, 2), images=images)


@pytest.mark.parametrize("width", [224, 280])
def test_its_package_finds_the_same(anatomy, width):
    package = pytest.importorskip("nudenet")
    picture, file = drawn(width), io.BytesIO()
    picture.save(file, "PNG")
    found = {f["class"]: f["score"] for f in package.NudeDetector().detect(file.getvalue())}
    assert len(found) == 1, "the drawing has to set something off, or nothing is compared"
    forward = forward_pass_of(anatomy, picture)
    for label in LABELS:
        score = NudeNet(labels=label).score(forward, {}).item()
        if label in found:
            assert score == pytest.approx(found[label], abs=1e-5)
        else:
            assert score < 0.2  # the least that the package reports
    assert NudeNet().score(forward, {}).item() < 0.2


def test_the_rule_by_hand():
    outputs = np.zeros((22, 3), np.float32)
    first, second = LABELS.index("FACE_MALE"), LABELS.index("FEET_EXPOSED")
    outputs[4 + first] = [0.9, 0.1, 0.3]
    outputs[4 + second] = [0.8, 0.4, 0.2]  # the box of 0.8 is likelier a face
    assert part_score(outputs, ("FEET_EXPOSED",)) == pytest.approx(0.4)
    assert part_score(outputs, ("FACE_MALE",)) == pytest.approx(0.9)
    assert part_score(outputs, ("FACE_MALE", "FEET_EXPOSED")) == pytest.approx(0.9)
    assert part_score(outputs, ("BELLY_EXPOSED",)) == 0.0


def test_parameters_and_needs(anatomy):
    assert find_method("nudenet").needs == frozenset()
    assert all(name.endswith("EXPOSED") for name in NudeNet().labels)
    with pytest.raises(ParameterError, match="'FEET' is none of"):
        NudeNet(labels="FEET")
    with pytest.raises(ModelError, match="needs the images"):
        NudeNet().score(ForwardPass(anatomy, torch.zeros(1, 2)), {})


def test_images_of_two_channels(anatomy):
    pytest.importorskip("nudenet")
    with pytest.raises(DataError, match="2 channels"):
        NudeNet().score(ForwardPass(anatomy, torch.zeros(1, 2), images=torch.zeros(1, 2, 32, 32)), {})


@pytest.fixture
def forgotten():
    nudenet.session.cache_clear()
    yield
    nudenet.session.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_a_package_that_is_absent_or_other(anatomy, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    forward = forward_pass_of(anatomy, drawn())
    monkeypatch.setitem(sys.modules, "nudenet.nudenet", types.SimpleNamespace(__file__=str(tmp_path / "nudenet.py")))
    monkeypatch.setitem(sys.modules, "nudenet", types.SimpleNamespace(__path__=[]))
    with pytest.raises(ModelError, match="not as expected"):
        NudeNet().score(forward, {})

    def absent(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module.partition(".")[0])

    monkeypatch.setattr("unshaken.core.imports.importlib", types.SimpleNamespace(import_module=absent))
    with pytest.raises(MissingExtra, match=r"unshaken\[safety\]"):
        NudeNet().score(forward, {})
