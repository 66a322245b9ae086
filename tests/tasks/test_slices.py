"""Slices of runs of detectors and segmentations: figures of the images alone, gates, the page, and pairs of runs."""

import csv
import json

import numpy as np
import pytest

import unshaken
from tests.tasks.detection import scenes as boxes
from tests.tasks.segmentation import scenes as pixels
from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.average_precision import average_precision
from unshaken.measure.object_detection.map_figures import map_figure, resampled_map
from unshaken.measure.segmentation import mean_iou
from unshaken.report import schema
from unshaken.report.read.tasks import SLICE_RESAMPLES, match_scenes, read_counts, read_scenes, stacked

PLAN = [{"method": "contrast", "severities": [1, 5]}]
DARK = {"detection": (boxes.detector, boxes.scenes), "segmentation": (pixels.segmenter, pixels.scenes)}


def night(path, n):
    """Write a file by which the ids 0 to 3, 8 to 11, ... are by night."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "weather"], *((i, "night" if i % 8 < 4 else "day") for i in range(n))])
    return path


@pytest.fixture(scope="module", params=sorted(DARK))
def run(request, tmp_path_factory):
    """A run, its data, the file of metadata, the ids by night, and the name of its figure."""
    out, (model, data) = tmp_path_factory.mktemp(request.param), DARK[request.param]
    meta = night(out / "meta.csv", 24)
    name = {"detection": "map", "segmentation": "miou"}[request.param]
    gates = [f"slice[weather=night].{name} >= 0.9", f"slice[weather=night,condition=contrast-5].{name} >= 0.99"]
    done = unshaken.audit(model(), data(24), PLAN, out=out / "run", slices="weather", meta=str(meta), gates=gates)
    return done, data(24), str(meta), tuple(str(i) for i in range(24) if i % 8 < 4), name


def test_a_slice_has_the_figure_of_its_images_alone(run):
    done, _, _, ids, name = run
    found = {(r["part"], r["condition"]): r for r in done.summary["slices"] if r["slicing"] == "weather"}
    assert len(found) == 2 * 3
    for condition in ("clean", "contrast-1", "contrast-5"):
        if name == "map":
            own = match_scenes(read_scenes(done.run, condition, ids), 2)
            expected = np.nanmean(average_precision(own))
            figure = map_figure(resampled_map(own, resamples=SLICE_RESAMPLES), level=1 - 0.05 / 6).to_json()
            assert found["night", condition]["map"] == figure
        else:
            expected = mean_iou(stacked(read_counts(done.run, condition, ids)).sum(0))
        row = found["night", condition]
        assert row[name]["value"] == pytest.approx(float(expected), abs=1e-12)
        assert row[name]["n"] == len(ids)
        assert row["accuracy"] is None
        before = found["night", "clean"][name]["value"]
        if condition != "clean":
            assert row["drop"]["value"] == pytest.approx(row[name]["value"] - before)
            assert row["drop"]["low"] <= row["drop"]["value"] <= row["drop"]["high"]


def test_gates_hold_and_fail_by_slice_and_the_page_has_them(run):
    import jsonschema

    done, data, meta, _, name = run
    assert [g.held for g in done.gates] == [True, False]
    jsonschema.validate(json.loads(done.run.read("summary.json")), schema())
    text = done.run.read("report.md").decode()
    title = {"map": "mAP", "miou": "mIoU"}[name]
    assert f"Points of {title} by weather" in text
    assert "weather = night" in text
    assert "Weak slices" not in text
    other = {"map": "miou", "miou": "map"}[name]
    with pytest.raises(ParameterError, match=rf"slices of this run have {name}, not {other}"):
        unshaken.api.slices(done.run, "weather", meta=meta, data=data, gates=[f"slice[weather=day].{other} >= 0"])


def test_classes_do_not_divide_and_properties_and_columns_do(run):
    done, data, meta, _, name = run
    with pytest.raises(ParameterError, match=r"slices by 'class': .* objects of several classes"):
        unshaken.api.slices(done.run, "class", data=data)
    again = unshaken.api.slices(done.run, "all", data=data).summary["slices"]
    kinds = {r["slicing"] for r in again}
    assert "brightness" in kinds
    assert "class" not in kinds
    assert ({"objects", "object_area"} <= kinds) == (name == "map")
    sizes = {r["part"]: r[name]["n"] for r in again if (r["slicing"], r["condition"]) == ("objects", "clean")}
    assert sizes == ({"1": 12, "2": 6} if name == "map" else {})  # photos without an object have no mAP
    assert ("objects = 0" in done.run.read("report.md").decode()) == (name == "map")
    unshaken.api.slices(done.run, "weather", data=data, meta=meta)


def test_two_runs_are_compared_by_slice(run, tmp_path):
    done, data, _, ids, name = run
    model, _ = DARK["detection" if name == "map" else "segmentation"]
    blind = {"map": {"classes": ("green", "red")}, "miou": {"bias": 0.95}}[
        name
    ]  # calls red what is green; sees nothing
    other = unshaken.audit(model(**blind), data, [], out=tmp_path / "other")
    (pair,) = unshaken.compare(done.run, other.run).runs
    found = {c.part: c for c in pair.slices}
    assert set(found) == {"night", "day"}
    assert found["night"].paired.n == len(ids)
    assert found["night"].paired.family == 2
    assert found["night"].paired.difference.value == pytest.approx(
        found["night"].candidate.value - found["night"].baseline.value
    )
    assert pair.conditions[0].verdict == "worse"
    assert {c.verdict for c in pair.slices} == {"worse"}
