"""Networks that were each trained without one part of the images, and what they say of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.harden.engine import cross_validation
from unshaken.harden.engine.cross_validation import cross_validate, do_here, logits_of, margins_of
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.losses.normalised_softmax import NormalisedSoftmax
from unshaken.store.run_dir import RunDir

TRAINING = Training(epochs=2, batch_size=8, lr=0.05, held_out=4, check_images=4, select="last")
FOLD = np.arange(40) % 3
LABELS = torch.arange(40) // 2 % 2
IMAGES = torch.randint(0, 256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def validated(run, recipes=(), **options):
    return cross_validate(
        "small-cnn", IMAGES, LABELS, FOLD, TRAINING, recipes, classes=2, device=torch.device("cpu"), run=run, **options
    )


def test_each_image_is_judged_by_the_network_that_has_not_seen_it(tmp_path):
    found = validated(RunDir(tmp_path), watch=True)
    assert found.probabilities.shape == (40, 2)
    assert found.margins.shape == (3 * 2, 40)
    for part in range(3):
        seen, own = torch.from_numpy(part != FOLD), torch.from_numpy(part == FOLD)
        model = fresh("small-cnn", IMAGES[seen], classes=2, seed=0)
        made = fit(model, IMAGES[seen], LABELS[seen], [], TRAINING, classes=2).model
        expected = logits_of(made, IMAGES[own]).softmax(1).numpy()
        assert found.probabilities[own.numpy()] == pytest.approx(expected, abs=1e-5)
        epochs = found.margins[2 * part : 2 * part + 2]
        assert np.isnan(epochs[:, own.numpy()]).all()
        last = margins_of(logits_of(made, IMAGES[seen]), LABELS[seen]).numpy()
        assert epochs[1, seen.numpy()] == pytest.approx(last, abs=1e-4)
        assert not np.allclose(epochs[0, seen.numpy()], last, atol=1e-4)


def test_what_is_finished_is_not_done_again(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    first = validated(run)
    assert first.margins is None
    assert sorted(p.name for p in (tmp_path / "folds").iterdir()) == ["fold-0.npy", "fold-1.npy", "fold-2.npy"]
    watched = validated(run, watch=True)  # of networks that are gone: they are trained again, and not kept
    assert watched.margins.shape == (6, 40)
    assert np.array_equal(watched.probabilities, first.probabilities)
    assert not list((tmp_path / "folds").glob("network-*"))
    monkeypatch.setattr(cross_validation, "fit", None)
    again = validated(run, do=None)
    assert np.array_equal(again.probabilities, first.probabilities)


def test_passes_are_made_in_shards_and_those_that_are_there_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(cross_validation, "SHARD", 4)
    run, asked = RunDir(tmp_path), []

    def stopped(held, shards):
        asked.append([(part, shard, held.size(part, shard)) for part, shard in shards])
        do_here(held, shards[:5])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validated(run, do=stopped)
    assert asked == [
        [(0, 0, 4), (0, 1, 4), (0, 2, 4), (0, 3, 2)]
        + [(part, shard, size) for part in (1, 2) for shard, size in enumerate((4, 4, 4, 1))]
    ]  # of 14, 13 and 13 images
    left = []
    found = validated(run, do=lambda held, shards: left.extend(shards) or do_here(held, shards))
    assert left == [(1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 2), (2, 3)]
    monkeypatch.undo()
    whole = validated(RunDir(tmp_path / "whole"))
    assert found.probabilities == pytest.approx(whole.probabilities, abs=1e-5)


def test_networks_whose_structure_a_recipe_changes_are_built_again(tmp_path):
    recipes = [NormalisedSoftmax()]
    found = validated(RunDir(tmp_path), recipes)
    seen, own = torch.from_numpy(FOLD != 1), torch.from_numpy(FOLD == 1)
    model = fresh("small-cnn", IMAGES[seen], classes=2, seed=0)
    made = fit(model, IMAGES[seen], LABELS[seen], recipes, TRAINING, classes=2).model
    assert found.probabilities[FOLD == 1] == pytest.approx(logits_of(made, IMAGES[own]).softmax(1).numpy(), abs=1e-5)


def test_margins_by_hand():
    logits = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    assert margins_of(logits, torch.tensor([1, 0])).tolist() == [1, -2]
