"""Files of MNIST's form."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.data import idx as module
from unshaken.data import load_data

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)


LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_by_split(tmp_path, make, images, packed):
    spec = make.idx(tmp_path, images, LABELS, packed=packed)
    make.idx(tmp_path, images[:2], LABELS[:2], prefix="train", packed=packed)
    data = load_data(spec)
    assert (len(data), data.ids[4], data.labels.tolist()) == (5, "4", [3, 1, 4, 1, 5])
    assert (data.read(2)[..., 0] == images[2]).all()
    assert len(load_data(f"{spec}?split=t10k")) == 5
    assert len(load_data(f"{spec}?split=train")) == 2
    with pytest.raises(DataError, match="no split 'trian'; did you mean 'train'"):
        load_data(f"{spec}?split=trian")


def test_without_labels(tmp_path, make, images):
    spec = make.idx(tmp_path, images, LABELS)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert load_data(spec).labels is None


def head(magic, *shape):
    return struct.pack(f">I{len(shape)}I", magic, *shape)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html></html>", "is an HTML page: a download went wrong"),
        (head(0x801, 5), "it begins with '00 00 08 01', not with '00 00 08 03'"),
        (head(0xD03, 5, 4, 3) + bytes(240), "it begins with '00 00 0d 03'"),
        (head(0x803, 5), "is not an IDX file of bytes"),
        (head(0x803, 5, 4, 3) + bytes(59), "should hold 60 bytes after its header, but holds only 59"),
        (head(0x803, 5, 4, 3) + bytes(61), "should hold 60 bytes after its header, but holds more"),
        (head(0x803, 0, 4, 3), r"claims the shape \(0, 4, 3\)"),
        (head(0x803, 2**31, 2**31, 2**31), "claims the shape"),
        (head(0x803, 6, 2, 5) + bytes(60), "holds 6 images, but t10k-labels-idx1-ubyte 5 labels"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, make, images, data, message):
    spec = make.idx(tmp_path, images, LABELS)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        load_data(spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "is an HTML page"),
        (gzip.compress(head(0x803, 5, 4, 3) + bytes(60), mtime=0)[:-20], "cannot be read"),
        (gzip.compress(b"x" * 99, mtime=0)[:10] + b"\xff" * 40, "cannot be read"),
    ],
)
def test_a_damaged_packed_file_is_refused(tmp_path, make, images, data, message):
    spec = make.idx(tmp_path, images, LABELS, packed=True)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_data(spec)


def test_a_packed_bomb_is_not_unpacked_further_than_its_header_says(tmp_path, make, images):
    spec = make.idx(tmp_path, images, LABELS, packed=True)
    bomb = gzip.compress(head(0x803, 5, 4, 3) + bytes(50_000_000), mtime=0)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(bomb)
    with pytest.raises(DataError, match="holds more"):
        load_data(spec)


def test_an_empty_folder_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r"holds no file t10k-images-idx3-ubyte, with or without \.gz"):
        load_data(f"idx:{tmp_path}")


def test_labels_beyond_the_class_names_are_bad(tmp_path, make, images):
    make.idx(tmp_path, images, LABELS)
    data = module.open_idx(str(tmp_path), load_data(f"idx:{tmp_path}").options, tuple("abcde"))
    assert data.labels.tolist() == [3, 1, 4, 1, -1]
    assert data.bad == {4: "label 5 is out of range: there are 5 classes"}


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is absent")
def test_the_known_figures_of_fashion_mnist():
    data = load_data(f"idx:{DEBIAN}")
    assert len(data) == 10_000
    assert np.bincount(data.labels).tolist() == [1000] * 10
    assert data.labels[:6].tolist() == [9, 2, 1, 1, 6, 1]


def test_a_packed_file_that_claims_far_more_than_it_holds_is_refused_unread(tmp_path):
    with gzip.open(tmp_path / "t10k-images-idx3-ubyte.gz", "wb") as file:
        file.write(struct.pack(">IIII", 0x803, 60_000, 270, 256) + bytes(1 << 16))
    with pytest.raises(DataError, match=r"claims 4,147,200,000 bytes in a packed file of \d+, which no images make"):
        load_data(f"idx:{tmp_path}")


def test_a_large_plain_file_is_mapped(tmp_path, make, images, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 10)
    data = load_data(make.idx(tmp_path, images, LABELS))
    assert isinstance(data._pixels, np.memmap)
    assert (data.read(2)[..., 0] == images[2]).all()
