"""CIFAR-10N from the table and from the authors' file, aligned with images, and what does not belong is told."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.cifar10n import FIRST, IMAGES, WRONG, official_places, read_columns
from unshaken.data.named import CIFAR10


@pytest.fixture(scope="module")
def columns():
    """Labels that pass for the published ones."""
    rng = np.random.default_rng(0)
    clean = np.concatenate([FIRST, rng.integers(0, 10, IMAGES - len(FIRST))])
    found = {"clean": clean}
    for name, count in WRONG.items():
        found[name] = clean.copy()
        rows = rng.choice(IMAGES, count, replace=False)
        found[name][rows] = (clean[rows] + rng.integers(1, 10, count)) % 10
    return found


def original(columns, path):
    """As the authors saved it: a pickled dict of arrays."""
    numbered = {"random1": "random_label1", "random2": "random_label2", "random3": "random_label3"}
    torch.save({numbered.get(name, f"{name}_label"): column for name, column in columns.items()}, path)


def table(columns, path):
    """As a table, its rows in another order."""
    order = np.random.default_rng(1).permutation(IMAGES)
    pq.write_table(pa.table({"train_index": order, **{k: v[order] for k, v in columns.items()}}), path)


@pytest.fixture
def images(columns, make, tmp_path, monkeypatch):
    """Forty images of the training set by class and place, and the folder of the labels."""
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "labels-cifar10").mkdir()
    clean = columns["clean"]
    rows = np.random.default_rng(2).choice(IMAGES, 40, replace=False)
    ids = [f"train/{CIFAR10[clean[i]]}/{int((clean[:i] == clean[i]).sum()):04}" for i in rows.tolist()]
    make.table(tmp_path / "cifar10/train.parquet", [make.encode(make.noise())] * 40, label=clean[rows].tolist(), id=ids)
    return rows, tmp_path / "labels-cifar10"


@pytest.mark.parametrize(("name", "write"), [("cifar10n.parquet", table), ("CIFAR-10_human.pt", original)])
@pytest.mark.parametrize("column", ["worse", "random2"])
def test_labels_follow_their_images(columns, images, name, write, column):
    rows, folder = images
    write(columns, folder / name)
    data = load_data(f"cifar10n:{column}")
    assert data.labels.tolist() == columns[column][rows].tolist()
    assert data.true_labels.tolist() == columns["clean"][rows].tolist()
    assert data.realised_noise == np.mean(columns[column][rows] != columns["clean"][rows])
    prints = {load_data(spec).fingerprint for spec in ("cifar10n:worse", "cifar10n:aggre", "cifar10?split=train")}
    assert len(prints) == 3


def test_an_official_index_is_an_id_too():
    clean = np.array([3, 5, 3, 3])
    assert official_places(("2", "train/cat/0001", "train/dog/0000"), clean).tolist() == [2, 2, 1]
    assert official_places(("4", "train/cat/0003", "test/cat/0000", "cat", "train/lion/0"), clean).tolist() == [-1] * 5


def test_the_published_rates_are_those_of_the_card():
    assert {k: round(100 * n / IMAGES, 2) for k, n in WRONG.items()} == {
        "worse": 40.21, "aggre": 9.01, "random1": 17.23, "random2": 18.12, "random3": 17.64,
    }  # fmt: skip


def test_images_in_another_order_are_refused(columns, images, make, tmp_path):
    table(columns, images[1] / "cifar10n.parquet")
    labels = columns["clean"][:20].tolist()
    pictures = [make.encode(make.noise())] * 20
    make.table(tmp_path / "cifar10/train.parquet", pictures, label=labels[::-1], id=[str(i) for i in range(20)])
    with pytest.raises(DataError, match=r"of 20 images, such as '\d+', are not those of CIFAR-10N's labels"):
        load_data("cifar10n:worse")
    make.table(tmp_path / "cifar10/train.parquet", pictures, label=labels, id=[f"picture-{i}" for i in range(20)])
    with pytest.raises(DataError, match="20 of 20 images, such as 'picture-0'"):
        load_data("cifar10n:worse")


def test_other_labels_are_refused_with_the_hash(columns, tmp_path):
    for change, message in (
        ({"clean": np.roll(columns["clean"], 1)}, "do not begin with 6 9 9 4"),
        ({"worse": columns["aggre"]}, "4,505 labels of worse are wrong, and 20,104 of the published ones"),
        ({"worse": columns["worse"][:9]}, "the column worse is not 50,000 labels"),
        ({"worse": columns["worse"] + 9}, "the column worse is not 50,000 labels"),
    ):
        original({**columns, **change}, tmp_path / "CIFAR-10_human.pt")
        with pytest.raises(DataError, match=message) as found:
            read_columns(tmp_path / "CIFAR-10_human.pt")
        assert "SHA-256 is " in str(found.value)


class Planted:
    """Pickled, it is a call."""

    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>", pickle.dumps({"clean_label": Planted()})])
def test_nothing_in_the_file_is_code(content, tmp_path, capsys):
    path = tmp_path / "CIFAR-10_human.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as CIFAR-10N's file"):
        read_columns(path)
    torch.save({"clean_label": Planted()}, path)
    with pytest.raises(DataError, match="cannot be read as CIFAR-10N's file"):
        read_columns(path)
    assert capsys.readouterr().out == ""


def test_what_is_absent_is_told(tmp_path, monkeypatch):
    for spec, message in (
        ("cifar10n:wrose", "CIFAR-10N has no column 'wrose'; did you mean 'worse'"),
        ("cifar10n:worse?split=test", "labels of training images alone"),
        ("cifar10n:worse", r"not found in \$UNSHAKEN_DATA/labels-cifar10 \(not set\); put cifar10n.parquet, or CIFAR"),
        ("cifar10n", "neither a named set nor"),
    ):
        with pytest.raises(DataError, match=message):
            load_data(spec)
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path))
    (tmp_path / "cifar10n").mkdir()
    (tmp_path / "cifar10n/cifar10n.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"cifar10n\.parquet"):
        load_data("cifar10n:worse")
