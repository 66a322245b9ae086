"""Rankings on ten samples by hand, against cleanlab and scikit-learn, and on sets with planted wrong labels."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.core.registry import list_methods
from unshaken.labels import Evidence, Probabilities
from unshaken.labels.find.confidence_weighted_entropy import ConfidenceWeightedEntropy
from unshaken.labels.find.normalized_margin import NormalizedMargin
from unshaken.labels.find.self_confidence import SelfConfidence
from unshaken.measure import auroc

P = np.array(
    [
        (0.90, 0.05, 0.05), (0.70, 0.20, 0.10), (0.10, 0.85, 0.05), (0.15, 0.75, 0.10), (0.60, 0.30, 0.10),
        (0.05, 0.90, 0.05), (0.20, 0.10, 0.70), (0.10, 0.15, 0.75), (0.45, 0.15, 0.40), (0.05, 0.55, 0.40),
    ]
)  # fmt: skip
GIVEN = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
TEN = Evidence(GIVEN, 3, Probabilities(P))


@pytest.mark.parametrize(
    ("finder", "scores"),
    [
        (SelfConfidence(), [0.9, 0.7, 0.1, 0.75, 0.3, 0.9, 0.7, 0.75, 0.4, 0.4]),
        (NormalizedMargin(), [0.925, 0.75, 0.125, 0.8, 0.35, 0.925, 0.75, 0.8, 0.475, 0.425]),
        (
            ConfidenceWeightedEntropy(),
            [0.841535, 0.685034, 0.369620, 0.715950, 0.482634, 0.841535, 0.685034, 0.715950, 0.519163, 0.557764],
        ),
        (
            SelfConfidence(adjust=True),
            [0.839858, 0.669039, 0.156584, 0.640569, 0.256228, 0.768683, 0.672598, 0.715302, 0.416370, 0.416370],
        ),
    ],
    ids=lambda value: getattr(value, "info", value).name if hasattr(value, "info") else "",
)
def test_ten_samples(finder, scores):
    assert finder.find(TEN).score.tolist() == pytest.approx(scores, abs=2e-6)


def test_a_temperature_is_that_of_a_softmax():
    scores = NormalizedMargin(temperature=2).find(TEN).score
    tempered = np.exp(np.log(P) / 2)
    tempered /= tempered.sum(1, keepdims=True)
    wanted = NormalizedMargin().find(Evidence(GIVEN, 3, Probabilities(tempered))).score
    assert scores == pytest.approx(wanted)
    with pytest.raises(ParameterError, match="adjust, temperature and calibrate do not go together"):
        NormalizedMargin(adjust=True, temperature=2)


def test_a_model_that_is_too_sure_is_calibrated_first(monkeypatch):
    """Of probabilities sharpened by T = 1/3 the fitted temperature undoes the sharpening."""
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (4000, 5))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)  # drawn from the softmax of the logits
    sharp = np.exp(3 * logits)
    evidence = Evidence(labels, 5, Probabilities(sharp / sharp.sum(1, keepdims=True)))
    found = NormalizedMargin(calibrate=True).find(evidence)
    assert found.figures["temperature"] == pytest.approx(3, rel=0.1)
    assert np.array_equal(found.score, NormalizedMargin(temperature=found.figures["temperature"]).find(evidence).score)
    monkeypatch.setattr("unshaken.labels.engine.finder.FITTED", 1000)
    assert NormalizedMargin(calibrate=True).find(evidence).figures["temperature"] == pytest.approx(3, rel=0.2)


@pytest.mark.parametrize("adjust", [False, True])
@pytest.mark.parametrize("cls", [SelfConfidence, NormalizedMargin, ConfidenceWeightedEntropy])
def test_equals_cleanlab(cls, adjust):
    rank = pytest.importorskip("cleanlab.rank")
    labels, p = planted(3)[:2]
    evidence = Evidence(labels, p.shape[1], Probabilities(p))
    normal = next(evidence.probabilities.blocks())[1]
    if adjust and "adjust" not in cls.model_fields:
        return
    finder = cls(adjust=True) if adjust else cls()
    name = cls.info.name.replace("-", "_")
    theirs = rank.get_label_quality_scores(labels, normal, method=name, adjust_pred_probs=adjust)
    assert finder.find(evidence).score == pytest.approx(theirs, abs=1e-12)


def test_a_certain_model_agrees_with_its_label():
    one_hot = Evidence(np.array([0, 1]), 2, Probabilities(np.eye(2)))
    assert ConfidenceWeightedEntropy().find(one_hot).score.tolist() == [1, 1]


def planted(seed, n=600, k=5, rate=0.2):
    """Given labels, probabilities, features and margins of a set, and which labels are wrong.

    Samples with wrong labels also differ from all others in a feature of their own, as images of no class do.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k, n)
    wrong = rng.random(n) < rate
    labels = np.where(wrong, (true + rng.integers(1, k, n)) % k, true)
    logits = rng.normal(0, 1, (n, k))
    logits[np.arange(n), true] += 3
    p = np.exp(logits)
    features = np.eye(k)[true] * 3 + rng.normal(0, 0.7, (n, k))
    features = np.concatenate([features, wrong[:, None] * 2.5 + rng.normal(0, 0.7, (n, 1))], 1)
    rest = logits.copy()
    rest[np.arange(n), labels] = -np.inf
    margins = np.stack([logits[np.arange(n), labels] - rest.max(1)] * 3)
    return labels, p / p.sum(1, keepdims=True), features, margins, wrong


@pytest.mark.parametrize("name", sorted(m.name for m in list_methods("labels")))
def test_every_finder_ranks_planted_errors_first(name):
    labels, p, features, margins, wrong = planted(0)
    evidence = Evidence(labels, 5, Probabilities(p), features, margins)
    finder = next(m.cls for m in list_methods("labels") if m.name == name)()
    found = finder.find(evidence)
    assert auroc(-found.score[~wrong], -found.score[wrong]).value > 0.9
    assert found.suggested.shape == labels.shape
    if found.flagged is not None:
        assert np.mean(wrong[found.flagged]) > 0.6
    if "noise_rate" in found.figures:
        assert found.figures["noise_rate"] == pytest.approx(wrong.mean(), abs=0.06)
