"""What all data sets share."""

import io
import pickle
import shutil

import pytest
from PIL import Image, ImageFile

from unshaken.data import load_data
from unshaken.data.dataset import BadSample, CommonForm, content_mark, digest, file_mark


def test_labels_beyond_the_model_are_bad_in_a_copy(tmp_path, make):
    data = load_data(make.table(tmp_path / "a.parquet", [make.encode(make.noise())] * 3, label=[0, 5, -1]))
    within = data.within(5)
    assert within.bad == {1: "label 5 is out of range: the model has 5 classes", 2: "label -1 is negative"}
    assert data.bad == {2: "label -1 is negative"}
    assert data.read(1).shape == (10, 12, 3)
    with pytest.raises(BadSample, match="1: label 5 is out of range"):
        within.read(1)


def test_the_common_form_is_that_of_most_images_whatever_their_order(tmp_path, make):
    small, large = make.encode(make.noise(4, 6, 1)), make.encode(make.noise(9, 9))
    images = [b"", b"junk", large, small, small, small]
    for i, order in enumerate([images, images[::-1], [small, large, b"", small, b"junk", small]]):
        found = load_data(make.table(tmp_path / f"{i}.parquet", order)).common_form
        assert found == CommonForm("L", (6, 4), 3, 4, 2)
    assert load_data(make.table(tmp_path / "b.parquet", images[:2])).common_form is None


def test_of_equally_frequent_forms_the_larger_is_common(tmp_path, make):
    images = [make.encode(make.noise(4, 6, 1)), make.encode(make.noise(9, 9))]
    for i, order in enumerate([images, images[::-1]]):
        found = load_data(make.table(tmp_path / f"{i}.parquet", order)).common_form
        assert (found.mode, found.size) == ("RGB", (9, 9))


def test_the_common_form_counts_upright_images_and_decodes_none(tmp_path, make, monkeypatch):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (8, 5)).save(file, "JPEG", exif=exif)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    found = load_data(make.table(tmp_path / "a.parquet", [file.getvalue()] * 3)).common_form
    assert found.size == (5, 8)


def test_of_very_many_images_some_are_counted_whatever_their_order(tmp_path, make, monkeypatch):
    monkeypatch.setattr("unshaken.data.dataset.MOST_COUNTED", 5)
    images = {f"i{n}": make.encode(make.noise(4, 4 + n % 2)) for n in range(11)}
    found = []
    for name, ids in (("a", list(images)), ("b", list(images)[::-1])):
        data = load_data(make.table(tmp_path / f"{name}.parquet", [images[i] for i in ids], id=ids))
        found.append(data.common_form)
    assert found[0] == found[1]
    assert found[0].counted == 5


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


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one" / "deep").mkdir(parents=True)
    (tmp_path / "one" / "a.png").write_bytes(b"a")
    (tmp_path / "one" / "deep" / "b.png").write_bytes(b"b")
    return tmp_path / "one"


def test_a_copy_elsewhere_has_the_same_digits(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    assert content_mark(folder) == content_mark(tmp_path / "other")
    assert content_mark(folder / "a.png") == content_mark(tmp_path / "other" / "a.png")
    assert content_mark(folder / "a.png") != content_mark(folder / "deep" / "b.png")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "deep" / "b.png").write_bytes(b"c"),
        lambda folder: (folder / "deep" / "b.png").rename(folder / "b.png"),
        lambda folder: (folder / "a.png").unlink(),
        lambda folder: (folder / "c.png").write_bytes(b""),
    ],
    ids=["content", "name", "gone", "new"],
)
def test_any_change_below_is_noticed(folder, change):
    before = content_mark(folder)
    change(folder)
    assert content_mark(folder) != before
