"""The mean over members, the sixteen categories, and maps that do not fit."""

import json

import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.explain.biases.categories import IMAGENET_16, Categories, read_categories


def test_the_mean_over_members_decides_and_not_the_sum():
    logits = torch.tensor([[0.3, 0.2, 0.2, 0.2, 0.1]]).log()
    groups = Categories(("X", "Y"), ((0,), (1, 2, 3)))
    decided, p = groups.decide(logits)
    assert decided.tolist() == [0]
    assert p.tolist() == pytest.approx([0.3])
    assert groups.probabilities(logits)[0, 1] == pytest.approx(0.2)


def test_classes_of_no_category_have_none():
    groups = Categories(("X", "Y"), ((0,), (2, 3)))
    assert groups.of_classes(torch.tensor([0, 1, 2, 3])).tolist() == [0, -1, 1, 1]


def test_an_output_that_is_not_finite_decides_nothing():
    assert Categories(("X", "Y"), ((0,), (1,))).decide(torch.tensor([[float("nan"), 1.0]]))[0].tolist() == [-1]


def test_the_sixteen_categories_share_no_class():
    members = [i for group in IMAGENET_16.values() for i in group]
    assert (len(IMAGENET_16), len(members), len(set(members))) == (16, 207, 207)
    assert read_categories("imagenet-16", [], 1000).names == tuple(IMAGENET_16)


def test_a_file_of_names_and_numbers(tmp_path):
    file = tmp_path / "groups.json"
    file.write_text(json.dumps({"pets": ["tabby cat", 1], "cars": ["cab"]}))
    found = read_categories(str(file), ["tabby_cat", "beagle", "cab"])
    assert found == Categories(("pets", "cars"), ((0, 1), (2,)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": ["tabby"], "b": []}, "'b' has no class: name one at least"),
        ({"a": ["tabby"], "b": ["zebra"]}, "'zebra' of 'b' is no class of the model"),
        ({"a": ["tabby"], "b": ["tabby", "cab"]}, "class 0 is in 'a' and in 'b'"),
        ({"a": ["tabby", "cab"]}, "there are 1, and cues need two at least"),
        (["tabby"], "a list of classes a category"),
    ],
)
def test_maps_that_do_not_fit_are_one_line(content, message, tmp_path):
    file = tmp_path / "groups.json"
    file.write_text(json.dumps(content))
    with pytest.raises((DataError, ParameterError), match=message) as caught:
        read_categories(str(file), ["tabby", "cab"])
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_a_model_of_other_classes(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_categories(str(tmp_path / "none.json"), ["a", "b"])
    with pytest.raises(ParameterError, match="of the 1,000 classes of ImageNet; the model has 2"):
        read_categories("imagenet-16", ["a", "b"])
    with pytest.raises(ParameterError, match="the categories name class 914, but"):
        read_categories("imagenet-16", [], 1000).decide(torch.zeros(1, 10))
