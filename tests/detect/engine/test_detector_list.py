"""The list of a folder of detectors: read as written, and damaged ones refused."""

from __future__ import annotations

import json

import pytest

from unshaken.core.classifier import View
from unshaken.core.errors import ModelError, RunError
from unshaken.detect import DetectorSet
from unshaken.detect.engine.detector_list import LIST, FitRecord, read_list, view_text


def test_a_folder_without_detectors(tmp_path):
    from unshaken.models import load_model

    with pytest.raises(RunError, match=r"no detectors.json found; give a folder written by"):
        DetectorSet.load(tmp_path, load_model("demo"))


def test_a_list_is_read_as_it_was_written_and_no_label_stands_twice(tmp_path):
    record = {
        "schema": 1,
        "detectors": [{"label": "knn", "method": "knn", "params": {"k": 5}}, {"label": "msp", "method": "msp"}],
        "anatomy": {"head": "fc", "stages": ["stem"], "classes": 10},
        "about": {"data": "demo", "samples": {"bank": 7}, "remark": "a fit may say more"},
        "banks": "0" * 64,
    }
    (tmp_path / LIST).write_text(json.dumps(record))
    found = read_list(str(tmp_path))
    assert [(d.label, d.params) for d in found.detectors] == [("knn", {"k": 5}), ("msp", {})]
    assert (found.anatomy.classes, found.about.samples, found.banks) == (10, {"bank": 7}, "0" * 64)

    record["detectors"][1]["label"] = "knn"
    (tmp_path / LIST).write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"detectors.json is damaged \(a label stands twice\); fit the detectors again"):
        read_list(str(tmp_path))


@pytest.mark.parametrize("label", ["", "../up", ".hidden", "a b", "x" * 101])
def test_a_label_that_is_no_file_name_is_refused(tmp_path, label):
    record = {
        "schema": 1,
        "detectors": [{"label": label, "method": "msp"}],
        "anatomy": {"head": None, "stages": [], "classes": 2},
        "about": {},
    }
    (tmp_path / LIST).write_text(json.dumps(record))
    with pytest.raises(RunError, match="label"):
        read_list(str(tmp_path))


def test_a_view_is_that_of_the_fit_or_the_size_that_its_images_had():
    view = View(28, 30, channels=1)
    FitRecord(view=view_text(view)).check_view(View(28, 30, resize=28, channels=1), "net", "d")  # the same in words
    FitRecord(view="as they are", shape=[1, 28, 30]).check_view(view, "net", "d")
    FitRecord().check_view(view, "net", "d")  # a fit of an earlier version
    for other, record in (
        (None, FitRecord(view=view_text(view), shape=[1, 28, 30])),
        (View(28, 30), FitRecord(view=view_text(view), shape=[1, 28, 30])),
        (View(30, 28), FitRecord(view="as they are", shape=[1, 28, 30])),
    ):
        with pytest.raises(ModelError, match=r"d: these detectors .* photos seen so: .*; 'net' sees them so"):
            record.check_view(other, "net", "d")


def test_a_label_of_a_hundred_characters_is_read(tmp_path):
    record = {
        "schema": 1,
        "detectors": [{"label": "x" * 100, "method": "msp"}],
        "anatomy": {"head": None, "stages": [], "classes": 1},
        "about": {"samples": {"bank": 10**12, "bad": 0}},
    }
    (tmp_path / LIST).write_text(json.dumps(record))
    found = read_list(str(tmp_path))
    assert found.about.samples == {"bank": 10**12, "bad": 0}
    assert (found.detectors[0].label, found.about.seed) == ("x" * 100, 0)
    for wrong in (
        {"detectors": []},
        {"anatomy": {"head": None, "stages": [], "classes": 0}},
        {"about": {"seed": -1}},
        *({"about": {"samples": {"bank": n}}} for n in (-1, 10**12 + 1)),
    ):
        (tmp_path / LIST).write_text(json.dumps(record | wrong))
        with pytest.raises(RunError, match="fit the detectors again"):
            read_list(str(tmp_path))
