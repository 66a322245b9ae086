from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import process, run_launched
from unshaken.cli import main

NET = """
import torch
from torch import nn

class To(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)

def make():
    layers = nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(64, 10)
    return nn.Sequential(To(torch.float64), *(layer.double() for layer in layers), To(torch.float32))
"""
"""It computes in float64: searches go by signs of gradients, which float32 sums of half a batch may turn."""
LOOP = ["--epochs", "2", "--batch-size", "32", "--set", "check_images=16", "--set", "lr=0.05"]


@pytest.mark.parametrize(
    "recipes", [["trades:eps=0.1,steps=2", "awp"], ["free-at:eps=0.1,m=2"]], ids=["trades", "free"]
)
def test_two_processes_learn_what_one_learns(recipes, tmp_path):
    """The launcher is torchrun's, but its processes come from a server that has imported everything."""
    (tmp_path / "own.py").write_text(NET)
    verb = ["harden", "--model", f"py:{tmp_path / 'own.py'}:make", "--data", "demo", "--limit", "160"]
    verb += [*LOOP, "--device", "cpu", "--quiet", *(w for r in recipes for w in ("--recipe", r))]
    assert main([*verb, "--out", str(tmp_path / "one")]) == 0
    with process(run_launched, [*verb, "--out", str(tmp_path / "two"), "--devices", "2"], 2) as launcher:
        launcher.join(280)
        assert launcher.exitcode == 0
    assert json.loads((tmp_path / "two" / "harden.json").read_text())["processes"] == 2
    ones, twos = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    for name, weight in ones.items():
        # batches hold the same samples, half in each process; the means of losses are float32
        assert torch.allclose(twos[name], weight, atol=1e-6), (name, (twos[name] - weight).abs().max())
