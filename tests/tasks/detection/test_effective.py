"""Effective robustness of detectors side by side: by hand from the figures of the single runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import unshaken
from tests.tasks.detection.scenes import Colours, scenes
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.models.networks.box_output import BoxOutput
from unshaken.report import write_comparison
from unshaken.store.run_dir import RunDir

PLAN = [{"method": "contrast", "severities": [1, 3]}, {"method": "translation", "severities": [5]}]


class Coarse(Colours):
    """Finds no square of a side below `least` pixels."""

    def __init__(self, least):
        super().__init__()
        self.least = least

    def found(self, image):
        one = super().found(image)
        kept = (one["boxes"][:, 2:] - one["boxes"][:, :2]).amin(1) >= self.least
        return {key: value[kept] for key, value in one.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("effective"), {}
    for least in (0, 8, 9):
        model = Classifier(BoxOutput(Coarse(least), most=5), classes=("red", "green"), name=f"coarse-{least}")
        found[least] = unshaken.audit(model, scenes(24), PLAN, out=folder / str(least))
    return found


def point(audit, ids=("contrast-1", "contrast-3", "translation-5")):
    rows = {row["condition"]: row["map"]["value"] for row in audit.summary["conditions"]}
    return audit.summary["clean"]["value"], float(np.mean([rows[c] for c in ids]))


def test_a_slope_foretells_the_mean_under_changes(runs):
    found = unshaken.compare(runs[0].run, runs[9].run, slope=0.5)
    whole = found.robustness[0]
    assert (whole.name, whole.line.slope, whole.line.models) == ("all changes", 0.5, 0)
    assert [row.name for row in whole.rows] == ["coarse-0", "coarse-9"]
    beyond = []
    for row, audit in zip(whole.rows, (runs[0], runs[9]), strict=True):
        clean, mean = point(audit)
        beyond.append(mean - 0.5 * clean)
        assert row.shifts.mean.value == pytest.approx(mean)
        assert row.shifts.effective_robustness.value == pytest.approx(beyond[-1])
    assert whole.rows[0].difference is None
    assert whole.rows[1].difference.value == pytest.approx(beyond[1] - beyond[0])
    assert unshaken.compare(runs[0].run, runs[9].run).robustness[0].line.slope == 0.45


def test_every_group_of_changes_has_a_line_of_its_own(runs):
    found = {group.name: group for group in unshaken.compare(runs[0].run, runs[9].run).robustness}
    assert found["digital"].conditions == ("contrast-1", "contrast-3")
    assert sum(len(g.conditions) for name, g in found.items() if name != "all changes") == 3
    value = found["digital"].rows[1].shifts.mean.value
    assert value == pytest.approx(point(runs[9], found["digital"].conditions)[1])


def test_a_family_gives_the_line(runs):
    found = unshaken.compare(runs[8].run, runs[0].run, family=[runs[0].run, runs[9].run])
    whole = found.robustness[0]
    (x, y), (v, w) = whole.family
    assert whole.family == (pytest.approx(point(runs[0])), pytest.approx(point(runs[9])))
    slope = (w - y) / (v - x)
    clean, mean = point(runs[8])
    assert (whole.line.models, whole.line.slope) == (2, pytest.approx(slope))
    assert whole.rows[0].shifts.effective_robustness.value == pytest.approx(mean - (y + slope * (clean - x)))
    assert whole.rows[1].shifts.effective_robustness.value == pytest.approx(0, abs=1e-9)


def test_the_page_and_the_file_show_it(runs, tmp_path):
    result = unshaken.compare(runs[0].run, runs[9].run, family=[runs[0].run, runs[8].run])
    write_comparison(RunDir(str(tmp_path)), result)
    page = Path(tmp_path, "compare.html").read_text()
    assert "goes through 2 baseline detectors by least squares" in page
    assert "Mean mAP under all changes against the clean mAP" in page
    kept = json.loads(Path(tmp_path, "compare.json").read_text())["effective_robustness"]
    assert kept[0]["runs"][1]["difference"]["value"] == pytest.approx(result.robustness[0].rows[1].difference.value)
    assert kept[0]["line"]["models"] == 2


def test_what_gives_no_line_is_said(runs, tmp_path):
    one, two = runs[0].run, runs[9].run
    with pytest.raises(ParameterError, match="give one of the two"):
        unshaken.compare(one, two, family=[one], slope=0.5)
    with pytest.raises(ParameterError, match="two different clean accuracies"):
        unshaken.compare(one, two, family=[one])
    short = unshaken.audit(Classifier(BoxOutput(Coarse(7)), classes=("red", "green")), scenes(24), PLAN[:1],
                           out=tmp_path / "short")  # fmt: skip
    with pytest.raises(ParameterError, match=r"lacks translation-5 as .* has it: run the family on the same plan"):
        unshaken.compare(one, two, family=[two, short.run])
    other = unshaken.audit(Classifier(BoxOutput(Coarse(7)), classes=("red", "green")), scenes(12), PLAN,
                           out=tmp_path / "other")  # fmt: skip
    with pytest.raises(ParameterError, match="run the family on the same data"):
        unshaken.compare(one, two, family=[two, other.run])
    plain = unshaken.audit("demo", "demo", [], out=tmp_path / "plain", limit=4)
    with pytest.raises(ParameterError, match="runs of classification have no line of effective robustness"):
        unshaken.compare(plain.run, plain.run, slope=0.5)


def test_a_detector_that_finds_nothing_is_compared_without_a_line(runs, tmp_path):
    blind = Classifier(BoxOutput(Coarse(99)), classes=("red", "green"))
    found = unshaken.audit(blind, scenes(24), PLAN, out=tmp_path / "blind")
    assert torch.isfinite(torch.tensor(found.summary["clean"]["value"]))
    assert unshaken.compare(runs[0].run, found.run).robustness == ()


def test_detectors_with_other_limits_are_compared_on_the_images_of_all(runs, tmp_path):
    model = Classifier(BoxOutput(Coarse(9), most=5), classes=("red", "green"), name="coarse-9")
    fewer = unshaken.audit(model, scenes(24), PLAN, out=tmp_path / "fewer", limit=10)
    found = unshaken.compare(runs[0].run, fewer.run, family=[runs[8].run, runs[9].run])
    assert {row.clean.n for group in found.robustness for row in group.rows} == {10}
    assert found.robustness[0].rows[1].clean.value == fewer.summary["clean"]["value"]
    (comparison,) = found.runs
    assert comparison.notes[0] == "compared on the 10 samples of both runs, of 24 and 10"
    for one in comparison.conditions:
        gap = one.paired.difference
        assert (gap.n, gap.value) == (10, pytest.approx(one.candidate.value - one.baseline.value))
        assert one.verdict == ("worse" if gap.high < 0 else "better" if gap.low > 0 else "not shown")
        assert (one.paired.p_adjusted < 0.05) == (one.verdict != "not shown")
