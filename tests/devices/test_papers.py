"""What the rows of papers compute with, on the simulated device, as on the CPU."""

from __future__ import annotations

import unshaken
from unshaken.attack.gradient.pgd import PGD
from unshaken.core.part import CLEAN, Condition
from unshaken.data.streaming import stream
from unshaken.papers.outcomes import accuracy_of, evaluated, predicted, searched
from unshaken.run.merge import differing_column
from unshaken.store.tables import table_of
from unshaken.stress.corruptions.fog import Fog


def figures(place):
    """Accuracy, and rows of images, of examples and of a corruption, with model and images on a device."""
    model = unshaken.load_model("demo:standard", device=str(place))
    (batch,) = stream(unshaken.load_data("demo"), range(12), batch_size=12)
    batch, attack = batch.to(place), PGD(steps=4)
    examples = searched(model, attack, batch, norm="linf", eps=8 / 255, seed=1, early=True)
    fog = [Condition("fog-3", "fog", severity=3)]
    parts = [
        predicted(CLEAN, model, batch),
        predicted(Condition("found", "pgd"), model, batch, examples),
        *evaluated(fog, Fog(), model, batch, 1),
    ]
    return accuracy_of(model, batch.images, batch.labels), [table_of(part) for part in parts]


def test_accuracy_examples_and_rows(device):
    accuracy, tables = figures(device)
    expected, others = figures("cpu")
    assert accuracy == expected
    assert [differing_column(table, other) for table, other in zip(tables, others, strict=True)] == [None] * len(others)
