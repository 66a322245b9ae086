"""Attacks on detectors and segmenters, by viewpoint, and searches for fooling images: on the device as on the CPU."""

from __future__ import annotations

import pytest
import torch

import unshaken
from tests.attack.detection import test_contract as detection
from tests.attack.detection.soft import scene, soft
from tests.attack.viewpoint.test_run import ByBrightness
from tests.battery import test_fooling as fooling
from tests.battery.test_contract import OF_OBJECTS, cheap, every
from tests.devices.simulated import agree
from tests.tasks.segmentation.scenes import scenes, segmenter
from unshaken.core import Oracle, list_methods
from unshaken.core.batch import Batch
from unshaken.core.registry import find_method
from unshaken.data import stream
from unshaken.run.merge import differing_column
from unshaken.store.run_dir import RunDir

PIXELS = [m for m in list_methods("attack") if "segmentation" in getattr(m.cls, "tasks", ())]


@every(detection.ATTACKS)
def test_attacks_on_detectors(method, device):
    batch = scene()
    there = Batch(batch.images.to(device), None, batch.ids, batch.boxes.to(device))
    for norm, eps in detection.budgets(method):
        found = detection.run(method, there, norm, eps, Oracle(soft().to(device)))
        expected = detection.run(method, batch, norm, eps)
        for one, other in zip(found, expected, strict=True):
            assert one.images.device == device
            if torch.ops.simulated_device.has_float64():  # without, a sign of a gradient near 0 may turn
                assert agree(one.images, other.images)
            assert agree(one.outputs, other.outputs)


@every(PIXELS)
def test_attacks_on_segmenters(method, device):
    (batch,) = stream(scenes(3), list(range(3)), batch_size=3)
    for norm in method.norms:
        found, expected = (
            method.cls(steps=3).attack(Oracle(segmenter().to(place)), batch.to(place), norm=norm, eps=[0.3])
            for place in (device, torch.device("cpu"))
        )
        assert torch.equal(found[0].images.cpu(), expected[0].images)


@every(fooling.METHODS)
def test_searches_for_fooling_images(method, device):
    found = []
    for place in (device, torch.device("cpu")):
        oracle = fooling.oracle(3)
        oracle = Oracle(oracle.model.to(place))
        found.append(method.cls().find(oracle, (2, 0), (3, 8, 12), generations=4, population=6, seed=3))
    least = 1.0 if torch.ops.simulated_device.has_float64() else 0.99
    assert (found[0].images == found[1].images).float().mean() >= least
    assert agree(found[0].odds, found[1].odds, apart=1e-6)


@pytest.mark.parametrize("name", sorted(OF_OBJECTS))
def test_attacks_by_viewpoint(name, device, tmp_path):
    values = cheap(find_method(name, "attack")).model_dump(exclude_defaults=True)
    attack, rows = f"{name}:{','.join(f'{k}={v}' for k, v in values.items())}", []
    for place in (str(device), "cpu"):
        net = ByBrightness(8)
        net.scale = torch.nn.Parameter(torch.ones(1))
        unshaken.attack(net, "solids:1?size=12", attack, out=tmp_path / place, device=place, limit=4)
        run = RunDir(tmp_path / place)
        rows.append([run.rows("outcomes"), run.rows("views")])
    for found, expected in zip(*rows, strict=True):
        assert differing_column(found, expected) is None
