"""Data described in the format Croissant, written and read back; mlcroissant's own reader is the reference."""

import json

import numpy as np
import pyarrow as pa
import pytest

from unshaken.core.errors import DataError, MissingExtra, ParameterError
from unshaken.data import load_data
from unshaken.data.croissant import import_mlcroissant, quiet
from unshaken.data.croissant_card import croissant_card


@pytest.fixture(scope="module")
def mlc():
    pytest.importorskip("rdflib", reason="the extra croissant is not installed")
    try:
        return import_mlcroissant("a test")
    except MissingExtra:
        pytest.skip("the extra croissant is not installed")


@pytest.fixture
def photos(tmp_path, make, mlc):
    folder = tmp_path / "photos"
    for i, name in enumerate(("dog", "cat", "dog")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{i}.png").write_bytes(make.encode(make.noise(seed=i)))
    (folder / "metadata.csv").write_text("file_name,weather,n\ndog/0.png,sun,1\ncat/1.png,rain,2\ndog/2.png,,3\n")
    return folder


def write(path, document):
    path.write_text(json.dumps(document))
    return f"croissant:{path}"


def by_mlcroissant(mlc, path):
    """Id to record, as mlcroissant reads the file."""
    with quiet():
        records = list(mlc.Dataset(str(path)).records("records"))
    return {r.get("records/id", str(i).encode()).decode(): r for i, r in enumerate(records)}


def test_a_folder_and_back(photos, mlc):
    spec = write(photos / "croissant.json", croissant_card(f"folder:{photos}"))
    data, plain = load_data(spec), load_data(f"folder:{photos}")
    assert tuple(data.ids) == ("cat/1.png", "dog/0.png", "dog/2.png") == tuple(plain.ids)
    assert (data.labels.tolist(), data.classes) == ([0, 1, 1], ("cat", "dog"))
    assert data.columns() == {"weather": ["rain", "sun", None], "n": [2, 1, 3]} == plain.columns()
    found = by_mlcroissant(mlc, photos / "croissant.json")
    for i, name in enumerate(data.ids):
        assert (data.read(i) == plain.read(i)).all()
        assert (np.asarray(found[name]["records/image"]) == data.read(i)).all()
        assert found[name]["records/label"].decode() == data.classes[data.labels[i]]
        assert found[name]["records/n"] == data.columns()["n"][i]
    assert load_data(spec).fingerprint == data.fingerprint
    (photos / "metadata.csv").write_text("file_name,weather,n\ndog/0.png,sun,1\ncat/1.png,rain,2\ndog/2.png,,4\n")
    assert load_data(spec).fingerprint != data.fingerprint


def test_classes_keep_their_order_and_names(photos):
    (photos / "metadata.csv").unlink()
    (photos.parent / "names").write_text("dog\thound\ncat\ttomcat\n")
    (photos / "bird").mkdir()
    (photos.parent / "order").write_text("dog\nbird\ncat\n")
    for option, names in (("order", ("dog", "bird", "cat")), ("names", ("tomcat", "hound"))):
        if option == "names":
            (photos / "bird").rmdir()
        document = croissant_card(f"folder:{photos}?classes={photos.parent / option}")
        data = load_data(write(photos / "croissant.json", document))
        plain = load_data(f"folder:{photos}?classes={photos.parent / option}")
        assert data.classes == names == plain.classes
        assert (data.labels == plain.labels).all()


@pytest.mark.parametrize("labels", [["b", "a", "b"], [1, 0, 1]])
def test_a_parquet_file_and_back(tmp_path, make, mlc, labels):
    images = [make.encode(make.noise(seed=i)) for i in range(3)]
    make.table(
        tmp_path / "d.parquet",
        images,
        id=pa.array(["x", "y", "z"]),
        label=pa.array(labels),
        split=pa.array(["train", "test", "train"]),
        dark=pa.array([True, None, False]),
        lux=pa.array([1.5, 2.0, 3.0]),
    )
    (tmp_path / "classes.txt").write_text("a\nb\n")
    document = croissant_card(f"parquet:{tmp_path / 'd.parquet'}", name="trio")
    assert document["name"] == "trio"
    spec = write(tmp_path / "croissant.json", document)
    data, plain = load_data(spec), load_data(f"parquet:{tmp_path / 'd.parquet'}")
    assert (tuple(data.ids), data.labels.tolist(), data.classes) == (("x", "y", "z"), [1, 0, 1], ("a", "b"))
    assert data.columns() == plain.columns()
    assert data.columns()["dark"] == [True, None, False]
    part = load_data(f"{spec}?split=train")
    assert (tuple(part.ids), part.labels.tolist()) == (("x", "z"), [1, 1])
    assert (part.read(1) == make.noise(seed=2)).all()
    assert part.columns()["lux"] == [1.5, 3.0]
    found = by_mlcroissant(mlc, tmp_path / "croissant.json")
    assert (np.asarray(found["y"]["records/image"]) == data.read(1)).all()
    with pytest.raises(DataError, match="no records of split 'tran'; did you mean 'train'"):
        load_data(f"{spec}?split=tran")


def test_what_stands_in_the_card_stays(photos):
    old = croissant_card(f"folder:{photos}", name="one") | {"license": "https://example.org/l", "description": "Mine."}
    (photos / "dog/9.png").write_bytes((photos / "dog/0.png").read_bytes())
    (photos / "metadata.csv").unlink()
    new = croissant_card(f"folder:{photos}", old=old)
    assert (new["name"], new["license"], new["description"]) == ("one", "https://example.org/l", "Mine.")
    assert len(new["distribution"]) == 1
    assert len(load_data(write(photos / "c.json", new))) == 4


def test_what_cannot_be_described(photos):
    for spec, folder, words in (
        ("demo", None, "written for folder:DIR and parquet:FILE"),
        (f"folder:{photos}?noise=uniform:0.2", None, "leave noise away"),
        (f"folder:{photos}", photos.parent, "write it into"),
    ):
        with pytest.raises(ParameterError, match=words):
            croissant_card(spec, folder=folder)


def change(document, **parts):
    """A copy with a part of the first file or the field of labels changed."""
    other = json.loads(json.dumps(document))
    for name, value in parts.items():
        where = other["recordSet"][0]["field"][2]["source"] if name == "transform" else other["distribution"][0]
        where[name] = value
    return other


def test_bad_files(photos):
    place = photos / "c.json"
    good = croissant_card(f"folder:{photos}")
    table = json.loads(json.dumps(good))
    table["distribution"][1]["contentUrl"] = "https://example.org/metadata.csv"
    outside = json.loads(json.dumps(good))
    outside["distribution"][1]["contentUrl"] = "../secret.csv"
    (photos.parent / "secret.csv").write_text("file_name,weather,n\ndog/0.png,a,1\n")
    twice = json.loads(json.dumps(good))
    twice["recordSet"].append(json.loads(json.dumps(good["recordSet"][0]).replace("records", "more")))
    remote = good | {"@context": "https://schema.org/"}
    nested = json.loads(json.dumps(good))
    nested["recordSet"][0]["@context"] = "http://127.0.0.1:9/context"
    for document, words in (
        ([], "is no Croissant file"),
        ({"@context": {}, "name": "x"}, "is no valid Croissant file"),
        (remote, "is no Croissant file"),
        (nested, "an address, which is not fetched"),
        (good | {"recordSet": []}, "has no record sets with a field of images"),
        (twice, r"has 2 record sets with a field of images; choose one: \?records=records"),
        (table, "on the network .*; fetch it, put it beside the file"),
        (outside, "leads out of the file's folder"),
        (change(good, includes="*.jpg"), r"no image of 'images' \(\*.jpg\)"),
        (change(good, transform={"regex": "("}), r"'records/label' has the regular expression '\('"),
        (change(good, transform={"separator": "/"}), "no column of words or numbers that is read"),
    ):
        with pytest.raises(DataError, match=words) as error:
            load_data(write(place, document))
        assert "\n" not in str(error.value)
    place.write_text("{")
    with pytest.raises(DataError, match=r"c\.json is damaged"):
        load_data(f"croissant:{place}")
    assert len(load_data(f"{write(place, twice)}?records=more")) == 3
    with pytest.raises(DataError, match="no record set 'some' of images; it has records, more"):
        load_data(f"croissant:{place}?records=some")


def test_a_table_that_is_changed_is_told(photos):
    spec = write(photos / "c.json", croissant_card(f"folder:{photos}"))
    (photos / "metadata.csv").write_text("file_name,weather,n\ndog/0.png,a,1\ndog/0.png,b,2\n")
    with pytest.raises(DataError, match=r"'metadata.csv' has 'dog/0.png' more than once"):
        load_data(spec)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlcroissant", None)
    with pytest.raises(MissingExtra, match=r"unshaken\[croissant\]"):
        load_data(write(tmp_path / "c.json", {}))
