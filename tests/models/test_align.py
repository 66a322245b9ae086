"""Labels in the order of the model's classes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.models.align import align, aligned
from unshaken.models.class_names import imagenet_classes
from unshaken.store.config import LabelRecord


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


@pytest.mark.parametrize("classes", [("cat", "dog", "owl"), ("cat", "dog", "owl", "yak"), ("a, cat", "dog", "Owl")])
def test_labels_stay_where_the_names_agree(folder, classes):
    found = align(folder, classes)
    assert found.dataset is folder
    assert found.record == LabelRecord(by="names", classes={"cat": 0, "dog": 1, "owl": 2})


@pytest.mark.parametrize("classes", [(), ("0", "1", "2"), ("class 0", "class 1"), ("LABEL_0", "LABEL_1", "LABEL_2")])
def test_labels_go_by_position_and_say_so_where_the_model_has_no_names(folder, classes):
    found = align(folder, classes)
    assert found.dataset is folder
    assert found.record.by == "positions"
    assert found.record.line(classes or "xyz").startswith("by position, for the model has no class names: cat -> ")


def test_numbers_without_names_go_by_position(folder):
    folder.classes = ()
    assert align(folder, ("owl", "cat", "dog")).record.why == "the labels are numbers without names"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cat", "dog"), "1 of its 3 classes are no class of the net: 'owl'; rename them"),
        (("cat", "dog", "barn owl"), "'owl' (nearest: 'barn owl')"),
        (("owl", "dog", "cat", "cat"), "'cat' (may be 'cat', 'cat')"),
        (("ant", "bee", "fly"), "3 of its 3 classes are no class of the net"),
    ],
)
def test_names_that_map_to_nothing_are_refused(folder, classes, words):
    with pytest.raises(DataError) as caught:
        align(folder, classes, model="the net")
    assert words in str(caught.value)
    assert "?classes=FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_of_other_classes_are_left_out_where_none_is_needed(folder):
    found = align(folder, ("ant", "bee"), needed=False)
    assert found.dataset.labels is None
    assert found.record.line(()) == "not used, for some of the data's classes are no class of the model"


def test_a_class_without_samples_needs_no_name(folder):
    folder.classes = (*folder.classes, "unicorn")
    assert align(folder, ("owl", "dog", "cat")).dataset.labels.tolist() == [2, 2, 1, 1, 0, 0]


def test_renumbered_data_is_the_same_data(folder):
    """Two models with other class orders see the same data, and a training on it is found out."""
    fingerprints = {aligned(load_data(folder.options.spec), c).fingerprint for c in (("owl", "dog", "cat"), ())}
    assert fingerprints == {folder.fingerprint}


PETS = {"n02123045": 281, "siamese_cat": 284, "Persian-cat": 283, "pug-dog": 254, "n02099601-golden": 207}
"""An id, two names, a synonym, and an id with a name: five folders, and the numbers of their ImageNet classes."""


def test_imagenet_classes_are_found_by_name_synonym_and_wordnet_id(tmp_path):
    for name in PETS:
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name / "0.png")
    found = align(load_data(f"folder:{tmp_path}"), imagenet_classes())
    assert found.record.classes == PETS
    assert found.dataset.labels.tolist() == [PETS[i.split("/")[0]] for i in found.dataset.ids]
    line = found.record.line(imagenet_classes())
    assert "n02123045 -> tabby" in line
    assert "pug-dog -> pug" in line


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        (["cat\tdog", "dog\towl", "owl\tcat"], [1, 1, 0, 0, 2, 2]),
        (["cat\t0", "dog\t2", "owl\towl"], [0, 0, 2, 2, 0, 0]),
    ],
)
def test_a_file_says_which_class_a_folder_is(folder, tmp_path, lines, labels):
    file = tmp_path / "order.txt"
    file.write_text("\n".join(lines))
    data = load_data(f"{folder.options.spec}?classes={file}")
    assert aligned(data, ("owl", "dog", "cat")).labels.tolist() == labels


def test_a_file_says_the_order_of_the_folders(folder, tmp_path):
    file = tmp_path / "order.txt"
    file.write_text("owl\nyak\ncat\ndog\n")
    data = load_data(f"{folder.options.spec}?classes={file}")
    assert data.classes == ("owl", "yak", "cat", "dog")
    assert aligned(data, ()).labels.tolist() == [2, 2, 3, 3, 0, 0]


@pytest.mark.parametrize("text", ["owl\ncat\n", "cat\tcat\n", "cat\ndog\nowl\nowl\n"])
def test_a_file_that_does_not_fit_the_folders_is_refused(folder, tmp_path, text):
    file = tmp_path / "order.txt"
    file.write_text(text)
    with pytest.raises(DataError, match="do not fit its folders"):
        load_data(f"{folder.options.spec}?classes={file}")


def test_data_without_labels_stays_as_it_is(folder):
    folder.labels = None
    assert aligned(folder, ("owl", "dog", "cat")) is folder
