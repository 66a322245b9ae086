from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import process, run_command
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


TWO = ["--devices", "2"]


def by_torchrun(verb):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launch, "-m", "unshaken", *verb, *TWO], capture_output=True, timeout=280)
    assert done.returncode == 0, done.stderr.decode()


def by_environment(verb):
    """As torchrun starts them, but from a server that has imported everything."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    about |= {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "by-hand", "OMP_NUM_THREADS": "1"}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    with ExitStack() as stack:
        both = [stack.enter_context(process(run_command, [*verb, *TWO], about | rank)) for rank in ranks]
        for one in both:
            one.join(280)
        assert [one.exitcode for one in both] == [0, 0]


@pytest.mark.parametrize(
    ("recipes", "start"),
    [(["trades:eps=0.1,steps=2", "awp"], by_torchrun), (["free-at:eps=0.1,m=2"], by_environment)],
    ids=["trades", "free"],
)
def test_two_processes_learn_what_one_learns(recipes, start, tmp_path):
    (tmp_path / "own.py").write_text(NET)
    verb = ["harden", "--model", f"py:{tmp_path / 'own.py'}:make", "--data", "demo", "--limit", "160"]
    verb += [*LOOP, "--device", "cpu", "--quiet", *(w for r in recipes for w in ("--recipe", r))]
    assert main([*verb, "--out", str(tmp_path / "one")]) == 0
    start([*verb, "--out", str(tmp_path / "two")])
    assert json.loads((tmp_path / "two" / "harden.json").read_text())["processes"] == 2
    ones, twos = (load_file(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    for name, weight in ones.items():
        # batches hold the same samples, half in each process; the means of losses are float32
        assert torch.allclose(twos[name], weight, atol=1e-6), (name, (twos[name] - weight).abs().max())
