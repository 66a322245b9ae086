"""`unshaken inspect` over a folder with known faults: rows, figures, resume, gates, page, and bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unshaken
from tests.inspect.images import plain
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.sources import sources_of
from unshaken.data import from_arrays, load_data
from unshaken.inspect import NearDuplicates
from unshaken.store.run_dir import RunDir


def photo(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((80, 60), Image.Resampling.BICUBIC)).astype(int)
    dots = 40 * (np.indices((60, 80)).sum(0) // 3 % 2)[..., None]  # so that it is not blurry
    return Image.fromarray((smooth * 200 // 255 + dots).astype(np.uint8))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A test set with faults, and a training set that has three of its images."""
    root = tmp_path_factory.mktemp("photos")
    for name in ("test/a", "test/b", "train/a", "train/b"):
        (root / name).mkdir(parents=True)
    for seed in range(12):
        photo(seed).save(root / "test" / "ab"[seed % 2] / f"{seed:02}.png")
        photo(seed + 20).save(root / "train" / "ab"[seed % 2] / f"{seed:02}.png")
    photo(0).save(root / "train/a/leak.png")
    photo(1).save(root / "train/a/other-label.png")
    photo(2).resize((64, 48)).save(root / "train/a/small.png")
    photo(3).save(root / "test/a/again.png")
    plain((5, 5, 5), (80, 60)).save(root / "test/b/black.png")
    (root / "test/b/broken.png").write_bytes((root / "test/a/00.png").read_bytes()[:200])
    return f"folder:{root}/test", f"folder:{root}/train"


@pytest.fixture(scope="module")
def result(folders, tmp_path_factory):
    return unshaken.inspect(
        folders[0], against=folders[1], out=tmp_path_factory.mktemp("run") / "r", workers=2,
        gates=["leak_duplicates <= 0", "share_bright_images <= 0.5"],
    )  # fmt: skip


def issues(run: RunDir) -> dict[str, list[str]]:
    """Ids that each check points at, with the set where it is not the data."""
    found: dict[str, list[str]] = {}
    for row in run.rows("issues").to_pylist():
        found.setdefault(row["condition"], []).append(row["id"] + "*" * (row["source"] != "data"))
    return found


def test_the_planted_faults_are_found_and_nothing_else(result):
    assert issues(result.run) == {
        "exact-duplicates": ["a/00.png", "a/leak.png*", "b/01.png", "a/other-label.png*", "a/again.png", "b/03.png"],
        "near-duplicates": ["a/02.png", "a/small.png*"],
        **{key: ["b/black.png"] for key in ("dark-images", "grey-images", "low-information", "one-colour")},
        "unreadable": ["b/broken.png"],
    }
    assert [(one.id, one.reason[:24]) for one in result.bad_samples] == [("b/broken.png", "the image is truncated: ")]


def test_figures_are_counts_by_hand(result):
    figures = {name: (one["value"], one["n"]) for name, one in result.summary["figures"].items()}
    assert figures["share_exact_duplicates"] == (4 / 14, 14)
    assert figures["leak_duplicates"] == (2 / 14, 14)
    assert figures["leak_near_duplicates"] == (1 / 14, 14)
    assert figures["share_unreadable"] == (1 / 15, 15)
    assert figures["share_blurry_images"] == (0, 14)
    assert [gate.held for gate in result.gates] == [False, True]
    assert not result.held


def test_the_page_shows_pictures_and_labels_that_differ(result):
    page = result.run.read("report.html").decode()
    assert "2 of 3 groups have images with different labels" in page
    assert page.count("data:image/") >= 9
    assert "other-label.png" in page


def test_a_resume_reads_what_was_measured(folders, result, monkeypatch):
    before = result.run.read("evaluate.json")
    record = result.run.read_json("evaluate.json") | {"finished": False}
    result.run.write_json(record, "evaluate.json")
    monkeypatch.setattr("unshaken.tasks.inspection.measured.measure_samples", None)
    again = unshaken.inspect(*folders[:1], against=folders[1], out=str(result.run), resume=True, workers=2)
    assert again.summary["figures"] == result.summary["figures"]
    assert not again.held  # by the gates of before
    with pytest.raises(RunError, match=r"other settings \(method"):
        unshaken.inspect(folders[0], out=str(result.run), resume=True)
    result.run.write(before, "evaluate.json")


