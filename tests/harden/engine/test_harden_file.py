"""`harden.json`: read as written, and damaged files refused in one line."""

from __future__ import annotations

import json
import math

import pytest

from unshaken.core.errors import RunError
from unshaken.harden.engine.harden_file import HardenConfig, read_harden
from unshaken.harden.engine.training import Training
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
