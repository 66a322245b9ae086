"""`harden.json`: read as written, and damaged files refused in one line."""

from __future__ import annotations

import pytest

from unshaken.core.errors import RunError
from unshaken.harden.engine.harden_file import HardenConfig, read_harden
from unshaken.harden.engine.training import Training
from unshaken.run.store import RunDir

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
