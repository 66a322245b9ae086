"""Frost against the reference fed with the same crops, and its textures' rules."""

from pathlib import Path

import cv2
import imagecorruptions
import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import find_method
from unshaken.stress.corruptions.frost import Frost, drawn_textures, fitting, frost, read_textures

PHOTOS = Path(imagecorruptions.__file__).parent / "frost"
IMAGENET = Frost.strengths.of["imagenet"]


@pytest.fixture
def folder(tmp_path):
    """Six flat textures whose level is 10 times their number, and a file that is no image."""
    for number in range(6):
        Image.new("RGB", (64, 48), (10 * number, 10 * number, 10 * number)).save(tmp_path / f"ice{number}.png")
    (tmp_path / "notes.txt").write_text("none")
    return str(tmp_path)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("texture", [0, 1, 2])
def test_equals_the_reference_fed_with_the_same_crop(peer, monkeypatch, severity, texture):
    pixels, (top, left) = peer.photo(), (31, 77)
    picks = iter((texture, top, left))
    monkeypatch.setattr(np.random, "randint", lambda *bounds: next(picks))
    monkeypatch.setattr(cv2, "resize", lambda image, **_: image)  # the port enlarges by a tenth, the authors do not
    theirs = peer.reference("frost", pixels, severity)
    ice = read_textures(str(PHOTOS), 5, 1)[texture]
    a, b, _ = IMAGENET[severity - 1]
    ours = frost(peer.to_images(pixels), a, b, [ice[:, top : top + 224, left : left + 224]])
    assert peer.agrees(ours, theirs)


def test_five_textures_are_drawn_from_and_the_sixth_is_not(folder):
    batch = Batch(torch.zeros(60, 3, 12, 10), None, tuple(map(str, range(60))))
    images = Frost(textures=folder, preset="imagenet", truncate=False).apply(batch, 1).images
    levels = (images[:, 0, 0, 0] * 255 / 0.4).round().int().tolist()
    assert sorted(set(levels)) == [0, 10, 20, 30, 40]
    images = Frost(textures=folder, preset="imagenet", truncate=False, count=6).apply(batch, 1).images
    assert (images[:, 0, 0, 0] * 255 / 0.4).round().max() == 50


def test_crops_come_from_the_whole_texture(tmp_path):
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    Image.fromarray(np.stack([ramp, ramp.T[:100, :1].repeat(200, 1), ramp], 2)).save(tmp_path / "ramp.png")
    batch = Batch(torch.zeros(400, 3, 10, 20), None, tuple(map(str, range(400))))
    images = Frost(textures=str(tmp_path), preset="imagenet", truncate=False).apply(batch, 1).images
    left, top = ((images[:, channel, 0, 0] * 255 / 0.4).round() for channel in (0, 1))
    for place, room in ((left, 180), (top, 90)):
        assert place.min() < 0.02 * room
        assert place.max() > 0.97 * room
        assert place.mean() == pytest.approx(room / 2, rel=0.1)


def test_small_pictures_get_smaller_ice(folder):
    assert [tuple(t.shape) for t in read_textures(folder, 2, 0.5)] == [(3, 24, 32)] * 2
    assert [c[2] for c in Frost.strengths.of["cifar"]] == [0.2] * 5
    assert [c[2] for c in Frost.strengths.of["tiny"]] == [0.3] * 5


@pytest.mark.parametrize(("height", "width"), [(48, 20), (20, 64), (300, 300), (48, 64)])
def test_ice_smaller_than_the_image_is_enlarged(height, width):
    ice = fitting(torch.rand(3, 48, 64), height, width)
    assert ice.shape[1] > height
    assert ice.shape[2] > width
    assert ice.shape[1] / ice.shape[2] == pytest.approx(0.75, abs=0.02)


def test_drawn_ice_is_five_different_bright_textures_the_same_every_time():
    textures = drawn_textures(5, 1)
    drawn_textures.cache_clear()
    again = drawn_textures(5, 1)
    assert all(torch.equal(a, b) for a, b in zip(textures, again, strict=True))
    flat = torch.stack(textures).flatten(1)
    assert torch.corrcoef(flat).triu(1).max() < 0.8
    assert 0.2 < flat.mean() < 0.8
    assert (flat.std(1) > 0.05).all()
    assert 0 <= flat.min() <= flat.max() <= 1


def test_drawn_ice_is_marked_as_not_comparable(folder):
    assert not Frost().comparable
    assert Frost(textures=folder).comparable
    assert find_method("frost").tags["comparable"] == "with textures"


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_bad_textures_are_one_clear_line(tmp_path, content):
    if content is not None:
        (tmp_path / "broken.png").write_bytes(content)
    batch = Batch(torch.zeros(1, 3, 16, 16), None, ("a",))
    with pytest.raises(DataError, match=r"frost: .*" + ("broken.png" if content is not None else "not a folder")):
        Frost(textures=str(tmp_path)).apply(batch, 1)
    with pytest.raises(DataError, match="not a folder"):
        Frost(textures=str(tmp_path / "absent")).apply(batch, 1)
    with pytest.raises(ParameterError, match="count"):
        Frost(count=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_does_not_depend_on_its_batch(peer, channels):
    assert peer.depends_on_batch(Frost(truncate=False), 3, channels=channels) == []
    assert peer.depends_on_batch(Frost(textures=str(PHOTOS), preset="imagenet"), 3, channels=channels) == []
