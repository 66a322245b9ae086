from __future__ import annotations

import errno
import io
import json
import os
import signal
import time

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import unshaken
from tests.processes import process
from unshaken.api import harden
from unshaken.cli import main
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.data.arrays import InMemory
from unshaken.harden.engine._checkpoint import Progress
from unshaken.harden.engine.run import _curves, _difference, _short, chosen_weights
from unshaken.store.run_dir import RunDir

FEW = {"epochs": 2, "batch_size": 32, "check_images": 16, "save_every": 1}


@pytest.fixture
def data(photos):
    return InMemory(*photos, classes=[str(i) for i in range(10)])


def test_a_run_holds_what_the_contract_says(data, tmp_path):
    made = unshaken.harden("small", data, ["at:eps=0.1,steps=1", "ema"], out=tmp_path / "run", **FEW)
    files = {p.name for p in (tmp_path / "run").iterdir()}
    assert {"harden.json", "model.json", "model.safetensors", "last.safetensors", "curves.parquet", "state"} <= files
    record = json.loads((tmp_path / "run" / "harden.json").read_text())
    assert record["recipes"] == ["at:eps=0.1,steps=1", "ema"]
    assert record["result"]["figures"]["held_robust"]["n"] == 16
    curves = pq.read_table(tmp_path / "run" / "curves.parquet").to_pylist()
    assert [c["epoch"] for c in curves] == [0, 1]
    assert {"loss", "lr", "held_accuracy", "held_robust", "train_fgsm", "train_robust"} <= curves[0].keys()
    loaded = unshaken.load_model(f"run:{tmp_path / 'run'}")
    images = data.images[:4].float() / 255
    assert torch.allclose(loaded(images), made.model(images), atol=1e-3)
    last = unshaken.load_model(f"run:{tmp_path / 'run'}?file=last.safetensors")
    assert not torch.equal(last(images), torch.zeros_like(last(images)))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data, tmp_path):
    def weights(name, seed):
        unshaken.harden("small", data, out=tmp_path / name, **FEW, seed=seed)
        return load_file(tmp_path / name / "last.safetensors")["head.weight"]

    first = weights("a", 0)
    assert torch.equal(first, weights("b", 0))
    assert not torch.equal(first, weights("c", 1))


def test_a_finished_run_is_not_overwritten_and_resumes_to_itself(data, tmp_path):
    unshaken.harden("small", data, out=tmp_path / "run", **FEW)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match="holds a training run already; go on with --resume"):
        unshaken.harden("small", data, out=tmp_path / "run", **FEW)
    with pytest.raises(RunError, match=r"another configuration \(training: "):
        unshaken.harden("small", data, out=tmp_path / "run", resume=True, **{**FEW, "lr": 0.2})
    unshaken.harden("small", data, out=tmp_path / "run", resume=True, **FEW)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_a_resumed_run_normalises_as_it_began(data, tmp_path):
    unshaken.harden("small", data, out=tmp_path / "run", **FEW)
    record = json.loads((tmp_path / "run" / "model.json").read_text())
    record["options"] |= {"mean": [0.25], "std": [0.5]}  # as a version that computes them otherwise
    (tmp_path / "run" / "model.json").write_text(json.dumps(record))
    resumed = unshaken.harden("small", data, out=tmp_path / "run", resume=True, **FEW).model
    assert (float(resumed.mean), float(resumed.std)) == (0.25, 0.5)


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors"])
def test_a_full_disk_is_one_line_and_what_was_kept_stays(data, tmp_path, monkeypatch, name):
    real, writes = os.fsync, []

    def full(file):
        target = os.readlink(f"/proc/self/fd/{file}")
        if name in target:
            writes.append(target)
            if len(writes) > 1:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(file)

    monkeypatch.setattr(os, "fsync", full)
    settings = {**FEW, "lr": 0.3, "epochs": 6, "select": "last"}
    with pytest.raises(RunError, match="the disk is full; finished results are saved"):
        unshaken.harden("small", data, out=tmp_path / "run", **settings)
    monkeypatch.setattr(os, "fsync", real)
    assert load_file(tmp_path / "run" / "state" / "checkpoint.safetensors")
    unshaken.harden("small", data, out=tmp_path / "run", resume=True, **settings)
    unshaken.harden("small", data, out=tmp_path / "straight", **settings)
    for file in ("model.safetensors", "last.safetensors"):
        there, here = load_file(tmp_path / "straight" / file), load_file(tmp_path / "run" / file)
        assert all(torch.equal(there[k], here[k]) for k in there)


