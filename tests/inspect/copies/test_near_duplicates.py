import numpy as np
from PIL import Image, ImageEnhance

from tests.inspect.images import find, plain
from unshaken.inspect import NearDuplicates


def photo(seed: int) -> Image.Image:
    """Smooth shapes, unlike those of another seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)


def test_resized_darker_and_recoded_copies_are_one_group_and_other_photos_none():
    a, b = photo(0), photo(1)
    images = [
        a, b, *(photo(seed) for seed in range(2, 30)), a.resize((80, 60)), ImageEnhance.Brightness(a).enhance(0.5),
        b.convert("L"),
    ]  # fmt: skip
    found = find(NearDuplicates(), images)
    assert found.rows.tolist() == [0, 30, 31, 1, 32]
    assert found.groups.tolist() == [0, 0, 0, 1, 1]


def test_copies_with_the_same_pixels_are_left_to_the_other_check_unless_a_near_one_is_there():
    a, b = photo(0), photo(1)
    assert find(NearDuplicates(), [a, a.copy(), b]).rows.tolist() == []
    assert find(NearDuplicates(), [a, a.copy(), b, a.resize((80, 60))]).rows.tolist() == [0, 1, 3]


def test_flat_images_are_not_near_one_another():
    assert find(NearDuplicates(bits=24), [plain(shade) for shade in (0, 9, 130, 255)]).rows.tolist() == []


def test_the_small_copies_decide():
    a = photo(0)
    pixels = np.asarray(a).copy()
    pixels[:60, :60] = 255 - pixels[:60, :60]
    images = [a, Image.fromarray(pixels)]
    assert find(NearDuplicates(bits=24), images).rows.tolist() == []
    assert find(NearDuplicates(bits=24, correlation=-1), images).rows.tolist() == [0, 1]
