"""Maps of photos, cut as the photos are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unshaken.core.classifier import View
from unshaken.data import load_data
from unshaken.data.photo_maps import map_in_view

VALUES = np.arange(32 * 48, dtype=np.float64).reshape(32, 48) + 0.125


@pytest.fixture
def photos(tmp_path):
    Image.new("RGB", (48, 32)).save(tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (None, VALUES),
        (View(32, 32), VALUES[:, 8:40]),
        (View(16, 16), VALUES[1::2, 9:41:2]),
        (View(32, 48, fit="whole"), VALUES),
        (View(48, 48, fit="letterbox"), np.pad(VALUES, ((8, 8), (0, 0)), constant_values=VALUES.max())),
        (View(40, 40, resize=32), np.pad(VALUES[:, 4:44], ((4, 4), (0, 0)), constant_values=VALUES.max())),
    ],
    ids=["as it is", "cut", "halved and cut", "whole", "letterbox", "larger"],
)
def test_pixels_are_where_the_model_sees_them(photos, view, expected):
    found = map_in_view(VALUES, load_data(f"folder:{photos}"), 0, view)
    assert np.array_equal(found, expected)


def test_a_map_of_what_the_model_sees_stays(photos):
    dataset, seen = load_data(f"folder:{photos}"), np.ones((16, 16))
    assert map_in_view(seen, dataset, 0, View(16, 16)) is seen
    sized = load_data(f"folder:{photos}?size=32")
    assert np.array_equal(map_in_view(VALUES, sized, 0, View(16, 16)), VALUES[:, 8:40])