def test_a_damaged_state_is_one_line(data, tmp_path):
    unshaken.harden("small", data, out=tmp_path / "run", **FEW)
    (tmp_path / "run" / "state" / "checkpoint.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0nonsense")
    with pytest.raises(RunError, match=r"state/checkpoint.safetensors is damaged"):
        unshaken.harden("small", data, out=tmp_path / "run", resume=True, **FEW)


COMMAND = ["harden", "--model", "small", "--data", "demo", "--limit", "300", "--method", "at:eps=0.1,steps=2"]
LOOP = ["--method", "ema", "--epochs", "4", "--batch-size", "32", "--set", "check_images=16", "--set", "save_every=1"]


def training(out, **more):
    """A training run of some 15 steps in a process of its own."""
    recipes = ["at:eps=0.1,steps=2", "ema"]
    return process(harden, "small", "demo", recipes, **{**FEW, "limit": 176, "out": out, **more})


def test_killed_at_any_moment_the_weights_are_equal(tmp_path):
    with training(tmp_path / "straight", epochs=3) as child:
        child.join(240)
        assert child.exitcode == 0
    wanted = load_file(tmp_path / "straight" / "last.safetensors")
    state = tmp_path / "run" / "state" / "checkpoint.safetensors"
    for resume in range(3):
        seen = state.stat().st_mtime_ns if state.exists() else 0
        with training(tmp_path / "run", epochs=3, resume=bool(resume)) as child:
            while child.is_alive() and (not state.exists() or state.stat().st_mtime_ns == seen):
                time.sleep(0.01)
            time.sleep(0.03 * resume)
            assert child.is_alive()
            child.kill()
            child.join()
            assert child.exitcode == -signal.SIGKILL
    with training(tmp_path / "run", epochs=3, resume=True) as child:
        child.join(240)
        assert child.exitcode == 0
    found = load_file(tmp_path / "run" / "last.safetensors")
    assert all(torch.equal(found[k], wanted[k]) for k in wanted)


def test_two_processes_on_one_directory(tmp_path, capsys):
    with training(tmp_path / "run", epochs=4, limit=300, patience=99) as first:
        while not (tmp_path / "run" / "state").exists() and first.is_alive():
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGSTOP)  # alive, and sure to be there
        assert main([*COMMAND, *LOOP, "--out", str(tmp_path / "run"), "--resume", "--set", "patience=99"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "is writing here; wait for it" in message


def test_a_model_of_ones_own(data, tmp_path):
    source = tmp_path / "own.py"
    source.write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(49, 10))\n"
    )
    spec = f"py:{source}:make"
    unshaken.harden(spec, data, ["fgsm-rs:eps=0.1"], out=tmp_path / "run", **FEW)
    with pytest.raises(ModelError, match=r"which loading would execute: allow it, as in 'run:.*\?net=py:"):
        unshaken.load_model(f"run:{tmp_path / 'run'}")
    loaded = unshaken.load_model(f"run:{tmp_path / 'run'}?net={spec}")
    assert torch.equal(loaded.net[2].weight, load_file(tmp_path / "run" / "model.safetensors")["2.weight"])


def test_other_classes_need_a_new_head(photos, tmp_path):
    images, labels = photos
    few = InMemory(images[labels < 3], labels[labels < 3], classes=["a", "b", "c"])
    with pytest.raises(DataError, match=r"has 10 outputs .* 3 classes .*--new-head replaces the last layer"):
        unshaken.harden(unshaken.load_model("demo:standard").net, few, out=tmp_path / "run", **FEW)
    made = unshaken.harden("demo:standard", few, out=tmp_path / "head", new_head=True, **FEW)
    assert made.model(images[:2].float() / 255).shape == (2, 3)
    assert unshaken.load_model(f"run:{tmp_path / 'head'}").classes == ("a", "b", "c")


