"""torchvision's data sets."""

import numpy as np
import pytest
import torch
from torchvision import datasets

from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data
from unshaken.data import map_style as module


@pytest.fixture
def small(monkeypatch):
    """FakeData of seven small images."""

    class FakeData(datasets.FakeData):
        def __init__(self):
            super().__init__(7, (3, 6, 5), 4)

    monkeypatch.setattr(datasets, "FakeData", FakeData)
    return FakeData()


def test_images_and_labels_are_torchvisions(small):
    state = torch.get_rng_state()
    data = load_data("torchvision:FakeData")
    assert data.labels.tolist() == [small[i][1] for i in range(7)]
    assert (data.read(3) == np.asarray(small[3][0])).all()
    assert torch.equal(state, torch.get_rng_state())
    assert load_data("torchvision:FakeData").fingerprint == data.fingerprint


@pytest.fixture
def mnist(tmp_path, make, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    raw = tmp_path / "torchvision/MNIST/raw"
    make.idx(raw, images, np.arange(6, dtype=np.uint8))
    make.idx(raw, images[:2], np.arange(2, dtype=np.uint8), prefix="train")
    return images


def test_raw_files_of_mnist_are_found(mnist):
    data = load_data("torchvision:MNIST")
    assert (len(data), data.labels.tolist()) == (6, [0, 1, 2, 3, 4, 5])
    assert data.classes[3] == "3 - three"
    assert (data.read(5)[..., 0] == mnist[5]).all()
    assert len(load_data("torchvision:MNIST?split=train")) == 2
    with pytest.raises(DataError, match="no split 'val'; known: test, train"):
        load_data("torchvision:MNIST?split=val")


def test_a_damaged_raw_file_says_so(mnist, tmp_path):
    (tmp_path / "torchvision/MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"<html>")
    with pytest.raises(DataError, match="torchvision:MNIST"):
        load_data("torchvision:MNIST")


def test_absent_data_names_the_places_and_the_way(tmp_path):
    with pytest.raises(DataError, match=r"is not in .*torch-home.*datasets; allow the download \(--download\)"):
        load_data("torchvision:CIFAR10")
    assert not (tmp_path / "torch-home").exists()


def test_a_download_happens_only_when_allowed(monkeypatch, tmp_path):
    tries = []

    class MNIST(datasets.MNIST):
        def download(self):
            tries.append(self.root)
            raise RuntimeError("no\nnetwork")

    MNIST.__name__ = "MNIST"
    monkeypatch.setattr(datasets, "MNIST", MNIST)
    with pytest.raises(DataError, match="allow the download"):
        load_data("torchvision:MNIST")
    assert tries == []
    with pytest.raises(DataError, match="cannot be downloaded: no network"):
        load_data("torchvision:MNIST", download=True)
    assert tries == [str(tmp_path / "torch-home/hub/datasets")]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:CIFAR11", "no data set 'CIFAR11'; did you mean 'CIFAR10'"),
        ("torchvision:", "no data set ''"),
        ("torchvision:VisionDataset", "no data set 'VisionDataset'"),
        ("torchvision:CocoDetection", "needs the argument 'annFile', which a SPEC cannot give"),
        ("torchvision:FakeData?split=test", "this set has no splits"),
    ],
)
def test_what_cannot_be_is_refused(spec, message):
    with pytest.raises(DataError, match=message):
        load_data(spec)


def test_parameters_of_every_set_are_understood():
    """The constructors differ; `train`, `split` and `download` must be found through `**kwargs` too."""
    assert {"root", "train", "download"} <= set(module._parameters(datasets.KMNIST))
    assert {"root", "split", "train", "download"} <= set(module._parameters(datasets.EMNIST))
    assert "download" not in module._parameters(datasets.ImageNet)
    assert "download" in module._parameters(datasets.SBU)


def test_targets_that_are_no_classes_are_no_labels(monkeypatch):
    class FakeData:
        def __init__(self):
            pass

        def __len__(self):
            return 2

        def __getitem__(self, index):
            if index == 1:
                raise OSError("broken")
            return torch.full((3, 4, 4), 0.2), {"boxes": []}

    monkeypatch.setattr(datasets, "FakeData", FakeData)
    data = load_data("torchvision:FakeData")
    assert data.labels is None
    assert data.read(0).tolist() == np.full((4, 4, 3), 51).tolist()
    with pytest.raises(BadSample, match="cannot load it: broken"):
        data.read(1)


def test_a_sample_that_cannot_be_loaded_costs_only_its_label(small, monkeypatch):
    load = datasets.FakeData.__getitem__

    def broken(self, index):
        if index in (0, 4):
            raise OSError("gone")
        return load(self, index)

    want = [small[i][1] for i in range(7)]
    monkeypatch.setattr(datasets.FakeData, "__getitem__", broken)
    data = load_data("torchvision:FakeData")
    assert data.labels.tolist() == [-1, *want[1:4], -1, *want[5:]]
    assert data.bad == {0: "the label is null", 4: "the label is null"}


def test_kept_targets_are_used_without_loading(tmp_path, make, monkeypatch):
    root = tmp_path / "torchvision"
    for name in ("ant/a.png", "bee/b.png", "bee/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"junk" if "a.png" in name else make.encode(make.noise()))
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    data = load_data("torchvision:ImageFolder")
    assert (data.labels.tolist(), data.classes) == ([0, 1, 1], ("ant", "bee"))
    assert (data.read(2) == make.noise()).all()
    with pytest.raises(BadSample, match=r"0: .* cannot load it: cannot identify image file"):
        data.read(0)
