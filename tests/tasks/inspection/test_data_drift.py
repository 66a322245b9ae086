"""`unshaken drift` on sets with known changes: the verdict, its level, pictures, resume, gates, page, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import unshaken
from unshaken.cli.app import main
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.data import from_arrays, load_data
from unshaken.inspect import Measurements
from unshaken.measure import holm
from unshaken.tasks.inspection.data_drift import PROPERTY, TwoSets, classifier_scores, drift_tests


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Smooth photos of two classes; others like them; darker ones of which one cannot be read; and another balance."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, count, gain, share in (
        ("reference", 60, 1.0, 0.5),
        ("same", 50, 1.0, 0.5),
        ("dark", 40, 0.5, 0.5),
        ("shares", 60, 1.0, 0.1),
    ):
        for number in range(count):
            place = root / name / ("a" if number < share * count else "b")
            place.mkdir(parents=True, exist_ok=True)
            small = Image.fromarray((rng.integers(0, 256, (4, 4, 3)) * gain).astype(np.uint8))
            small.resize((20, 16), Image.Resampling.BICUBIC).save(place / f"{number:02}.png")
    (root / "dark/a/broken.png").write_bytes(b"nothing")
    return {name.name: f"folder:{name}" for name in root.iterdir()}


@pytest.fixture(scope="module")
def dark(folders, tmp_path_factory):
    return unshaken.drift(
        folders["reference"], folders["dark"], permutations=279, out=tmp_path_factory.mktemp("run") / "r",
        gates=["p_value >= 0.05", "auroc_pixels >= 0.9"],
    )  # fmt: skip


def values(result) -> dict[str, float]:
    return {name: one["value"] for name, one in result.summary["figures"].items()}


def test_darker_photos_differ(dark):
    found = values(dark)
    assert found["p_value"] == min(v for k, v in found.items() if k.startswith("p_value_"))
    assert {"kernel_pixels", "classifier_pixels", "brightness"} <= set(dark.summary["extra"]["differ"])
    assert "labels" not in dark.summary["extra"]["differ"]
    assert found["distance_brightness"] > 0.9
    assert [gate.held for gate in dark.gates] == [False, True]
    assert [one.id for one in dark.bad_samples] == ["a/broken.png"]
    assert "The data differs from the reference, at a level of 5%" in dark.summary["answer"][0]


def test_the_pictures_are_of_the_ones_least_alike(dark):
    rows = dark.run.rows("issues", condition="unlike-reference").to_pylist()
    assert [row["rank"] for row in rows] == list(range(1, 25))
    assert {row["source"] for row in rows} == {"data"}
    assert {row["source"][-9:] for row in dark.run.rows("issues", condition="unlike-data").to_pylist()} == {"reference"}
    page = dark.run.read("report.html").decode()
    assert page.count("data:image/") >= 40
    assert page.index("differs from the reference") < page.index('id="unlike-reference"')


def test_photos_of_one_source_do_not_differ(folders, tmp_path):
    result = unshaken.drift(folders["reference"], folders["same"], permutations=279, out=tmp_path / "r")
    assert result.summary["extra"]["differ"] == []
    assert result.summary["answer"][0].startswith("No difference from the reference is shown")
    assert result.held


def test_other_shares_of_labels_alone_are_named(folders, tmp_path):
    result = unshaken.drift(folders["reference"], folders["shares"], permutations=279, out=tmp_path / "r")
    assert result.summary["extra"]["differ"] == ["labels"]
    table = next(one for one in result.summary["listings"] if one["caption"] == "Shares of the labels.")
    shares = [(row[0], row[1]["value"], row[2]["value"]) for row in table["rows"]]
    assert shares == [("a", 0.5, 0.1), ("b", 0.5, 0.9)]


def test_labels_of_other_names_are_not_compared(tmp_path):
    demo = load_data("demo?split=second")
    data = from_arrays(np.stack([demo.read(i) for i in range(30)]), demo.labels[:30])
    result = unshaken.drift("demo?split=first", data, limit=30, permutations=279, out=tmp_path / "r")
    assert "p_value_labels" not in values(result)
    assert "no name of a class in common" in result.summary["remarks"][0]


def test_a_model_estimates_shares_of_classes(tmp_path):
    demo = load_data("demo")
    assert demo.labels is not None
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.flatnonzero(demo.labels == k)[: 30 if k == 1 else 6] for k in range(10)])
    data = from_arrays(np.stack([demo.read(i) for i in rng.permutation(rows).tolist()]))
    result = unshaken.drift("demo", data, model="demo:standard", limit=200, permutations=399, out=tmp_path / "r")
    assert "predictions" in result.summary["extra"]["differ"]
    table = next(one for one in result.summary["listings"] if "estimated" in one["caption"])
    name, before, after = table["rows"][0]
    assert (name, before["value"], before["n"]) == ("Trouser", 0.1, 200)
    assert after["low"] < 30 / 84 < after["high"]
    assert {"p_value_kernel_model", "auroc_model"} < set(values(result))


def test_a_resume_measures_nothing_again(folders, dark, monkeypatch):
    before = dark.run.read("evaluate.json")
    dark.run.write_json(dark.run.read_json("evaluate.json") | {"finished": False}, "evaluate.json")
    monkeypatch.setattr("unshaken.tasks.inspection.measured.measure_samples", None)
    settings = {"permutations": 279, "out": str(dark.run), "resume": True}
    again = unshaken.drift(folders["reference"], folders["dark"], **settings)
    assert again.summary["figures"] == dark.summary["figures"]
    assert not again.held
    with pytest.raises(RunError, match="other settings"):
        unshaken.drift(folders["same"], folders["dark"], **settings)
    dark.run.write(before, "evaluate.json")


def test_the_command_ends_by_its_gate_and_by_unreadable_images(folders, tmp_path, capsys):
    given = ["drift", "--reference", folders["reference"], "--permutations", "279", "--json"]
    assert main([*given, "--data", folders["dark"], "--out", str(tmp_path / "a"), "--gate", "p_value >= 0.05"]) == 1
    assert main([*given, "--data", folders["dark"], "--out", str(tmp_path / "b")]) == 3
    assert '"p_value_brightness"' in capsys.readouterr().out


def random_sets(seed: int, sizes: tuple[int, int] = (24, 20)) -> TwoSets:
    """Samples of one source with copies, three properties, labels, and outputs of a model."""
    rng, count = np.random.default_rng(seed), sum(sizes)
    quantities = {f"{PROPERTY}{k}": rng.normal(size=count) for k in "xy"} | {f"{PROPERTY}z": rng.integers(0, 3, count)}
    copies = rng.integers(0, 256, (count, 192), np.uint8)
    measured = Measurements(
        sets=("data", "reference"), set_of=np.repeat([0, 1], sizes), ids=[f"{seed}-{i}" for i in range(count)],
        labels=[f"{k}" for k in rng.integers(0, 3, count)], errors=[""] * count,
        quantities=quantities | {"copy": np.array([one.tobytes().hex() for one in copies])},
        correct=np.full(count, -1, np.int8), seed=seed,
    )  # fmt: skip
    return TwoSets(measured, np.arange(count)[::-1], rng.normal(size=(count, 5)))


def count_alarms(runs: int, level: float = 0.05) -> int:
    found = [drift_tests(random_sets(seed), permutations=199)[0] for seed in range(runs)]
    assert {len(tests) for tests in found} == {9}
    return sum(holm([one.p_value for one in tests.values()]).min() <= level for tests in found)


def test_the_level_of_the_family_holds():
    assert count_alarms(24) <= stats.binom.ppf(1 - 1e-4, 24, 0.05)


@pytest.mark.long
def test_the_level_of_the_family_holds_in_many_runs():
    assert count_alarms(600) <= stats.binom.ppf(1 - 1e-4, 600, 0.05)


@pytest.mark.parametrize("width", [5, 60])
def test_the_classifier_is_weighted_ridge_regression(width):
    rng = np.random.default_rng(0)
    features, is_data = rng.normal(size=(40, width)), np.repeat([0, 1], [26, 14])
    half = np.tile([0, 1], 20)
    scores = classifier_scores(features, is_data, half)
    x, y, new = features[half == 0], is_data[half == 0], features[half == 1]
    mean, spread = x.mean(0), x.std(0)
    weight = np.sqrt(np.where(y == 1, 1 / (y == 1).sum(), 1 / (y == 0).sum()) / 2)[:, None]
    design = np.column_stack([np.ones(len(x)), (x - mean) / spread]) * weight
    penalty = np.column_stack([np.zeros(width), np.sqrt(0.1) * np.eye(width)])  # none of the intercept
    target = np.concatenate([weight[:, 0] * (2 * y - 1), np.zeros(width)])
    solution = np.linalg.lstsq(np.vstack([design, penalty]), target, rcond=None)[0]
    np.testing.assert_allclose(scores[half == 1], (new - mean) / spread @ solution[1:], atol=1e-9)


def test_constant_features_do_no_harm():
    features = np.column_stack([np.ones(40), np.random.default_rng(0).normal(size=40)])
    assert np.isfinite(classifier_scores(features, np.repeat([0, 1], 20), np.tile([0, 1], 20))).all()


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"permutations": 99}, ParameterError, "permutations=99 are too few for alpha=0.05 and 14 tests: give 280"),
        ({"alpha": 1.5}, ParameterError, "alpha=1.5"),
        ({"reference": "folder:/nowhere"}, DataError, "/nowhere"),
        ({"reference": ""}, DataError, "data '' is neither"),
        ({"model": "nothing:x"}, ParameterError, "nothing"),
        ({"gates": "drifted <= 0"}, ParameterError, "data-drift has no such figure"),
        ({"limit": 10}, DataError, "10 images of the reference and 10 of the data can be used: give 20"),
    ],
)
def test_wrong_input_is_one_clear_line(folders, tmp_path, more, error, message):
    given = {"reference": folders["reference"], "data": folders["same"], "out": tmp_path / "r", **more}
    with pytest.raises(error, match=message) as caught:
        unshaken.drift(given.pop("reference"), given.pop("data"), **given)
    assert "\n" not in str(caught.value)
