"""Tables: what is read of them, and what is wrong with them."""

import gc
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data
from unshaken.data import parquet as module
from unshaken.data.parquet import Forward


def test_columns_become_entries(tmp_path, make):
    images = [make.encode(make.noise(seed=i)) for i in range(3)]
    spec = make.table(tmp_path / "a.parquet", images, id=["x", "y", "z"], label=["b", "a", "b"])
    data = load_data(spec)
    assert data.ids == ("x", "y", "z")
    assert (data.labels.tolist(), data.classes) == ([1, 0, 1], ("a", "b"))
    assert (data.read(2) == make.noise(seed=2)).all()


def test_the_id_is_the_row_where_there_is_none_and_split_takes_rows(tmp_path, make):
    images = [make.encode(make.noise(seed=i)) for i in range(4)]
    spec = make.table(tmp_path / "a.parquet", images, split=["train", "test", "train", "test"], label=[0, 1, 2, 3])
    assert load_data(spec).ids == ("0", "1", "2", "3")
    data = load_data(f"{spec}?split=test")
    assert data.ids == ("1", "3")
    assert data.labels.tolist() == [1, 3]
    assert (data.read(1) == make.noise(seed=3)).all()
    with pytest.raises(DataError, match="no rows of split 'tets'; did you mean 'test'"):
        load_data(f"{spec}?split=tets")


def test_class_names_lie_beside_the_file_or_are_given(tmp_path, make):
    spec = make.table(tmp_path / "a.parquet", [b"", b""], label=[0, 2])
    assert load_data(spec).classes == ()
    (tmp_path / "classes.txt").write_text("a\nb\n")
    data = load_data(spec)
    assert data.classes == ("a", "b")
    assert data.bad == {1: "label 2 is out of range: there are 2 classes"}
    (tmp_path / "other").write_text("k\nl\nm\n")
    assert load_data(f"{spec}?classes={tmp_path / 'other'}").classes == ("k", "l", "m")


def test_images_of_the_datasets_librarys_form_are_read(tmp_path, make):
    rows = [{"bytes": make.encode(make.noise()), "path": "a.png"}, {"bytes": None, "path": "b.png"}]
    pq.write_table(pa.table({"image": rows}), tmp_path / "a.parquet")
    data = load_data(f"parquet:{tmp_path / 'a.parquet'}")
    assert (data.read(0) == make.noise()).all()
    with pytest.raises(BadSample, match="1: the image is null"):
        data.read(1)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"pixels": [b""]}, "has no column 'image'; its columns: pixels"),
        ({"image": ["a.png"]}, "column 'image' is string; it must hold the bytes of image files"),
        ({"image": [[1, 2]]}, "column 'image' is list"),
        ({"image": [b"", b""], "id": ["a", "a"]}, "id 'a' occurs 2 times"),
        ({"image": [b"", b""], "id": ["a", None]}, "the id of row 1 is null"),
        ({"image": [b""], "id": [""]}, "id '' is not allowed"),
        ({"image": [b""], "id": ["a/../b"]}, r"id 'a/\.\./b' is not allowed"),
        ({"image": pa.array([], pa.binary())}, "holds no samples"),
        ({"image": [b""], "label": [["a"]]}, "column 'label' holds lists of string, not of whole numbers"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=message) as error:
        load_data(f"parquet:{tmp_path / 'a.parquet'}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"<html>404</html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"PAR1 and then nothing of use PAR1", "is no readable parquet file"),
        (b"text", "is no readable parquet file"),
    ],
)
def test_a_file_that_is_no_table_says_what_it_is(tmp_path, data, message):
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(DataError, match=message):
        load_data(f"parquet:{tmp_path / 'a.parquet'}")


def test_split_needs_its_column(tmp_path, make):
    spec = make.table(tmp_path / "a.parquet", [b""])
    with pytest.raises(DataError, match="has no column 'split' for split=test"):
        load_data(f"{spec}?split=test")


def test_damaged_bytes_of_a_row_group_are_bad_samples(tmp_path, make):
    spec = make.table(tmp_path / "a.parquet", [make.encode(make.noise(seed=i)) for i in range(4)], row_group_size=2)
    path = tmp_path / "a.parquet"
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    raw = bytearray(path.read_bytes())
    raw[column.dictionary_page_offset : column.dictionary_page_offset + 16] = b"\xff" * 16
    path.write_bytes(raw)
    data = load_data(spec)
    assert (data.read(1) == make.noise(seed=1)).all()
    with pytest.raises(BadSample, match="row of the parquet file cannot be read"):
        data.read(2)


@pytest.fixture
def groups_read(monkeypatch):
    """The row groups whose images were read, in order."""
    read = []
    run = module.ImageColumn._run
    monkeypatch.setattr(module.ImageColumn, "_run", lambda self, group: read.append(group) or run(self, group))
    return read


def test_only_the_row_groups_that_are_needed_are_read(tmp_path, make, groups_read):
    data = load_data(make.table(tmp_path / "a.parquet", [bytes([i]) for i in range(100)], row_group_size=10))
    assert groups_read == []
    assert [data.fetch(i) for i in (25, 29, 71)] == [bytes([25]), bytes([29]), bytes([71])]
    assert groups_read == [2, 7]
    assert data.fetch(20) == bytes([20])
    assert groups_read == [2, 7]
    for i in (5, 35, 45, 25):
        data.fetch(i)
    assert groups_read == [2, 7, 0, 3, 4, 2]  # three are held; 2 had been let go


@pytest.mark.parametrize("repeated", [True, False])
def test_a_large_row_group_is_never_held_whole(tmp_path, make, groups_read, monkeypatch, repeated):
    monkeypatch.setattr(module, "SMALL", 1 << 20)
    size = 1 << 14
    images = [bytes([0 if repeated else i]) * (size - 1) + b"x" for i in range(256)] * 4  # 16 MiB in all
    spec = make.table(tmp_path / "a.parquet", images)
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == 1
    data = load_data(spec)
    gc.collect()
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    most = 0
    for i in range(len(data)):
        assert data.fetch(i) == images[i]
        most = max(most, pa.total_allocated_bytes() - before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 << 20
    assert most < 12 << 20
    assert len(groups_read) <= 2


def test_the_fingerprint_follows_the_bytes_and_not_the_place(tmp_path, make):
    one = load_data(make.table(tmp_path / "a.parquet", [b"a", b"b"])).fingerprint
    (tmp_path / "other").mkdir()
    same = load_data(make.table(tmp_path / "other/a.parquet", [b"a", b"b"])).fingerprint
    changed = load_data(make.table(tmp_path / "other/a.parquet", [b"a", b"c"])).fingerprint
    assert one == same
    assert one != changed


def test_rising_order_reads_once_and_going_back_starts_again():
    starts = []

    def start():
        starts.append(1)
        return iter("abcdef")

    items = Forward(start)
    assert [items.at(i) for i in (0, 2, 2, 5)] == ["a", "c", "c", "f"]
    assert len(starts) == 1
    assert items.at(1) == "b"
    assert len(starts) == 2
    with pytest.raises(IndexError, match="position 6 lies behind the last item, 5"):
        items.at(6)
    assert items.at(0) == "a"