class Picky(torch.nn.Linear):
    """Of images of 64 pixels alone, as vision transformers are."""

    def forward(self, x):
        assert x.shape[-1] == 64, f"Wrong image width! Expected 64 but got {x.shape[-1]}!"
        return super().forward(x.mean((2, 3)))


def test_a_model_that_does_not_take_the_images_is_told_in_one_line(data, tmp_path):
    with pytest.raises(
        ModelError, match=r"'Picky' fails on images of shape \(2, 1, 28, 28\): .*Wrong image width"
    ) as told:
        unshaken.harden(Picky(1, 10), data, out=tmp_path / "run", **FEW)
    assert "\n" not in str(told.value)


def test_one_class_is_refused_where_a_network_begins_anew(photos, tmp_path):
    images, labels = photos
    alone = InMemory(images, labels * 0, classes=["shirt"])
    with pytest.raises(ParameterError, match="has one class: a new network would have nothing to tell apart"):
        unshaken.harden("small", alone, [], out=tmp_path / "run", **FEW)


def test_a_state_without_its_configuration_is_refused(data, tmp_path):
    unshaken.harden("small", data, out=tmp_path / "run", **FEW)
    (tmp_path / "run" / "harden.json").unlink()
    with pytest.raises(RunError, match=r"has a state but no harden\.json"):
        unshaken.harden("small", data, out=tmp_path / "run", resume=True, **FEW)


def test_long_values_are_cut_where_two_configurations_differ():
    assert _short("x" * 78) == '"' + "x" * 78 + '"'
    assert _short("x" * 79) == '"' + "x" * 76 + "..."
    assert _difference("lr", 1, 2) == "lr: 1 there, 2 now"
    assert _difference("further", {"a": 1, "b": 2}, {"a": 1, "b": 3}) == ("further: the content of 'b' is another one")
    assert _difference("further", {"a": 1}, {"b": 1}) == 'further: {"a": 1} there, {"b": 1} now'


def test_damaged_weights_are_one_line(net, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RunError, match=r"model\.safetensors is damaged") as caught:
        chosen_weights(net(), RunDir(tmp_path))
    assert "\n" not in str(caught.value)
    wanted = net().net.state_dict()
    save_file({k: v * 0 for k, v in wanted.items()}, tmp_path / "model.safetensors")
    model = chosen_weights(net().train(), RunDir(tmp_path))
    assert not model.training
    assert not model.net[0].weight.any()


def test_columns_of_the_curves_are_those_of_any_epoch():
    curves = [{"epoch": 0.0, "loss": 2.0}, {"epoch": 1.0, "held_accuracy": 0.5}]
    table = pq.read_table(io.BytesIO(_curves(Progress(curves=curves)))).to_pydict()
    assert table == {"epoch": [0, 1], "loss": [2, None], "held_accuracy": [None, 0.5]}


def test_bad_use(data, photos, tmp_path):
    with pytest.raises(ParameterError, match="no method 'tradez' in harden: did you mean 'trades'"):
        unshaken.harden("small", data, "tradez", out=tmp_path / "a")
    with pytest.raises(ParameterError, match="recipes 'at' and 'trades' both bring an inner search"):
        unshaken.harden("small", data, ["at", "trades"], out=tmp_path / "a")
    with pytest.raises(ParameterError, match="recipe 'ema' is given 2 times"):
        unshaken.harden("small", data, ["ema", "ema"], out=tmp_path / "a")
    with pytest.raises(ParameterError, match="has no labels"):
        unshaken.harden("small", InMemory(photos[0]), out=tmp_path / "a")
    more = InMemory(*photos, classes=[*map(str, range(10)), "more"])
    with pytest.raises(DataError, match=r"1 of 11 classes have no image to train on \('more'\)"):
        unshaken.harden("small", more, out=tmp_path / "a")
    with pytest.raises(ParameterError, match=r"no architecture 'smal'.*did you mean 'small'"):
        unshaken.harden("smal", data, out=tmp_path / "a")
