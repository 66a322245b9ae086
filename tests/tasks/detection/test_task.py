import json
from pathlib import Path

import numpy as np
import pytest

import unshaken
from tests.tasks.detection.scenes import SIDE, detector, scenes
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data import from_arrays
from unshaken.data.box_table import BoxTable
from unshaken.measure.object_detection.errors import KINDS
from unshaken.report import schema

PLAN = [
    {"method": "contrast", "severities": [1, 5]},
    {"method": "translation", "severities": [5]},
    {"method": "pgd", "eps": [0.1]},
]


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    out = tmp_path_factory.mktemp("detection") / "run"
    return unshaken.audit(detector(), scenes(), PLAN, out=out, save_examples=2)


def rows(audit, table):
    return {(row["condition"], row["id"]): row for row in audit.run.rows(table).to_pylist()}


def test_every_detection_is_a_row_in_pixels_of_the_photo(audit):
    found = rows(audit, "detections")
    clean = {i: row for (condition, i), row in found.items() if condition == "clean"}
    assert len(clean) == 12
    assert clean["0"]["boxes"] == []
    assert sorted(clean["3"]["classes"]) == [0, 1]
    table = scenes().boxes
    x, y, w, h = table.boxes[table.ids.index("1")] * SIDE
    np.testing.assert_allclose(clean["1"]["boxes"], [x - w / 2, y - h / 2, x + w / 2, y + h / 2], atol=1e-5)


def test_a_perfect_detector_has_an_map_of_one_and_loses_it_where_colours_are_pale(audit):
    data = audit.summary
    assert data["clean"]["value"] == 1
    by = {row["condition"]: row for row in data["conditions"]}
    assert by["contrast-5"]["map"]["value"] < 0.5
    assert by["contrast-5"]["difference"]["value"] == pytest.approx(by["contrast-5"]["map"]["value"] - 1)
    assert data["objects"]["shifts"]["mean"]["value"] == pytest.approx(
        np.mean([r["map"]["value"] for r in by.values()])
    )


def test_objects_move_with_the_pixels(audit):
    by = {row["condition"]: row for row in audit.summary["conditions"]}
    assert by["translation-5"]["map"]["value"] == 1
    there, moved = (rows(audit, "objects")[condition, "3"]["boxes"] for condition in ("clean", "translation-5"))
    assert {abs(a - b) for a, b in zip(there, moved, strict=True)} <= {0.0, 5.0}
    assert there != moved


def test_an_attack_on_classes_is_left_out_with_the_reason(audit):
    assert "pgd" not in {row["method"] for row in audit.summary["conditions"]}
    flags = audit.run.rows("flags").to_pylist()
    assert any("the model is for detection, and this method for classification" in f["detail"] for f in flags)


def test_the_summary_follows_its_schema_and_the_page_has_pictures_with_boxes(audit):
    import jsonschema

    jsonschema.validate(json.loads(audit.run.read("summary.json")), schema())
    page = Path(str(audit.run), "report.html").read_text()
    assert page.count("data:image/jpeg") >= 4
    assert "Precision against recall" in page


def test_the_terminal_has_a_table_of_the_conditions(audit, capsys):
    from unshaken.cli.show import print_page

    print_page(audit.page)
    text = capsys.readouterr().out
    assert "contrast, severity 5" in text
    assert "translation, severity 5" in text


def test_a_detector_needs_boxes(tmp_path):
    data = scenes()
    data.boxes = None
    with pytest.raises(DataError, match="has no boxes: give a file of them by the option boxes"):
        unshaken.audit(detector(), data, PLAN[:1], out=tmp_path / "run")


def test_classes_of_boxes_are_found_by_name(tmp_path):
    data = scenes(classes=("green", "red"))
    swapped = data.with_boxes(type(data.boxes)(data.boxes.ids, data.boxes.boxes, 1 - data.boxes.classes))
    found = unshaken.audit(detector(1, ("background", "red", "green")), swapped, [], out=tmp_path / "run")
    assert found.summary["clean"]["value"] == 1


def test_two_detectors_are_compared_by_pairs(audit, tmp_path):
    blind = detector()
    blind.net.net.weight.data.fill_(0.01)  # scores fall below what counts as said, their order stays
    other = unshaken.audit(blind, scenes(), PLAN, out=tmp_path / "run", baseline=str(audit.run))
    (comparison,) = unshaken.compare(audit.run, other.run).runs
    clean = comparison.conditions[0]
    assert clean.condition.id == "clean"
    assert (clean.baseline.value, clean.candidate.value, clean.paired.difference.value) == (1, 1, 0)
    assert clean.paired.lost == 9  # images with objects, none of which it is sure of
    assert other.summary["comparison"]["conditions"][0]["verdict"] == "not shown"
    page = Path(str(other.run), "report.html").read_text()
    assert "condition by condition" in page
    assert "Difference of the mAP in percentage points" in page
    assert "paired resamples of the images" in page
    assert "McNemar" not in page
    assert comparison.to_json()["measure"] == "mAP"


