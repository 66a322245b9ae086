import pytest
import torch

from unshaken.certify.bounds.ibp import IBP
from unshaken.certify.engine.base import NOT_FINITE, certificates
from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.core.batch import Batch
from unshaken.core.classifier import NO_CLASS
from unshaken.core.part import Condition
from unshaken.run.adapters.certify import fields_for
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import schema_of, table_of

CONTRACT = {
    "id",
    "method",
    "label",
    "prediction",
    "abstained",
    "radius",
    "norm",
    "p_lower",
    "samples",
    "alpha",
    "seconds",
    "error",
}


def test_the_table_has_the_columns_that_others_rely_on():
    assert set(schema_of("certificates").names) >= CONTRACT


@pytest.mark.parametrize("labels", [torch.tensor([3, 1]), None])
def test_rows_survive_the_run_directory(tmp_path, labels):
    batch, run = Batch(torch.zeros(2, 1, 4, 4), labels, ("a", "b")), RunDir(tmp_path)
    part = certificates(
        Condition("some-1", "some", severity=1),
        batch,
        radius=torch.tensor([0.25, 0.0]),
        norm="l2",
        prediction=torch.tensor([3, 2]),
        abstained=torch.tensor([False, True]),
        p_lower=torch.tensor([0.75, 0.5]),
        samples=1000,
        alpha=0.001,
        seconds=0.5,
        reason=[None, "undecided"],
    )
    run.write_rows(table_of(part), part.table, part.condition.id, 0)
    assert run.rows("certificates").to_pylist() == [
        {
            "id": name,
            "condition": "some-1",
            "method": "some",
            "label": None if labels is None else label,
            "prediction": prediction,
            "abstained": abstained,
            "radius": radius,
            "norm": "l2",
            "p_lower": p,
            "samples": 1000,
            "alpha": 0.001,
            "seconds": 0.5,
            "reason": why,
            "error": None,
        }
        for name, label, prediction, abstained, radius, p, why in (
            ("a", 3, 3, False, 0.25, 0.75, None),
            ("b", 1, 2, True, 0.0, 0.5, "undecided"),
        )
    ]


def columns(radius, **given):
    batch = Batch(torch.zeros(3, 1, 4, 4), None, ("a", "b", "c"))
    return certificates(Condition("some", "some"), batch, radius=torch.tensor(radius), norm="l2", **given).columns


def test_a_certificate_of_an_output_that_is_not_finite_is_none():
    """The first has a blank draw, the second no class; the third stands."""
    found = columns(
        [1.0, 2.0, 3.0],
        prediction=torch.tensor([4, NO_CLASS, 5]),
        blank=torch.tensor([1, 0, 0]),
        abstained=torch.tensor([False, False, True]),
        p_lower=torch.tensor([0.7, 0.8, 0.9]),
        reason=[None, "why", "because"],
    )
    assert found["radius"] == [0, 0, 3]
    assert found["abstained"] == [True, True, True]
    assert found["p_lower"] == pytest.approx([0, 0, 0.9])
    assert found["reason"] == [NOT_FINITE, NOT_FINITE, "because"]
    bare = columns([1.0, 2.0, 3.0], blank=torch.tensor([0, 2, 0]))
    assert (bare["radius"], bare["abstained"]) == ([1, 0, 3], [False, True, False])
    assert bare["reason"] == [None, NOT_FINITE, None]


def test_what_is_not_given_is_that_of_an_exact_certificate_without_a_class():
    found = columns([1.0, 0.0, 3.0])
    assert found["abstained"] == [False] * 3
    assert (found["samples"], found["alpha"], found["seconds"]) == ([1] * 3, [0.0] * 3, [0.0] * 3)
    assert set(found) & {"prediction", "p_lower", "label", "reason"} == set()


def test_the_cost_of_a_certificate_is_known_where_votes_decide_it():
    assert Smoothing(n=50, n0=7).most_passes(10) == 57
    assert IBP().most_passes(10) is None
    assert fields_for(IBP(), [0.1]) == {"eps": [0.1]}
