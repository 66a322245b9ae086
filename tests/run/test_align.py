"""Labels in the order of the model's classes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unshaken.data import load_data
from unshaken.run.align import aligned


@pytest.fixture
def folder(tmp_path):
    """Two pictures of each of cat, dog and owl."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, "PNG")
    for name in ("cat", "dog", "owl"):
        (tmp_path / name).mkdir()
        for i in range(2):
            (tmp_path / name / f"{i}.png").write_bytes(file.getvalue())
    return load_data(f"folder:{tmp_path}")


def names_of(dataset):
    return {i.split("/")[0]: dataset.classes[n] for i, n in zip(dataset.ids, dataset.labels, strict=True)}


def test_labels_get_the_models_numbers(folder):
    got = aligned(folder, ("ant", "Owl", "bee", "cat", "DOG"))
    assert got.labels.tolist() == [3, 3, 4, 4, 1, 1]
    assert got.classes == ("ant", "Owl", "bee", "cat", "DOG")
    assert names_of(got) == {"cat": "cat", "dog": "DOG", "owl": "Owl"}
    assert folder.labels.tolist() == [0, 0, 1, 1, 2, 2]  # the given data stays as it is


def test_bad_labels_stay_bad(folder):
    folder.labels = np.array([0, -1, 1, 1, 2, 2])
    assert aligned(folder, ("owl", "dog", "cat")).labels.tolist() == [2, -1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "classes",
    [
        (),
        ("cat", "dog", "owl"),
        ("cat", "dog", "owl", "yak"),
        ("cat", "dog"),
        ("0", "1", "2"),
        ("owl", "dog", "cat", "cat"),
    ],
)
def test_labels_stay_where_names_do_not_say_otherwise(folder, classes):
    got = aligned(folder, classes)
    assert got.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert got.classes == ("cat", "dog", "owl")


def test_data_without_labels_stays_as_it_is(folder):
    folder.labels = None
    assert aligned(folder, ("owl", "dog", "cat")) is folder
