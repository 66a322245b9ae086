"""Each field of each kind of file that holds a model SPEC, read by a program outside any call: its code never runs."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from unshaken.core import UnshakenError, allow_code
from unshaken.core.classifier import Classifier
from unshaken.core.registry import parse_method
from unshaken.detect import DetectorSet, fit
from unshaken.detect.engine.detector_set import load_detector
from unshaken.harden.engine.harden_file import read_harden
from unshaken.harden.engine.recipe import Setup
from unshaken.models import load_model
from unshaken.models.loaders import load
from unshaken.models.loaders.load import second_model
from unshaken.run.plan import further_models, load_plan
from unshaken.run.repair import read_audit
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir

SPEC = "py:evil.py:build"
"""A stranger's code, which leaves a mark when it runs."""
SURROGATE = {"method": "transfer", "params": {"surrogate": SPEC}, "eps": [0.1]}


def write(name: str, **values: object) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(json.dumps(values))


def plan_file() -> None:
    Path("plan.yaml").write_text(json.dumps([SURROGATE]))
    load_further(load_plan("plan.yaml"))


def load_further(entries) -> None:
    for spec in further_models(entries):
        second_model(spec)


def run_file(**values: object) -> RunDir:
    marks = {"model_fingerprint": "0", "data_fingerprint": "0", "model_name": "m"}
    usual = {"model": "demo", "data": "demo", "plan": [], "ids": ["a"], "shard_size": 1, **marks}
    write("done/run.json", **{**usual, **values})
    write("done/summary.json")
    return RunDir("done")


def hardened(**record: object) -> None:
    write("net/model.json", **record)
    save_file({"weight": torch.zeros(2)}, "net/model.safetensors")
    load_model("run:net")


def harden_file(recipe: str) -> None:
    about = {"model": "small", "data": "demo", "arch": "small", "classes": ["a"], "data_fingerprint": "0"}
    shape = {"classes": 2, "channels": 3, "side": 8}
    write("net/harden.json", **about, recipes=[recipe], training={}, shape=shape, images={})
    found = parse_method(read_harden(RunDir("net")).recipes[0], "harden")
    model, images = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 2))), torch.zeros(2, 3, 8, 8)
    if "mixing" in recipe:
        found.rebuild(model)
    found.begin(Setup(model, images, 2, 0, 1, 1, {}, lambda n: (images[:n], torch.zeros(n, dtype=torch.int64))))


def detectors_file(**values: object) -> Classifier:
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval(), name="m")
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    fit(model, (images, torch.arange(40) % 2), ["msp"]).save("doors")
    listed = json.loads(Path("doors/detectors.json").read_text())
    listed["detectors"][0] |= {"method": "ensemble", "params": {"members": SPEC}, **values}
    write("doors/detectors.json", **listed)
    return model


FIELDS = {
    "a plan's surrogate": plan_file,
    "run.json, plan, by who repairs it": lambda: read_audit(run_file(plan=[SURROGATE])),
    "run.json, plan, by hand": lambda: load_further(read_config(run_file(plan=[SURROGATE])).plan),
    "run.json, further models": lambda: list(
        map(second_model, read_config(run_file(further_models={SPEC: "0"})).further_models)
    ),
    "model.json, arch": lambda: hardened(arch=SPEC),
    "model.json, arch, a run of another": lambda: hardened(arch=f"run:other?net={SPEC}"),
    "model.json, recipes": lambda: hardened(arch="small", recipes=[f"three-heads:teacher={SPEC}"]),
    "harden.json, a teacher": lambda: harden_file(f"distillation:teacher={SPEC}"),
    "harden.json, a robust model": lambda: harden_file(f"mixing-network:robust={SPEC}"),
    "detectors.json, a set": lambda: DetectorSet.load("doors", detectors_file()),
    "detectors.json, one detector": lambda: (detectors_file(), load_detector("doors", "msp")),
}


LOADED = {n for n in FIELDS if n.startswith(("a plan", "run.json, plan, by hand", "run.json, f", "harden"))}
"""Those whose code is loaded at once where it is allowed."""


@pytest.fixture
def trap(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load._loaded.cache_clear()
    monkeypatch.setattr("unshaken.core.consent._remembered", {})
    Path("evil.py").write_text(
        "open('ran', 'w').close()\nfrom torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
    )


@pytest.mark.parametrize("field", FIELDS)
def test_a_program_that_puts_it_together_by_hand(trap, field):
    with pytest.raises(UnshakenError) as error:
        FIELDS[field]()
    assert "py:evil.py:build" in str(error.value)
    assert not Path("ran").exists()
    with allow_code(SPEC), suppress(UnshakenError):  # some of these records are too thin to be loaded
        FIELDS[field]()
    assert Path("ran").exists() or field not in LOADED


def test_what_no_file_named_runs_by_hand(trap):
    second_model(SPEC)
    assert Path("ran").exists()
