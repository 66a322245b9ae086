"""A file of banks, read whole and in pieces."""

from __future__ import annotations

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from unshaken.detect.engine import banks
from unshaken.detect.engine.banks import read_banks


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


def test_the_file_may_go(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "f.safetensors")
    found = read_banks(tmp_path / "f.safetensors")
    (tmp_path / "f.safetensors").write_bytes(b"")
    assert found["a"].tolist() == [1, 1, 1]


def test_something_else(tmp_path):
    (tmp_path / "f.safetensors").write_bytes(b"<html>")
    with pytest.raises(SafetensorError):
        read_banks(tmp_path / "f.safetensors")
