"""What all data sets share."""

import pickle

import pytest

from unshaken.data import load_data
from unshaken.data.dataset import BadSample, digest, file_mark


def test_labels_beyond_the_model_are_bad_in_a_copy(tmp_path, make):
    data = load_data(make.table(tmp_path / "a.parquet", [make.encode(make.noise())] * 3, label=[0, 5, -1]))
    within = data.within(5)
    assert within.bad == {1: "label 5 is out of range: the model has 5 classes", 2: "label -1 is negative"}
    assert data.bad == {2: "label -1 is negative"}
    assert data.read(1).shape == (10, 12, 3)
    with pytest.raises(BadSample, match="1: label 5 is out of range"):
        within.read(1)


def test_the_reference_is_the_first_readable_image(tmp_path, make):
    images = [b"", b"junk", make.encode(make.noise(4, 6, 1)), make.encode(make.noise(9, 9))]
    assert load_data(make.table(tmp_path / "a.parquet", images)).reference == ("L", (6, 4))
    assert load_data(make.table(tmp_path / "b.parquet", images[:2])).reference is None


def test_read_applies_the_specs_size_and_mode(tmp_path, make):
    spec = make.table(tmp_path / "a.parquet", [make.encode(make.noise(20, 30))])
    assert load_data(f"{spec}?size=8&mode=L").read(0).shape == (8, 8, 1)


def test_parts_of_a_digest_do_not_run_together():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(b"x") == digest(b"x")
    assert len(digest()) == 32


def test_the_mark_of_a_large_file_sees_its_ends(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(3 << 20))
    whole, ends = file_mark(path), file_mark(path, limit=1 << 20)
    assert whole[:2] == ends[:2] == ("a", 3 << 20)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assert file_mark(path) != whole
    assert file_mark(path, limit=1 << 20)[3] != ends[3]


def test_a_bad_sample_travels_between_processes():
    bad = pickle.loads(pickle.dumps(BadSample("a/b", "empty")))
    assert (bad.id, bad.reason, str(bad)) == ("a/b", "empty", "a/b: empty")
