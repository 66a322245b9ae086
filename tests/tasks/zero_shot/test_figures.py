"""Figures by hand: MCM, abnormal images, calibration, retrieval, lines, error ratio, losses."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax as reference_softmax

from unshaken.core.errors import DataError, ParameterError
from unshaken.detect.scores.msp import msp
from unshaken.explain.biases.cue_bias import CueBias
from unshaken.measure import auroc, calibration_error, effective_robustness, fit_line, fit_temperature, fpr95_id_accept
from unshaken.tasks.ranking import measure_queries
from unshaken.tasks.ranking.images import rank_images
from unshaken.tasks.zero_shot import (
    Captions,
    calibrate,
    error_ratio,
    factor_figures,
    fitting_half,
    info_nce,
    read_captions,
    read_factors,
    recalls,
    retrieve,
    sigmoid_pairs,
    within_classes,
)
from unshaken.tasks.zero_shot.across import family_lines, robustness_beyond
from unshaken.tasks.zero_shot.aspects import mean_figure
from unshaken.tasks.zero_shot.choices import Choice, renumber
from unshaken.tasks.zero_shot.visual_factors import check_factors
from unshaken.tasks.zero_shot.zero_shot import _figure


def normality(cosines, scale=1.0):
    """Of MCM: one minus the house's abnormality."""
    return float(1 - msp((scale * torch.tensor([cosines], dtype=torch.float64)).softmax(1))[0])


def test_mcm_on_raw_and_on_scaled_cosines():
    assert normality([0.30, 0.20, 0.10]) == pytest.approx(0.36717, abs=5e-6)
    assert normality([0.30, 0.20, 0.10], 100) == pytest.approx(0.999955, abs=5e-7)
    assert reference_softmax(np.array([30.0, 20, 10]))[1:].tolist() == pytest.approx([4.5e-5, 2e-9], rel=0.04)
    assert normality([0.1] * 1000) == pytest.approx(0.001)
    assert normality([1.0] + [-1.0] * 999) == pytest.approx(0.00734, abs=5e-6)


def test_abnormal_images_by_hand():
    """Scores of normality: minus them is the house's abnormality; ties count one half."""
    normal, other = [-0.9, -0.8, -0.4], [-0.7, -0.3]
    assert auroc(normal, other).value == pytest.approx(5 / 6)
    assert fpr95_id_accept(normal, other, resamples=20).value == 0.5
    for change in (math.exp, lambda s: 3 * s - 1):
        moved = [change(s) for s in normal], [change(s) for s in other]
        assert auroc(*moved).value == pytest.approx(5 / 6)
        assert fpr95_id_accept(*moved, resamples=20).value == 0.5
    assert auroc([1, 1], [1]).value == 0.5


@pytest.mark.parametrize("bins", [10, 15])
@pytest.mark.parametrize(
    ("confidence", "expected"), [((0.95, 0.88, 0.59, 0.55), 0.0775), ((0.95, 0.9, 0.6, 0.55), 0.075)]
)
def test_calibration_error_inside_bins_and_on_their_edges(confidence, expected, bins):
    found = calibration_error(confidence, [1, 1, 0, 1], bins=bins, resamples=10, simulations=1)
    assert found.ece.value == pytest.approx(expected)


def test_a_temperature_by_hand_changes_no_decision():
    logits = np.tile([2.0, 0.0], (8, 1))
    labels = np.array([0, 0, 0, 1] * 2)
    temperature, found = calibrate(logits, labels, {"same": (logits, labels)}, resamples=20)
    assert temperature.value == pytest.approx(2 / math.log(3)) == pytest.approx(1.820478, abs=5e-7)
    same = found["same"]
    p = 1 / (1 + math.exp(-2))
    assert same.ece.value == pytest.approx(p - 0.75)
    assert same.ece_scaled.value == pytest.approx(0, abs=1e-9)
    assert same.nll.value == pytest.approx(-0.75 * math.log(p) - 0.25 * math.log(1 - p))
    assert same.nll_scaled.value == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert fit_temperature(logits, labels).value == temperature.value


def test_no_temperature_fits_where_all_is_right():
    logits, labels = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 1])
    temperature, found = calibrate(logits, labels, {"same": (logits, labels)}, resamples=10)
    assert (temperature.inside, found["same"].ece_scaled, found["same"].nll_scaled) == (False, None, None)


def test_halves_do_not_depend_on_the_order_and_share_no_sample():
    ids = [f"i{n}" for n in range(21)]
    half = fitting_half(ids, 3)
    again = fitting_half(ids[::-1], 3)[::-1]
    assert half.sum() == 10
    assert (half == again).all()
    assert (half != fitting_half(ids, 4)).any()
    with pytest.raises(DataError, match="1 images cannot be halved"):
        fitting_half(["a"])


