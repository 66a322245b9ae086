"""`?labels=FILE`: labels that replace those of the data."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.arrays import from_arrays
from unshaken.data.dataset import BadSample
from unshaken.data.label_overlay import with_labels
from unshaken.labels.correct.outcome import Outcome
from unshaken.labels.correct.overlay import to_overlay, write_corrected
from unshaken.labels.review.protocol import ItemState, ReviewedLabel
from unshaken.labels.review.verdict import Answer


@pytest.fixture(scope="module")
def demo():
    return load_data("demo")


def write(path, ids, labels, **metadata):
    pq.write_table(pa.table({"id": ids, "label": labels}), path)
    return f"demo?labels={path}"


def outcome(demo, *answers):
    """An outcome for the first samples of the demo."""
    labels = [
        ReviewedLabel(demo.ids[i], int(demo.labels[i]), ItemState.AGREED, answer, {})
        for i, answer in enumerate(answers)
    ]
    return Outcome(demo.classes, labels, "second look", "r", "demo")


def test_labels_of_the_file_take_the_place_of_the_datas(demo, tmp_path):
    other = (int(demo.labels[1]) + 1) % 10
    data = load_data(write(tmp_path / "x.parquet", list(demo.ids[:2]), [int(demo.labels[0]), other]))
    assert data.labels[:2].tolist() == [demo.labels[0], other]
    assert (data.labels[2:] == demo.labels[2:]).all()
    assert data.fingerprint != demo.fingerprint
    assert data.labels_version == "x.parquet"


@pytest.mark.parametrize("label", ["Bag", "8"])
def test_csv_with_names_or_numbers(demo, tmp_path, label):
    (tmp_path / "x.csv").write_text(f"id,label\n{demo.ids[0]},{label}\n{demo.ids[1]},\n")
    data = load_data(f"demo?labels={tmp_path}/x.csv")
    assert data.labels[:2].tolist() == [8, -1]
    assert load_data("demo").classes[8] == "Bag"


def test_a_sample_without_a_label_is_bad_and_says_why(demo, tmp_path):
    data = load_data(write(tmp_path / "x.parquet", [demo.ids[3]], pa.array([None], pa.int64())))
    assert data.labels[3] == -1
    with pytest.raises(BadSample, match="no single class"):
        data.read(3)


def test_corrections_come_after_noise(demo, tmp_path):
    noisy = load_data("demo?noise=symmetric:0.5")
    wrong = [i for i in range(50) if noisy.labels[i] != demo.labels[i]]
    spec = write(tmp_path / "x.parquet", [demo.ids[i] for i in wrong], [int(demo.labels[i]) for i in wrong])
    data = load_data(spec.replace("?", "?noise=symmetric:0.5&"))
    assert (data.labels[:50] == demo.labels[:50]).all()
    assert data.realised_noise == pytest.approx(noisy.realised_noise - len(wrong) / 1000)


@pytest.mark.parametrize(
    ("ids", "labels", "why"),
    [
        (["x", "y"], [1, 2], "2 of 2 ids .* are no samples of it, such as 'x'"),
        (["t10k/00000", "t10k/00000"], [1, 2], "has an id twice"),
        (["t10k/00000"], [10], "sample 't10k/00000': label 10 is out of range"),
        (["t10k/00000"], [-1], "label -1 is negative"),
        (["t10k/00000"], ["Hat"], "label 'Hat' is not one of the 10"),
    ],
)
def test_a_file_that_does_not_fit_is_told(tmp_path, ids, labels, why):
    with pytest.raises(DataError, match=why):
        load_data(write(tmp_path / "x.parquet", ids, labels))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"id;label\n", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_file_that_cannot_be_read_is_told(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"x\.(csv|parquet)"):
        load_data(f"demo?labels={tmp_path}/{name}")


def test_an_overlay_of_a_review_is_read(demo, tmp_path):
    right, several, none, cannot_tell = (
        Answer(kind="labels", classes=(9,)), Answer(kind="labels", classes=(0, 1)), Answer(kind="not-in-classes"),
        Answer(kind="unclear"),
    )  # fmt: skip
    pq.write_table(to_overlay(outcome(demo, right, several, none, cannot_tell, None)), tmp_path / "x.parquet")
    data = load_data(f"demo?labels={tmp_path}/x.parquet")
    several_label = int(demo.labels[1]) if demo.labels[1] in (0, 1) else -1
    assert data.labels[:5].tolist() == [9, several_label, -1, demo.labels[3], demo.labels[4]]
    assert data.labels_version == "second look"


def test_a_corrected_set_is_read_as_data(demo, tmp_path):
    answers = [Answer(kind="labels", classes=(9,)), Answer(kind="not-in-classes")]
    written = write_corrected(demo, outcome(demo, *answers), tmp_path / "x.parquet")
    assert str(written) == "999 samples, 1 left out (1 without a label to use)"
    data = load_data(f"parquet:{tmp_path}/x.parquet")
    assert (data.ids[0], data.labels[0], data.classes) == (demo.ids[0], 9, demo.classes)
    assert data.ids[1:] == demo.ids[2:]
    assert (data.read(5) == demo.read(6)).all()
    assert data.labels_version == "second look"
    assert set(pq.read_table(tmp_path / "x.parquet")["labels_version"].to_pylist()) == {"second look"}


def test_a_corrected_set_replaces_no_other_list_of_classes(demo, tmp_path):
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match="names other classes"):
        write_corrected(demo, outcome(demo), tmp_path / "x.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["classes.txt"]


def test_a_corrected_set_counts_what_cannot_be_read(tmp_path):
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "b").mkdir()
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        Image.new("L", (8, 8)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "b" / "4.png").write_bytes(b"no image")
    data = load_data(f"folder:{tmp_path}/photos")
    written = write_corrected(data, outcome(data, Answer(kind="not-in-classes")), tmp_path / "x.parquet")
    assert (written.samples, written.unused, written.unreadable) == (2, 1, 1)
    assert pq.read_table(tmp_path / "x.parquet")["id"].to_pylist() == ["a/2.png", "b/3.png"]


def test_numbers_that_are_names_of_other_classes_are_refused(tmp_path):
    """Folders 0, 1, 10 and 2 are sorted as texts: class number 2 is the folder 10."""
    images = np.zeros((4, 8, 8), np.uint8)
    data = from_arrays(images, ["0", "1", "10", "2"])
    assert data.classes == ("0", "1", "10", "2")
    file = tmp_path / "x.csv"
    file.write_text("id,label\n0,2\n")
    with pytest.raises(DataError, match="label 2 may be the class named '2', whose number is 3, or the class of that"):
        with_labels(data, str(file))
    file.write_text("id,label\n0,1\n")
    assert with_labels(data, str(file)).labels[0] == 1
    file.write_text("id,label,label_name\n0,2,10\n")
    assert with_labels(data, str(file)).labels[0] == 2
