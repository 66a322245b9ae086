"""Batches and bad samples: the same whatever the workers, the batch size and the order."""

import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Resize
from torchvision.transforms.functional import to_tensor

from unshaken.core import batch as batch_module
from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data, stream, streaming
from unshaken.data.arrays import from_arrays
from unshaken.data.dataset import Dataset
from unshaken.data.streaming import first_batch


def split(found):
    """Samples by id, and reasons by id."""
    found = list(found)
    batches = [f for f in found if isinstance(f, Batch)]
    images = {i: image for b in batches for i, image in zip(b.ids, b.images, strict=True)}
    return images, {f.id: f.reason for f in found if isinstance(f, BadSample)}


@pytest.fixture
def photos(tmp_path, make):
    """Seven photos, of which number 2 is empty and number 4 has a label that is bad."""
    images = [make.encode(make.noise(20 + i, 30 - i, seed=i)) for i in range(7)]
    images[2] = b""
    return load_data(make.table(tmp_path / "a.parquet", images, label=[0, 1, 2, 3, -1, 5, 6]))


@pytest.fixture
def alike(tmp_path, make):
    """As `photos`, all of one size but number 6."""
    images = [make.encode(make.noise(20 + 4 * (i == 6), 30, seed=i)) for i in range(7)]
    images[2] = b""
    return load_data(make.table(tmp_path / "alike.parquet", images, label=[0, 1, 2, 3, -1, 5, 6]))


VIEW = View(8, 8, 10)


def test_images_are_what_torchvision_makes_of_them(photos, make):
    batches = [f for f in stream(photos, view=VIEW, batch_size=4) if isinstance(f, Batch)]
    assert [b.ids for b in batches] == [("0", "1", "3", "5"), ("6",)]
    assert [b.labels.tolist() for b in batches] == [[0, 1, 3, 5], [6]]
    assert batches[0].images.shape == (4, 3, 8, 8)
    assert batches[0].images.is_contiguous()
    image = Image.fromarray(make.noise(23, 27, seed=3))
    assert torch.equal(batches[0].images[2], to_tensor(CenterCrop(8)(Resize(10)(image))))


def test_bad_samples_are_records_in_their_place(photos):
    found = list(stream(photos, view=VIEW, batch_size=2))
    kinds = [f.ids if isinstance(f, Batch) else f.id for f in found]
    assert kinds == [("0", "1"), "2", "4", ("3", "5"), ("6",)]
    assert split(found)[1] == {"2": "the file is empty (0 bytes)", "4": "label -1 is negative"}


@pytest.mark.parametrize("view", [None, VIEW])
def test_order_batches_and_workers_change_nothing(alike, view):
    photos = alike
    images, bad = split(stream(photos, view=view, workers=1, batch_size=3))
    for workers, batch_size, order in [(4, 1, range(7)), (2, 64, [6, 5, 4, 3, 2, 1, 0]), (3, 2, [4, 2, 6, 0, 1, 3, 5])]:
        other, other_bad = split(stream(photos, order, view=view, workers=workers, batch_size=batch_size))
        assert other_bad == bad
        assert other.keys() == images.keys()
        assert all(torch.equal(images[i], other[i]) for i in images)


def test_without_a_view_another_size_is_bad_and_the_option_is_named(alike):
    images, bad = split(stream(alike, [6, 0]))
    assert list(images) == ["0"]
    assert bad["6"].startswith("its size 30 x 24 is not 30 x 20, that of most images")
    assert "?size=224" in bad["6"]


def test_the_specs_size_brings_all_to_one(photos):
    sized = load_data(photos.options.spec + "?size=12")
    images, bad = split(stream(sized, view=VIEW))
    assert {tuple(i.shape) for i in images.values()} == {(3, 12, 12)}
    assert set(bad) == {"2", "4"}


