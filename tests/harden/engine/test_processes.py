from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import process, run_launched
from unshaken.cli import main
from unshaken.harden.engine._checkpoint import part_names

pytestmark = pytest.mark.long

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
    verb += [*LOOP, "--device", "cpu", "--quiet", *(w for r in recipes for w in ("--method", r))]
    assert main([*verb, "--out", str(tmp_path / "one")]) == 0
    with process(run_launched, [*verb, "--out", str(tmp_path / "two"), "--devices", "2"], 2) as launcher:
        launcher.join(280)
        assert launcher.exitcode == 0
    assert json.loads((tmp_path / "two" / "harden.json").read_text())["processes"] == 2
    ones, twos = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    for name, weight in ones.items():
        # batches hold the same samples, half in each process; the means of losses are float32
        assert torch.allclose(twos[name], weight, atol=1e-6), (name, (twos[name] - weight).abs().max())


def interrupted(arguments):
    """The program, until its first state is kept."""
    from unshaken.harden.engine.loop import Loop

    keep = Loop._save

    def keep_and_stop(self):
        keep(self)
        raise SystemExit(5)

    Loop._save = keep_and_stop
    return main(arguments)


def test_each_process_keeps_a_part_of_the_state_and_resumes_to_equal_weights(tmp_path):
    (tmp_path / "own.py").write_text(NET)
    verb = ["harden", "--model", f"py:{tmp_path / 'own.py'}:make", "--data", "demo", "--limit", "160", *LOOP, "--quiet"]
    verb += ["--device", "cpu", "--devices", "2", "--method", "trades:eps=0.1,steps=2", "--method", "ema"]
    straight, resumed = [*verb, "--out", str(tmp_path / "straight")], [*verb, "--out", str(tmp_path / "resumed")]
    with process(run_launched, straight, 2) as launcher:
        launcher.join(280)
        assert launcher.exitcode == 0
    with process(run_launched, resumed, 2, interrupted) as launcher:
        launcher.join(280)
        assert launcher.exitcode == 1
    kept = tmp_path / "resumed" / "state"
    steps = int(next(kept.glob("*-001-of-002.safetensors")).name.split("-")[1])
    parts = [kept / name for name in part_names(steps, 2)]
    assert sorted(kept.iterdir()) == sorted([*parts, kept / "checkpoint.safetensors"])
    first, second = map(load_file, parts)
    assert not load_file(kept / "checkpoint.safetensors")
    assert second
    assert all(name.startswith(("net.", "optimizer.")) for name in second)
    assert any(name.startswith("memory.") for name in first)
    assert not first.keys() & second.keys()
    with process(run_launched, [*resumed, "--resume"], 2) as launcher:
        launcher.join(280)
        assert launcher.exitcode == 0
    ones, twos = (load_file(tmp_path / name / "last.safetensors") for name in ("straight", "resumed"))
    assert ones.keys() == twos.keys()
    assert all(torch.equal(ones[name], twos[name]) for name in ones)
