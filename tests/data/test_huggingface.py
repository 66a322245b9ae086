"""Data of the package `datasets`, in its local forms."""

import socket

import pytest

from unshaken.core.errors import DataError, MissingExtra
from unshaken.data import BadSample, load_data

datasets = pytest.importorskip("datasets", reason="the extra data is not installed")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def rows(make):
    def of(labels, names=("cat", "dog"), **columns):
        features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
        features |= {c: datasets.Value("string") for c in columns}
        images = [{"bytes": make.encode(make.noise(seed=i)), "path": None} for i in range(len(labels))]
        values = {"image": images, "label": labels, **columns}
        return datasets.Dataset.from_dict(values, features=datasets.Features(features))

    return of


def test_a_saved_split(tmp_path, rows, make):
    rows([1, 0, 1], id=["x", "y", "z"]).save_to_disk(tmp_path / "d")
    data = load_data(f"hf:{tmp_path / 'd'}")
    assert (data.ids, data.labels.tolist(), data.classes) == (("x", "y", "z"), [1, 0, 1], ("cat", "dog"))
    assert (data.read(2) == make.noise(seed=2)).all()
    assert load_data(f"hf:{tmp_path / 'd'}").fingerprint == data.fingerprint
    with pytest.raises(DataError, match="saved as one split"):
        load_data(f"hf:{tmp_path / 'd'}?split=test")


def test_saved_splits(tmp_path, rows):
    datasets.DatasetDict(train=rows([1, 0]), test=rows([1])).save_to_disk(tmp_path / "d")
    assert len(load_data(f"hf:{tmp_path / 'd'}")) == 1
    assert len(load_data(f"hf:{tmp_path / 'd'}?split=train")) == 2
    with pytest.raises(DataError, match="has no split 'tran'; did you mean 'train'"):
        load_data(f"hf:{tmp_path / 'd'}?split=tran")
    datasets.DatasetDict(train=rows([1]), val=rows([1])).save_to_disk(tmp_path / "e")
    with pytest.raises(DataError, match=r"the splits train, val; choose one: \?split=train"):
        load_data(f"hf:{tmp_path / 'e'}")


def test_a_folder_of_parquet_files(tmp_path, rows, make):
    (tmp_path / "d").mkdir()
    rows([1, 0]).to_parquet(tmp_path / "d/test.parquet")
    data = load_data(f"hf:{tmp_path / 'd'}")
    assert (data.ids, data.labels.tolist(), data.classes) == (("0", "1"), [1, 0], ("cat", "dog"))
    assert (data.read(1) == make.noise(seed=1)).all()


def test_a_folder_of_images(tmp_path, make):
    for name in ("ant", "bee"):
        (tmp_path / "d" / name).mkdir(parents=True)
        (tmp_path / "d" / name / "1.png").write_bytes(make.encode(make.noise()))
    data = load_data(f"hf:{tmp_path / 'd'}")
    assert data.classes == ("ant", "bee")
    assert (data.read(1) == make.noise()).all()


def test_hidden_labels_are_none_and_a_null_image_is_bad(tmp_path, rows):
    hidden = rows([-1, -1])
    hidden.save_to_disk(tmp_path / "d")
    assert load_data(f"hf:{tmp_path / 'd'}").labels is None
    empty = datasets.Dataset.from_dict({"image": [None]}, features=datasets.Features(image=datasets.Image()))
    empty.save_to_disk(tmp_path / "e")
    with pytest.raises(BadSample, match="the image is null"):
        load_data(f"hf:{tmp_path / 'e'}").read(0)


def test_the_image_column_must_be_plain(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match="no columns of type Image and none of the name 'image'; its columns: text"):
        load_data(f"hf:{tmp_path / 'd'}")


def test_the_hub_is_not_asked_unless_allowed(monkeypatch):
    import huggingface_hub.constants

    def network(*args, **kwargs):
        pytest.fail("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", network)
    monkeypatch.setattr(socket.socket, "connect", network)
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    with pytest.raises(DataError, match=r"cannot be opened: .*allow the download \(--download\)") as error:
        load_data("hf:someone/something")
    assert "\n" not in str(error.value)
    assert before == huggingface_hub.constants.HF_HUB_OFFLINE


def test_an_allowed_download_reaches_the_hub(monkeypatch):
    asked = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name: asked.append((name, datasets.config.HF_HUB_OFFLINE)) or 1 / 0
    )
    with pytest.raises(DataError, match=r"cannot be opened: division by zero$"):
        load_data("hf:someone/something", download=True)
    assert asked == [("someone/something", False)]


def test_an_absent_package_names_the_extra(absent):
    absent("datasets")
    with pytest.raises(MissingExtra, match=r"unshaken\[data\]"):
        load_data("hf:x")
