"""Labels in the order of the model's classes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.core.label_record import LabelRecord
from unshaken.data import load_data
from unshaken.models.align import ModelClasses, align, aligned
from unshaken.models.class_names import imagenet_classes


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


def of(names, **more):
    return ModelClasses(names, len(names), **more)


def names_of(dataset):
    return {i.split("/")[0]: dataset.classes[n] for i, n in zip(dataset.ids, dataset.labels, strict=True)}


def test_labels_get_the_models_numbers(folder):
    got = aligned(folder, of(("ant", "Owl", "bee", "cat", "DOG")))
    assert got.labels.tolist() == [3, 3, 4, 4, 1, 1]
    assert got.classes == ("ant", "Owl", "bee", "cat", "DOG")
    assert names_of(got) == {"cat": "cat", "dog": "DOG", "owl": "Owl"}
    assert folder.labels.tolist() == [0, 0, 1, 1, 2, 2]  # the given data stays as it is


def test_bad_labels_stay_bad(folder):
    folder.labels = np.array([0, -1, 1, 1, 2, 2])
    assert aligned(folder, of(("owl", "dog", "cat"))).labels.tolist() == [2, -1, 1, 1, 0, 0]


@pytest.mark.parametrize("classes", [("cat", "dog", "owl"), ("cat", "dog", "owl", "yak"), ("a, cat", "dog", "Owl")])
def test_labels_stay_where_the_names_agree(folder, classes):
    found = align(folder, of(classes))
    assert found.dataset is folder
    assert found.record == LabelRecord(by="names", classes={"cat": 0, "dog": 1, "owl": 2})


@pytest.mark.parametrize(
    "classes", [(), ("0", "1", "2"), ("class 0", "class 1", "class 2"), ("LABEL_0", "LABEL_1", "LABEL_2")]
)
def test_labels_go_by_position_and_say_so_where_the_model_has_no_names(folder, classes):
    found = align(folder, of(classes))
    assert found.dataset is folder
    assert found.record.by == "positions"
    assert found.record.line(classes or "xyz").startswith("by position, for the model has no class names: cat -> ")


@pytest.mark.parametrize("classes", [("0", "1"), ("LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3")])
@pytest.mark.parametrize("named", [True, False])
def test_another_number_of_classes_than_outputs_without_names_is_refused(folder, classes, named):
    model = ModelClasses(classes if named else (), len(classes), "model 'net'", "py:net.py:make?mean=0.5&std=0.2")
    with pytest.raises(DataError) as caught:
        align(folder, model)
    text = str(caught.value)
    assert f"model 'net' has {len(classes)} outputs without class names" in text
    assert "3 classes ('cat', 'dog', 'owl')" in text
    assert "--model 'py:net.py:make?mean=0.5&std=0.2&classes=FILE'" in text
    assert ("?mean=0.5&std=0.2&classes=positions" in text) == (len(classes) > 3)  # else a class has no output
    assert "\n" not in text
    found = align(folder, model, needed=False)
    assert found.dataset.labels is None
    assert found.record.by == "nothing"


def test_a_net_of_a_program_is_told_how_to_name_its_outputs(folder):
    with pytest.raises(
        DataError, match=r"Classifier\(net, classes=\[...\]\); or, .* Classifier\(net, by_position=True\)"
    ):
        align(folder, ModelClasses((), 10))


def test_classes_go_by_position_where_the_user_says_so(folder):
    found = align(folder, ModelClasses(("ant", "bee", "fly", "gnu"), 4, by_position=True))
    assert found.dataset is folder
    assert found.record.asked
    assert found.record.line(("ant", "bee", "fly", "gnu")) == (
        "by position, for the user says so (classes=positions): cat -> ant, dog -> bee, owl -> fly; 3 of the model's 4 "
        "classes occur; scored among all 4 (?within=data in the model's SPEC: among the 3)"
    )
    with pytest.raises(DataError, match=r"has 2 outputs, and data .* 3 classes .*cannot be taken by position"):
        align(folder, ModelClasses((), 2, by_position=True))


def test_folders_called_by_numbers_are_the_outputs_of_these_numbers(tmp_path):
    for name in ("0", "1", "10", "8"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name / "0.png")
    data = load_data(f"folder:{tmp_path}")
    for model in (ModelClasses((), 12), of(tuple(f"LABEL_{k}" for k in range(12)))):
        assert aligned(data, model).labels.tolist() == [0, 1, 10, 8]
    with pytest.raises(DataError, match="has 4 outputs without class names"):
        align(data, ModelClasses((), 4))  # of as many, but in the order of texts: 10 before 8


def test_folders_counted_from_one_go_by_position_in_their_order(tmp_path):
    for name in ("1", "2", "3"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name / "0.png")
    found = align(load_data(f"folder:{tmp_path}"), ModelClasses((), 3))
    assert (found.dataset.labels.tolist(), found.record.by) == ([0, 1, 2], "positions")


def test_a_class_without_samples_counts_among_the_classes_of_the_data(folder):
    folder.classes = (*folder.classes, "unicorn")
    assert align(folder, ModelClasses((), 4)).record.by == "positions"


def test_numbers_without_names_go_by_position(folder):
    folder.classes = ()
    assert align(folder, of(("owl", "cat", "dog"))).record.why == "the labels are numbers without names"


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
        align(folder, ModelClasses(classes, len(classes), "the net"))
    assert words in str(caught.value)
    assert "?classes=FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_of_other_classes_are_left_out_where_none_is_needed(folder):
    found = align(folder, of(("ant", "bee")), needed=False)
    assert found.dataset.labels is None
    assert found.record.line(()) == (
        "not used: 3 of the data's 3 classes are no class of the model: 'cat', 'dog', 'owl'"
    )


def test_a_class_without_samples_needs_no_name(folder):
    folder.classes = (*folder.classes, "unicorn")
    assert align(folder, of(("owl", "dog", "cat"))).dataset.labels.tolist() == [2, 2, 1, 1, 0, 0]


def test_renumbered_data_is_the_same_data(folder):
    """Two models with other class orders see the same data, and a training on it is found out."""
    fingerprints = {aligned(load_data(folder.options.spec), of(c)).fingerprint for c in (("owl", "dog", "cat"), ())}
    assert fingerprints == {folder.fingerprint}


PETS = {"n02123045": 281, "siamese_cat": 284, "Persian-cat": 283, "pug-dog": 254, "n02099601-golden": 207}
"""An id, two names, a synonym, and an id with a name: five folders, and the numbers of their ImageNet classes."""


def test_imagenet_classes_are_found_by_name_synonym_and_wordnet_id(tmp_path):
    for name in PETS:
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name / "0.png")
    found = align(load_data(f"folder:{tmp_path}"), of(imagenet_classes()))
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
    assert aligned(data, of(("owl", "dog", "cat"))).labels.tolist() == labels


def test_a_file_says_the_order_of_the_folders(folder, tmp_path):
    file = tmp_path / "order.txt"
    file.write_text("owl\nyak\ncat\ndog\n")
    data = load_data(f"{folder.options.spec}?classes={file}")
    assert data.classes == ("owl", "yak", "cat", "dog")
    assert aligned(data, of(())).labels.tolist() == [2, 2, 3, 3, 0, 0]


@pytest.mark.parametrize("text", ["owl\ncat\n", "cat\tcat\n", "cat\ndog\nowl\nowl\n"])
def test_a_file_that_does_not_fit_the_folders_is_refused(folder, tmp_path, text):
    file = tmp_path / "order.txt"
    file.write_text(text)
    with pytest.raises(DataError, match="do not fit its folders"):
        load_data(f"{folder.options.spec}?classes={file}")


def test_data_without_labels_stays_as_it_is(folder):
    folder.labels = None
    assert aligned(folder, of(("owl", "dog", "cat"))) is folder


def test_records_are_written_as_earlier_versions_wrote_them_where_nothing_is_new():
    """They are part of what tells one run from another, so that runs of earlier versions go on."""
    assert LabelRecord(by="names", classes={"cat": 3}).model_dump() == {"by": "names", "classes": {"cat": 3}, "why": ""}
    for new in (LabelRecord(by="positions", asked=True), LabelRecord(by="names", within="data")):
        assert LabelRecord.model_validate(new.model_dump()) == new
        assert LabelRecord.model_validate_json(new.model_dump_json()) == new
