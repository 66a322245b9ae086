from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from unshaken.cli import main

NET = """
from torch import nn
def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(64, 10))
"""
LOOP = ["--epochs", "2", "--batch-size", "32", "--set", "check_images=16", "--set", "lr=0.05"]


RECIPES = {"trades": ["trades:eps=0.1,steps=2", "awp"], "free": ["free-at:eps=0.1,m=2"]}
BOTH = """
import sys, unshaken.cli
for line in sys.argv[1:]:
    if code := unshaken.cli.main(line.split()):
        sys.exit(code)
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path, monkeypatch):
    """Both recipes in one pair of processes, one after the other: to start a pair takes longer than to train."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(NET)
    (tmp_path / "both.py").write_text(BOTH)
    verbs = {
        name: [
            *("harden", "--model", "py:own.py:make", "--data", "demo", "--limit", "240", *LOOP, "--device", "cpu"),
            *("--quiet", *(w for r in recipes for w in ("--recipe", r))),
        ]
        for name, recipes in RECIPES.items()
    }
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "both.py"]
    lines = [" ".join([*verb, "--devices", "2", "--out", f"two-{name}"]) for name, verb in verbs.items()]
    two = subprocess.run([*launch, *lines], capture_output=True, timeout=280)
    assert two.returncode == 0, two.stderr.decode()
    for name, verb in verbs.items():
        assert main([*verb, "--out", f"one-{name}"]) == 0
        assert json.loads((tmp_path / f"two-{name}" / "harden.json").read_text())["processes"] == 2
        ones, twos = (load_file(tmp_path / f"{n}-{name}" / "last.safetensors") for n in ("one", "two"))
        for key, weight in ones.items():
            # batches hold the same samples, half in each process; the order of sums differs
            assert torch.allclose(twos[key], weight, atol=2e-3), (name, key, (twos[key] - weight).abs().max())
