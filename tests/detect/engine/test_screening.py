"""Fitted detectors as one step of a run: its conditions, its methods, and parameters that are refused."""

from __future__ import annotations

import pytest

from unshaken.core import Oracle
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method
from unshaken.data import load_data, stream
from unshaken.detect.engine.detector_set import digest
from unshaken.detect.engine.screening import Screening
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of

GIVEN = {"folder": "detectors", "digest": "d", "detectors": "knn+knn-2+max-logit"}


def test_one_condition_for_each_detector():
    found = conditions_of(Screening(**GIVEN), Line("screening"))
    assert [(c.id, c.method) for c in found] == [(k, "screening") for k in ("knn", "knn-2", "max-logit")]


def test_a_label_with_a_number_is_of_the_method_before_it():
    assert Screening(**GIVEN).named_methods == ("knn", "max-logit")


@pytest.mark.parametrize("given", [{"severities": (1,), "eps": ()}, {"severities": (), "eps": (0.1,)}])
def test_severities_and_budgets_are_refused(given):
    with pytest.raises(ParameterError, match="detectors have no severities and no eps: omit them"):
        conditions_of(Screening(**GIVEN), Line("screening", **given))


@pytest.mark.parametrize(
    ("shifts", "message"),
    [
        ("gaussian_noise", "'gaussian_noise' is not of the form NAME-SEVERITY"),
        ("gaussian_noise-6", "'gaussian_noise-6' is not of the form NAME-SEVERITY"),
        ("gaussian_noise-0", "'gaussian_noise-0' is not of the form NAME-SEVERITY"),
        ("gaussian_noise-3+fogg-1", "did you mean 'fog'"),
    ],
)
def test_shifts_are_corruptions_with_a_severity(shifts, message):
    assert Screening(**GIVEN, shifts="gaussian_noise-5+fog-1").shifts == ("gaussian_noise-5", "fog-1")
    with pytest.raises(ParameterError, match=message):
        Screening(**GIVEN, shifts=shifts)


def test_rows_are_those_of_the_images_and_of_the_corrupted_ones(fitted, tmp_path):
    """Beside them the answers behind each detector, with what this one cost beyond the shared pass."""
    detector_set = fitted.detector_set
    detector_set.save(tmp_path)
    batch = next(stream(load_data("demo"), range(6), view=detector_set.model.view, batch_size=6))
    moved = find_method("contrast", "stress").cls().apply(batch, 3, 0)
    oracle = Oracle(detector_set.model)
    step = Screening(
        folder=str(tmp_path), digest=digest(tmp_path), detectors="energy+odin", accept=0.5, shifts="contrast-3"
    )
    conditions = conditions_of(step, Line("screening"))
    parts = rows_of(step, batch, conditions, Context(oracle, 0, oracle.exact(batch.images)))
    found = {(p.table, p.condition.id): table_of(p).to_pydict() for p in parts}
    clean, other = detector_set.score(batch), detector_set.score(moved)
    predictions = oracle.exact(batch.images).argmax(1).tolist()
    for label, forwards in (("energy", 0), ("odin", 2)):
        rows, behind = found["scores", label], found["outcomes", label]
        assert rows["split"] == ["normal"] * 6 + ["covariate/contrast-3"] * 6
        assert rows["score"] == pytest.approx([*clean[label].tolist(), *other[label].tolist()], rel=1e-4, abs=1e-6)
        at = detector_set.threshold(label, 0.5).value
        assert rows["accepted"] == [s <= at for s in rows["score"]]
        assert behind["prediction"] == [p if a else 10 for p, a in zip(predictions, rows["accepted"], strict=False)]
        assert behind["forwards"] == [forwards] * 6
