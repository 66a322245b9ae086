"""Scores, thresholds and sets of LAC, APS and RAPS against TorchCP and MAPIE, on the same probabilities.

    python benchmarks/prediction_sets_parity.py

Needs torchcp and mapie, which the project does not. TorchCP imports graph and language packages that this does not use;
where they are absent they are replaced. Its draws are switched off (`randomized=False`). MAPIE's APS draws at
calibration, and the same draws are given here; its sets with `include_last_label=True` are those of the draw 1.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from unittest.mock import MagicMock

import numpy as np
import torch

from unshaken.measure.detection.conformal import conformal_threshold
from unshaken.measure.prediction_sets import own_scores, set_scores

UNUSED = ("torchcp.graph", "torchcp.llm", "torch_geometric", "torchsort", "transformers")
SAMPLES, CALIBRATION, CLASSES, COVERAGE = 3000, 1000, 10, 0.9


def main() -> None:
    """Print the largest differences."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(CLASSES, 0.4), SAMPLES)
    y = (p.cumsum(1) > rng.random((SAMPLES, 1))).argmax(1)
    torchcp_parity(p, y)
    mapie_parity(p, y)


def torchcp_parity(p: np.ndarray, y: np.ndarray) -> None:
    """Scores of all classes, and the threshold."""
    for name in UNUSED:
        if name.startswith("torchcp.") or find_spec(name) is None:
            sys.modules[name] = MagicMock()
    from torchcp.classification.predictor import SplitPredictor
    from torchcp.classification.score import APS, LAC, RAPS

    plain = {"score_type": "identity"}
    # TorchCP's RAPS makes its penalties in float32: one that float32 holds exactly leaves no rounding
    for name, theirs, ours in (
        ("lac", LAC(**plain), set_scores(p, "lac")),
        ("aps", APS(**plain, randomized=False), set_scores(p, "aps")),
        *(
            (
                f"raps, penalty {penalty}",
                RAPS(**plain, randomized=False, penalty=penalty, kreg=2),
                set_scores(p, "raps", penalty=penalty, free=2),
            )
            for penalty in (0.0625, 0.05)
        ),
    ):
        scores = np.abs(theirs(torch.from_numpy(p)).numpy() - ours).max()
        own = own_scores(ours, y)[:CALIBRATION]
        found = SplitPredictor(theirs)._calculate_conformal_value(torch.from_numpy(own), 1 - COVERAGE)
        threshold = abs(float(found) - conformal_threshold(own, COVERAGE).value)
        print(f"torchcp {name}: scores differ by {scores:.1e} at most, the threshold by {threshold:.1e}")


def mapie_parity(p: np.ndarray, y: np.ndarray) -> None:
    """The threshold, and which classes the sets hold."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """A classifier whose inputs are its probabilities."""

        def __init__(self) -> None:
            self.classes_, self.n_features_in_ = np.arange(CLASSES), CLASSES

        def predict(self, X: np.ndarray) -> np.ndarray:
            return X.argmax(1)

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            return X

        def __sklearn_is_fitted__(self) -> bool:
            return True

    for name, more in (("lac", {}), ("aps", {"conformity_score_params": {"include_last_label": True}})):
        judge = SplitConformalClassifier(
            Given(), confidence_level=COVERAGE, conformity_score=name, prefit=True, random_state=0
        )
        judge.conformalize(p[:CALIBRATION], y[:CALIBRATION])
        _, sets = judge.predict_set(p[CALIBRATION:], **more)
        quantile = float(np.ravel(judge._mapie_classifier.quantiles_)[0])
        calibration = None if name == "lac" else np.random.RandomState(0).uniform(size=CALIBRATION)
        own = own_scores(set_scores(p[:CALIBRATION], name, draws=calibration), y[:CALIBRATION])
        value = conformal_threshold(own, COVERAGE).value
        ones = None if name == "lac" else np.ones(SAMPLES - CALIBRATION)
        held = set_scores(p[CALIBRATION:], name, draws=ones) <= value
        print(
            f"mapie {name}: the threshold differs by {abs(quantile - value):.1e}; "
            f"{(sets[:, :, 0] != held).sum()} of {held.size} memberships differ"
        )


if __name__ == "__main__":
    main()
