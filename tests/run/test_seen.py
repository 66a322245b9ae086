"""What is said of images that a network has learned from, or probably has."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import unshaken
from unshaken.data import load_data
from unshaken.run.seen import probably_seen, seen_in_training

PLAN = [{"method": "brightness", "severities": [1]}]


@pytest.mark.parametrize(
    ("model", "data", "seen"),
    [
        ("imagenet:efficientnet-lite0", "imagenet-sample", True),
        ("imagenet:efficientnet-lite2?size=240", "imagenet-sample?split=test", True),
        ("torchvision:resnet18", "imagenet-c:DIR?clean=imagenet-sample", True),
        ("timm:resnet18.a1_in1k", "imagenet-sample", True),
        ("torchvision:ssd300_vgg16", "coco128", True),
        ("torchvision:ssd300_vgg16?weights=none", "coco128", False),
        ("torchvision:ssd300_vgg16", "imagenet-sample", False),
        ("torchvision:resnet18", "coco128", False),
        ("torchvision:resnet18?weights=none", "imagenet-sample", False),
        ("timm:resnet18?weights=own.safetensors", "imagenet-sample", False),
        ("imagenet:efficientnet-lite0", "cifar10", False),
        ("imagenet:efficientnet-lite0", "folder:photos", False),
        ("demo", "demo", False),
        ("py:net.py:make", "imagenet-sample", False),
        ("no such:model", "imagenet-sample", False),
    ],
)
def test_published_weights_and_photos_of_one_collection(model, data, seen):
    found = probably_seen(model, data)
    assert bool(found) is seen
    assert not seen or (model in found and data in found and ("COCO" if data == "coco128" else "ImageNet") in found)


@pytest.fixture
def halves(tmp_path):
    """Two folders of pictures, brighter for the second class."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for i in range(20):
            place = tmp_path / part / f"c{i % 2}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((rng.integers(0, 99, (8, 8)) + 120 * (i % 2)).astype(np.uint8)).save(place / f"{i}.png")
    return tmp_path


def test_a_network_is_known_by_the_data_of_its_training_run(halves):
    run = unshaken.harden("small-cnn", f"folder:{halves}/train", "crop-flip:pad=0", out=halves / "net", epochs=1)
    assert run is not None
    model = f"run:{halves}/net"
    found = unshaken.audit(model, f"folder:{halves}/train", PLAN, out=halves / "a")
    text = f"{model} was trained on images of this very data"
    assert found.summary["provenance"]["seen_in_training"].startswith(text)
    assert json.loads((halves / "a/run.json").read_text())["seen_in_training"].startswith(text)
    assert "Seen in training" in (halves / "a/report.md").read_text()
    other = unshaken.audit(model, f"folder:{halves}/test", PLAN, out=halves / "b")
    assert other.summary["provenance"]["seen_in_training"] == ""
    assert "Seen in training" not in (halves / "b/report.md").read_text()
    assert seen_in_training(model, load_data(f"folder:{halves}/train?size=6")) == ""
    (halves / "net/harden.json").write_text("{")
    assert seen_in_training(model, load_data(f"folder:{halves}/train")) == ""
