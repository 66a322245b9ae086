"""`unshaken evaluate birds-eye`: files of boxes to rows and figures by hand, a run that goes on, and bad input."""

from __future__ import annotations

import json

import pytest

import unshaken
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.store.run_dir import RunDir
from unshaken.tasks.bev import birds_eye
from unshaken.tasks.bev.loss_noise import loss_noise

LENGTHS = (4.0, 12.0)


def line(kind, length, x, z, score=None):
    return f"{kind} 0 0 0 0 0 0 0 1.5 2 {length} {x} 1.5 {z} -1.570796" + ("" if score is None else f" {score}")


def write(folder, scenes):
    folder.mkdir()
    for name, lines in scenes.items():
        (folder / f"{name}.txt").write_text("".join(f"{one}\n" for one in lines))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eight scenes of a short car and a long one; `one` finds the short ones alone, and `two` all of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(birds_eye, "DRAWS", 60)
    truth, one, two = {}, {}, {}
    for i in range(8):
        truth[f"s{i}"] = [line("Car", 4, -5, 20 + i), line("Car", 12, 5, 30 + i)]
        one[f"s{i}"] = [line("Car", 4, -5, 20 + i, 0.9), line("Car", 12, 5, 45 + i, 0.5)]
        two[f"s{i}"] = [line("Car", 4, -5, 20 + i, 0.9), line("Car", 12, 5, 31 + i, 0.5 + i / 100)]
    for name, scenes in (("labels", truth), ("one", one), ("two", two)):
        write(tmp_path / name, scenes)
    return tmp_path


def evaluate(line="", detections="one+two", out="run", **options):
    return unshaken.evaluate(f"birds-eye:labels=labels,detections={detections}{line}", out=out, **options)


def test_precision_by_length_and_the_gain_of_two_stages_by_hand(folder):
    found = evaluate(gates="gain_two_10-15 >= 0.9")
    assert found.held
    figures = {name: figure["value"] for name, figure in found.summary["figures"].items()}
    assert figures["map_one_0-5"] == figures["map_two_0-5"] == figures["map_two"] == 1
    assert figures["map_one_10-15"] == 0
    assert figures["map_one"] == pytest.approx(51 / 101)  # recalls up to a half
    assert figures["gain_two_10-15"] == 1
    assert figures["gain_two"] == pytest.approx(50 / 101)
    assert not any("5-10" in name for name in figures)  # no object is as long
    rows = found.run.rows("bev_boxes").to_pylist()
    taken = {(r["detector"], r["length"]): r["object_length"] for r in rows if r["condition"] != "objects"}
    assert taken == {("one", 4): 4, ("one", 12): None, ("two", 4): 4, ("two", 12): 12}
    noise = found.summary["listings"][1]["rows"]
    assert noise[2][1] == pytest.approx(loss_noise("dice", 1.0, 12.5).variance)
    page = (folder / "run/report.md").read_text()
    assert "two over objects of 10-15 m: +1.000" in page


def test_a_stricter_overlap_and_other_bins(folder):
    figures = evaluate(",overlap=0.9,edges=0+8+20,classes=Car").summary["figures"]
    assert figures["map_two_8-20"]["value"] == 0  # a metre off of twelve is an overlap of 11 / 13
    assert figures["map_two_0-8"]["value"] == 1


def test_scenes_without_labels_are_named_and_those_without_boxes_count(folder):
    (folder / "one/x9.txt").write_text(line("Car", 4, 0, 9, 0.9) + "\n")
    (folder / "one/s3.txt").unlink()
    found = evaluate(detections="one")
    assert [(b.id, b.reason) for b in found.bad_samples] == [("one x9", "it has detections and no labels")]
    assert found.summary["figures"]["map_one_0-5"]["value"] == pytest.approx(88 / 101)  # recalls to 7 / 8
    assert "one has no boxes of 1 of 8 scenes" in found.summary["remarks"][0]


def test_files_of_nuscenes_give_the_same(folder):
    def box(length, x, y, score=-1.0):
        own = {"translation": [x, y, 0], "size": [2, length, 1.5], "rotation": [1, 0, 0, 0], "detection_name": "Car"}
        return own | {"detection_score": score}

    truth = {f"s{i}": [box(4, 20, 0), box(12, 40, 0)] for i in range(4)}
    given = {f"s{i}": [box(4, 20, 0, 0.9)] for i in range(4)}
    for name, scenes in (("truth", truth), ("given", given)):
        (folder / f"{name}.json").write_text(json.dumps({"results": scenes}))
    found = unshaken.evaluate("birds-eye:labels=truth.json,detections=given.json", out="run").summary["figures"]
    assert (found["map_given_0-5"]["value"], found["map_given_10-15"]["value"]) == (1, 0)


def test_a_killed_run_goes_on_to_equal_rows(folder, monkeypatch):
    whole = evaluate(out="whole")
    left, real = [3], RunDir.write_rows

    def dying(self, *args):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(RunDir, "write_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        evaluate()
    left[0] = -1
    assert len(RunDir("run").rows("bev_boxes")) == 32
    resumed = evaluate(resume=True)
    assert resumed.run.rows("bev_boxes").equals(whole.run.rows("bev_boxes"))
    assert resumed.summary["figures"] == whole.summary["figures"]
    (folder / "one/s0.txt").write_text(line("Car", 4, 0, 9, 0.9))
    with pytest.raises(RunError, match="further"):
        evaluate(resume=True)


@pytest.mark.parametrize(
    ("line", "detections", "error", "message"),
    [
        (",edges=5+0", "one", ParameterError, r"edges 5\+0 must rise"),
        (",edges=5", "one", ParameterError, "edges 5 must rise"),
        (",overlap=0", "one", ParameterError, "overlap"),
        (",sigma=-1", "one", ParameterError, "sigma"),
        (",classes=Tram", "one", DataError, "no true box is of the class 'Tram'; there are Car"),
        (",classes=Car+Car", "one", ParameterError, "classes names one twice"),
        ("", "one+one", ParameterError, "two files of boxes are called 'one'"),
        ("", "absent", DataError, "absent"),
        ("", "empty", DataError, "no label file of KITTI"),
        ("", "labels", DataError, "labels has no scores: give detections"),
        ("", "strangers", DataError, "none of the scenes of strangers has labels"),
        ("", "broken", DataError, r"s0\.txt', line 1: 3 columns"),
        ("", "text.json", DataError, r"text\.json"),
    ],
)
def test_bad_input_is_one_line(folder, line, detections, error, message):
    (folder / "empty").mkdir()
    write(folder / "strangers", {"z": ["Car 0 0 0 0 0 0 0 1.5 2 4 0 1.5 9 0 0.5"]})
    write(folder / "broken", {"s0": ["Car 0 0"]})
    (folder / "text.json").write_text("no json")
    with pytest.raises(error, match=message) as found:
        evaluate(line, detections)
    assert "\n" not in str(found.value)


def test_labels_with_scores_are_refused(folder):
    with pytest.raises(DataError, match="one has scores, so these are no labels"):
        unshaken.evaluate("birds-eye:labels=one,detections=two", out="run")