def test_rows_do_not_depend_on_parts_or_workers(folders, result, tmp_path, monkeypatch):
    monkeypatch.setattr("unshaken.tasks.inspection.measured.PART", 4)
    other = unshaken.inspect(folders[0], against=folders[1], out=tmp_path / "r", workers=1)
    assert issues(other.run) == issues(result.run)
    assert other.summary["figures"] == result.summary["figures"]


def test_an_audit_says_what_leaked_images_do_to_the_accuracy(tmp_path):
    audit = unshaken.audit(
        "demo:standard", "demo", [{"method": "fog", "severities": [1]}], limit=60, seed=1, out=tmp_path / "a"
    )
    ids = audit.run.rows("outcomes", ["id", "correct"], condition="clean").to_pylist()
    right = {row["id"]: row["correct"] for row in ids}
    found = unshaken.inspect(
        "demo", "exact-duplicates", against="demo?split=first", run=str(audit.run), out=tmp_path / "r"
    )
    figures = found.summary["figures"]
    assert (figures["accuracy_duplicates"]["value"], figures["accuracy_duplicates"]["n"]) == (
        sum(right.values()) / 60,
        60,
    )
    alone = set(right) - set(load_data("demo?split=first").ids)
    assert figures["accuracy_without_duplicates"]["value"] == sum(right[i] for i in alone) / len(alone)
    assert figures["leak_duplicates"]["value"] == 0.5
    with pytest.raises(RunError, match="has no predictions"):
        unshaken.inspect("demo", run=str(found.run), limit=5, out=tmp_path / "s")


def test_checks_are_chosen_by_name_or_object(folders, tmp_path):
    one = unshaken.inspect(folders[0], ["dark-images:threshold=0.001", NearDuplicates(bits=0)], out=tmp_path / "r")
    assert issues(one.run) == {}
    assert one.summary["params"]["checks"] == ["dark-images:threshold=0.001", "near-duplicates:bits=0"]
    assert one.summary["answer"][0].startswith("None of 15 images")


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"checks": "dark"}, ParameterError, "no method 'dark' in inspect: known: .*dark-images"),
        ({"checks": "outliers"}, ParameterError, "check 'outliers' needs a model: name one by model, or leave it out"),
        ({"checks": ["one-colour", "one-colour:threshold=0.1"]}, ParameterError, "'one-colour' is given twice"),
        ({"checks": "dark-images:threshold=2"}, ParameterError, "threshold=2"),
        ({"gates": "dark <= 0"}, ParameterError, "data-health has no such figure"),
        ({"against": "folder:/nowhere"}, DataError, "/nowhere"),
        ({"limit": 0}, ParameterError, "limit"),
    ],
)
def test_wrong_input_is_one_clear_line(folders, tmp_path, more, error, message):
    with pytest.raises(error, match=message) as caught:
        unshaken.inspect(folders[0], out=tmp_path / "r", **more)
    assert "\n" not in str(caught.value)


def test_data_without_a_readable_image_is_refused(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="none of the 1 samples"):
        unshaken.inspect(f"folder:{tmp_path}/d", out=tmp_path / "r")


def test_outliers_of_a_model_are_ranked(tmp_path):
    demo = load_data("demo")
    images = np.stack([demo.read(i) for i in range(240)])
    images[[5, 17]] = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    data = from_arrays(images, demo.labels[:240])
    found = unshaken.inspect(data, "outliers:shown=24,detector=nnguide", model="demo:standard", out=tmp_path / "r")
    assert {"5", "17"} < set(issues(found.run)["outliers"])


def test_every_check_has_a_title_and_a_test():
    tests = {path.stem for path in Path(__file__).parents[2].joinpath("inspect").rglob("test_*.py")}
    names = {f"test_{source.name.replace('-', '_')}" for source in sources_of("inspect")}
    assert names - tests == {"test_unreadable", "test_outliers"}  # which are tried above, on files and by a model
