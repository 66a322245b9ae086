"""Images that networks of a run learned from, or that published ones probably did: kept and said on the page."""

from __future__ import annotations

import json

import pytest
import torch

from unshaken.papers.pages import page_of
from unshaken.papers.record import Record
from unshaken.papers.seen import digests_of, seen_again, seen_by_specs
from unshaken.store.run_dir import RunDir
from unshaken_papers.crop_selection import CropSelectionPaper
from unshaken_papers.unsafebench import UnsafeBenchPaper


def test_conditions_with_learned_images_are_kept_with_the_run(tmp_path):
    images = torch.randint(0, 255, (6, 3, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    record = Record.pin(RunDir(tmp_path), {"slug": "x"}, "rule")
    record.add_learned(digests_of(images[:4]))
    record.add_seen("mixed", digests_of(images[2:]))
    record.add_seen("new", digests_of(images[4:]))
    assert record.seen == {"mixed": [2, 4]}
    assert json.loads((tmp_path / "paper.json").read_text())["seen"] == {"mixed": [2, 4]}
    assert Record.pin(RunDir(tmp_path), {"slug": "x"}, "rule").seen == {"mixed": [2, 4]}


def test_a_row_that_shows_training_images_says_so(finished):
    result = finished("mixup-calibration").result
    train = {name: counts for name, counts in result.provenance["seen"].items() if name.endswith(".train")}
    assert train["s0.pairs-2-0.2.erm.train"] == [1500, 1500]
    assert all(count == n for count, n in train.values())
    assert "s0.photos-0.erm.test" not in result.provenance["seen"]
    (sentence,) = result.seen_in_training
    assert "networks of this run learned from" in sentence
    assert f"**Seen in training.** {sentence}" in page_of(result, [])


def test_a_row_of_disjoint_images_says_nothing(finished):
    result = finished("dverge").result
    assert result.seen_in_training == ()
    assert "seen" not in result.provenance
    assert "Seen in training" not in page_of(result, [])


@pytest.mark.parametrize(
    ("paper", "data", "inputs", "count"),
    [
        (CropSelectionPaper(), "imagenet-sample", {}, 1),
        (CropSelectionPaper(), "cifar10", {}, 0),
        (UnsafeBenchPaper(), "cifar10", {}, 1),  # its harmless photos
        (UnsafeBenchPaper(), "cifar10", {"data cifar10?split=test": "", "model imagenet:efficientnet-lite0": ""}, 0),
        (
            UnsafeBenchPaper(),
            "cifar10",
            {
                "data imagenet-sample": "",
                "model imagenet:efficientnet-lite0": "",
                "model imagenet:efficientnet-lite1": "",
            },
            2,
        ),
    ],
)
def test_published_networks_and_photos_of_one_collection(paper, data, inputs, count):
    chosen = {"data": data, "model": "imagenet:efficientnet-lite0"}
    assert len(seen_by_specs(chosen, paper, inputs)) == count


def test_kept_results_say_it_by_what_they_hold(finished):
    result = finished("mixup-calibration").result
    assert seen_again(result, type("P", (), {"model_dump": lambda self, mode: {}})()) == result.seen_in_training