def test_data_of_many_sizes_are_refused_and_the_option_is_named(tmp_path, make):
    images = [make.encode(make.noise(8 + i // 2, 9)) for i in range(80)]
    data = load_data(make.table(tmp_path / "a.parquet", images))
    with pytest.raises(DataError) as caught:
        list(stream(data))
    assert "its 80 images have 40 sizes, and the most common one, 9 x 47, is that of 2 only" in str(caught.value)
    assert f"as in '{data.options.spec}?size=224'" in str(caught.value)
    assert len(split(stream(load_data(data.options.spec + "?size=8")))[0]) == 80


def test_the_order_does_not_decide_which_size_is_bad(tmp_path, make):
    wide, high = make.encode(make.noise(8, 12)), make.encode(make.noise(12, 8))
    images = {"a": wide, "b": high, "c": wide, "d": wide}
    for i, ids in enumerate(["abcd", "bacd", "dcba"]):
        data = load_data(make.table(tmp_path / f"{i}.parquet", [images[k] for k in ids], id=list(ids)))
        assert set(split(stream(data))[1]) == {"b"}


def test_grey_and_colour(tmp_path, make):
    grey, colour = make.encode(make.noise(channels=1)), make.encode(make.noise())
    spec = make.table(tmp_path / "a.parquet", [grey, colour, grey])
    images, bad = split(stream(load_data(spec)))
    assert images["0"].shape[0] == 1
    assert bad == {"1": "it has colour but most images are grayscale; choose with the option mode, RGB or L"}
    assert split(stream(load_data(f"{spec}?mode=RGB")))[0]["0"].shape[0] == 3
    assert split(stream(load_data(f"{spec}?mode=L")))[0]["1"].shape[0] == 1
    assert split(stream(load_data(spec), view=View(8, 8, channels=1)))[0]["1"].shape[0] == 1
    images, bad = split(stream(load_data(make.table(tmp_path / "b.parquet", [colour, grey]))))
    assert images["1"].shape[0] == 3
    assert bad == {}


def test_nothing_readable_gives_records_only(tmp_path, make):
    data = load_data(make.table(tmp_path / "a.parquet", [b"", b"junk"]))
    images, bad = split(stream(data))
    assert images == {}
    assert set(bad) == {"0", "1"}


@pytest.mark.parametrize(
    ("indices", "options", "message"),
    [
        ([7], {}, "index 7 is not within the 7 samples"),
        ([-1], {}, "index -1 is not within"),
        (None, {"workers": 0}, "workers=0"),
        (None, {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_is_out_of_range_is_refused_at_once(photos, indices, options, message):
    with pytest.raises(DataError, match=message):
        stream(photos, indices, **options)


class Counting(Dataset):
    """Counts what has been fetched."""

    def fetch(self, index):
        self.fetched += 1
        return np.full((4, 4), index % 256, np.uint8)

    def content(self):
        return ()


def counting(photos, count):
    data = Counting(ids=[str(i) for i in range(count)], labels=None, classes=(), root="", options=photos.options)
    data.fetched = 0
    return data


def test_no_more_is_held_than_promised(photos):
    data = counting(photos, 1000)
    seen = 0
    for batch in stream(data, workers=2, batch_size=10, view=View(4, 4, channels=1)):
        seen += len(batch)
        assert data.fetched <= seen + 10 + 2 * 2
        assert batch.labels is None
    assert seen == 1000


def test_a_stream_that_is_left_leaves_no_threads(photos):
    flow = stream(counting(photos, 1000), workers=3, batch_size=4)
    next(flow)
    flow.close()
    deadline = time.monotonic() + 5
    while (
        left := [t for t in threading.enumerate() if t.name.startswith("unshaken-decode")]
    ) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def test_a_fault_of_ours_is_not_taken_for_a_bad_sample(photos, monkeypatch):
    module = sys.modules["unshaken.data.streaming"]
    monkeypatch.setattr(module, "pixels_of", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(stream(photos, view=VIEW))


def test_without_threads_all_samples_are_decoded_all_the_same(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    data = load_data("demo")
    expected = [b.ids for b in stream(data, range(20), batch_size=8)]
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [b.ids for b in stream(data, range(20), batch_size=8, workers=3)] == expected


def test_images_may_keep_their_own_sizes_one_by_one(tmp_path):
    for name, size in (("a", (9, 5)), ("b", (4, 7)), ("c", (3, 3))):
        Image.new("RGB", size, (255, 0, 0)).save(tmp_path / f"{name}.png")
    dataset = load_data(f"folder:{tmp_path}")
    shapes = [tuple(b.images.shape) for b in stream(dataset, batch_size=1, own_sizes=True)]
    assert shapes == [(1, 3, 5, 9), (1, 3, 7, 4), (1, 3, 3, 3)]
    with pytest.raises(DataError, match="do not make batches of 64: give batch_size=1"):
        stream(dataset, own_sizes=True)


def test_a_first_batch_of_very_large_images_is_one_of_them(monkeypatch):
    images = np.zeros((3, 4, 4, 3), np.uint8)
    assert len(first_batch(from_arrays(images), view=None)) == 2
    monkeypatch.setattr(streaming, "LARGE_BATCH", 40)
    assert len(first_batch(from_arrays(images), view=None)) == 1


@pytest.mark.parametrize(("images", "batches"), [(0.9, [1] * 7), (2, [2, 2, 2, 1]), (4.5, [4, 3]), (99, [5, 2])])
def test_a_batch_is_bounded_in_bytes(monkeypatch, images, batches):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 3), np.uint8)
    monkeypatch.setattr(batch_module, "BATCH_NUMBERS", int(images * 60))
    for view in (None, View(4, 5)):
        found = list(stream(from_arrays(pixels), batch_size=5, view=view))
        assert [len(b) for b in found] == batches
        assert torch.equal(
            torch.cat([b.images for b in found]).mul(255).permute(0, 2, 3, 1).byte(), torch.tensor(pixels)
        )


def test_of_very_large_images_one_is_held_beside_the_batch(photos, monkeypatch):
    monkeypatch.setattr(batch_module, "BATCH_NUMBERS", 40)
    data, seen = counting(photos, 50), 0
    for batch in stream(data, workers=2, batch_size=10, view=View(4, 4, channels=1)):
        seen += len(batch)
        assert (len(batch), data.fetched) <= (1, seen + 1)
    assert seen == 50
