"""The engine on the simulated device: memory that runs out, several processes, the endpoint that scores, no float64."""

from __future__ import annotations

import gc
import time

import pytest
import torch
from torch import nn

import unshaken
from tests.devices import simulated
from tests.devices.test_verbs import same
from unshaken.core import Classifier, Oracle
from unshaken.core.errors import is_out_of_memory
from unshaken.core.meter import Meter
from unshaken.data import load_data
from unshaken.data.streaming import stream
from unshaken.detect import DetectorSet, fit
from unshaken.serve.score.options import ScoreOptions
from unshaken.serve.score.scorer import Scorer, Work
from unshaken.store.run_dir import RunDir

PLAN = [
    {"method": "gaussian_noise", "severities": [3]},
    {"method": "pgd", "params": {"steps": 4}, "eps": ["8/255"]},
]
MIB = 2**20


def audited(out, **options):
    unshaken.audit("demo:standard", "demo", PLAN, limit=60, out=out, save_examples=0, **options)
    return RunDir(out)


def test_a_batch_that_does_not_fit_is_halved_and_rows_are_those_of_the_cpu(tmp_path):
    here = audited(tmp_path / "cpu", device="cpu")
    with simulated.available():
        gc.collect()
        torch.ops.simulated_device.reset()
        audited(tmp_path / "without", device="simulated:0", batch_size=60)
        most = torch.ops.simulated_device.most_held(0)
    with simulated.available(limit=most // 3) as counts:
        there = audited(tmp_path / "away", device="simulated:0", batch_size=60)
        assert counts["out_of_memory"] > 0
    same(here, there, "outcomes")
    assert max(row["back_offs"] for row in there.rows("cost").to_pylist()) > 0
    assert max(row["largest_batch"] for row in there.rows("cost").to_pylist()) < 60


class Cyclic(nn.Module):
    """A network whose passes leave what they made in a reference cycle."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        made = [x.repeat(1, 64, 1, 1)]
        made.append(made)
        return (made[0] * self.scale).mean((2, 3))[:, :2]


def test_what_a_failed_pass_made_is_given_back_before_the_next():
    gc.collect()
    gc.disable()
    try:
        with simulated.available(
            limit=50 * 2**20
        ):  # 32 images make 64 MiB, of which 32 stay in the cycle; 16 make half of it
            images = torch.rand(32, 1, 64, 64).to("simulated:0")
            oracle = Oracle(Classifier(Cyclic()).to("simulated:0"), limit=32)
            assert oracle.exact(images).shape == (32, 2)
            assert oracle.meter.back_offs > 0
    finally:
        gc.enable()


def test_time_is_read_from_the_device_when_it_is_asked_for(device, counts):
    meter, began = Meter(device=device), time.perf_counter()
    with meter.method():
        time.sleep(0.02)
        with meter.model():
            time.sleep(0.03)
    took = time.perf_counter() - began
    assert counts["waits"] == 0
    assert meter.model_seconds >= 0.03
    assert meter.method_seconds >= 0.02
    assert meter.model_seconds + meter.method_seconds <= took  # the pass inside is counted once
    assert counts["waits"] == 1


def test_an_error_of_memory_is_known_as_one():
    with simulated.available(limit=MIB), pytest.raises(torch.OutOfMemoryError) as caught:
        torch.zeros(MIB, device="simulated")
    assert is_out_of_memory(caught.value)


def test_what_is_over_is_given_back(tmp_path):
    """Nothing of a run stays on the device: no state, no answer, no copy of the model."""
    held = []
    for name in ("one", "two", "three"):
        with simulated.available():
            audited(tmp_path / name, device="simulated:1")
        gc.collect()
        held.append(torch.ops.simulated_device.held(1))
    assert held[0] == held[1] == held[2]


@pytest.mark.long
def test_several_processes_have_a_device_each(tmp_path, monkeypatch):
    for name, value in simulated.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(simulated.HERE)  # a new process has the search path of this one
    here = audited(tmp_path / "cpu", device="cpu")
    with simulated.available():
        there = audited(tmp_path / "away", device="simulated", engine="local:2")
    same(here, there, "outcomes")


def test_the_endpoint_that_scores(tmp_path, device):
    fit("demo:standard", "demo", ["energy", "knn:k=3"], limit=120, device=str(device)).save(tmp_path)
    (batch,) = stream(load_data("demo"), range(9), batch_size=9)
    answers = []
    for place in ("cpu", str(device)):
        model = unshaken.load_model("demo:standard", device=place)
        scorer = Scorer(model, DetectorSet.load(tmp_path, model), accept=0.9)
        answers += scorer.run([Work(batch, ScoreOptions(certify=100, sigma=0.25, perturb="quick"))])
    one, other = answers
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.accepted, other.accepted)
    assert torch.equal(one.certificates.radius, other.certificates.radius)
    assert torch.equal(one.perturbed, other.perturbed)
