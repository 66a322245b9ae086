"""What decides a network's weights is in its key, and nothing else is."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from unshaken.core.cache import cache_dir
from unshaken.core.errors import ParameterError, RunError
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.losses.distillation import Distillation
from unshaken.models import load_model
from unshaken.papers import networks
from unshaken.papers.cache import cached, digest_of
from unshaken.papers.datasets import Split
from unshaken.papers.networks import Networks, saved, together
from unshaken.papers.record import Record
from unshaken.store.run_dir import RunDir

TRAINING = Training(epochs=1, held_out=4, batch_size=16, select="last", check_images=2, check_steps=1)


def linear(classes, channels, side, gain=1.0):
    net = nn.Sequential(nn.Flatten(), nn.Linear(channels * side * side, classes))
    with torch.no_grad():
        net[1].weight.mul_(gain)
    return net


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Trains networks in a run directory with a cache of its own."""
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    return Networks(Record.pin(RunDir(tmp_path / "run"), {"slug": "toy"}, "rule"))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = torch.arange(48) % 3
    images = torch.from_numpy(rng.integers(0, 100, (48, 1, 4, 4))).to(torch.uint8)
    images[torch.arange(48), 0, labels] += 100
    return Split.of(images, labels)


def equal(one, other):
    left, right = (n.model.net.state_dict() for n in (one, other))
    return all(torch.equal(v, right[k]) for k, v in left.items())


def test_a_network_comes_back_from_the_cache(made, data):
    first = made.net("a", linear, data, TRAINING)
    assert not made.record.from_cache()
    fresh = Networks(Record(made.record.run, {}, {}))
    again = fresh.net("a", linear, data, TRAINING)
    assert fresh.record.from_cache()
    assert first.key == again.key
    assert equal(first, again)
    assert first.curves == again.curves
    assert len(first.curves) == 1
    assert not again.model.training


def test_a_resumed_run_keeps_that_it_trained_a_network(made, data):
    made.net("a", linear, data, TRAINING)
    there = made.record
    resumed = Networks(Record(there.run, {}, {}, networks=there.networks, origins=there.origins))
    resumed.net("a", linear, data, TRAINING)
    assert not resumed.record.from_cache()


def test_everything_that_decides_the_weights_is_in_the_key(made, data, monkeypatch):
    images = data.images.clone()
    images[0, 0, 0, 0] ^= 1
    at = "at:eps=0.1,steps=2"
    given = {
        "plain": (linear, data, TRAINING, ()),
        "seed": (linear, data, TRAINING.model_copy(update={"seed": 1}), ()),
        "momentum": (linear, data, TRAINING.model_copy(update={"momentum": 0.5}), ()),
        "image": (linear, Split.of(images, data.labels), TRAINING, ()),
        "label": (linear, data.relabelled(data.labels.roll(1)), TRAINING, ()),
        "order": (linear, data[torch.arange(48).flip(0)], TRAINING, ()),
        "option": (partial(linear, gain=0.5), data, TRAINING, ()),
        "recipe": (linear, data, TRAINING, (at,)),
        "recipe's option": (linear, data, TRAINING, (at.replace("0.1", "0.2"),)),
        "two recipes": (linear, data, TRAINING, (at, "crop-flip:pad=0")),
    }
    nets = {name: made.net(name, *how) for name, how in given.items()}
    nets["statistics"] = made.net("statistics", linear, data, TRAINING, statistics="none")
    nets["parent"] = made.net("parent", nets["plain"], data, TRAINING)
    nets["other parent"] = made.net("other parent", nets["seed"].model, data, TRAINING)
    monkeypatch.setattr(networks, "code_digest", lambda *objects: "other code")
    nets["code"] = made.net("code", linear, data, TRAINING)
    assert len({n.key for n in nets.values()}) == len(nets)


def test_a_momentum_of_the_recipe_and_one_of_the_training_are_two():
    """Merged, one of them would be lost."""
    one, other = ({"training": {"momentum": a}, "recipes": [{"momentum": 1.0}]} for a in (0.9, 0.5))
    assert digest_of(one) != digest_of(other)


def test_a_parent_stays_as_it_is(made, data):
    parent = together([made.net(f"m{i}", linear, data, TRAINING.model_copy(update={"seed": i})) for i in (1, 2)])
    before = {k: v.clone() for k, v in parent.model.state_dict().items()}
    child = made.net("child", parent, data, TRAINING, ["dverge:eps=0.1,steps=1"])
    assert all(torch.equal(v, before[k]) for k, v in parent.model.state_dict().items())
    assert not equal(parent, child)
    assert child.key != parent.key


def test_an_architecture_that_does_not_exist_is_refused(made, data):
    with pytest.raises(ParameterError, match="no architecture 'smal'"):
        made.net("a", "smal", data, TRAINING)


def test_a_network_that_a_recipe_holds_enters_by_its_weights(made, data):
    teachers = [made.net(f"t{i}", linear, data, TRAINING.model_copy(update={"seed": i})) for i in (0, 1)]
    recipes = [Distillation(teacher=t.model, temperature=2) for t in (*teachers, teachers[0])]
    keys = [made.net("ab"[i % 2], linear, data, TRAINING, [recipe]).key for i, recipe in enumerate(recipes)]
    assert keys[0] == keys[2] != keys[1]


def test_a_network_as_a_spec(made, data):
    net = made.net("a", "strided-cnn", data, TRAINING)
    again = load_model(saved(net, "strided-cnn"))
    images = data.batch().images
    assert torch.equal(again.eval()(images), net.model(images))


def test_a_run_whose_networks_would_be_others_now_is_refused(made, data, monkeypatch):
    made.net("a", linear, data, TRAINING)
    monkeypatch.setattr(networks, "code_digest", lambda *objects: "other code")
    resumed = Networks(Record.pin(made.record.run, {"slug": "toy"}, "rule"))
    with pytest.raises(RunError, match="network a would be trained otherwise now"):
        resumed.net("a", linear, data, TRAINING)


def test_weights_of_what_no_recipe_trains(made):
    calls = []

    def make():
        calls.append(1)
        return {"w": torch.ones(2)}

    for width in (2, 2, 3):
        found = made.weights(f"probe-{width}", {"width": width}, make, [linear])
        assert torch.equal(found["w"], torch.ones(2))
    assert len(calls) == 2


def test_notes_are_kept_beside_the_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    key = {"a": {"b": [1, 2.5, None]}}
    for expected in (False, True):
        found = cached(key, lambda: ({"w": torch.eye(2).T}, {"curves": [{"loss": 0.5}]}))
        assert found.cached is expected
        assert found.notes == {"curves": [{"loss": 0.5}]}
        assert torch.equal(found.tensors["w"], torch.eye(2))
