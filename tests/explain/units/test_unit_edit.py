"""From a run that describes units to an edit: the units are found by words, and rows say what each is for."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.explain import Subject
from unshaken.explain.engine.rows import table_rows
from unshaken.explain.units.unit_edit import UnitEditing
from unshaken.store.run_dir import RunDir


@pytest.fixture
def described(tmp_path):
    run = RunDir(tmp_path / "run")
    columns = {"layer": ["body"] * 3, "unit": [0, 1, 2], "description": ["Printed text", None, "context"]}
    run.write_rows(table_rows("units", "milan", "milan", columns), "units", "milan", 0)
    return str(tmp_path / "run")


@pytest.fixture
def reddish(colours):
    """Thirty images of class 1, whose green is 0.5; red is 0.9 in every third, and blue nowhere."""
    images = torch.zeros(30, 3, 4, 4)
    images[:, 1], images[::3, 0] = 0.5, 0.9
    data = InMemory(images.mul(255).round().byte(), torch.ones(30, dtype=torch.int64))
    return Subject({"colours": colours}, data, range(30), batch=7)


def test_units_are_found_by_words_and_taken_out_by_held_out_images(described, reddish):
    found = UnitEditing(run=described, words="text", draws=2).find(reddish)
    edit = found.extra["edit"]
    assert set(edit["units"]) == {"body:0", "body:2"}
    assert (edit["units"][0], edit["count"]) == ("body:0", 1)
    assert edit["curve"][1] == 1.0
    assert found.rows["description"][0] == "Printed text"
    assert found.figures["gain"].value == pytest.approx(edit["after"]["value"] - edit["before"]["value"])
    assert edit["after"]["value"] == 1.0
    assert edit["n"] == [10, 10, 10]
    assert found.rows["effect"][0] < 0 == found.rows["effect"][1]


def test_words_that_no_description_has_are_an_error(described, reddish):
    with pytest.raises(ParameterError, match="contains 'sky'"):
        UnitEditing(run=described, words="sky").find(reddish)
    with pytest.raises(ParameterError, match="describe units first"):
        UnitEditing(run="/absent", words="sky").find(reddish)


def test_images_without_labels_are_an_error(described, colours):
    data = InMemory(torch.zeros(4, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(DataError, match="needs labelled images"):
        UnitEditing(run=described, words="text").find(Subject({"m": colours}, data, range(4)))
