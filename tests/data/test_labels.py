"""Labels of every type, the answers by hand."""

import pyarrow as pa
import pytest

from unshaken.core.errors import DataError
from unshaken.data.labels import labels_from, read_classes


def labels(values, classes=(), kind=None):
    got, names, bad = labels_from(pa.array(values, kind), classes, "s")
    return got if got is None else got.tolist(), names, bad


def test_whole_numbers_stand_as_they_are():
    assert labels([3, 0, 7]) == ([3, 0, 7], (), {})
    assert labels([True, False]) == ([1, 0], (), {})
    assert labels([3, 0], kind=pa.uint8()) == ([3, 0], (), {})


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_strings_are_mapped_to_sorted_names(kind):
    assert labels(["dog", "cat", None, "dog"], kind=kind) == ([1, 0, -1, 1], ("cat", "dog"), {2: "the label is null"})


def test_strings_are_mapped_to_given_classes():
    got, names, bad = labels(["dog", "cow"], ("dog", "cat"))
    assert (got, names) == ([0, -1], ("dog", "cat"))
    assert bad == {1: "label 'cow' is not one of the 2 class names"}


@pytest.mark.parametrize(
    ("values", "kind", "classes", "bad"),
    [
        ([0, -3], None, (), "label -3 is negative"),
        ([0, 2], None, ("a", "b"), "label 2 is out of range: there are 2 classes"),
        ([0, None], pa.int64(), (), "the label is null"),
        ([0.0, 1.5], None, (), "label 1.5 is not a whole number"),
        ([0.0, float("nan")], None, (), "label nan is not a whole number"),
        ([0.0, float("inf")], None, (), "label inf is not a whole number"),
        ([0.0, 1e300], None, (), "label 1e+300 is not a whole number"),
        ([0.0, None], pa.float32(), (), "the label is null"),
        ([0, 2**64 - 1], pa.uint64(), (), "the label does not fit 64 bits"),
        ([0, 2**63 - 1], pa.int64(), (), "label 9223372036854775807 is out of range"),
    ],
)
def test_a_bad_label_is_that_samples_alone(values, kind, classes, bad):
    got, _, reasons = labels(values, classes, kind)
    assert got == [0, -1]
    assert list(reasons) == [1]
    assert reasons[1].startswith(bad)


def test_whole_floats_are_labels():
    assert labels([0.0, 4.0]) == ([0, 4], (), {})


@pytest.mark.parametrize("values", [pa.nulls(3), pa.array([None] * 3, pa.int64()), pa.array([None], pa.string())])
def test_nothing_but_null_is_no_labels(values):
    assert labels_from(values, ("a",), "s") == (None, ("a",), {})


def test_other_types_and_ambiguous_names_are_refused():
    with pytest.raises(DataError, match=r"labels of type list<item: int64> are not integers or strings"):
        labels([[1]])
    with pytest.raises(DataError, match="'crane' stands for several labels"):
        labels(["crane"], ("crane", "maillot", "crane"))


def test_class_names_come_line_by_line(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("n01\ttench\nn02\tgreat shark\n\n")
    assert read_classes(path, "s") == ("tench", "great shark")
    path.write_text("\n")
    with pytest.raises(DataError, match="holds no class names"):
        read_classes(path, "s")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_classes(path, "s")
    with pytest.raises(DataError, match="No such file"):
        read_classes(tmp_path / "none", "s")
