import pytest
import torch

from unshaken.certify.engine.base import certificates
from unshaken.core.batch import Batch
from unshaken.run.rows import SCHEMAS, Condition, table_of
from unshaken.run.store import RunDir

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
    assert set(SCHEMAS["certificates"].names) >= CONTRACT


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
