"""The result of a training run by hand: which epoch's figures, how many images, and why the start is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from unshaken.core import Batch
from unshaken.core.errors import RunError
from unshaken.harden.engine._checkpoint import Progress
from unshaken.harden.engine.recipe import Threat
from unshaken.harden.engine.result import earlier_refusal, keep_start, result_of
from unshaken.harden.engine.training import Training
from unshaken.measure import share
from unshaken.store.run_dir import RunDir

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
