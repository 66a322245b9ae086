"""Which pictures are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unshaken
from unshaken.api import job
from unshaken.data import load_data
from unshaken.run.examples import choose, damage, prune, quota
from unshaken.store.run_dir import RunDir


def columns(prediction, confidence, correct=None, loss=None):
    found = {"prediction": np.array(prediction), "confidence": np.array(confidence)}
    if correct is not None:
        found |= {"correct": np.array(correct), "loss": np.array(loss)}
    return found


def test_broken_samples_come_first_then_the_rise_of_the_loss():
    clean = columns([0] * 4, [0.9] * 4, [True, True, False, True], [0.1, 0.1, 3.0, 0.1])
    changed = columns([0, 1, 1, 0], [0.5] * 4, [True, False, False, True], [2.0, 1.0, 9.0, 0.05])
    scores = damage(changed, clean)
    assert choose(scores, 4).tolist() == [0, 1, 2, 3]
    assert choose(scores, 2).tolist() == [1, 2]
    assert choose(scores, -1).tolist() == [0, 1, 2, 3]
    assert choose(scores, 3).tolist() == [0, 1, 2]
    assert np.argsort(-scores).tolist() == [1, 2, 0, 3]
    assert choose(scores, 0).tolist() == []


def test_without_labels_a_changed_prediction_counts():
    clean = columns([0, 0, 0, 0], [0.9] * 4)
    changed = columns([1, 0, 2, 0], [0.4, 0.9, 0.8, 0.3])
    assert np.argsort(-damage(changed, clean)).tolist() == [2, 0, 3, 1]


def test_infinite_and_undefined_losses_have_a_place():
    clean = columns([0] * 3, [0.9] * 3, [True] * 3, [0.1] * 3)
    changed = columns([0] * 3, [0.9] * 3, [True] * 3, [float("nan"), 5.0, float("inf")])
    scores = damage(changed, clean)
    assert np.isfinite(scores).all()
    assert np.argsort(-scores, kind="stable").tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("wanted", "shards", "expected"), [(20, 1, 20), (20, 4, 20), (20, 8, 10), (20, 1000, 1), (0, 5, 0)]
)
def test_quota(wanted, shards, expected):
    assert quota(wanted, shards) == expected


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "run")
    for shard, ids in enumerate((["a", "b"], ["c", "d"])):
        images = torch.arange(2).float().view(2, 1, 1, 1) + 10 * shard
        for condition in ("fog-1", "fog-11", "clean"):
            run.write_examples(images, ids, condition, shard)
    return run


def test_prune_keeps_the_worst_over_all_shards_and_their_clean_images(run):
    scores = {"fog-1": {"a": 1, "b": 4, "c": 3, "d": 2}, "fog-11": {"a": 0, "b": 9, "c": 1, "d": 2}}
    prune(run, scores, 2)
    assert set(run.examples("fog-1")) == {"b", "c"}
    assert set(run.examples("fog-11")) == {"b", "d"}
    assert set(run.examples("clean")) == {"b", "c", "d"}
    assert run.examples("clean")["d"].item() == 11  # pixels stay with their sample
    assert run.names("examples") == [
        "clean-00000.safetensors",
        "clean-00001.safetensors",
        "fog-1-00000.safetensors",
        "fog-1-00001.safetensors",
        "fog-11-00000.safetensors",
        "fog-11-00001.safetensors",
    ]


def test_prune_removes_files_with_nothing_left_and_may_be_repeated(run):
    scores = {"fog-1": {"a": 1, "b": 4, "c": 0, "d": 2}, "fog-11": {"a": 9, "b": 3, "c": 1, "d": 2}}
    for _ in range(2):
        prune(run, scores, 1)
        assert set(run.examples("fog-1")) == {"b"}
        assert set(run.examples("fog-11")) == {"a"}
        assert set(run.examples("clean")) == {"a", "b"}
    assert "clean-00001.safetensors" not in run.names("examples")


def test_prune_keeps_all_when_all_are_wanted(run):
    before = run.names("examples")
    prune(run, {"fog-1": {"a": 1}}, -1)
    assert run.names("examples") == before


@pytest.mark.parametrize("kept", [7, -1])
def test_kept_images_come_back_in_the_order_of_the_data(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "shard_size", lambda numbers: 8)
    done = unshaken.audit(
        "demo", "demo", [{"method": "fgsm", "eps": [0.1]}], limit=20, save_examples=kept, out=tmp_path / "run"
    )
    ids = done.run.read_json("run.json")["ids"]
    for condition in ("fgsm-linf-0.1", "clean"):
        found = list(done.run.examples(condition))
        assert found == [name for name in ids if name in found]
        assert len(found) == (20 if kept < 0 else 7)
    assert ids == [name for name in load_data("demo").ids if name in ids]
