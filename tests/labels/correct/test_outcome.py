"""Why labels changed in a review, from hand-written outcomes."""

from __future__ import annotations

import pyarrow.parquet as pq
import torch

from unshaken.data.arrays import InMemory
from unshaken.labels.correct.outcome import Outcome, Reason, count_reasons
from unshaken.labels.correct.overlay import write_corrected
from unshaken.labels.review.protocol import ItemState, ReviewedLabel
from unshaken.labels.review.verdict import Answer, AnswerKind


def reviewed(state, classes=None, kind="labels"):
    answer = None if classes is None else Answer(kind=AnswerKind(kind), classes=classes)
    return ReviewedLabel("s", 2, state, answer, {})


def test_each_answer_has_its_reason_and_effect():
    agreed, settled = ItemState.AGREED, ItemState.SETTLED
    labels = [
        reviewed(agreed, (2,)), reviewed(agreed, (2,)), reviewed(agreed, (3,)), reviewed(settled, (0,)),
        reviewed(agreed, (0, 1)), reviewed(agreed, (1, 2)), reviewed(agreed, (), "not-in-classes"),
        reviewed(settled, (), "unclear"), reviewed(ItemState.DISPUTED),
    ]  # fmt: skip
    assert count_reasons(labels) == [
        (Reason("another class", "agreed", "changed"), 1),
        (Reason("another class", "settled", "changed"), 1),
        (Reason("none of the classes", "agreed", "removed"), 1),
        (Reason("several other classes", "agreed", "removed"), 1),
        (Reason("the label is right", "agreed", "kept"), 2),
        (Reason("not decided yet", "disputed", "kept"), 1),
        (Reason("people cannot tell", "settled", "kept"), 1),
        (Reason("several classes, the label among them", "agreed", "kept"), 1),
    ]


def test_a_sample_that_cannot_be_read_is_left_out_and_counted_and_those_behind_it_are_written(tmp_path):
    data = InMemory(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), bad={1: "truncated"})
    outcome = Outcome(("cat", "dog"), (), "v1")
    counts = write_corrected(data, outcome, tmp_path / "out.parquet")
    assert (counts.samples, counts.unreadable) == (3, 1)
    assert pq.read_table(tmp_path / "out.parquet")["label"].to_pylist() == [0, 0, 1]
