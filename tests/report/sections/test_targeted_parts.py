"""The section on chosen classes of objects and pixels: shares from rows, apart from other figures, and its page."""

import jsonschema
import pytest

import unshaken
from tests.attack.detection.soft import soft
from tests.tasks.detection.scenes import scenes as boxed
from tests.tasks.segmentation.scenes import scenes as masked
from tests.tasks.segmentation.scenes import segmenter
from unshaken.core.errors import ParameterError
from unshaken.report import schema

SHADE = {"method": "brightness", "severities": [3]}


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    plan = [
        {"method": "pixel-pgd", "params": {"steps": 20}, "eps": [0.1, 0.4], "target": "background"},
        {"method": "pixel-pgd", "params": {"steps": 20}, "eps": [0.4], "target": "second"},
        {"method": "pixel-pgd", "params": {"steps": 10}, "eps": [0.2]},
    ]
    out = tmp_path_factory.mktemp("pixels") / "run"
    return unshaken.audit(segmenter(), masked(8), plan=plan, out=out, workers=1, save_examples=2, batch_size=3)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    plan = [
        {"method": "object-mislabeling", "params": {"steps": 10}, "eps": [0.3], "target": "next"},
        {"method": "object-vanishing", "params": {"steps": 5}, "eps": [0.1]},
    ]
    out = tmp_path_factory.mktemp("objects") / "run"
    return unshaken.audit(soft(least=1e-4), boxed(12), plan=plan, out=out, workers=1, save_examples=0)


def test_shares_are_those_of_the_rows(pixels):
    jsonschema.Draft202012Validator(schema()).validate(pixels.summary)
    found = {one["condition"]: one for one in pixels.summary["targeted_parts"]}
    assert set(found) == {
        "pixel-pgd-to-second-linf-0.4", "pixel-pgd-to-background-linf-0.1", "pixel-pgd-to-background-linf-0.4",
    }  # fmt: skip
    for name, one in found.items():
        rows = pixels.run.rows("part_targets", condition=name).to_pylist()
        total = sum(r["parts"] for r in rows)
        assert one["parts"] == total
        assert one["unit"] == "pixels"
        assert one["reached"]["value"] == pytest.approx(sum(r["reached"] for r in rows) / total)
        assert one["unchanged"]["value"] == pytest.approx(sum(r["unchanged"] for r in rows) / total)
        for pair in one["pairs"]:
            own = [r for r in rows if (r["label"], r["target"]) == (pair["label"], pair["target"])]
            assert pair["parts"] == sum(r["parts"] for r in own)
            assert pair["reached"]["n"] == len({r["id"] for r in own})
    short, enough = (found[f"pixel-pgd-to-background-linf-{eps}"] for eps in (0.1, 0.4))
    assert (short["reached"]["value"], enough["reached"]["value"]) == (0, 1), "the margin is 0.28"
    assert enough["reached"]["low"] < 1, "8 images are no certainty"
    assert {pair["name"] for pair in enough["pairs"]} == {"red", "green"}, "the target itself is left out"
    assert {pair["target_name"] for pair in enough["pairs"]} == {"background"}


def test_they_count_in_no_other_figure(pixels, objects):
    groups = {row["condition"]: row["group"] for row in pixels.summary["conditions"]}
    assert [name for name, group in groups.items() if group != "targeted"] == ["pixel-pgd-linf-0.2"]
    assert groups["pixel-pgd-linf-0.2"] == "attack"
    assert all(one["iou_changed"] == 1 for one in pixels.summary["segmentation"]["classes"]), (
        "of the plain search alone"
    )
    assert [row["group"] for row in objects.summary["conditions"]] == ["targeted", "attack"]
    under = {row["condition"]: row["map"]["value"] for row in objects.summary["conditions"]}
    assert objects.summary["objects"]["shifts"]["mean"]["value"] == under["object-vanishing-linf-0.1"]


def test_the_page_says_what_was_reached(pixels, objects):
    text = pixels.run.read("report.md").decode()
    assert "gives 100.0 % of the pixels" in text
    assert "their chosen class" in text
    assert "pixels given the target, of those tried. A row is a true class" in pixels.run.read("report.html").decode()
    assert "surest detection" in objects.run.read("report.md").decode()
    assert "Given the chosen class" in objects.run.read("report.html").decode()


def test_rows_do_not_depend_on_batches_and_are_the_same_when_resumed(pixels, tmp_path):
    plan = [{"method": "pixel-pgd", "params": {"steps": 20}, "eps": [0.1, 0.4], "target": "background"}]
    whole = unshaken.audit(segmenter(), masked(8), plan=plan, out=tmp_path / "run", workers=1, save_examples=0)
    name = "pixel-pgd-to-background-linf-0.4"

    def rows(run):
        return sorted(map(repr, run.rows("part_targets", condition=name).to_pylist()))

    assert rows(whole.run) == rows(pixels.run)
    for place in (tmp_path / "run/rows").glob(f"*/{name}-*.parquet"):
        place.unlink()
    again = unshaken.audit(
        segmenter(), masked(8), plan=plan, out=tmp_path / "run", workers=1, save_examples=0, resume=True
    )
    assert rows(again.run) == rows(pixels.run)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("gren", "no target 'gren': give a rule, a class by name or number.*did you mean 'green'"),
        ("3", "target '3' is no class of the model, which has 0 to 2"),
    ],
)
def test_a_class_that_is_none_is_refused_before_anything_is_written(target, words, tmp_path):
    with pytest.raises(ParameterError, match=words):
        unshaken.attack(segmenter(), masked(2), "pixel-pgd", eps=0.1, target=target, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_unknown_class_of_a_detector_is_refused_too(tmp_path):
    with pytest.raises(ParameterError, match="target '2' is no class of the model, which has 0 to 1"):
        unshaken.attack(soft(), boxed(4), "object-mislabeling", eps=0.1, target="2", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
