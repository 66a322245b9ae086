"""`harden.json`: read as written, and damaged files refused in one line."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import unshaken
from unshaken.core import Batch
from unshaken.core.errors import RunError
from unshaken.core.registry import find_method, parse_method
from unshaken.data.arrays import InMemory
from unshaken.harden.engine._checkpoint import Progress
from unshaken.harden.engine.harden_file import (
    HardenConfig,
    earlier_refusal,
    further_content,
    keep_start,
    read_harden,
    result_of,
)
from unshaken.harden.engine.recipe import Threat
from unshaken.harden.engine.training import Training
from unshaken.measure import share
from unshaken.store.run_dir import RunDir

CONFIG = {
    "model": "small",
    "data": "demo",
    "recipes": ["trades:eps=0.1"],
    "training": Training().model_dump(mode="json"),
    "arch": "small",
    "classes": ["a", "b"],
    "shape": {"classes": 2, "channels": 1, "side": 28},
    "data_fingerprint": "f",
    "images": {"trained": 80, "held_out": 20},
}


def test_it_is_read_as_it_was_written(tmp_path):
    run, config = RunDir(tmp_path), HardenConfig(**CONFIG)
    run.write_json(config.model_dump(mode="json", by_alias=True), "harden.json")
    assert read_harden(run) == config


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"training": {"lr": -1}}, "harden.json is damaged .*lr"),
        ({"images": {"trained": -1}}, "images"),
        ({"result": {"chosen_epoch": 1}}, "result"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, wrong, message):
    run = RunDir(tmp_path)
    run.write_json({"schema": 1} | CONFIG | wrong, "harden.json")
    with pytest.raises(RunError, match=f"{message}.*start a new run") as caught:
        read_harden(run)
    assert "\n" not in str(caught.value)


RESULT = {
    "chosen_epoch": 1,
    "chosen_by": "clean",
    "epochs": 2,
    "threat": {"norm": "linf", "eps": 0.1},
    "figures": {"held_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}},
    "flags": [{"name": "a", "detail": "b"}],
    "cost": {"forwards": 1, "backwards": 0, "seconds": 2.5},
}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"threat": {"norm": "linf", "eps": math.inf}},
        {"figures": {"held_accuracy": {"value": math.inf, "low": 0.4, "high": 0.6, "n": 9}}},
        {"figures": {"held_accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": -1}}},
        {"cost": {"forwards": 1, "backwards": 0, "seconds": math.inf}},
        {"epochs": 10**12},
        {"epochs": 10**12 + 1},
        {"chosen_epoch": -1},
    ],
)
def test_a_result_has_numbers(tmp_path, wrong):
    run, config = RunDir(tmp_path), {"schema": 1, **CONFIG, "result": RESULT | wrong}
    run.write(json.dumps(config).replace("Infinity", "1e999").encode(), "harden.json")
    if not wrong or wrong == {"epochs": 10**12}:
        assert read_harden(run).result == RESULT | wrong
        return
    with pytest.raises(RunError, match=r"harden\.json"):
        read_harden(run)


def test_one_process_or_more_trained_together(tmp_path):
    assert HardenConfig(**CONFIG).processes == 1
    run = RunDir(tmp_path)
    for n, fine in ((0, False), (1, True), (10**6, True), (10**6 + 1, False)):
        run.write_json({"schema": 1, **CONFIG, "processes": n}, "harden.json")
        if fine:
            assert read_harden(run).processes == n
            continue
        with pytest.raises(RunError, match="processes"):
            read_harden(run)


FEW = {"epochs": 1, "batch_size": 20, "check_images": 8}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (40, 40), (200, 30, 90)).save(folder / "a.png")
    return folder


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ("natra-training:generator=g.st,directions=d.st", (("g.st", "d.st"), (), ())),
        ("natra-training:generator=diffusers:ddpm", (("ddpm",), (), ())),
        ("natra-training:generator=py:gan.py:make", ((), ("py:gan.py:make",), ())),
        ("natra-training", ((), (), ())),
        ("viat:objects=solids:2", ((), (), ("solids:2",))),
        ("viat", ((), (), ())),
        ("pixmix:pictures=fractals", (("fractals",), (), ())),
        ("pixmix", ((), (), ())),
        ("distillation:teacher=demo:robust", ((), ("demo:robust",), ())),
        ("three-heads:teacher=demo:robust", ((), ("demo:robust",), ())),
        ("mae:target=features,teacher=demo,layer=body,features=3", ((), ("demo",), ())),
        ("mixing-network:robust=demo:robust%26x", ((), ("demo:robust&x",), ())),
    ],
)
def test_recipes_say_what_they_name(recipe, named):
    made = parse_method(recipe, "harden")
    assert (made.further_files, made.further_models, made.further_data) == named


def test_each_kind_has_a_fingerprint(pictures):
    recipes = [
        find_method("pixmix", "harden").cls(pictures=str(pictures)),
        find_method("viat", "harden").cls(objects="solids:1"),
        find_method("distillation", "harden").cls(teacher="demo:robust"),
        find_method("natra-training", "harden").cls(generator="absent.st"),
    ]
    found = further_content(recipes)
    assert set(found) == {str(pictures), "solids:1", "demo:robust"}
    assert found["solids:1"] == unshaken.load_data("solids:1").fingerprint


def test_a_resumption_with_other_content_is_refused(photos, pictures, tmp_path):
    data = InMemory(photos[0][:60], photos[1][:60], classes=[str(i) for i in range(10)])
    where = {"out": tmp_path / "run", **FEW}
    unshaken.harden("small", data, f"pixmix:pictures={pictures}", **where)
    unshaken.harden("small", data, f"pixmix:pictures={pictures}", resume=True, **where)
    Image.new("RGB", (40, 40), (20, 130, 90)).save(pictures / "b.png")
    with pytest.raises(RunError, match=r"\(further: the content of '.*pictures' is another one\)"):
        unshaken.harden("small", data, f"pixmix:pictures={pictures}", resume=True, **where)
    record = json.loads((tmp_path / "run" / "harden.json").read_text())
    del record["further"]  # as earlier versions wrote it
    (tmp_path / "run" / "harden.json").write_text(json.dumps(record))
    unshaken.harden("small", data, f"pixmix:pictures={pictures}", resume=True, **where)


START = {"held_accuracy": 0.875, "held_robust": 0.25}
CURVES = [
    {"epoch": 0.0, "held_accuracy": 0.5, "held_robust": 0.25},
    {"epoch": 1.0, "held_accuracy": 0.75, "held_robust": 0.5},
    {"epoch": 2.0, "loss": 1.0},
]


def loop(labels=8, **options):
    shape = (labels,) if isinstance(labels, int) else labels
    held = Batch(
        torch.zeros(shape[0], 1, 2, 2), torch.zeros(shape, dtype=torch.int64), tuple(map(str, range(shape[0])))
    )
    given = {"reference": None, "select": "robust", "training": Training(epochs=5), "threat": Threat("linf", 0.1)}
    return SimpleNamespace(held=held, check=SimpleNamespace(attacked=4), **given | options)


def progress(**options):
    return Progress(**{"epoch": 3, "best_epoch": 1, "curves": CURVES, "forwards": 7, "backwards": 5} | options)


def test_figures_are_those_of_the_chosen_epoch_over_the_images_that_were_looked_at():
    found = result_of(loop(), progress(flags={"doubt": "why"}, seconds=2.5))
    assert found == {
        "chosen_epoch": 2,
        "chosen_by": "robust",
        "epochs": 3,
        "stopped_early": True,
        "threat": {"norm": "linf", "eps": 0.1},
        "figures": {"held_accuracy": share(6, 8).to_json(), "held_robust": share(2, 4).to_json()},
        "start": {},
        "start_kept": "",
        "flags": [{"name": "doubt", "detail": "why", "ids": []}],
        "cost": {"forwards": 7, "backwards": 5, "seconds": 2.5},
    }
    whole = result_of(loop(labels=3, threat=None, training=Training(epochs=3)), progress())
    assert (whole["stopped_early"], whole["threat"]) == (False, None)
    assert whole["figures"]["held_robust"]["n"] == 3


def test_shares_of_pixels_are_no_figures():
    assert result_of(loop(labels=(8, 2, 2)), progress())["figures"] == {}


def test_the_first_epoch_may_be_chosen():
    found = result_of(loop(), progress(best_epoch=0, start=START))
    assert (found["chosen_epoch"], found["start_kept"]) == (1, "")
    assert found["figures"]["held_accuracy"] == share(4, 8).to_json()


def test_where_the_start_is_kept_it_says_how_near_an_epoch_came():
    found = result_of(loop(), progress(best_epoch=-1, start=START))
    assert found["chosen_epoch"] == 0
    assert found["figures"]["held_accuracy"] == share(7, 8).to_json()
    assert found["start_kept"] == (
        "no epoch was better within what may be lost: held-out accuracy under attack was 25.0% at the start and 50.0% "
        "at best, in epoch 2, where accuracy on unchanged images went from 87.5% to 75.0%"
    )
    limited = result_of(loop(training=Training(max_clean_loss=0.1)), progress(best_epoch=-1, start=START))
    assert limited["start_kept"].endswith("to 75.0% (max_clean_loss allows 10 points)")
    clean = result_of(loop(select="clean"), progress(best_epoch=-1, start=START))
    assert "held-out accuracy on unchanged images was 87.5%" in clean["start_kept"]


def test_figures_of_audited_images_are_none_of_the_held_out():
    known = loop(reference=SimpleNamespace(accuracy=0.5))
    found = result_of(known, progress(best_epoch=-1, start=START))
    assert found["figures"] == {}
    assert "25.0% at the start (on the audited images) and 50.0% at best" in found["start_kept"]
    assert result_of(known, progress())["figures"]["held_accuracy"] == share(6, 8).to_json()


def test_a_training_without_a_measured_epoch_says_so():
    nothing = progress(best_epoch=-1, start=START, curves=CURVES[2:])
    assert result_of(loop(), nothing)["start_kept"] == "no epoch was measured"
    assert result_of(loop(), progress(best_epoch=-1, curves=[]))["start_kept"] == ""


def test_a_directory_without_a_finished_training_keeps_no_start(tmp_path):
    assert earlier_refusal(RunDir(tmp_path)) == ""
    with pytest.raises(RunError):
        keep_start(RunDir(tmp_path), "worse")
