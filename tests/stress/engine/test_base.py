"""One 8-bit picture: the array form of every stressor against its tensor form, and against Pillow."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken import corrupt
from unshaken.core import list_methods
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import parse_method
from unshaken.stress.corruptions.jpeg_compression import JpegCompression
from unshaken.stress.corruptions.pixelate import Pixelate
from unshaken.stress.engine.base import Corruption

NAMES = {method.name: method.cls.severities[:2][-1] for method in list_methods("stress")}
"""Name to a severity that is mild."""


def by_tensor(pixels, name, severity, seed):
    """The same picture by way of a float tensor, rounded to 8 bits by numpy."""
    planes = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
    changed = corrupt(planes, name, severity, seed)[0].double().numpy()
    return np.floor(changed * 255 + 0.5).transpose(1, 2, 0)


@pytest.mark.parametrize(("name", "severity"), NAMES.items())
def test_an_array_becomes_what_its_tensor_becomes(peer, name, severity):
    for channels in (3, 1):
        pixels = np.ascontiguousarray(peer.photo(37, 53)[..., :channels])
        ours = corrupt(pixels, name, severity, seed=3)
        assert ours.dtype == np.uint8
        assert np.array_equal(ours, by_tensor(pixels, name, severity, seed=3)), channels
    assert np.array_equal(corrupt(pixels[..., 0], name, severity, seed=3), ours[..., 0])


@pytest.mark.parametrize("name", ["pixelate", "jpeg_compression", "spatter"])
def test_the_array_is_left_alone_however_it_lies_in_memory(peer, name):
    pixels = peer.photo(40, 56)
    expected = corrupt(pixels.copy(), name, 2)
    frozen, turned = pixels.copy(), np.ascontiguousarray(pixels[::-1, ::-1])[::-1, ::-1]
    frozen.flags.writeable = False
    for given in (frozen, turned, np.asfortranarray(pixels)):
        result = corrupt(given, name, 2)
        assert np.array_equal(result, expected)
        assert result.flags.writeable
        assert np.array_equal(given, pixels)


@pytest.mark.parametrize("variant", ["hendrycks", "bethge"])
@pytest.mark.parametrize("size", [(224, 224), (37, 53), (99, 101)])
@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_pixelated_pixels_are_pillow_s(peer, variant, size, severity):
    pixels, ratio = peer.photo(*size), Pixelate.strengths.of["imagenet"][severity - 1]
    small = Image.fromarray(pixels).resize((int(size[1] * ratio), int(size[0] * ratio)), Image.BOX)
    theirs = np.asarray(small.resize((size[1], size[0]), Image.BOX if variant == "hendrycks" else Image.NEAREST))
    method = Pixelate(variant=variant, preset="imagenet")
    assert np.array_equal(method.apply_pixels(pixels, severity), theirs)
    saved = Pixelate(variant=variant, preset="imagenet", jpeg_roundtrip=True).apply_pixels(pixels, severity)
    assert np.array_equal(saved, through_a_file(theirs, 85))


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_compressed_pixels_are_pillow_s(peer, severity):
    pixels, quality = peer.photo(33, 50), JpegCompression.strengths.of["tiny"][severity - 1]
    method = JpegCompression(preset="tiny")
    assert np.array_equal(method.apply_pixels(pixels, severity), through_a_file(pixels, quality))
    grey = method.apply_pixels(pixels[..., 1:2], severity)
    assert np.array_equal(grey[..., 0], through_a_file(pixels[..., 1], quality))


def through_a_file(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("name", ["pixelate", "jpeg_compression", "fog"])
def test_bad_arrays_and_severities_are_refused(name):
    good = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ParameterError, match="severity 6"):
        corrupt(good, name, 6)
    with pytest.raises(ParameterError, match=r"images of \(32, 7\) pixels are too small"):
        corrupt(good[:, :7], name, 1)
    for bad in (good.astype(np.float32), good[None], good[..., :2], np.zeros((32, 32, 4), np.uint8), good[0, 0]):
        with pytest.raises(DataError, match="an image array must be uint8"):
            corrupt(bad, name, 1)


def test_a_stressor_is_called_on_a_tensor():
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Pixelate()(images, 3, seed=5), corrupt(images, "pixelate", 3, seed=5))
    with pytest.raises(DataError, match="pixel values run from 0 to 255"):
        Pixelate()(images.mul(0).add(torch.tensor([0, 1, 255])[:, None, None]), 3)


@pytest.mark.parametrize("name", [m.name for m in list_methods("stress") if issubclass(m.cls, Corruption)])
def test_an_image_alone_is_changed_as_among_others_and_left_as_it_was(peer, monkeypatch, name):
    method, image = parse_method(name, "stress"), peer.to_images(peer.photo(24, 40))
    monkeypatch.setattr(type(method), "chunk", 1)
    before, changed = image.clone(), method(image, severity=3)  # written into what `corrupt` made
    assert torch.equal(image, before)
    assert changed.untyped_storage().data_ptr() != image.untyped_storage().data_ptr()
    assert torch.equal(changed[0], method(torch.cat([image, image]), severity=3)[0])  # written beside it