def test_a_detector_and_a_classifier_have_no_figure_in_common(audit, tmp_path):
    from unshaken.core.errors import ParameterError

    plain = unshaken.audit("demo", "demo", [], out=tmp_path / "run", limit=4)
    with pytest.raises(ParameterError, match="one of classification: they have no figure in common"):
        unshaken.compare(audit.run, plain.run)


@pytest.mark.parametrize(
    ("gate", "held"),
    [
        ("clean.map >= 0.9", True),
        ("clean.ap50.low >= 0.9", False),
        ("contrast[severity=5].map >= 0.5", False),
        ("translation.ap50 == 1", True),
        ("contrast.map > 0.1", False),
    ],
)
def test_gates_hold_mean_average_precision(audit, gate, held):
    (result,) = unshaken.report.check_gates([unshaken.report.Gate.parse(gate)], audit.summary)
    assert result.held is held


def test_a_gate_on_accuracy_says_what_a_detector_has(audit):
    with pytest.raises(unshaken.UnshakenError, match=r"use 'clean.map'"):
        unshaken.report.check_gates([unshaken.report.Gate.parse("clean.accuracy >= 0.9")], audit.summary)


def test_a_gate_on_a_condition_that_will_not_be_there_is_refused_before_the_run(tmp_path):
    with pytest.raises(unshaken.UnshakenError, match="no 'fog'"):
        unshaken.audit(detector(), scenes(), PLAN[:1], gates=["fog.map >= 0.5"], out=tmp_path / "run")
    held = unshaken.audit(detector(), scenes(), PLAN[:1], gates=["contrast.map >= 0.0"], out=tmp_path / "run")
    assert held.held


def test_a_box_that_is_not_finite_is_left_out_and_flagged(tmp_path):
    odd = detector()
    odd.net.net.weight.data.fill_(float("nan"))
    found = unshaken.audit(odd, scenes(), [], out=tmp_path / "run")
    assert found.summary["clean"]["value"] == 0
    assert "non-finite" in {flag["name"] for flag in found.summary["flags"]}


def test_kinds_of_errors_are_rows_and_costs_are_figures(audit, tmp_path):
    data = audit.summary
    assert data["objects"]["errors"]["counts"] == dict.fromkeys(KINDS, 0)
    pale = {row["condition"]: row for row in data["conditions"]}["contrast-5"]["errors"]
    found = [row for (condition, _), row in rows(audit, "object_errors").items() if condition == "contrast-5"]
    assert sum(row["missed"] for row in found) == pale["counts"]["missed"] > 0
    swapped = unshaken.audit(detector(0, ("green", "red")), scenes(), [], out=tmp_path / "run")
    errors = swapped.summary["objects"]["errors"]
    kinds = [kind for row in rows(swapped, "object_errors").values() for kind in row["kinds"]]
    assert {kind: kinds.count(kind) for kind in KINDS if kind != "missed"} | {"missed": 0} == errors["counts"]
    assert errors["costs"]["class"]["value"] > 0.5  # where squares of two colours overlap the place is wrong first
    page = Path(str(swapped.run), "report.html").read_text()
    assert "On unchanged images errors of the kind &#39;wrong class&#39; cost most" in page


def test_in_a_letterbox_rows_are_in_pixels_of_the_photo(tmp_path):
    table, images = scenes().boxes, scenes().images.permute(0, 2, 3, 1).numpy()
    wide = np.concatenate([np.zeros_like(images), images], 2)  # twice as wide: the objects stand in the right half
    data = from_arrays(wide, None, classes=("red", "green"))
    boxes = table.boxes * [0.5, 1, 0.5, 1] + [0.5, 0, 0, 0]
    data = data.with_boxes(BoxTable(table.ids, boxes, table.classes))
    model = detector()
    model.view = View(2 * SIDE, 2 * SIDE, interpolation="nearest", fit="letterbox")
    found = unshaken.audit(model, data, [], out=tmp_path / "run")
    assert found.summary["clean"]["value"] == 1
    x, y, w, h = boxes[table.ids.index("1")] * [2 * SIDE, SIDE, 2 * SIDE, SIDE]
    one = rows(found, "detections")["clean", "1"]["boxes"]
    np.testing.assert_allclose(one, [x - w / 2, y - h / 2, x + w / 2, y + h / 2], atol=1e-5)
    assert all(value == 0 for value in found.summary["objects"]["errors"]["counts"].values())