def test_a_set_of_some_classes_is_decided_among_these():
    logits, labels = within_classes([[5.0, 1, 2], [0, 3, 1]], [2, 1], [1, 2])
    assert (logits.tolist(), labels.tolist()) == ([[1, 2], [3, 1]], [1, 0])
    with pytest.raises(DataError, match="label 0 is none of the 2 classes"):
        within_classes([[5.0, 1, 2]], [0], [1, 2])


def test_retrieval_both_ways_by_hand():
    """Similarities S: images are unit vectors, so that the captions are its columns."""
    s = np.array([[0.9, 0.1, 0.2], [0.3, 0.2, 0.8], [0.1, 0.4, 0.5]])
    captions = Captions(("one", "two", "three"), ("a", "b", "c"))
    to_text, to_image = retrieve(np.eye(3), ["a", "b", "c"], s.T, captions)
    assert [to_text.recall(k).value for k in (1, 2)] == pytest.approx([2 / 3, 2 / 3])
    assert [to_image.recall(k).value for k in (1, 2)] == pytest.approx([1 / 3, 1])
    assert (to_text.ranks, to_image.ranks) == ((1, 3, 1), (1, 2, 2))
    assert list(recalls(to_text)) == ["recall_1", "recall_5", "recall_10"]


def test_several_captions_an_image_against_ir_measures():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((6, 4)).astype(np.float32)
    owners = [f"p{i}" for i in rng.integers(0, 6, 14)]
    texts = rng.standard_normal((14, 4)).astype(np.float32)
    texts[3] = texts[7]  # a tie
    ids = [f"p{i}" for i in range(6)]
    captions = Captions(tuple(f"t{i}" for i in range(14)), tuple(owners))
    to_text, to_image = retrieve(images, ids, texts, captions)
    numbers = [f"caption {i}" for i in range(14)]
    ranked = rank_images(images, texts, ids, numbers)
    qrels = {i: {n: 1 for n, o in zip(numbers, owners, strict=True) if o == i} for i in ids if i in owners}
    peer = measure_queries(ranked, qrels, ["Success@1", "Success@5", "Success@10"])
    for k in (1, 5, 10):
        assert to_text.recall(k).value == pytest.approx(np.mean(list(peer[f"Success@{k}"].values())))
    back = rank_images(texts, images, numbers, ids)
    peer = measure_queries(back, {n: {o: 1} for n, o in zip(numbers, owners, strict=True)}, ["Success@1"])
    assert to_image.recall(1).value == pytest.approx(np.mean(list(peer["Success@1"].values())))


def test_captions_that_cannot_be_used(tmp_path):
    eye = np.eye(2)
    captions = Captions.of({"a": ["one"], "b": ["two"]})
    with pytest.raises(DataError, match="1 captions are of images that the data does not have, such as 'b'"):
        retrieve(eye, ["a", "c"], eye, captions)
    with pytest.raises(DataError, match="1 embeddings came with 2 captions"):
        retrieve(eye, ["a", "b"], eye[:1], captions)
    with pytest.raises(ParameterError, match="text embeddings must be finite"):
        retrieve(eye, ["a", "b"], np.array([[1, np.nan], [0, 1]]), captions)
    with pytest.raises(ParameterError, match="recall at 11 is not known"):
        retrieve(eye, ["a", "b"], eye, captions)[0].recall(11)
    file = tmp_path / "captions.csv"
    for text, message in {
        "image,caption\na,\n": r"caption 0 \(image 'a'\) is empty",
        "image,caption\n,a dog\n": r"caption 0 \('a dog'\) has no image",
        "image,text\na,b\n": "has no column 'caption'",
        "image,caption\n": "a heading and no line",
        "image,caption\na\n": "line 2: 1 values",
    }.items():
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            read_captions(file)
    file.write_text('image,caption\na,"two, with\na line"\nb,кот\n', encoding="utf-8")
    assert read_captions(file) == Captions(("two, with\na line", "кот"), ("a", "b"))
    with pytest.raises(DataError, match="cannot read"):
        read_captions(tmp_path / "none.csv")


def test_error_ratio_by_hand():
    own, wrong = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert error_ratio(own, wrong).value == 1.0
    found = factor_figures(["a", "b", "c", "d"], ~wrong, {"pose": ["a", "c"], "size": ["b", "x"], "none": ["x"]})
    assert found["pose"].accuracy.value == 0
    assert found["pose"].error_ratio.value == 2
    assert found["size"].accuracy.value == 1
    assert found["size"].error_ratio.value == 0
    assert set(found) == {"pose", "size"}
    assert factor_figures(["a"], np.array([True]), {"pose": ["a"]})["pose"].error_ratio is None
    assert CueBias(30, 70, 100).value == 0.3


