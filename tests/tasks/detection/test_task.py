import pytest

import unshaken
from tests.tasks.detection.scenes import detector, scenes
from unshaken.run import RunDir

PLAN = [
    {"method": "brightness", "severities": [1]},
    {"method": "translation", "severities": [5]},
    {"method": "pgd", "eps": [0.1]},
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("detection") / "run"
    return unshaken.audit(detector(), scenes(), PLAN, out=out, save_examples=2).run


def test_every_detection_is_a_row_in_pixels_of_the_photo(run):
    rows = RunDir(run.path if hasattr(run, "path") else str(run)).rows("detections").to_pylist()
    clean = {row["id"]: row for row in rows if row["condition"] == "clean"}
    assert len(clean) == 12
    assert clean["0"]["boxes"] == []
    assert sorted(clean["3"]["classes"]) == [0, 1]
