"""Detectors on the simulated device, as on the CPU: fitted, saved on one device and scored on the other, attacked."""

from __future__ import annotations

import copy

import torch

from tests.battery import test_detectors as battery
from tests.battery.test_detectors import OURS, every, made, members, nets  # noqa: F401
from tests.devices.simulated import agree
from unshaken.detect import DetectorSet
from unshaken.detect.engine.guard import guard


@every(OURS)
def test_fitted_saved_scored_and_attacked(method, made, device, tmp_path):  # noqa: F811
    model, detector = made(method)
    there = copy.deepcopy(model).to(device)
    images = battery.normal(6)
    here = battery.fitted(model, detector, n=120, device="cpu")
    away = battery.fitted(there, detector, n=120, device=str(device))
    (expected,), (found,) = here.score(images).values(), away.score(images.to(device)).values()
    assert agree(found, expected)
    label = battery.door_label(here)
    assert away.threshold(label).value == here.threshold(label).value
    away.save(tmp_path / "away")
    (again,) = DetectorSet.load(tmp_path / "away", model).score(images).values()
    assert agree(again, expected, apart=1e-9)
    here.save(tmp_path / "here")
    (again,) = DetectorSet.load(tmp_path / "here", there).score(images.to(device)).values()
    assert agree(again, expected, apart=1e-9)
    gradients = []
    for detector_set, place in ((here, "cpu"), (away, device)):
        points = images.to(place).requires_grad_(True)
        logits = guard(detector_set, label)(points)
        (gradient,) = torch.autograd.grad(logits.sum(), points)
        gradients.append((logits.detach().cpu(), gradient.cpu()))
    for one, other in zip(*gradients, strict=True):
        assert agree(other, one)
