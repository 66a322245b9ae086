"""Tables of images with texts: what is taken, and every kind of bad row and bad file by its reason."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.tasks.image_text.toy import samples
from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.image_text import ImageTextSet, read_samples


@pytest.fixture(autouse=True)
def without_second_process(monkeypatch):
    """Files are the tests' own; the check of strangers' files in another process has tests of its own."""
    monkeypatch.setattr("unshaken.tasks.image_text.samples.check_parquet", lambda *a: None)


def png(level=100, size=(8, 6), mode="RGB"):
    out = io.BytesIO()
    Image.new(mode, size, level if mode == "L" else (level, 0, 0)).save(out, "PNG")
    return out.getvalue()


def write(folder, **columns):
    path = folder / "table.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_good_rows_are_taken_and_bad_ones_have_reasons(tmp_path):
    rows = [
        (png(), "a ship", 0, "a"),
        (png(), "", 0, "blank"),
        (png(), None, 0, "missing"),
        (png(), "船と海", 1, "other-script"),
        (b"no image", "a ship", 0, "broken"),
        (None, "a ship", 0, "no-image"),
        (png(), "a ship", float("nan"), "nan"),
        (png(), "a ship", 1.5, "half"),
        (png(), "a ship", None, "null"),
        (png(), "a ship", -1, "negative"),
        (png(mode="L"), "w " * 40, 1, "long"),
        (png(), "a ship", 1, "a"),
        (png(), "a ship", 1, None),
    ]
    images, texts, labels, ids = zip(*rows, strict=True)
    path = write(tmp_path, image=list(images), text=list(texts), label=pa.array(labels, pa.float64()), id=list(ids))
    found = read_samples(path, size=6, longest=60)
    assert found.ids == ("a", "other-script", "long")
    assert found.images.shape == (3, 3, 6, 6)
    assert found.texts[1] == "船と海"
    assert (len(found.texts[2]), found.truncated) == (60, {"long"})
    assert found.classes == ("0", "1")
    reasons = {"blank": "blank", "missing": "text is missing", "broken": "not an image", "no-image": "image is missing",
               "nan": "not a whole number", "half": "not a whole number", "null": "null", "negative": "negative",
               "row 11": "met before", "row 12": "id is missing"}  # fmt: skip
    assert found.bad.keys() == reasons.keys()
    for name, words in reasons.items():
        assert words in found.bad[name], name


def test_a_csv_names_files_beside_it(tmp_path):
    (tmp_path / "one.png").write_bytes(png())
    path = tmp_path / "posts.csv"
    path.write_text('image,text,label\none.png,"a ship, at sea",boat\none.png,a cow,farm\ntwo.png,x,farm\n')
    found = read_samples(path, size=4)
    assert found.texts == ("a ship, at sea", "a cow")
    assert found.classes == ("boat", "farm")
    assert found.ids == ("0", "1")
    assert found.bad == {"2": "there is no image file 'two.png'"}


def test_a_struct_of_bytes_is_read_as_other_libraries_write_it(tmp_path):
    path = write(tmp_path, image=[{"bytes": png(), "path": None}], text=["a ship"], label=["boat"])
    assert len(read_samples(path, size=4)) == 1


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": [b""], "text": ["a"]}, "no column 'label'"),
        ({"image": [b""], "label": [0]}, "no column 'text'"),
        ({"image": [b""], "text": ["a"], "label": [0]}, "none of 1 rows can be used; the first: the file is empty"),
        ({"image": [3], "text": ["a"], "label": [0]}, "int; it must be the bytes"),
        ({"image": [b"x"], "text": [7], "label": [0]}, "must hold strings"),
        ({"image": [b"x"], "text": ["a"], "label": [[0]]}, "not integers or strings"),
        ({"image": [b"x"], "text": ["a"], "label": pa.array([None], pa.int64())}, "every label is missing"),
        ({"image": pa.array([], pa.binary()), "text": pa.array([], pa.string()), "label": pa.array([], pa.int64())},
         "every label is missing|it has no rows"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_one_line(tmp_path, columns, words):
    with pytest.raises(DataError, match=words) as caught:
        read_samples(write(tmp_path, **columns), size=4)
    assert "\n" not in str(caught.value)


def test_labels_beyond_all_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match="number them from 0"):
        read_samples(write(tmp_path, image=[png()], text=["a"], label=[10**12]), size=4)


def test_files_that_are_no_tables_are_refused(tmp_path):
    (tmp_path / "table.parquet").write_bytes(b"nothing")
    (tmp_path / "twice.csv").write_text("image,text,label,label\na,b,0,1\n")
    (tmp_path / "long.csv").write_text("image,text,label\na,b,0,1\n")
    (tmp_path / "bytes.csv").write_bytes(b"image,text,label\na,\xff\xfe,0\n")
    for name, words in (("table.parquet", "cannot be read as parquet"), ("absent.csv", "no file"),
                        ("table.txt", r"none of \.parquet"),
                        ("twice.csv", "'label' more than once"), ("long.csv", "cannot be read as csv"),
                        ("bytes.csv", "cannot be read as csv")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            read_samples(tmp_path / name, size=4)
    with pytest.raises(ParameterError, match="size"):
        read_samples(tmp_path / "table.parquet", size=0)
    with pytest.raises(ParameterError, match="longest"):
        read_samples(tmp_path / "table.parquet", size=4, longest=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": torch.zeros(2, 3, 4, 4)}, "uint8"),
        ({"texts": ("a",)}, "one image, text, label and id"),
        ({"ids": ("a", "a")}, "comes twice"),
        ({"texts": ("a", "  ")}, "1 texts are blank"),
        ({"labels": np.array([0, 2])}, "name every class"),
        ({"labels": np.array([0.5, 1])}, "integers"),
    ],
)
def test_samples_in_memory_are_checked(options, words):
    given = {"images": torch.zeros(2, 3, 4, 4, dtype=torch.uint8), "texts": ("a", "b"), "labels": np.array([0, 1]),
             "ids": ("a", "b"), "classes": ("x", "y")}  # fmt: skip
    with pytest.raises(DataError, match=words):
        ImageTextSet(**{**given, **options})


def test_some_samples_keep_what_belongs_to_them():
    some = samples(6)[[4, 1]]
    assert some.ids == ("s004", "s001")
    assert some.labels.tolist() == [1, 1]
    assert torch.equal(some.images[0], samples(6).images[4])
    assert len(samples(6)[:2]) == 2
