"""A detector is audited on files of COCO's and YOLO's form as on data in memory."""

import json

import pytest

import unshaken
from tests.tasks.detection.scenes import SIDE, detector, scenes
from unshaken.data.decode import open_image


@pytest.fixture
def files(tmp_path):
    """Scenes as files of both forms, with categories of sparse ids, and one image that is absent in each."""
    data = scenes(8)
    entries, annotations = [], []
    for folder in ("val", "images", "annotations", "labels"):
        (tmp_path / folder).mkdir()
    for i, name in enumerate(data.ids):
        image = open_image(data.fetch(i))
        for folder in ("val", "images"):
            image.save(tmp_path / folder / f"{name}.png")
        entries.append({"id": 100 + i, "file_name": f"{name}.png", "width": SIDE, "height": SIDE})
    for name, (x, y, w, h), label in zip(data.boxes.ids, data.boxes.boxes, data.boxes.classes, strict=True):
        box = [(x - w / 2) * SIDE, (y - h / 2) * SIDE, w * SIDE, h * SIDE]
        category = (7, 90)[label]
        annotations.append({"id": 0, "image_id": 100 + int(name), "category_id": category, "bbox": box})
        with (tmp_path / "labels" / f"{name}.txt").open("a") as file:
            file.write(f"{label} {x} {y} {w} {h}\n")
    (tmp_path / "val" / "6.png").write_bytes(b"no image")
    (tmp_path / "images" / "6.png").write_bytes(b"")
    (tmp_path / "classes.txt").write_text("red\ngreen\n")
    names = [{"id": 90, "name": "green"}, {"id": 5, "name": "blue"}, {"id": 7, "name": "red"}]
    value = {"images": entries, "annotations": annotations, "categories": names}
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(value))
    return tmp_path


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_rows_are_those_of_data_in_memory(files, form):
    run = unshaken.audit(detector(), f"{form}:{files}", [], out=files / "run").run
    known = unshaken.audit(detector(), scenes(8), [], out=files / "known").run
    for table in ("objects", "detections"):
        rows, expected = ({r.pop("id"): r for r in one.rows(table).to_pylist()} for one in (run, known))
        del expected["6"]
        assert {name.removesuffix(".png"): row for name, row in rows.items()} == expected
    bad = [row for row in run.rows("outcomes").to_pylist() if row["error"] is not None]
    assert [row["id"] for row in bad] == ["6.png"]
