"""Rows of edits: what cannot be edited is a row with its reason, sizes are kept, masks follow the view."""

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from PIL import Image
from torch import nn

from unshaken import audit
from unshaken.core import Batch, Classifier, Oracle, View
from unshaken.core.context import Context
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of
from unshaken.stress.attributes.background_grey import BackgroundGrey
from unshaken.stress.attributes.background_mirror import BackgroundMirror
from unshaken.stress.attributes.object_size import ObjectSize
from unshaken.stress.engine.complexity import complexity

IMAGES = torch.rand(5, 1, 16, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 1, 0])
BATCH = Batch(IMAGES, LABELS, ("a", "b", "c", "d", "e"))
HALF = torch.zeros(16, 20, dtype=torch.bool)
HALF[:, :10] = True
MASKS = {"a": HALF, "b": ~HALF & False, "c": HALF, "d": ~HALF | True, "e": HALF}


class Brightness(nn.Module):
    """Class 1 where the mean is above 0.5."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1)


def parts_of(method, limit=64):
    oracle = Oracle(Classifier(Brightness(), name="brightness").eval(), limit=limit)
    conditions = conditions_of(method, Line("edit", severities=method.severities[:1]))
    return rows_of(method, BATCH, conditions, Context(oracle, 1, oracle.exact(IMAGES)))


@pytest.mark.parametrize("limit", [64, 2])
def test_what_cannot_be_edited_is_a_row_with_its_reason(limit):
    outcomes, edits = (table_of(p).to_pylist() for p in parts_of(BackgroundGrey().with_masks(MASKS), limit))
    rows = {row["id"]: row for row in outcomes}
    expected = torch.where(HALF, IMAGES, 0.5).mean((1, 2, 3)) > 0.5
    for i, name in enumerate(BATCH.ids):
        if name in "bd":
            assert rows[name]["correct"] is None
            assert ("empty" if name == "b" else "fills the picture") in rows[name]["error"]
        else:
            assert rows[name]["error"] is None
            assert rows[name]["prediction"] == int(expected[i])
            assert rows[name]["correct"] == (int(expected[i]) == int(LABELS[i]))
    assert [row["id"] for row in edits] == list(BATCH.ids)
    assert [row["error"] is None for row in edits] == [True, False, True, False, True]


def test_all_that_cannot_be_edited_is_no_crash():
    outcomes, _ = (table_of(p).to_pylist() for p in parts_of(BackgroundGrey().with_masks({})))
    assert [row["error"] for row in outcomes] == [f"no mask of sample {i!r} was given" for i in BATCH.ids]


def test_sizes_and_complexities_are_kept():
    quarter = torch.zeros_like(HALF)
    quarter[4:12, 5:15] = True
    _, edits = (table_of(p).to_pylist() for p in parts_of(ObjectSize().with_masks(dict.fromkeys(BATCH.ids, quarter))))
    assert [row["object_size"] for row in edits] == [0.25] * 5
    assert [row["edited_size"] for row in edits] == [1.0] * 5
    expected = complexity(IMAGES, brightness=False).tolist()
    assert [row["complexity"] for row in edits] == pytest.approx(expected)
    assert all(row["edited_complexity"] != pytest.approx(row["complexity"], rel=1e-3) for row in edits)


def test_an_assumed_object_is_flagged():
    assert [f.name for p in parts_of(BackgroundMirror()) for f in p.flags] == ["assumed-object"]
    assert [f.name for p in parts_of(BackgroundMirror().with_masks(MASKS)) for f in p.flags] == []


def test_masks_of_photos_are_cut_as_the_photos_are(tmp_path):
    """A photo of 48 x 32 with a bright left half: resized to 16 rows and cut to the middle 16 columns."""
    photo = np.zeros((32, 48, 3), np.uint8)
    photo[:, :24] = 240
    for folder in ("photos/one", "photos/two", "masks/one", "masks/two"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("one/a", "one/b", "two/c"):
        Image.fromarray(photo).save(tmp_path / f"photos/{name}.png")
        Image.fromarray(photo[..., 0]).save(tmp_path / f"masks/{name}.png")
    Image.fromarray(photo[:16, :, 0]).save(tmp_path / "masks/one/b.png")
    model = Classifier(Brightness(), name="brightness", view=View(16, 16, interpolation="nearest"))
    plan = [
        {"method": "background-grey", "params": {"masks": str(tmp_path / "masks")}},
        {"method": "background-mirror", "params": {"masks": str(tmp_path / "masks")}},
    ]
    audit(model, f"folder:{tmp_path / 'photos'}", plan=plan, out=tmp_path / "run", save_examples=-1, workers=1)
    run = RunDir(tmp_path / "run")
    rows = run.rows("outcomes")
    grey = {r["id"]: r for r in rows.filter(pc.equal(rows["condition"], "background-grey-1")).to_pylist()}
    assert "is 48 x 16 pixels and its photo 48 x 32" in grey["one/b.png"]["error"]
    # bright 240/255 on the left 8 of 16 columns, 0.5 on the right: the mean is above 0.5
    assert grey["one/a.png"]["prediction"] == grey["two/c.png"]["prediction"] == 1
    sizes = run.rows("attribute_edits").to_pylist()
    assert {row["object_size"] for row in sizes if not row["error"]} == {0.5}


class Pixels(nn.Module):
    """A class for each pixel: 1 where it is bright."""

    task = "segmentation"

    def forward(self, x):
        grey = x.mean(1, keepdim=True)
        return torch.cat([0.5 - grey, grey - 0.5], 1)


def test_models_of_other_tasks_are_told_that_edits_are_of_one_object(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / f"data/{folder}/a.png")
    plan = [{"method": "background-grey"}, {"method": "contrast", "severities": [1]}]
    audit(Pixels(), f"masks:{tmp_path / 'data'}", plan=plan, out=tmp_path / "run", workers=1)
    run = RunDir(tmp_path / "run")
    assert set(run.rows("outcomes")["condition"].to_pylist()) == {"clean", "contrast-1"}
    page = (tmp_path / "run" / "report.md").read_text()
    assert "not run: background-grey; the model is for segmentation, and this method for classification" in page
