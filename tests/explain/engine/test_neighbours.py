"""Nearest training images of kept examples, against distances by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unshaken import api
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, RunError
from unshaken.explain.engine.neighbours import NearestRows, read_neighbours
from unshaken.store.run_dir import RunDir

IMAGES = torch.randint(256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = torch.arange(24) % 3
TRAIN = torch.randint(256, (50, 1, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
PLAN = [{"method": "fog", "severities": [1]}]


def make_net():
    torch.manual_seed(0)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)), classes="abc")


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    return api.audit(make_net(), (IMAGES, LABELS), PLAN, out=str(folder / "run"), save_examples=4).run


def features(net, images):
    with torch.no_grad():
        return net.net[:3](images.float()).double().numpy()


def test_the_nearest_is_numpys_with_its_label_and_distance(audited):
    net, labels = make_net(), torch.arange(50) % 3
    api.map_of(audited, model=net, data=(IMAGES, LABELS), train=(TRAIN, labels), batch_size=7)
    record, images = read_neighbours(audited)
    assert (record["layer"], record["images"]) == ("3:in", 50)
    distances = []
    for condition in ("clean", "fog-1"):
        kept = audited.examples(condition)
        assert len(kept) == len(record["conditions"][condition]) == 4
        for name, image in kept.items():
            apart = np.linalg.norm(features(net, TRAIN / 255) - features(net, image[None]), axis=1)
            found = record["conditions"][condition][name]
            row = int(apart.argmin())
            assert found["distance"] == pytest.approx(apart[row], rel=1e-4)
            assert torch.equal(images[found["id"]], TRAIN[row] / 255)
            assert found["label"] == f"class {row % 3}"
            distances += [found["distance"]] if condition == "clean" else []
    assert record["median"] == pytest.approx(np.median(distances))
    page = audited.read("report.html").decode()
    assert page.count("nearest in training: <strong>") == 4
    assert "of 50 images of" in page


def test_blocks_of_rows_give_the_same_and_of_equals_the_first():
    rows = torch.tensor([[4.0, 0], [0, 3], [3, 0], [0, 3], [torch.nan, 0]])
    one, parts = NearestRows.of(torch.zeros(1, 2)), NearestRows.of(torch.zeros(1, 2))
    one.add(rows, 0)
    for first in range(5):
        parts.add(rows[first : first + 1], first)
    assert (one.row.item(), one.distance.item()) == (parts.row.item(), parts.distance.item()) == (1, 3.0)
    nothing = NearestRows.of(torch.zeros(1, 2))
    nothing.add(rows[4:], 0)
    assert nothing.row.item() == -1


def test_what_cannot_be_compared_is_refused(audited, tmp_path):
    net = make_net()
    bare = api.audit(net, (IMAGES, LABELS), PLAN, out=str(tmp_path / "bare"), save_examples=0).run
    with pytest.raises(RunError, match="kept no examples to find neighbours of; audit again with --save-examples 20"):
        api.map_of(bare, model=net, data=(IMAGES, LABELS), train=(TRAIN, None))
    assert read_neighbours(RunDir(bare.path)) is None
    with pytest.raises(DataError, match=r"its images are \(1, 7, 7\), .* the run's examples are \(1, 8, 8\)"):
        api.map_of(audited, model=net, data=(IMAGES, LABELS), train=(TRAIN[:, :, :7, :7], None))
