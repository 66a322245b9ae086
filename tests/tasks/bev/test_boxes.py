import json
import math

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.bev.average_precision import ap_by_length, bev_average_precision, nuscenes_ap
from unshaken.tasks.bev.boxes import BevBoxes, bev_iou, rasterise, read_kitti, read_nuscenes


def box(x, y, length, width, yaw=0.0):
    return [x, y, 0, length, width, 1, yaw]


def boxes(rows, samples=None, scores=None, names=None):
    samples = samples or ["a"] * len(rows)
    scores = None if scores is None else np.array(scores, float)
    return BevBoxes(tuple(samples), np.array(rows, float).reshape(-1, 7), tuple(names or ["car"] * len(rows)), scores)


def test_overlaps_by_hand():
    one = np.array([box(0, 0, 4, 2)])
    others = np.array([box(2, 0, 4, 2), box(0, 0, 4, 2, math.pi), box(0, 0, 2, 4, math.pi / 2), box(9, 9, 4, 2)])
    np.testing.assert_allclose(bev_iou(one, others)[0], [4 / 12, 1, 1, 0], atol=1e-12)
    octagon = 8 * (math.sqrt(2) - 1)  # two unit-inradius squares, one turned by 45 degrees, share a regular octagon
    turned = bev_iou(np.array([box(0, 0, 2, 2)]), np.array([box(0, 0, 2, 2, math.pi / 4)]))
    np.testing.assert_allclose(turned, octagon / (8 - octagon))


def test_overlaps_agree_with_fine_maps():
    rng = np.random.default_rng(0)
    rows = np.array([box(*rng.uniform(18, 22, 2), *rng.uniform(4, 14, 2), rng.uniform(-3, 3)) for _ in range(8)])
    exact = bev_iou(rows, rows)
    maps = [rasterise(one[None], np.array([1]), (400, 400), 0.1) > 0 for one in rows]
    for i in range(8):
        for j in range(8):
            assert exact[i, j] == pytest.approx((maps[i] & maps[j]).sum() / (maps[i] | maps[j]).sum(), abs=0.01)


@pytest.mark.parametrize(("shift", "dice", "iou"), [(0.5, 0.125, 0.777778), (-1.5, 0.375, 0.454545), (4, 1, 0)])
def test_segments_moved_along_depth_have_the_overlap_of_the_analysis(shift, dice, iou):
    one, other = (rasterise(np.array([box(10 + s, 1, 4, 2)]), np.array([1]), (200, 20), 0.1) for s in (0, shift))
    both, either = int((one & other).sum()), int((one | other).sum())
    assert both / either == pytest.approx(iou, abs=1e-6)
    assert 1 - 2 * both / (one.sum() + other.sum()) == pytest.approx(dice, abs=1e-6)


def test_average_precision_by_hand():
    objects = boxes([box(0, 0, 4, 2), box(20, 0, 12, 3)])
    found = boxes([box(0, 0, 4, 2), box(50, 0, 4, 2), box(21, 0, 12, 3), box(0, 0, 4, 2)], scores=[0.9, 0.8, 0.7, 0.1])
    # hits: yes, no, yes, no; precision 1 up to recall .5, 2/3 up to 1: 51 and 50 of 101 recalls
    assert bev_average_precision(found, objects, iou=0.5) == pytest.approx((51 + 50 * 2 / 3) / 101)
    by = ap_by_length(found, objects, iou=0.5, edges=(0, 5, 10, 15))
    assert by["0-5"] == 1
    assert np.isnan(by["5-10"])
    assert by["10-15"] == 1  # short detections count for nothing here
    assert bev_average_precision(found, objects, distance=0.5) == pytest.approx(51 / 101)
    assert nuscenes_ap(found, objects, ["car", "bus"]) == pytest.approx(
        np.mean([51 / 101, 51 / 101, *[(51 + 50 * 2 / 3) / 101] * 2])
    )


def test_a_detection_of_another_sample_hits_nothing():
    objects, found = boxes([box(0, 0, 4, 2)], ["a"]), boxes([box(0, 0, 4, 2)], ["b"], [1.0])
    assert bev_average_precision(found, objects, iou=0.5) == 0
    assert bev_average_precision(boxes([], [], []), objects, iou=0.5) == 0


