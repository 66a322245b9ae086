"""The verb for labels of several classes, boxes and masks: files, rows, record, page, and wrong files."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from tests.labels.find.test_boxes import drawn as boxes_drawn
from tests.labels.find.test_boxes import for_cleanlab
from tests.labels.find.test_masks import drawn as masks_drawn
from tests.labels.find.test_multi_label import drawn as several_drawn
from tests.labels.find.test_multi_label import lists
from unshaken.api.label_kinds import find_labels_of_kind
from unshaken.cli import main
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.labels.engine.label_files import read_array, read_boxes, read_multi_label


@pytest.fixture
def several(tmp_path):
    labels, p = several_drawn(0)
    np.save(tmp_path / "p.npy", p)
    (tmp_path / "labels.json").write_text(json.dumps(lists(labels)))
    return tmp_path / "labels.json", tmp_path / "p.npy"


@pytest.fixture
def masks(tmp_path):
    labels, p = masks_drawn(0)
    np.save(tmp_path / "p.npy", p)
    np.savez_compressed(tmp_path / "masks.npz", labels.astype(np.uint8))
    return tmp_path / "masks.npz", tmp_path / "p.npy"


def box_tables(seed=0):
    labels, predictions = for_cleanlab(boxes_drawn(seed))
    tables = [
        {"bboxes": np.abs(t["bboxes"]).tolist(), "labels": t["labels"].tolist(), "image_name": f"photo {i}"}
        for i, t in enumerate(labels)
    ]
    return tables, [[k.tolist() for k in image] for image in predictions]


@pytest.fixture
def boxes(tmp_path):
    files = tmp_path / "labels.json", tmp_path / "p.json"
    for file, value in zip(files, box_tables(), strict=True):
        file.write_text(json.dumps(value))
    return files


def test_several_classes(several, tmp_path):
    done = find_labels_of_kind("multilabel", *several, out=tmp_path / "run")
    rows, parts = done.run.rows("labels").to_pylist(), done.run.rows("label_parts").to_pylist()
    assert [r["score"] for r in rows] == done.found.score.tolist()
    assert sum(r["flagged"] for r in rows) == done.summary["flagged"] == int(done.found.flagged.sum())
    assert len(parts) == int(done.found.class_flagged.sum())
    labels = several_drawn(0)[0]
    for part in parts:
        given = labels[int(part["id"]), part["part"]]
        assert (part["given"], part["suggested"]) == ((part["part"], None) if given else (None, part["part"]))
    counts = [(c["wrong"] + c["missing"], c["labels"]) for c in done.summary["by_class"]]
    assert counts == list(zip(done.found.class_flagged.sum(0).tolist(), labels.sum(0).tolist(), strict=True))
    page = done.run.read("report.md").decode()
    assert f"{done.summary['flagged']} of 150 samples have something that is probably wrong" in page


def test_masks(masks, tmp_path):
    done = find_labels_of_kind("masks", *masks, classes=["sky", "road", "tree", "car"], out=tmp_path / "run")
    with np.load(tmp_path / "run" / "pixels.npz") as file:
        assert np.array_equal(file["flagged"], done.found.flagged)
    parts = done.run.rows("label_parts").to_pylist()
    assert sum(p["pixels"] for p in parts) == int(done.found.flagged.sum())
    assert sum(n for *_, n in done.summary["pairs"]) == int(done.found.flagged.sum())
    page = done.run.read("report.md").decode()
    given, suggested, _ = done.summary["pairs"][0]
    assert f"{done.summary['classes'][given]}, probably {done.summary['classes'][suggested]}" in page
    assert done.run.exists("report.html")


def test_boxes(boxes, tmp_path):
    done = find_labels_of_kind("boxes", *boxes, out=tmp_path / "run")
    parts = done.run.rows("label_parts").to_pylist()
    assert {p["id"] for p in parts if p["flagged"]} == {
        f"photo {i}" for i in np.flatnonzero(done.found.flagged).tolist()
    }
    placed = [p["score"] for p in parts if p["issue"] == "badly placed" and p["id"] == "photo 0"]
    assert placed == done.found.badly_placed[0].tolist()
    assert sum(c["badly_placed"] for c in done.summary["by_class"]) == sum(int(f[1].sum()) for f in done.found.flags)


def test_the_command(several, tmp_path, capsys):
    labels, p = map(str, several)
    command = ["labels", "find", "--kind", "multilabel", "--labels", labels, "--pred-probs", p, "--out"]
    assert main([*command, str(tmp_path / "a")]) == 0
    assert "samples flagged" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "multilabel"
    for wrong, message in (
        ([*command, str(tmp_path / "a")], "already holds a search"),
        (["labels", "find", "--kind", "masks", "--pred-probs", p], "give --labels FILE and --pred-probs FILE"),
        ([*command, str(tmp_path / "c"), "--data", "demo"], "leave --data"),
        (
            ["labels", "find", "--kind", "polygons", "--labels", labels, "--pred-probs", p],
            "no kind of labels 'polygons'",
        ),
        (["labels", "find"], "give --data SPEC"),
        (["labels", "find", "--data", "demo", "--labels", labels], "--labels goes with --kind"),
    ):
        assert main(wrong) == 2
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1


def test_wrong_use_from_python(several, tmp_path):
    with pytest.raises(ParameterError, match="no kind of labels 'mask'; did you mean 'masks'"):
        find_labels_of_kind("mask", *several, out=tmp_path / "run")
    with pytest.raises(DataError, match="2 class names are given, and there are 4 classes"):
        find_labels_of_kind("multilabel", *several, classes=["a", "b"], out=tmp_path / "run")
    find_labels_of_kind("multilabel", *several, out=tmp_path / "run")
    with pytest.raises(RunError, match="already holds"):
        find_labels_of_kind("multilabel", *several, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[0], [4]]", r"sample 1: 4 is no class: needed are whole numbers from 0 to 3"),
        ("[[0, 0]]", "sample 0 names class 0 twice"),
        ("[[true]]", "True is no class"),
        ("[[0.5]]", "0.5 is no class"),
        ("[0, 1]", "one list of class numbers for each sample"),
        ("[[0]", "is damaged"),
        ("[[NaN]]", "NaN is no JSON"),
    ],
)
def test_wrong_labels_of_several_classes(tmp_path, text, message):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_multi_label(tmp_path / "labels.json", 4)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((0, 0, "labels", 0), 3, "image 0: 3 is no class: needed are whole numbers from 0 to 2"),
        ((0, 0, "labels"), [0], "has 3 boxes, and labels are"),
        ((0, 0, "bboxes", 0), [9, 9, 5, 12], r"box \[9.0, 9.0, 5.0, 12.0\] is inverted or empty"),
        ((0, 0, "bboxes", 0), [-1, 0, 5, 12], r"box \[-1.0, 0.0, 5.0, 12.0\] lies outside of the image"),
        ((0, 0, "bboxes", 0), [0, 0, 5], r"is no box; needed is a list of \[left, top, right, bottom\]"),
        ((0, 0, "bboxes", 0), [0, 0, 5, "x"], "is no box"),
        ((0, 0, "width"), 4, "lies outside of the image"),
        ((0, 0, "width"), "wide", "width 'wide' is no number of pixels"),
        ((0, 0), [1], "needed is a table with bboxes and labels"),
        ((0, 1, "image_name"), "photo 0", "two images have the same image_name"),
        ((1, 0, 0), [[0, 0, 5, 5]], "left, top, right, bottom, probability"),
        ((1, 0, 0), [[0, 0, 5, 5, 1.5]], r"probability 1.5 is not in \[0, 1\]"),
        ((1, 0, 0), [[5, 0, 0, 5, 0.5]], "inverted or empty"),
        ((1, 1), [], "one list of boxes for each of 3 classes, the same in all images"),
    ],
)
def test_wrong_boxes(boxes, place, value, message):
    tables = copy.deepcopy(list(box_tables()))
    *way, last = place
    spot = tables
    for key in way:
        spot = spot[key]
    spot[last] = value
    for file, table in zip(boxes, tables, strict=True):
        file.write_text(json.dumps(table))
    with pytest.raises(DataError, match=message):
        read_boxes(*boxes)


def test_wrong_files(boxes, tmp_path):
    boxes[1].write_text("[]")
    with pytest.raises(DataError, match="one entry for each image"):
        read_boxes(*boxes)
    boxes[1].write_text("[[[]]]")
    with pytest.raises(DataError, match=r"has 12 images, .* 1: they must be the same"):
        read_boxes(*boxes)
    with pytest.raises(DataError, match=r"is read from a \.json file"):
        read_boxes(tmp_path / "a.txt", boxes[1])
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(DataError, match="holds 2 arrays"):
        read_array(tmp_path / "two.npz")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        read_array(tmp_path / "objects.npy")
    (tmp_path / "no.npz").write_bytes(b"PK nothing")
    for name in ("no.npz", "absent.npy"):
        with pytest.raises(DataError, match="cannot be read"):
            read_array(tmp_path / name)
    with pytest.raises(DataError, match=r"arrays are read from \.npy or \.npz files"):
        read_array(tmp_path / "masks.png")


def test_the_directory_of_another_command_is_refused(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ParameterError, match=r"holds other files, such as 'run.json'"):
        find_labels_of_kind("multilabel", tmp_path / "y.npy", tmp_path / "p.npy", out=tmp_path)
