"""The part of the page about units: tables and cards from rows and arrays by hand, and the edit."""

from __future__ import annotations

import pytest
import torch

from unshaken.explain.engine.rows import table_rows
from unshaken.explain.units.exemplars import pack
from unshaken.report.blocks import Commands, Prose, Table, plain, walk
from unshaken.report.drawings import Gallery, Plots
from unshaken.report.pages.explained.units import blocks
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile


@pytest.fixture
def run(tmp_path):
    """Three units: one described, one not, one silent; and a unit of another condition."""
    run = RunDir(tmp_path / "run")
    columns = {
        "layer": ["conv"] * 3, "unit": [0, 1, 2], "description": ["a <b>red</b> bar", None, None],
        "score": [0.25, 0.01, None], "agreement": [0.5, None, None], "effect": [0.02, None, None],
        "error": [None, None, "no description: the unit is nowhere above its threshold"],
    }  # fmt: skip
    run.write_rows(table_rows("units", "milan", "milan", columns), "units", "milan", 0)
    other = {name: values[:1] for name, values in columns.items()} | {"layer": ["elsewhere"]}
    run.write_rows(table_rows("units", "other", "netdissect", other), "units", "other", 0)
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 0, 0] = True
    arrays = {
        "pictures": torch.full((2, 1, 4, 4), 200, dtype=torch.uint8), "picture_masks": pack(masks),
        "picture_of": torch.tensor([[0, 0, 0], [0, 0, 1]]),
    }  # fmt: skip
    run.write_tensors(TensorFile(arrays), "arrays", "milan.safetensors")
    return run


FOUND = {"extra": {"detectors": {"conv": {"units": 3, "colour": 1}}, "layers": ["conv"]}, "figures": {}}


def test_layers_and_categories_are_counted(run):
    table = next(b for b in walk(blocks(run, "milan", FOUND)) if isinstance(b, Table))
    assert [c.title for c in table.columns] == ["layer", "units", "described", "colour"]
    cells = [c if isinstance(c, str) else c.text for c in table.rows[0]]
    assert cells == ["conv", "3", "33.3 %", "1"]


def test_a_card_says_what_the_row_says(run):
    gallery = next(b for b in walk(blocks(run, "milan", FOUND)) if isinstance(b, Gallery))
    (card,) = gallery.exhibits
    assert len(card.pictures) == 2
    assert [plain(line) for line in card.lines] == [
        "a <b>red</b> bar", "conv, unit 0", "score 0.25, agreement 0.5", "accuracy without it: -2.0 points",
    ]  # fmt: skip
    assert gallery.pixels


def test_units_without_a_word_are_counted_with_their_reason(run):
    texts = [plain(b.text) for b in walk(blocks(run, "milan", FOUND)) if isinstance(b, Prose)]
    assert "1 of 3 units: no description: the unit is nowhere above its threshold." in texts


def test_annotations_of_people_stand_beside(run):
    found = {**FOUND, "extra": {**FOUND["extra"], "annotations": {"conv:0": ["red things", "warm"], "conv:2": ["sky"]}}}
    table = [b for b in walk(blocks(run, "milan", found)) if isinstance(b, Table)][-1]
    assert table.rows == (("conv:0", "a <b>red</b> bar", "red things; warm"), ("conv:2", "no description", "sky"))


def test_the_edit_is_shown_with_the_command_that_makes_it_last(run):
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 40, "interval": "x"}
    edit = {
        "words": "text", "units": ["conv:3", "conv:1"], "count": 1, "curve": [0.5, 0.6, 0.4], "n": [40, 40, 41],
        "before": share, "after": share, "gain": share, "over_random": share, "random": [0.5],
    }  # fmt: skip
    found = blocks(run, "absent", {"extra": {"edit": edit, "layers": []}, "figures": {}})
    kinds = {type(b): b for b in found}
    assert kinds[Commands].lines[0] == "unshaken harden surgery ablate BASE conv:3 --out without.safetensors"
    assert kinds[Plots].plots[0].marker == (50, "chosen")
    assert [c.y for c in kinds[Plots].plots[0].traces[0].points] == [50, 40, 60]
    assert len(kinds[Table].rows) == 3
