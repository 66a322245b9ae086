"""Shared networks, on tiny networks and drawn images: made, resumed, listed, refused, and noted by a row."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.papers.tiny import make_tints
from unshaken.cli import main
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.registry import parse_method
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.training import Training
from unshaken.papers import shared
from unshaken.papers.context import Context
from unshaken.papers.datasets import Datasets, read_split
from unshaken.papers.record import Record, sessions_in_words
from unshaken.papers.shared import (
    list_networks,
    load_network,
    make_network,
    measure_network,
    network_folder,
    network_state,
)
from unshaken.store.run_dir import RunDir

TINTS = """
[tints]
summary = "Tints."
model = "small-cnn"
data = "{data}?split=train"
test = "{data}?split=test"
methods = ["crop-flip:pad=1"]
attack = "pgd:steps=2"
eps = 0.02
attacked = 20
hours = 0.01
training = {{epochs = 3, batch_size = 64, held_out = 20, lr = 0.05, select = "last"}}

[student]
summary = "A student of tints."
model = "small-cnn"
data = "{data}?split=train"
test = "{data}?split=test"
methods = ["knowledge-distillation:teacher={{tints}}"]
hours = 0.01
training = {{epochs = 1, batch_size = 64, held_out = 20, lr = 0.05, select = "last"}}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_tints(tmp_path_factory.mktemp("tints"), train=90)


