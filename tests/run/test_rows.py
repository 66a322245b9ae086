"""The outcomes of predictions, by hand."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
import torch

from unshaken.core import Batch
from unshaken.core.outcomes import outcomes
from unshaken.core.part import CLEAN, Condition, Part, name_condition
from unshaken.core.registry import list_methods
from unshaken.core.tables import COST, FLAGS, OUTCOMES
from unshaken.store.tables import schema_of, table_of

LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])


def two(labels=(1, 1)):
    return Batch(torch.zeros(2, 1, 2, 2), None if labels is None else torch.tensor(labels), ("a", "b"))


def test_columns_by_hand():
    condition = Condition("pgd-linf-0.1", "pgd", eps=0.1, norm="linf")
    part = outcomes(
        condition,
        two(),
        LOGITS,
        forwards=torch.tensor([3, 4]),
        backwards=2,
        seconds=0.5,
        distance=torch.tensor([0.1, 0.05], dtype=torch.float64),
        survives_8bit=torch.tensor([-1, 1], dtype=torch.int8),
        broken_by=[None, "square"],
        step=torch.tensor([7, 9]),
    )
    table = table_of(part)
    assert table.schema.equals(schema_of("outcomes"))
    first, second = table.to_pylist()
    assert first["confidence"] == pytest.approx(0.75)
    assert second["confidence"] == pytest.approx(0.8)
    assert first["loss"] == pytest.approx(math.log(4 / 3))
    assert second["loss"] == pytest.approx(math.log(5))
    assert second["logits"] == pytest.approx([math.log(4), 0.0])
    plain = {k: (first[k], second[k]) for k in OUTCOMES if k not in {"confidence", "loss", "logits"}}
    assert plain == {
        "id": ("a", "b"),
        "condition": ("pgd-linf-0.1",) * 2,
        "method": ("pgd",) * 2,
        "severity": (None, None),
        "eps": (0.1, 0.1),
        "norm": ("linf", "linf"),
        "label": (1, 1),
        "prediction": (1, 0),
        "correct": (True, False),
        "distance": (0.1, 0.05),
        "survives_8bit": (None, True),
        "broken_by": (None, "square"),
        "step": (None, 9),
        "forwards": (3, 4),
        "backwards": (2, 2),
        "seconds": (0.5, 0.5),
        "error": (None, None),
    }


def test_without_labels_nothing_is_right_or_wrong():
    for row in table_of(outcomes(CLEAN, two(None), LOGITS)).to_pylist():
        assert (row["label"], row["correct"], row["loss"]) == (None, None, None)
        assert row["prediction"] in (0, 1)
        assert (row["forwards"], row["backwards"]) == (1, 0)


def test_half_precision_logits_are_kept_in_float32():
    part = outcomes(CLEAN, two(), LOGITS.bfloat16())
    assert table_of(part)["logits"].type == pa.list_(pa.float32())


def test_bad_samples_have_null_columns():
    part = Part("outcomes", CLEAN, {"id": ["x"], "error": ["no image"]})
    (row,) = table_of(part).to_pylist()
    assert {k for k, v in row.items() if v is not None} == {"id", "condition", "method", "error"}


def test_no_rows_have_the_schema_all_the_same():
    assert table_of(Part("outcomes", CLEAN, {"id": []})).schema.equals(schema_of("outcomes"))


@pytest.mark.parametrize("name", ["fog-3", "pgd+2-linf-0.1", "a_b.c=d"])
def test_condition_names_fit_for_files(name):
    assert Condition(name, "m").id == name


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "é", "x" * 201])
def test_condition_names_unfit_for_files_are_refused(name):
    with pytest.raises(ValueError, match="cannot be used as a file name"):
        Condition(name, "m")


def test_no_method_makes_a_long_path():
    """As docs/runs.md says; a run in `robust/` is the deepest."""
    names = [name_condition(info.name, "linf", 2 / 255) for info in list_methods()]
    assert max(len(f"robust/rows/certificates/{name}-00000.parquet") for name in names) < 100


def test_columns_of_the_outcomes_are_the_published_ones():
    assert ", ".join(OUTCOMES) == (
        "id, condition, method, severity, eps, norm, label, prediction, confidence, correct, loss, logits, distance, "
        "survives_8bit, broken_by, step, forwards, backwards, seconds, error"
    )
    assert list(FLAGS) == ["name", "detail", "id", "meaning", "advice"]
    assert {"step", "shard", "forwards", "backwards", "largest_batch", "back_offs"} <= set(COST)