def test_what_is_wrong_is_named():
    objects = boxes([box(0, 0, 4, 2)])
    with pytest.raises(ParameterError, match="one of iou and distance"):
        bev_average_precision(objects, objects)
    with pytest.raises(ParameterError, match="need scores"):
        bev_average_precision(objects, objects, iou=0.5)
    with pytest.raises(ParameterError, match="must rise"):
        ap_by_length(objects, objects, iou=0.5, edges=(5, 0))
    with pytest.raises(DataError, match="sizes or places that cannot be"):
        boxes([box(0, 0, 0, 2)])
    with pytest.raises(DataError, match="box 0 of sample 'a' has the score nan"):
        boxes([box(0, 0, 4, 2)], scores=[np.nan])
    found = boxes([box(0, 0, 4, 2)], scores=[1.0])
    for wrong in ({"iou": 0}, {"iou": 50}, {"distance": 0}, {"distance": math.nan}):
        with pytest.raises(ParameterError, match=r"iou must lie in|distance must be a number of metres"):
            bev_average_precision(found, objects, **wrong)


CAR = "Car 0.00 0 -1.58 587.0 173.3 614.1 200.1 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"


def test_a_label_of_kitti_on_the_ground(tmp_path):
    (tmp_path / "000001.txt").write_text(f"{CAR}\nDontCare -1 -1 -10 5 1 5 1 -1 -1 -1 -1000 -1000 -1000 -10\n")
    (tmp_path / "000002.txt").write_text("")
    found = read_kitti(tmp_path)
    assert (found.samples, found.classes, found.scores) == (("000001",), ("Car",), None)
    np.testing.assert_allclose(found.boxes[0, :6], [46.70, 0.65, 1.65 / 2 - 1.71, 3.64, 1.67, 1.65])
    assert abs(found.boxes[0, 6]) < 0.03  # it drives away from the camera
    (tmp_path / "000001.txt").write_text(f"{CAR} 0.75\n")
    assert read_kitti(tmp_path).scores.tolist() == [0.75]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CAR.rsplit(" ", 1)[0], "line 1: 14 columns; a label of KITTI has 15"),
        (CAR.replace("46.70", "far"), "line 1: .*far"),
        (CAR.replace("46.70", "nan"), "line 1: "),
        (CAR.replace("3.64", "-3.64"), "length are 1.65, 1.67, -3.64; they are above 0"),
        (f"{CAR}\n{CAR} 0.5", "1 of 2 boxes have a score"),
    ],
)
def test_a_wrong_label_of_kitti_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "000001.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_kitti(tmp_path)


def test_a_folder_without_labels(tmp_path):
    with pytest.raises(DataError, match="has no label file of KITTI"):
        read_kitti(tmp_path)


def submission(**changes):
    half = math.sqrt(0.5)
    box = {"translation": [1, 2, 3], "size": [2, 4, 1.5], "rotation": [half, 0, 0, half], "detection_name": "car"}
    return {"meta": {}, "results": {"token": [{**box, "detection_score": 0.5, **changes}]}}


def test_a_submission_of_nuscenes(tmp_path):
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(submission()))
    found = read_nuscenes(file)
    np.testing.assert_allclose(found.boxes[0], [1, 2, 3, 4, 2, 1.5, math.pi / 2])
    assert (found.samples, found.classes, found.scores.tolist()) == (("token",), ("car",), [0.5])
    file.write_text(json.dumps(submission(detection_score=-1)))
    assert read_nuscenes(file).scores is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "boxes of nuScenes"),
        ("{}", "results"),
        (json.dumps(submission(size=[0, 1, 1])), "size"),
        (json.dumps(submission(translation=[0, 1])), "translation"),
        (json.dumps(submission(rotation=[2, 0, 0, 0])), "no unit quaternion"),
        (json.dumps(submission()).replace("0.5}", "NaN}"), "NaN"),
        ('{"results": {"a": [], "a": []}}', "a"),
    ],
)
def test_a_wrong_submission_is_named(tmp_path, text, message):
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_nuscenes(tmp_path / "boxes.json")


def test_an_absent_submission(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_nuscenes(tmp_path / "none.json")
