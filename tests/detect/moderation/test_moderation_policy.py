"""Policies: what a file may say, and which classes stand for a category."""

import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.moderation.moderation_policy import flagged_classes, read_policy

TEXT = """
name: no pets, no wheels
labels: [airplane, automobile, bird, cat, deer, dog]
categories:
  - name: pets
    definition: a cat or a dog is what the picture is about
    classes: [cat, 5]
  - {name: automobile, definition: a car}
"""


def test_a_policy_is_read(tmp_path):
    (tmp_path / "policy.yaml").write_text(TEXT)
    policy = read_policy(tmp_path / "policy.yaml")
    assert policy.names == ["pets", "automobile"]
    assert policy.members(6) == [(3, 5), (1,)]
    assert policy.categories[0].definition.startswith("a cat or a dog")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("categories: [", DataError, "is not valid YAML"),
        ("- pets", DataError, "is list, not a table"),
        ("name: empty", ParameterError, "parameter 'categories' is missing"),
        ("categories: []", ParameterError, "at least 1 item"),
        ("categories: [{name: a}, {name: a}]", ParameterError, "category 'a' stands twice"),
        ("categories: [{definition: nameless}]", ParameterError, "'name' is missing"),
        ("categories: [{name: a, class: b}]", ParameterError, "no parameter 'class'"),
    ],
)
def test_files_that_are_no_policy(tmp_path, text, kind, message):
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(kind, match=message) as caught:
        read_policy(file)
    assert "p.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="No such file or directory"):
        read_policy(tmp_path / "none.yaml")


def test_classes_by_name_and_number():
    assert flagged_classes(["cat", "dog"], ["bird", "cat", "dog"]).members(3) == [(1,), (2,)]
    assert flagged_classes(["0", "2"]).members(3) == [(0,), (2,)]
    with pytest.raises(ParameterError, match="did you mean 'cat'"):
        flagged_classes(["cta"], ["bird", "cat"]).members(2)
    with pytest.raises(ParameterError, match="no class '3'"):
        flagged_classes(["3"]).members(3)
    with pytest.raises(ParameterError, match="give labels to use names"):
        flagged_classes(["cat"]).members(3)
