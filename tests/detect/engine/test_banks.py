"""A file of banks, read whole and in pieces."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from unshaken.core.errors import RunError
from unshaken.detect.engine import banks
from unshaken.detect.engine.banks import checked_banks, read_banks
from unshaken.detect.engine.detector_list import read_list


@pytest.mark.parametrize("piece", [2**26, 100, 1])
def test_pieces_change_nothing(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(banks, "PIECE", piece)
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
    monkeypatch.setattr(banks, "PIECE", 100)
    monkeypatch.setattr(banks, "safe_open", lambda *given, **more: opened.append(given) or safe_open(*given, **more))
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
