import numpy as np
import pytest
import torch
from torch import nn

from unshaken.certify.crops.crop_selection import CropSelection
from unshaken.certify.crops.shifts import EIGHT, FOUR, Framing, agreed, ball, crop_logits, framed, named, places
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.oracle import Oracle
from unshaken.store.tables import table_of
from unshaken.stress.geometry.translation import window

FRAMINGS = [
    Framing("plain-20", "centre_crop", 20),
    Framing("centre-14", "centre_crop", 14),
    *(Framing(f"{s}-14", "crop-selection", 14, CropSelection(score=s, crop=14)) for s in ("hash", "box_mean")),
]


class Sums(nn.Module):
    """Logits that tell the mean and the corner of what was shown."""

    def forward(self, x):
        return torch.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], 1)


@pytest.fixture
def photos():
    noise = np.random.default_rng(0).integers(0, 256, (9, 3, 27, 24))
    return Batch(torch.from_numpy(noise).float() / 255, torch.arange(9) % 2, tuple("abcdefghi"))


def test_the_sets_of_shifts():
    assert (len(FOUR), len(EIGHT), len(ball(2))) == (5, 9, 25)
    assert {(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)} == set(FOUR) < set(EIGHT) == set(ball(1)) < set(ball(2))
    assert FOUR[0] == EIGHT[0] == ball(3)[0] == (0, 0)


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda k: k.name)
def test_answers_are_those_of_each_window_looked_at_alone(photos, framing):
    model = Classifier(Sums())
    at = places(photos.images, framing, 20, EIGHT)
    logits, forwards = crop_logits(photos.images, at, framing.size, Oracle(model, limit=7))
    for i, (dy, dx) in enumerate(EIGHT):
        seen = window(photos.images, dy, dx, 20, 20)
        if framing.selection is None:
            inside = window(seen, 0, 0, framing.size, framing.size)
        else:
            inside = framing.selection.crops(seen)[:, 0]
        assert torch.allclose(logits[i], model(inside), atol=1e-6)
    distinct = [len({tuple(p) for p in at[:, j].tolist()}) for j in range(9)]
    assert forwards.sum(0).tolist() == distinct
    assert forwards[0].tolist() == [1] * 9


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda k: k.name)
def test_agreement_is_that_of_the_certificate(photos, framing):
    rows = table_of(agreed(photos, framing, 20, EIGHT, "p", "8-neighbours")).to_pydict()
    if framing.selection is None:
        assert rows["radius"] == [0.0] * 9
    else:
        certified = framing.selection.certify(window(photos.images, 0, 0, 22, 22), 1)
        assert rows["radius"] == certified.double().tolist()
    assert set(rows["condition"]) == {f"p.{framing.name}"}
    assert set(rows["norm"]) == {"8-neighbours"}


def test_rows_say_shift_passes_and_prediction(photos):
    oracle = Oracle(Classifier(Sums()))
    parts = framed(photos, FRAMINGS[2], 20, FOUR, oracle, "p")
    assert [p.condition.id for p in parts] == [named("p", FRAMINGS[2], s) for s in FOUR]
    assert parts[0].condition.id == "p.hash-14.+0+0"
    assert [p.condition.severity for p in parts] == [0, 1, 1, 1, 1]
    assert sum(int(p.columns["forwards"].sum()) for p in parts) == oracle.meter.forwards < 45
    assert table_of(parts[1]).to_pydict()["id"] == list(photos.ids)
