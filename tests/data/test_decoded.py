"""Images that several models share are decoded once, within a bound of memory, and stay what they are."""

import numpy as np
import pytest
import torch

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.data import load_data, stream, streaming
from unshaken.data.arrays import from_arrays
from unshaken.data.streaming import open_image


@pytest.fixture
def photos(tmp_path, make):
    """Six photos of six sizes, of which number 2 is empty."""
    images = [make.encode(make.noise(20 + i, 30 - i, seed=i)) for i in range(6)]
    images[2] = b""
    return load_data(make.table(tmp_path / "a.parquet", images, label=list(range(6))))


def decoded(found):
    """What was really decoded: not what is pixels already."""
    return [source for source in found if not isinstance(source, np.ndarray)]


def read(dataset, view):
    return {
        i: x for b in stream(dataset, view=view) if isinstance(b, Batch) for i, x in zip(b.ids, b.images, strict=True)
    }


def test_each_image_is_decoded_once_for_all_views(photos, monkeypatch):
    opened, views = [], (View(8, 8), View(12, 12, resize=16), View(8, 8, channels=1))
    plain = [read(photos, view) for view in views]
    monkeypatch.setattr(streaming, "open_image", lambda source: (opened.append(source), open_image(source))[1])
    shared = photos.with_decoded(1 << 20)
    for view, expected in zip(views, plain, strict=True):
        found = read(shared.within(6), view)  # copies share what was decoded
        assert list(found) == list(expected)
        assert all(torch.equal(found[i], expected[i]) for i in expected)
    assert len(decoded(opened)) == 5 + 3  # the empty one is tried each time
    assert shared.fingerprint == photos.fingerprint


def test_no_more_is_held_than_there_is_room_for(photos, monkeypatch):
    opened = []
    monkeypatch.setattr(streaming, "open_image", lambda source: (opened.append(source), open_image(source))[1])
    room = 3 * (20 * 30 + 21 * 29)  # of the first two
    shared, counts = photos.with_decoded(room), []
    for _ in range(3):
        assert len(read(shared, View(8, 8))) == 5
        counts.append(len(decoded(opened)))
        opened.clear()
    assert shared.decoded.held <= room
    assert counts == [6, 4, 4]  # three beyond the room and the empty one are tried again


def test_pixels_that_are_in_memory_are_not_held_twice():
    shared = from_arrays(np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 0]).with_decoded(1 << 20)
    assert len(read(shared, None)) == 3
    assert shared.decoded.held == 0
