"""Units found by words and by meaning, and annotations in a table."""

from __future__ import annotations

import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.explain.units.ablation import Unit
from unshaken.explain.units.published import read_annotations
from unshaken.explain.units.search import search_units

ROWS = [
    {"layer": "conv1", "unit": 0, "description": "Printed letters"},
    {"layer": "conv1", "unit": 1, "description": None},
    {"layer": "conv2", "unit": 4, "description": "the sky"},
    {"layer": "conv2", "unit": 5, "description": "context of a wall"},
]


def test_a_part_of_a_word_is_enough_and_case_does_not_count():
    assert search_units(ROWS, "text|word|LETTER") == [Unit("conv1", 0), Unit("conv2", 5)]
    assert search_units(ROWS, "sea") == []


def test_meaning_finds_other_words_nearest_first():
    vectors = {"Printed letters": [1, 0.5], "the sky": [-1, 0], "context of a wall": [1, 1.2], "text": [1, 0]}

    def embed(texts):
        return torch.tensor([vectors[t] for t in texts], dtype=torch.float32)

    assert search_units(ROWS, "text", embed=embed) == [Unit("conv1", 0), Unit("conv2", 5)]
    assert search_units(ROWS, "text", embed=embed, least=0.8) == [Unit("conv1", 0)]


def test_no_word_is_an_error():
    with pytest.raises(ParameterError, match="give a word"):
        search_units(ROWS, " | ")


def test_layers_called_by_digits_stay_texts(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text('model,layer,unit,summary\nalexnet,3,7,"red, round things"\nalexnet,3,7,apples\n')
    assert read_annotations(table) == {("3", 7): ["red, round things", "apples"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer,unit\nconv,1\n", "expected layer,unit,description"),
        ("layer,unit,description\nconv,x,sky\n", "is not a whole number"),
        ("layer,unit,description\nconv,1\n", "line 2: 2 values for 3 columns"),
        ("layer,unit,description\n", "hold no description"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises((DataError, ParameterError), match=message):
        read_annotations(tmp_path / "a.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "absent.csv")
