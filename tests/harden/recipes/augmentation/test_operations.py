"""Every operation against Pillow on 8-bit images, and what a level means against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from unshaken.harden.recipes.augmentation import _operations
from unshaken.harden.recipes.augmentation._operations import APART, OPERATIONS, operate, to_levels

FACTORS = (0.0, 0.118, 0.3, 0.64, 1.0, 1.9)
SHEARS, SHIFTS = (-0.3, -0.09, 0.0, 0.0123, 0.05, 0.3), (-10, -3, -1, 0, 2, 3)
STRENGTHS = {
    "autocontrast": (0,),
    "equalize": (0,),
    "posterize": (1, 2, 3, 4, 8),
    "rotate": (-30, -9, 0, 1, 5, 25),
    "solarize": (0, 100, 180, 254, 256),
    "shear_x": SHEARS,
    "shear_y": SHEARS,
    "translate_x": SHIFTS,
    "translate_y": SHIFTS,
    "color": FACTORS,
    "contrast": FACTORS,
    "brightness": FACTORS,
    "sharpness": FACTORS,
}
INTERPOLATED = {"rotate", "shear_x", "shear_y"}
"""Pillow sums these in double precision: a level may fall on the other side of a whole number."""


def pictures(channels, height, width):
    """Noise, smooth fields, a flat picture and one of few levels: uint8 `[N, H, W, C]`."""
    rng = np.random.default_rng(channels * height)
    noise = rng.integers(0, 256, (3, height, width, channels))
    rough = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    smooth = np.asarray(rough)[None, ..., :channels]
    flat, few = np.full_like(smooth, 77), smooth // 8 + 100
    return np.concatenate([noise, smooth, flat, few]).astype(np.uint8)


def pillow(name, picture, v):
    """The operation as Pillow has it."""
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)

    def affine(*matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR)

    found = {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "posterize": lambda: ImageOps.posterize(image, int(v)),
        "rotate": lambda: image.rotate(v, resample=Image.Resampling.BILINEAR),
        "solarize": lambda: ImageOps.solarize(image, int(v)),
        "shear_x": lambda: affine(1, v, 0, 0, 1, 0),
        "shear_y": lambda: affine(1, 0, 0, v, 1, 0),
        "translate_x": lambda: affine(1, 0, v, 0, 1, 0),
        "translate_y": lambda: affine(1, 0, 0, 0, 1, v),
        "color": lambda: ImageEnhance.Color(image).enhance(v),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(v),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(v),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(v),
    }[name]()
    return np.asarray(found).reshape(picture.shape)


def planes(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("size", [(3, 32, 32), (1, 28, 28), (3, 24, 40)], ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
def test_it_is_pillows(name, size):
    pixels = pictures(*size)
    images = planes(pixels)
    kept = images.clone()
    for v in STRENGTHS[name]:
        found = getattr(_operations, name)(images, torch.full((len(images),), float(v)))
        wanted = planes(np.stack([pillow(name, p, v) for p in pixels]))
        off = (found.int() - wanted.int()).abs()
        assert found.dtype == torch.uint8
        assert off.max() <= (name in INTERPOLATED), v
        assert (off > 0).float().mean() < 0.02, v
    assert torch.equal(images, kept)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (97, 61), (224, 224)], ids=str)
def test_a_turn_by_nothing_changes_nothing(size):
    images = planes(pictures(3, *size))
    assert torch.equal(_operations.rotate(images, torch.zeros(len(images))), images)


def test_each_sample_has_a_strength_of_its_own():
    pixels = pictures(3, 16, 16)[:4]
    for name in ("posterize", "rotate", "solarize", "shear_y", "translate_x", "contrast"):
        strengths = STRENGTHS[name][1:5]
        found = getattr(_operations, name)(planes(pixels), torch.tensor(strengths, dtype=torch.float32))
        wanted = planes(np.stack([pillow(name, p, v) for p, v in zip(pixels, strengths, strict=True)]))
        assert (found.int() - wanted.int()).abs().max() <= (name in INTERPOLATED)


@pytest.mark.parametrize(
    ("name", "level", "sign", "strength"),
    [
        ("posterize", 3.0, 1, 3),  # 4 - int(3 * 4 / 10)
        ("posterize", 2.4, 1, 4),
        ("solarize", 3.0, -1, 180),  # 256 - int(3 * 256 / 10)
        ("rotate", 2.99, -1, -8),  # int(2.99 * 30 / 10) = 8
        ("shear_x", 3.0, -1, -0.09),
        ("translate_y", 3.0, 1, 3),  # int(3 * 32 / 3 / 10)
        ("translate_x", 10.0, 1, 10),
        ("color", 3.0, -1, 0.64),  # 3 * 1.8 / 10 + 0.1
    ],
)
def test_a_level_means_what_it_is_defined_to(name, level, sign, strength):
    found = OPERATIONS[name].strength(torch.tensor([level]), torch.tensor([float(sign)]), 32)
    assert found.item() == pytest.approx(strength, abs=1e-6)


def test_an_operation_reaches_the_images_that_drew_it_and_no_others():
    pixels = pictures(3, 20, 20)
    names = list(OPERATIONS)
    which = torch.tensor([names.index("rotate"), -1, names.index("solarize"), -1, names.index("translate_y"), 8])
    level, sign = torch.full((6,), 3.0), torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, 1.0])
    found = operate(planes(pixels), which, level, sign)
    moves = [("rotate", 9), None, ("solarize", 180), None, ("translate_y", -2), ("translate_y", 2)]  # int(20 / 10) = 2
    wanted = np.stack([p if m is None else pillow(m[0], p, m[1]) for p, m in zip(pixels, moves, strict=True)])
    assert (found.int() - planes(wanted).int()).abs().max() <= 1
    assert torch.equal(found[[1, 2, 3, 4, 5]], planes(wanted)[[1, 2, 3, 4, 5]])


def test_the_nine_of_augmix_stand_first():
    assert list(OPERATIONS)[APART:] == ["color", "contrast", "brightness", "sharpness"]


def test_levels_are_the_nearest():
    assert to_levels(torch.tensor([0.0, 0.49 / 255, 0.51 / 255, 1.0, 77 / 255])).tolist() == [0, 0, 1, 255, 77]
