"""Rankings on ten samples by hand, against cleanlab and scikit-learn, and on sets with planted wrong labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import list_methods
from unshaken.labels import (
    ConfidenceWeightedEntropy,
    EarlyLearning,
    Evidence,
    NormalizedMargin,
    Probabilities,
    SelfConfidence,
)
from unshaken.labels.engine.nearest import nearest
from unshaken.labels.engine.two_groups import posterior_of_low
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
    monkeypatch.setattr("unshaken.labels.engine.adjusted.FITTED", 1000)
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


def test_early_learning_counts_epochs_and_breaks_ties_by_the_margin():
    nan = np.nan
    margins = np.array([[1, -1, 2, nan, nan], [1, -1, 3, -4, nan], [1, 1, nan, 2, nan], [-1, 1, nan, nan, nan]])
    found = EarlyLearning().find(Evidence(np.arange(5), 5, margins=margins))
    assert found.flagged.tolist() == [False] * 5
    agreed = np.array([0.75, 0.5, 1, 0.5, 0.625])  # the last one was in no training: the median of the others
    assert np.floor((found.score - agreed) * 5).tolist() == [0] * 5
    assert np.argsort(found.score).tolist() == [3, 1, 4, 0, 2]
    assert EarlyLearning().find(Evidence(np.arange(2), 2, margins=-np.ones((3, 2)))).flagged.all()


def test_neighbours_are_those_of_scikit_learn(monkeypatch):
    features = np.random.default_rng(1).normal(0, 1, (300, 8)).astype(np.float32)
    monkeypatch.setattr("unshaken.labels.engine.nearest._SCORES", 300 * 70)
    near, cosine = nearest(features, 5)
    theirs = NearestNeighbors(n_neighbors=6, metric="cosine").fit(features).kneighbors(features)
    assert [set(row) for row in near.tolist()] == [set(row[1:]) for row in theirs[1].tolist()]
    assert np.sort(1 - cosine, 1) == pytest.approx(theirs[0][:, 1:], abs=1e-5)


def test_two_groups_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.2, 0.05, 500), rng.normal(0.8, 0.1, 200)])
    x = ((values - values.min()) / np.ptp(values))[:, None]
    model = GaussianMixture(2, max_iter=200, tol=1e-8, reg_covar=5e-4, random_state=0).fit(x)
    theirs = model.predict_proba(x)[:, model.means_.argmin()]
    assert np.mean((posterior_of_low(values) > 0.5) == (theirs > 0.5)) > 0.99
    assert posterior_of_low(np.full(4, 0.3)).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[2.0, -1.0]], r"row 0 has -1 to 2 and sums to 1; .*are these logits\?"),
        ([[0.5, 0.5], [0.5, float("nan")]], r"row 1 has nan"),
        ([[0.5, 0.2]], "sums to 0.7"),
    ],
)
def test_rows_that_are_no_probabilities(values, message):
    p = np.array(values)
    with pytest.raises(DataError, match=message):
        SelfConfidence().find(Evidence(np.zeros(len(p), int), 2, Probabilities(p)))


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"of shape \(3,\)"):
        Probabilities(np.ones(3))
    with pytest.raises(DataError, match="of type int64"):
        Probabilities(np.ones((3, 2), np.int64))
    with pytest.raises(DataError, match="10 rows of 3 classes, and the data has 2 samples of 3"):
        Evidence(np.array([0, 1]), 3, Probabilities(P))
    with pytest.raises(DataError, match="labels go from 0 to 3, and there are 3 classes"):
        Evidence(np.array([0, 3]), 3)
    with pytest.raises(DataError, match="features are there for 4 samples, labels for 2"):
        Evidence(np.array([0, 1]), 3, features=np.ones((4, 2)))
    with pytest.raises(ParameterError, match="the evidence that this method needs is not there, only labels"):
        SelfConfidence().find(Evidence(np.array([0, 1]), 3))
