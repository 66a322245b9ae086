"""Released annotations: both spellings, the toy of multi-label accuracy through the file, and what is damaged."""

import json

import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.labels.review.imagenet_annotations import read_annotations
from unshaken.measure.classification.multi_label_accuracy import multi_label_accuracy

WNIDS = [f"n0{i}" for i in range(6)]
ORIGINAL = {"A": 0, "B": 0, "D": 0, "E": 1}
TOY = {
    "initial_annots": {
        "E": {"correct_multi_labels": ["n01"]},
        "A": {"correct": ["n00", "n03"], "wrong": ["n04"]},
        "B": {"correct_multi_label": ["n00"], "unclear_multi_labels": ["n05"]},
        "D": {"correct": ["n00"]},
    },
    "problematic_images": {"D": "drawing"},
    "imagenet_m": ["A", "E"],
}


def written(tmp_path, value):
    (tmp_path / "a.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return tmp_path / "a.json"


def test_the_toy_by_hand_from_a_file(tmp_path):
    found = read_annotations(written(tmp_path, TOY), WNIDS, ORIGINAL)
    assert found.files == ("A", "B", "D", "E")
    predicted = [3, 5, 0, 0]
    assert multi_label_accuracy(predicted, found.labels).value == 0.5
    assert multi_label_accuracy(predicted, found.labels, strict=True).value == 0.25
    assert found.labels.is_unreviewed([4, 5, 9, 9]).tolist() == [False, False, False, True]
    score = found.imagenet_m(predicted)
    assert (score.value, score.n) == (0.5, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial_annots": {}}, "is damaged"),
        ({"initial_annots": {"A": {"correct": 3}}}, "is damaged"),
        ({"initial_annots": {"A": {"correct": ["n99"]}}}, "'n99' is none of the 6 classes"),
        ({"initial_annots": {"Z": {}}}, "1 of 1 images have no original label, such as 'Z'"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        read_annotations(written(tmp_path, {**TOY, **change}), WNIDS, ORIGINAL)


def test_what_is_no_file_of_annotations(tmp_path):
    with pytest.raises(DataError, match="is damaged"):
        read_annotations(written(tmp_path, "[]"), WNIDS, ORIGINAL)
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "none.json", WNIDS, ORIGINAL)
    few = read_annotations(written(tmp_path, {**TOY, "imagenet_m": []}), WNIDS, ORIGINAL)
    with pytest.raises(ParameterError, match="n at least 1"):
        few.imagenet_m([0, 0, 0, 0])
