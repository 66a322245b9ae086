"""Rows, figures and run directories; what the figures of a run are by hand."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tasks.image_text.toy import WORDS, bag, by_both, by_tint, by_words, samples
from unshaken.core.errors import ModelError, ParameterError, RunError
from unshaken.measure.statistics.paired import mcnemar
from unshaken.store.run_dir import RunDir
from unshaken.tasks.image_text import (
    AppendText,
    ChangeBoth,
    ChangeImage,
    ClassCaptionVectors,
    Dilution,
    ImageTextReport,
    PerturbText,
    Relevance,
    TemplateWriter,
    evaluate,
    filler,
    gather_material,
    table_lines,
    write_repeats,
    written_by,
)

GIVEN = samples(30)
CLASSIFIERS = {"fused": by_both, "words": by_words, "tint": by_tint}
MATERIAL = gather_material(GIVEN, WORDS, by_tint(GIVEN.images.float() / 255, ()))
TEXT, IMAGE = Dilution(TemplateWriter(), MATERIAL, count=5), ChangeImage("contrast", 5)
CHANGES = {
    "none": AppendText("none", written_by(lambda texts: [""] * len(texts))), "repeat": AppendText("r", write_repeats),
    "filler": AppendText("filler", filler(20)), "typos": PerturbText("swap"), "diluted": TEXT, "contrast": IMAGE,
    "both": ChangeBoth(IMAGE, TEXT),
}  # fmt: skip
RELEVANCE = Relevance(bag, ClassCaptionVectors(lambda images: by_tint(images, ()), ["anchor", "saddle", "wing"], bag))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("run") / "run"


@pytest.fixture(scope="module")
def report(place):
    return evaluate(CLASSIFIERS, GIVEN, CHANGES, relevance=RELEVANCE, out=place)


@pytest.fixture(scope="module")
def figures(report):
    return report.figures()


def test_a_row_a_sample_classifier_and_change(report):
    assert len(report.rows) == 30 * 3 * (1 + len(CHANGES))
    assert report.classifiers() == list(CLASSIFIERS)
    assert report.changes() == list(CHANGES)
    for row in report.condition("fused", "diluted").to_pylist():
        assert row["changed_text"] == f"{row['text']} {row['added']}"
        assert 0 < row["queries"] <= 5
        assert row["words_added"] == len(row["added"].replace(",", " ").split())  # words, not characters
        assert -1 <= row["relevance_text"] <= 1
        assert row["truncated"] is None
        assert not row["image_changed"]


@pytest.mark.parametrize("change", ["none", "clean"])
def test_nothing_added_leaves_every_probability_equal(report, change):
    for name in CLASSIFIERS:
        before, after = (report.column(name, change, c) for c in ("p_label", "changed_p_label"))
        assert (before == after).all()
        assert report.paired(name, change).comparison.p_value == 1


def test_each_modality_moves_its_own_classifier(figures):
    assert figures["tint"]["diluted"]["drop"].value == 0
    assert figures["words"]["contrast"]["drop"].value == 0
    assert figures["words"]["diluted"]["drop"].value > figures["fused"]["diluted"]["drop"].value > 0
    assert figures["words"]["filler"]["drop"].value == 0


def test_figures_by_hand(report, figures):
    rows = report.condition("fused", "diluted").to_pylist()
    lost = sum(r["prediction"] == r["label"] != r["changed_prediction"] for r in rows)
    gained = sum(r["prediction"] != r["label"] == r["changed_prediction"] for r in rows)
    found = figures["fused"]["diluted"]
    assert (found["lost"], found["gained"], found["p_value"]) == (lost, gained, mcnemar(lost, gained))
    assert found["drop"].value == pytest.approx((found["clean"].value - found["f1"].value) / found["clean"].value)
    assert found["queries"] == sum(r["queries"] for r in rows)
    assert found["relevance_image"].value == pytest.approx(np.mean([r["relevance_image"] for r in rows]))
    assert "self_bleu" not in found  # one sentence only
    assert figures["fused"]["repeat"]["relevance_text"].value == pytest.approx(1)


def test_three_flips_back_of_fifteen_are_the_cards_case():
    assert mcnemar(12, 3) == pytest.approx(0.035156, abs=1e-6)


def test_interaction_and_abstention_by_hand(report):
    f1 = {c: report.paired("fused", c).changed.value for c in ("clean", "diluted", "contrast", "both")}
    value = f1["both"] - f1["diluted"] - f1["contrast"] + f1["clean"]
    assert report.interaction("fused", "diluted", "contrast", "both").value == pytest.approx(value)
    own, other, labels = (
        report.column(n, "diluted", c)
        for n, c in (("fused", "changed_prediction"), ("tint", "changed_prediction"), ("tint", "label"))
    )
    found = report.abstention("fused", "tint", "diluted")
    assert found.answered.value == pytest.approx((own == other).mean())
    assert found.wrong.value == pytest.approx(((own == other) & (own != labels)).mean())
    assert found.wrong.value <= (own != labels).mean()


def test_the_run_is_read_again_and_not_overwritten(place, report):
    assert ImageTextReport.read(place).figures() == report.figures()
    record = RunDir(place).read_json("image_text.json")
    assert len(record["shown"]) == 20
    assert RunDir(place).examples("clean").keys() == set(record["shown"])
    kept = RunDir(place).examples("fused.contrast")
    assert not any(torch.equal(kept[i], RunDir(place).examples("clean")[i]) for i in kept)
    assert not RunDir(place).examples("fused.diluted")
    with pytest.raises(RunError, match="already"):
        evaluate(CLASSIFIERS, GIVEN, CHANGES, out=place)
    with pytest.raises(RunError, match="no rows"):
        ImageTextReport.read(place.parent)


@pytest.mark.parametrize("lost", ["rows", "image_text.json"])
def test_a_run_that_lacks_its_rows_or_its_record_is_refused(place, report, tmp_path, lost):
    copy = Path(shutil.copytree(place, tmp_path / "run"))
    shutil.rmtree(copy / lost) if lost == "rows" else (copy / lost).unlink()
    with pytest.raises(RunError, match="holds no rows of dilutions"):
        ImageTextReport.read(copy)


def test_lines_of_a_table(report):
    lines = table_lines(report, ["filler", "diluted"])
    assert len(lines) == 3
    assert "filler +0.0%" in lines[1]


@pytest.mark.parametrize(
    ("classifiers", "changes", "error", "words"),
    [
        ({}, CHANGES, ParameterError, "no classifier"),
        (CLASSIFIERS, {}, ParameterError, "no change"),
        ({"my model": by_both}, CHANGES, ParameterError, "rename it"),
        (CLASSIFIERS, {"a.b": IMAGE}, ParameterError, "rename it"),
        (CLASSIFIERS, {"clean": IMAGE}, ParameterError, "samples as they are"),
        ({"logits": lambda i, t: np.zeros((len(t), 3))}, {"c": IMAGE}, ModelError, "softmax"),
        ({"nan": lambda i, t: np.full((len(t), 3), np.nan)}, {"c": IMAGE}, ModelError, "probabilities"),
    ],
)
def test_wrong_use_is_refused(classifiers, changes, error, words):
    with pytest.raises(error, match=words):
        evaluate(classifiers, GIVEN, changes)


def test_no_such_rows_are_told(report):
    with pytest.raises(ParameterError, match="no rows of the classifier 'fused' under 'fog'"):
        report.paired("fused", "fog")
