"""What data say of their samples beside the labels: by each kind of data, and what cameras wrote into files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.arrays import InMemory
from unshaken.data.box_table import BoxTable
from unshaken.data.decode import exif_of, exif_tags
from unshaken.data.selection import Selection


@pytest.fixture
def weather(tmp_path, make):
    """Four images of a parquet file, in two splits, with words and numbers beside them."""
    images = [make.encode(make.noise(seed=i)) for i in range(4)]
    columns = {"weather": ["day", "night", None, "day"], "lux": [9.5, 0.5, 1.0, 8.0], "tags": [[1], [2], [3], [4]]}
    make.table(tmp_path / "d.parquet", images, label=[0, 1, 0, 1], split=["a", "b", "b", "a"], **columns)
    return f"parquet:{tmp_path / 'd.parquet'}"


def test_further_columns_of_a_parquet_file_follow_the_rows_of_the_split(weather):
    assert load_data(weather).columns() == {
        "split": ["a", "b", "b", "a"], "weather": ["day", "night", None, "day"], "lux": [9.5, 0.5, 1.0, 8.0],
    }  # fmt: skip
    assert load_data(f"{weather}?split=b").columns()["weather"] == ["night", None]


def test_a_selection_and_a_mix_have_those_of_their_samples(weather, tmp_path, make):
    data = load_data(weather)
    assert Selection(data, np.array([2, 0])).columns()["lux"] == [1.0, 9.5]
    make.table(tmp_path / "real.parquet", [make.encode(make.noise())] * 2, label=[0, 1], weather=["fog", "day"])
    mixed = load_data(f"mix:parquet:{tmp_path / 'real.parquet'}+{weather}@2").columns()
    assert mixed == {"weather": ["fog", "day", None, None, None, None], "generated": [False] * 2 + [True] * 4}


def test_rows_of_the_package_datasets_have_theirs(tmp_path, make):
    datasets = pytest.importorskip("datasets", reason="the extra data is not installed")
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    kinds |= {"sky": datasets.ClassLabel(names=["clear", "grey"]), "lux": datasets.Value("float64")}
    rows = {"image": [{"bytes": make.encode(make.noise()), "path": None}] * 2, "label": [0, 1]}
    rows |= {"sky": [1, None], "lux": [0.5, 2.0]}
    datasets.Dataset.from_dict(rows, features=datasets.Features(kinds)).save_to_disk(tmp_path / "d")
    assert load_data(f"hf:{tmp_path / 'd'}").columns() == {"sky": ["grey", None], "lux": [0.5, 2.0]}


def test_a_folder_has_those_of_its_file_of_metadata(tmp_path, make):
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(make.noise()).save(tmp_path / name)
    assert load_data(f"folder:{tmp_path}").columns() == {}
    (tmp_path / "metadata.csv").write_text("file_name,camera\ndog/2.png,B\ncat/1.png,A\n")
    assert load_data(f"folder:{tmp_path}").columns() == {"camera": ["A", "B"]}
    (tmp_path / "metadata.csv").write_text("file_name,camera\ndog/2.png,B\n")
    with pytest.raises(DataError, match=r"lacks 1 of 2 samples, such as 'cat/1.png'"):
        load_data(f"folder:{tmp_path}").columns()
    (tmp_path / "metadata.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"metadata.csv and metadata.jsonl: keep one"):
        load_data(f"folder:{tmp_path}").columns()


def test_boxes_give_the_number_of_objects_and_the_share_of_the_largest(make):
    boxes = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.2, 0.5], [0.5, 0.5, 1.0, 1.0]])
    table = BoxTable(ids=["a", "a", "b"], boxes=boxes, crowd=np.array([False, False, True]))
    data = InMemory(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), ids=["a", "b", "c"]).with_boxes(table)
    assert data.columns() == {"objects": [2, 0, 0], "object_area": [0.25, None, None]}


def test_tags_of_a_camera(tmp_path, make):
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Box \0"
    exif[ExifTags.Base.DateTime] = "2020:05:01 23:10:00"
    exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base.ISOSpeedRatings: 400, ExifTags.Base.ExposureTime: 0.25})
    Image.fromarray(make.noise()).save(tmp_path / "a.jpg", exif=exif)
    found = exif_of(tmp_path / "a.jpg")
    wanted = {"Model": "Box", "Hour": 23, "ISOSpeedRatings": 400, "ExposureTime": 0.25}
    assert {name: found[name] for name in wanted} == wanted
    assert exif_of((tmp_path / "a.jpg").read_bytes()) == found
    assert set(found) <= set(exif_tags())


@pytest.mark.parametrize("source", [np.zeros((2, 2, 3), np.uint8), b"", b"\xff\xd8\xff\xe1\x00\x10Exif\0\0MM\0*junk"])
def test_what_has_no_tags_has_none(source):
    assert exif_of(source) == {}