def test_factors_that_cannot_be_used(tmp_path):
    file = tmp_path / "factors.csv"
    file.write_text("id,note,factor\na,x,pose\nb,,pose\na,,size\n")
    factors = read_factors(file)
    assert factors == {"pose": ("a", "b"), "size": ("a",)}
    with pytest.raises(DataError, match="1 images that the data does not have, such as 'b'"):
        check_factors(factors, ["a", "c"])
    check_factors(factors, ["a"], whole=False)
    for text, message in {"id,factor\na,pose\na,pose\n": "twice", "id,factor\na,\n": "the factor is empty"}.items():
        file.write_text(text)
        with pytest.raises(DataError, match=message):
            read_factors(file)


X = {f"m{i}": x for i, x in enumerate([0.1, 0.2, 0.3, 0.4, 0.5])}
Y = {name: 0.9 * x + 0.02 for name, x in X.items()} | {"m4": 0.9}


def test_the_line_of_a_family_and_who_stands_off_it():
    lines = family_lines(X, Y, dict.fromkeys(X, "all"))
    assert lines["all"].line.slope == pytest.approx(0.9, abs=1e-6)
    assert lines["all"].line == fit_line(list(X.values()), list(Y.values()), transform="linear", fit="huber")
    beyond = robustness_beyond(X, Y, dict.fromkeys(X, "all"))
    assert beyond["m4"].rho.value == pytest.approx(0.43, abs=1e-6)
    others = [x for name, x in X.items() if name != "m0"], [y for name, y in Y.items() if name != "m0"]
    alone = effective_robustness(X["m0"], Y["m0"], *others, transform="linear", fit="huber", resamples=500)
    assert beyond["m0"].rho == alone.rho  # the model itself is not one of its baselines
    families = {name: "old" if name < "m3" else "new" for name in X}
    assert set(family_lines(X, Y, families)) == {"old"}  # two models always lie on a line
    assert set(robustness_beyond(X, Y, families, "old")) == {"m3", "m4"}
    assert robustness_beyond({"m0": 0.1}, {"m0": 0.2}, {"m0": "all"}) == {}
    with pytest.raises(ParameterError, match="no model is of the family 'odl'; did you mean 'old'"):
        robustness_beyond(X, Y, families, "odl")


def test_losses_by_hand():
    assert float(info_nce(torch.eye(2), 1.0)) == pytest.approx(0.313262, abs=5e-7)
    assert float(info_nce(torch.eye(2), 100.0)) == pytest.approx(0, abs=1e-12)
    assert float(sigmoid_pairs(torch.ones(1, 1), 10.0, -10.0)) == pytest.approx(math.log(2))
    pair = torch.eye(2)
    assert float(sigmoid_pairs(pair, 10.0, -10.0)) - math.log(2) == pytest.approx(4.54e-5, abs=5e-8)
    same = torch.ones(2, 2, dtype=torch.bool)  # both captions are equal: either is right
    assert float(info_nce(torch.zeros(2, 2), 1.0, same)) == pytest.approx(math.log(2))


def test_images_that_are_all_right_under_corruptions_are_no_certainty():
    assert mean_figure(np.ones(20)) == {
        "value": 1.0, "low": pytest.approx(0.025 ** (1 / 20)), "high": 1.0, "n": 20,
        "interval": "clopper-pearson 95% (all values alike)",
    }  # fmt: skip
    half = mean_figure(np.full(20, 0.5))
    assert half["low"] < 0.5 < half["high"]
    assert mean_figure(np.array([0.0, 0.5, 1.0]))["value"] == 0.5


def test_answers_in_the_numbers_of_another_model():
    answers = [Choice("a", (0, 2), 2, 0), Choice("b", (1, 2), 1, None, "why"), Choice("c", (0, 3), 0, 3)]
    names = ("red", "green", "blue", "grey")
    assert renumber(answers, names, names) == answers
    found = renumber(answers, names, ("blue", "red", "green"))  # has no grey
    assert found == [Choice("a", (1, 0), 0, 1), Choice("b", (2, 0), 2, None, "why")]
    assert renumber(answers, names, ("Blue", "blue", "red", "green", "grey")) == [Choice("c", (2, 4), 2, 4)]


def test_a_figure_of_a_record_keeps_its_ends_and_has_none_where_they_are_unbounded():
    one = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "interval": "bootstrap"}
    assert (_figure(one).low, _figure(one).high) == (0.4, 0.6)
    unbounded = _figure({**one, "low": None, "high": None})
    assert (unbounded.low, unbounded.high) == (-math.inf, math.inf)
