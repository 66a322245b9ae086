import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unshaken
from tests.tasks.segmentation.scenes import CLASSES, Colours, scenes, segmenter
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.data import load_data
from unshaken.models.align import ModelClasses, align_masks
from unshaken.models.loaders.check import check_model
from unshaken.models.networks.small import UNet
from unshaken.report import schema
from unshaken.tasks.segmentation.small_masks import unpack_mask

PLAN = [
    {"method": "contrast", "severities": [1, 5]},
    {"method": "translation", "severities": [5]},
    {"method": "pixel-pgd", "params": {"steps": 4, "rel_stepsize": 0.5}, "eps": [0.1, 0.5]},
    {"method": "pgd", "eps": [0.1]},
]


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    out = tmp_path_factory.mktemp("segmentation") / "run"
    return unshaken.audit(segmenter(), scenes(), PLAN, out=out, save_examples=2)


def rows(audit, table):
    return {(row["condition"], row["id"]): row for row in audit.run.rows(table).to_pylist()}


def test_counts_by_class_are_rows(audit):
    row, mask = rows(audit, "overlaps")["clean", "3"], scenes().labels[3]
    wanted = [int((mask == k).sum()) for k in range(3)]
    assert row["labelled"] == row["predicted"] == row["intersection"] == wanted
    assert 0 < row["boundary_labelled"][1] < wanted[1]
    outcome = rows(audit, "outcomes")["clean", "3"]
    assert (outcome["loss"], outcome["prediction"]) == (0, int((mask != 255).sum()))


def test_a_perfect_model_has_an_miou_of_one_and_loses_it_where_colours_are_pale(audit):
    data = audit.summary
    assert data["clean"]["value"] == data["segmentation"]["boundary_iou"]["value"] == 1
    by = {row["condition"]: row for row in data["conditions"]}
    assert by["contrast-5"]["miou"]["value"] < 0.5
    assert by["contrast-5"]["difference"]["value"] == pytest.approx(by["contrast-5"]["miou"]["value"] - 1)


def test_masks_move_with_the_pixels(audit):
    by = {row["condition"]: row for row in audit.summary["conditions"]}
    assert by["translation-5"]["miou"]["value"] == 1
    found = rows(audit, "overlaps")
    assert any(found["clean", str(i)]["labelled"] != found["translation-5", str(i)]["labelled"] for i in range(10))


def test_the_attack_is_in_the_report_and_attacks_on_classes_are_left_out(audit):
    by = {row["condition"]: row for row in audit.summary["conditions"]}
    assert by["pixel-pgd-linf-0.1"]["miou"]["value"] == 1  # colours are 0.28 from the threshold
    assert by["pixel-pgd-linf-0.5"]["miou"]["value"] < 0.35
    assert by["pixel-pgd-linf-0.5"]["group"] == "attack"
    assert "pgd" not in {row["method"] for row in audit.summary["conditions"]}
    outcome = rows(audit, "outcomes")["pixel-pgd-linf-0.5", "0"]
    assert outcome["distance"] == pytest.approx(0.5)


def test_the_summary_follows_its_schema_and_the_page_shows_it(audit):
    import jsonschema

    jsonschema.validate(json.loads(audit.run.read("summary.json")), schema())
    page = Path(str(audit.run), "report.html").read_text()
    assert "boundary IoU" in page
    assert "labelled pixels" in page


def test_two_models_are_compared_by_pairs_and_gates_hold_mious(audit, tmp_path):
    worse = segmenter(bias=0.85)  # 200/255 is below it: all is background
    gates = ["clean.miou <= 0.5", "contrast[severity=1].boundary_iou <= 0.9"]
    other = unshaken.audit(worse, scenes(), PLAN[:1], out=tmp_path / "run", gates=gates, baseline=str(audit.run))
    assert other.held
    (comparison,) = unshaken.compare(audit.run, other.run).runs
    clean = comparison.conditions[0]
    assert clean.paired.lost == 10
    assert clean.verdict == "worse"
    with pytest.raises(ParameterError, match=r"has no accuracy; use 'clean\.miou'"):
        unshaken.audit(worse, scenes(), PLAN[:1], out=tmp_path / "two", gates=["clean.accuracy >= 0.5"])


def test_a_folder_of_masks_is_audited_by_a_unet(tmp_path):
    for i, (image, mask) in enumerate(zip(scenes(3).images, scenes(3).labels, strict=True)):
        for name, array in (("images", image.permute(1, 2, 0).numpy()), ("masks", mask)):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / name / f"{i}.png")
    torch.manual_seed(0)
    model = Classifier(UNet(3, 3, widths=(4, 8)), name="unet")
    found = unshaken.audit(model, f"masks:{tmp_path}", [], out=tmp_path / "run")
    assert found.summary["segmentation"]["images"] == 3
    assert [c["name"] for c in found.summary["segmentation"]["classes"]] != []
    two = unshaken.audit(
        Classifier(UNet(2, 3, widths=(4, 8)), name="unet"), f"masks:{tmp_path}", [], out=tmp_path / "b"
    )
    assert two.summary["bad_samples"][0]["reason"] == "its mask: class 2 is out of range: the model has 2 classes"


def test_classes_of_masks_are_found_by_name():
    data, record = align_masks(scenes(2), ModelClasses(("green", "background", "red"), 3))
    assert record.by == "names"
    table = np.array([1, 2, 0])
    known = scenes(2).labels != 255
    np.testing.assert_array_equal(data.labels[known], table[scenes(2).labels[known]])
    assert (data.labels[~known] == 255).all()
    with pytest.raises(DataError, match="'green'"):
        align_masks(scenes(2), ModelClasses(("blue", "background", "red"), 3))
    with pytest.raises(DataError, match="has no masks: give a folder that holds images and masks"):
        align_masks(load_data("demo"), ModelClasses(CLASSES, 3))


def test_logits_must_be_as_large_as_the_images():
    class Coarse(Colours):
        def forward(self, images):
            return super().forward(images)[:, :, ::2, ::2]

    with pytest.raises(ModelError, match="return logits as large as the images"):
        check_model(Classifier(Coarse()), torch.zeros(2, 3, 8, 8))
    plain = Colours()
    plain.task = "classification"
    with pytest.raises(ModelError, match="give the net an attribute task = 'segmentation'"):
        check_model(Classifier(plain), torch.zeros(2, 3, 8, 8))


def test_doubts_are_flagged(tmp_path):
    def flags(model):
        found = unshaken.audit(model, scenes(4), [], out=tmp_path / model.name)
        return {f["name"] for f in found.summary["flags"]} - {"train-mode"}

    class Swapped(Colours):
        def forward(self, images):
            return super().forward(images).roll(1, 1)

    assert flags(segmenter()) == set()
    assert flags(segmenter(bias=2.0, name="one")) == {"one-class-of-pixels"}
    assert flags(Classifier(Swapped(), classes=CLASSES, name="swapped")) == {"other-classes-of-pixels"}


def test_kept_images_are_shown_with_their_masks(audit):
    kept = rows(audit, "masks")
    wanted = scenes().labels
    assert all((unpack_mask(kept["clean", str(i)]["predicted"])[:, 1:] == wanted[i][:, 1:]).all() for i in range(10))
    assert (unpack_mask(kept["clean", "3"]["labelled"]) == wanted[3]).all()
    moved = [(unpack_mask(kept["translation-5", str(i)]["labelled"]) != wanted[i]).any() for i in range(10)]
    assert any(moved)
    page = Path(str(audit.run), "report.html").read_text()
    assert "Masks are laid over the images" in page
    assert page.count(">labelled<") >= 4
    assert "colour of red" in page
