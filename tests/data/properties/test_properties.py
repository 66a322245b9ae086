"""Properties of images against hand-computed cases, scipy and colorsys; one file is one property."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import laplace
from scipy.stats import entropy
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.data.properties import ImageProperty, find_property, image_property, measure_image, property_names

NAMES = ["aspect", "brightness", "colour_cast", "contrast", "entropy", "saturation", "sharpness", "size"]
GREY = np.array([[0, 255, 0], [255, 0, 255], [0, 0, 0], [0, 255, 0]], np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def measured(image: np.ndarray) -> dict[str, float]:
    return measure_image(image, [find_property(name) for name in property_names()])


def test_every_property_has_its_name_meaning_and_range() -> None:
    assert property_names() == NAMES
    for name in NAMES:
        one = find_property(name)
        assert one.name == name
        assert one.meaning.endswith(".")
        assert one.low < one.high
        for image in (PHOTO, GREY, np.zeros((1, 1), np.uint8), np.full((2, 5, 3), 255, np.uint8)):
            assert one.low <= measure_image(image, [one])[name] <= one.high


def test_grey_image_by_hand() -> None:
    found = measured(GREY)
    light = 4 / 12
    assert found["brightness"] == pytest.approx(light)
    assert found["contrast"] == pytest.approx(np.sqrt(light * (1 - light)))
    assert found["entropy"] == pytest.approx(-light * np.log2(light) - (1 - light) * np.log2(1 - light))
    assert (found["saturation"], found["colour_cast"]) == (0, 0)
    assert found["size"] == pytest.approx(np.sqrt(12))
    assert found["aspect"] == 0.75
    assert found["sharpness"] == pytest.approx(np.std([3, 1]))  # inner pixels: 3 and 1 white neighbours


def test_colours_by_hand() -> None:
    image = np.empty((2, 2, 3), np.uint8)
    image[...] = (200, 100, 50)
    found = measured(image)
    assert found["saturation"] == pytest.approx(0.75)
    assert found["colour_cast"] == pytest.approx(150 / 255)
    assert found["brightness"] == pytest.approx(round(0.299 * 200 + 0.587 * 100 + 0.114 * 50) / 255)
    assert (found["contrast"], found["entropy"], found["sharpness"]) == (0, 0, 0)


def test_photo_against_other_libraries() -> None:
    found = measured(PHOTO)
    grey = np.rint(PHOTO @ [0.299, 0.587, 0.114])
    saturation = [colorsys.rgb_to_hsv(*pixel)[1] for pixel in (PHOTO.reshape(-1, 3) / 255).tolist()]
    assert found["saturation"] == pytest.approx(np.mean(saturation), abs=1e-6)
    assert found["brightness"] == pytest.approx(grey.mean() / 255, abs=1 / 255)  # Pillow's weights have 16 bits
    assert found["sharpness"] == pytest.approx(laplace(grey)[1:-1, 1:-1].std() / 255, rel=0.01)
    assert found["entropy"] == pytest.approx(entropy(np.unique(grey, return_counts=True)[1], base=2), abs=0.1)


def test_bad_names_and_images_are_refused() -> None:
    with pytest.raises(ParameterError, match="did you mean 'brightness'"):
        find_property("brigthness")
    assert find_property("colour-cast").name == "colour_cast"
    image: Any
    for image in (np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2)), np.zeros((0, 2, 3), np.uint8)):
        with pytest.raises(ParameterError, match="an image must be uint8"):
            measure_image(image, [])

    class Endless(ImageProperty):
        """No number."""

        name = "endless"

        @override
        def measure(self, image: np.ndarray) -> float:
            return float("nan")

    with pytest.raises(ParameterError, match="'endless' of an image is nan"):
        measure_image(PHOTO, [Endless()])
    with pytest.raises(ValueError, match="'Bad Name'"):
        image_property("Bad Name")(Endless)
    find_property("size")
    with pytest.raises(ValueError, match=r"taken by unshaken\.data"):
        image_property("size")(Endless)
