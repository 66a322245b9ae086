from __future__ import annotations

import numpy as np
import torch
from torch import nn

import unshaken
from unshaken.data import as_dataset, subset
from unshaken.detect import fit

ATTACKED = 12


class Reader(nn.Module):
    """The class that is written in the first pixel, out of three."""

    def forward(self, images):
        return -((images[:, 0, 0, :1] * 255 / 20 - torch.arange(3)) ** 2)


def test_the_few_attacked_samples_do_not_judge_the_unchanged_images(tmp_path):
    """A model that is wrong on all that are attacked, and right on the others, is far better than guessing."""
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 1), dtype=np.uint8)
    attacked = subset(as_dataset((images, labels)), ATTACKED)
    written = labels.copy()
    written[attacked] = (labels[attacked] + 1) % 3
    images[:, 0, 0, 0] = written * 20
    data, model = (images, labels), Reader().eval()
    fit(model, data, ["msp"]).save(tmp_path / "detectors")
    made = unshaken.detect(
        model, data, tmp_path / "detectors", samples=ATTACKED, attack="pgd:steps=1", out=tmp_path / "run"
    )
    assert made.summary["clean"]["value"] == 0.8
    assert made.summary["detection"][0]["attacked"][0]["n"] == ATTACKED
    assert {"near-chance", "permuted-classes"}.isdisjoint(f["name"] for f in made.summary["flags"])
