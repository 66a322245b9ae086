import json
import math

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.tasks.bev.files import read_kitti, read_nuscenes

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
