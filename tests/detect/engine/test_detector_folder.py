"""A folder of detectors: its list as written, damaged ones refused, and banks read whole and in pieces."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from unshaken.core.classifier import View
from unshaken.core.errors import ModelError, RunError
from unshaken.detect import DetectorSet
from unshaken.detect.engine import detector_folder
from unshaken.detect.engine.detector_folder import LIST, FitRecord, checked_banks, read_banks, read_list, view_text


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


@pytest.mark.parametrize("piece", [2**26, 100, 1])
def test_pieces_change_nothing(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(detector_folder, "PIECE", piece)
    made = {
        "a": torch.randn(37, 5),
        "b": torch.arange(11, dtype=torch.int8),
        "c": torch.tensor(7),
        "d": torch.rand(9, 2, 3).half(),
    }
    save_file(made, tmp_path / "f.safetensors")
    found = read_banks(tmp_path / "f.safetensors")
    assert found.keys() == made.keys()
    assert all(torch.equal(found[k], v) for k, v in made.items())
    assert all(found[k].dtype == v.dtype for k, v in made.items())


def test_a_piece_holds_as_many_rows_as_fit(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(detector_folder, "PIECE", 100)
    monkeypatch.setattr(
        detector_folder, "safe_open", lambda *given, **more: opened.append(given) or safe_open(*given, **more)
    )
    save_file({"a": torch.randn(37, 5)}, tmp_path / "f.safetensors")  # 20 bytes a row
    read_banks(tmp_path / "f.safetensors")
    assert len(opened) == 1 + 8


def test_the_file_may_go(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "f.safetensors")
    found = read_banks(tmp_path / "f.safetensors")
    (tmp_path / "f.safetensors").write_bytes(b"")
    assert found["a"].tolist() == [1, 1, 1]


def test_something_else(tmp_path):
    (tmp_path / "f.safetensors").write_bytes(b"<html>")
    with pytest.raises(SafetensorError):
        read_banks(tmp_path / "f.safetensors")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (None, "holds nothing of 'msp'"),
        (torch.zeros(0), "the calibration scores of 'msp' are damaged"),
        (torch.zeros(3, 2), "the calibration scores of 'msp' are damaged"),
        (torch.arange(3), "the calibration scores of 'msp' are damaged"),
        (torch.tensor([0.0, torch.nan]), "the calibration scores of 'msp' are damaged"),
    ],
)
def test_every_detector_of_the_list_has_scores_that_set_a_threshold(fitted, tmp_path, scores, message):
    fitted.detector_set.only("energy", "msp").save(tmp_path)
    record = json.loads((tmp_path / "detectors.json").read_text())
    del record["banks"]  # as earlier versions wrote it: no digest to compare with
    (tmp_path / "detectors.json").write_text(json.dumps(record))
    listed, file = read_list(str(tmp_path)), tmp_path / "banks.safetensors"
    tensors = load_file(file)
    assert checked_banks(tmp_path, listed).keys() == tensors.keys()
    del tensors["msp/calibration"]
    save_file(tensors if scores is None else tensors | {"msp/calibration": scores}, file)
    with pytest.raises(RunError, match=message):
        checked_banks(tmp_path, listed)


def test_one_score_is_enough_and_it_may_be_infinite(fitted, tmp_path):
    fitted.detector_set.only("msp").save(tmp_path)
    listed = read_list(str(tmp_path)).model_copy(update={"banks": None})
    save_file({"msp/calibration": torch.tensor([torch.inf])}, tmp_path / "banks.safetensors")
    assert checked_banks(tmp_path, listed)["msp/calibration"].tolist() == [torch.inf]