@pytest.fixture
def described(tmp_path, data, monkeypatch):
    """Describes networks anew; the cache folder is an empty one."""
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "package"
    folder.mkdir()
    monkeypatch.setattr(shared, "package_folders", lambda: {folder: "package"})

    def describe(text=TINTS):
        (folder / shared.FILE).write_text(text.format(data=data))
        shared._described.cache_clear()

    describe()
    yield describe
    shared._described.cache_clear()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A folder for the network that was never interrupted, which the first test that needs it makes."""
    return tmp_path_factory.mktemp("straight")


@pytest.fixture
def made(described, straight, monkeypatch):
    """The record of the finished network, which is there."""
    place = straight / "tints"
    if not place.exists():
        make_network("tints")
        shutil.copytree(network_folder("tints"), place)
    shutil.copytree(place, network_folder("tints"), dirs_exist_ok=True)
    return load_network("tints")[1]


def test_a_network_is_made_once_and_learns(made, monkeypatch):
    record = made
    assert record.figures["clean"]["value"] > 0.8
    assert record.figures["clean"]["n"] == 40
    assert record.figures["attacked"]["n"] == 20
    assert record.figures["attacked"]["value"] <= record.figures["clean"]["value"] + 0.3
    monkeypatch.setattr(shared, "train_run", lambda *given, **options: pytest.fail("trained again"))
    assert make_network("tints") == record
    net, known = load_network("tints")
    assert known == record
    assert net.key == record.hash
    assert not net.model.training


class Killed(BaseException):
    pass


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_after_an_epoch_and_resumed_it_has_the_same_weights(epoch, made, monkeypatch):
    saved = Loop._save
    shutil.rmtree(network_folder("tints"))

    def killed(loop):
        saved(loop)
        if loop.progress.epoch == epoch:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_save", killed)
        with pytest.raises(Killed):
            make_network("tints")
    with pytest.raises(RunError, match=f"'tints' is trained for {epoch} of 3 epochs: 'unshaken papers networks tints'"):
        load_network("tints")
    resumed = make_network("tints")
    assert resumed.hash == made.hash
    assert resumed.figures == made.figures


def test_killed_before_it_is_measured_it_is_measured(described, monkeypatch):
    def killed(*given):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shared, "measure_network", killed)
        with pytest.raises(Killed):
            make_network("tints")
    with pytest.raises(RunError, match="trained for 3 of 3 epochs"):
        load_network("tints")
    assert make_network("tints").figures["clean"]["n"] == 40


def test_an_absent_network_is_one_line_with_the_command_and_the_hours(described):
    with pytest.raises(RunError) as error:
        load_network("tints")
    command = "'unshaken papers networks tints' makes it in about 0.01 hours on two cores"
    assert str(error.value) == f"network 'tints' is not made yet: {command}"
    with pytest.raises(RunError, match="'tints' is not made yet"):
        make_network("student")
    with pytest.raises(ParameterError, match="no shared network 'tint'; did you mean 'tints'"):
        load_network("tint")


def test_a_network_that_another_learns_from_decides_its_weights(made):
    make_network("student")
    there = RunDir(network_folder("student")).read_json("harden.json")
    assert there["recipes"] == [f"knowledge-distillation:teacher=run:{network_folder('tints')}"]
    assert list(there["further"]) == [f"run:{network_folder('tints')}"]


def test_other_weights_are_refused(made):
    path = network_folder("tints") / "model.safetensors"
    weights = load_file(path)
    weights["head.bias"] += 1
    save_file(weights, path)
    for call in (load_network, make_network):
        with pytest.raises(
            RunError, match=r"the weights of network 'tints' have the hash \w{12}, not \w{12}.*delete the"
        ):
            call("tints")


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"none"), ("model.json", b"{"), ("network.json", b"{"), ("network.json", b'{"hash": 1}')],
)
def test_a_damaged_file_is_one_line(file, content, made):
    (network_folder("tints") / file).write_bytes(content)
    with pytest.raises(RunError, match=r"damaged.*delete the folder, and 'unshaken papers networks tints'") as error:
        load_network("tints")
    assert "\n" not in str(error.value)


def test_a_network_of_another_description_is_refused(made, described):
    described(TINTS.replace("pad=1", "pad=2"))
    for call in (load_network, make_network):
        with pytest.raises(RunError, match="'tints' was made by another recipe: delete the folder"):
            call("tints")
    described(TINTS.replace("Tints.", "Words only.").replace("hours = 0.01", "hours = 5"))
    load_network("tints")


def test_figures_apart_from_those_expected_are_shown(made, described):
    low, high = (made.figures["clean"][end] for end in ("low", "high"))
    described(TINTS.replace("hours = 0.01", f"expected = {{{{clean = [{high}, {high}, 1.0]}}}}\nhours = 0.01", 1))
    assert network_state("tints") == ("made", made)
    described(TINTS.replace("hours = 0.01", f"expected = {{{{clean = [0, 0, {low - 0.01}]}}}}\nhours = 0.01", 1))
    assert network_state("tints")[0] == f"made, clean not in 0.000 to {low - 0.01:.3f} as expected"


def test_a_wrong_description_names_file_and_key(described):
    described(TINTS.replace("hours = 0.01", "hours = -1", 1))
    with pytest.raises(ParameterError, match=r"networks.toml: 'hours': input should be greater than 0"):
        list_networks()
    described("[tints")
    with pytest.raises(ParameterError, match=r"networks.toml: cannot be read"):
        list_networks()


def test_a_row_notes_accuracy_hash_and_what_the_network_learned(made, data, tmp_path):
    record = Record.pin(RunDir(tmp_path / "run"), {"slug": "toy"}, "rule")
    context = Context("toy", 0, record.run, data, "tints", False, record, Datasets(data, False, record))
    net = context.shared_net("tints")
    assert record.networks == {"shared network tints": made.hash}
    low, high = (made.figures["clean"][end] for end in ("low", "high"))
    (sentence, *_) = sessions_in_words(record.provenance())
    assert sentence.startswith(
        f"Shared network tints: accuracy clean {made.figures['clean']['value']:.3f} ({low:.3f} to"
    )
    assert f"{high:.3f}, 40 images)" in sentence
    assert f"hash {made.hash[:12]}" in sentence
    train, test = (read_split(f"{data}?split={split}").batch() for split in ("train", "test"))
    context.predict("train", net.model, train)
    context.predict("test", net.model, test)
    assert record.seen == {"train": [90, 90]}


def test_a_run_does_not_change_the_network_that_it_began_with(made, described, tmp_path, monkeypatch):
    record = Record.pin(RunDir(tmp_path / "run"), {"slug": "toy"}, "rule")
    shared.shared_net("tints", record)
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "other"))
    described(TINTS.replace("pad=1", "pad=0"))
    make_network("tints")
    with pytest.raises(RunError, match="shared network tints would be trained otherwise now"):
        shared.shared_net("tints", record)


def test_neighbours_vote_by_features(made, data):
    net, _ = load_network("tints")
    entry = list_networks()["tints"].model_copy(update={"neighbours": 1})
    train = read_split(f"{data}?split=train")
    own = measure_network(entry, net.model, train, train)["neighbours"]  # each image is its own nearest
    assert (own.value, own.n) == (1.0, 90)


def test_the_command_makes_and_lists(described, capsys):
    def unshaken(line):
        capsys.readouterr()
        return main(line.split()), *capsys.readouterr()

    assert "not made yet" in unshaken("papers networks")[1]
    code, out, _ = unshaken("papers networks tints")
    assert code == 0
    assert f"model: run:{network_folder('tints')}" in out
    entries = {entry["name"]: entry for entry in json.loads(unshaken("papers networks --json")[1])}
    assert entries["tints"]["state"] == "made"
    assert entries["tints"]["record"]["hash"] == load_network("tints")[1].hash
    assert entries["student"]["record"] is None
    code, _, err = unshaken("papers networks tinted")
    assert code == 2
    assert "no shared network 'tinted'" in err
    (network_folder("tints") / "network.json").write_bytes(b"{")
    assert "is damaged" in " ".join(unshaken("papers networks")[1].split())


def test_descriptions_of_the_package_hold():
    for entry in list_networks().values():
        Training(**entry.training)
        for method in entry.methods:
            if "{" not in method:
                parse_method(method, "harden")
        if entry.attack:
            parse_method(entry.attack, "attack")
        assert torch.tensor([low <= value <= high for value, low, high in entry.expected.values()]).all()


def test_the_page_says_which_networks_are_not_made():
    page = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` (\|.*)$", page.partition("## The networks")[2], re.MULTILINE)
    absent = {name: not network.expected for name, network in list_networks().items()}
    assert {name: "not made yet" in row for name, row in rows} == absent
    assert ("**None of these networks has been made yet" in page) == all(absent.values())
