"""The row `noiser`: its rule on figures by hand, figures against rows, and the exposures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.papers.tiny import Tiny
from unshaken.core import Batch
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken_papers.noiser import CAMERA, CLEAN, DARK, EXPOSURES, NETS, OVER, NoiserPaper
from unshaken_papers.noiser.experiment import expose, likeness

TINY = Tiny(
    make=lambda folder: "demo",
    model=lambda folder: "demo:standard",
    wall_times=("step_seconds", "image_seconds"),
)
"""How the battery runs the row, beside its tiny sizes."""

SHOWN = "shown"
HIDDEN = "not visible at this scale"
OPPOSED = "contradicted"


def figure(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half}


def outcomes(**changed):
    """Outcomes of figures with which all parts that are tried are shown, some of them barely, but for what changed."""
    value = {"dark": 5.02, "over": 5.02, "camera": 0.02, "norm": 5.02, "classifier": 0.02, "better": 0.02}
    value |= {"bright": 0.588, "brighter": 0.412} | changed
    measured = {
        "gain": {DARK: figure(value["dark"]), OVER: figure(value["over"]), CAMERA: figure(value["camera"])},
        "luminance": {"noiser": {DARK: figure(value["bright"]), OVER: figure(value["brighter"])}},
        "norm": figure(value["norm"]),
        "accuracy_gain": {CAMERA: figure(value["classifier"])},
        "better": {DARK: figure(value["better"])},
    }
    paper = NoiserPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured))}


def test_all_parts_that_are_tried_are_shown():
    assert outcomes() == dict.fromkeys(outcomes(), SHOWN) | {"published-sets": "not tried"}


@pytest.mark.parametrize(
    ("changed", "part", "outcome"),
    [
        ({"dark": 5.0}, "dark", HIDDEN),
        ({"dark": -0.02}, "dark", OPPOSED),
        ({"over": 5.0}, "over", HIDDEN),
        ({"over": -0.02}, "over", OPPOSED),
        ({"bright": 0.592}, "luminance", HIDDEN),
        ({"brighter": 0.408}, "luminance", HIDDEN),
        ({"bright": 0.72}, "luminance", OPPOSED),
        ({"brighter": 0.28}, "luminance", OPPOSED),
        ({"norm": 5.0}, "norm", HIDDEN),
        ({"norm": -0.02}, "norm", OPPOSED),
        ({"camera": 0.0}, "camera", HIDDEN),
        ({"camera": -0.02}, "camera", OPPOSED),
        ({"classifier": 0.0}, "classifier", HIDDEN),
        ({"classifier": -0.02}, "classifier", OPPOSED),
        ({"better": 0.0}, "better", HIDDEN),
        ({"better": -0.02}, "better", OPPOSED),
    ],
    ids=str,
)
def test_each_figure_decides_its_part_alone(changed, part, outcome):
    assert outcomes(**changed) == outcomes() | {part: outcome}


def test_exposures_by_hand():
    photos = Batch(
        torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3).expand(2, 3, 8, 3).repeat(1, 1, 1, 3), None, ("a", "b")
    )
    shown = {name: batch.images[0, 0, 0, :3] for name, batch in expose(photos, 0).items()}
    assert tuple(shown) == EXPOSURES
    assert torch.equal(shown[CLEAN], torch.tensor([0, 0.5, 1]))
    assert (255 * shown[DARK]).tolist() == pytest.approx([0, 19, 89], abs=1e-3)  # floor(255 * 0.35 * 0.5^2.2)
    assert shown[OVER].tolist() == pytest.approx([0.65, 1 - 0.35 * 0.5**2.2, 1], abs=1e-6)
    assert shown[CAMERA].max() < 0.25


def test_likeness_by_hand():
    grey, red = torch.full((1, 3, 11, 11), 0.5), torch.full((1, 3, 11, 11), 0.5)
    red[:, 0] += 0.3
    found = likeness(red, grey)
    assert found["psnr"] == pytest.approx([-10 * np.log10(0.03)], abs=1e-4)
    assert found["luminance"] == pytest.approx([0.5 + 0.3 * 0.299])
    assert found["spread"] == pytest.approx([0.3])


def test_figures_come_from_rows(finished):
    run, measured = RunDir(finished("noiser").out), finished("noiser").result.measured
    of = {}
    for row in run.rows("noiser_shown").to_pylist():
        of.setdefault(row["condition"], {})[row["id"]] = row
    assert len(of) == len(EXPOSURES) * (2 + 2 * len(NETS))
    ids = list(of["given.dark"])

    def mean(condition, name="psnr"):
        return np.mean([of[condition][i][name] for i in ids])

    gain = [mean(f"seed{s}.noiser.dark") - mean("given.dark") for s in (0, 1)]
    without = [mean(f"seed{s}.no-norm.dark") - mean("given.dark") for s in (0, 1)]
    assert measured["gain.dark"]["value"] == pytest.approx(np.mean(gain))
    assert measured["norm"]["value"] == pytest.approx(np.mean(gain) - np.mean(without))
    assert measured["better.dark"]["value"] == pytest.approx(
        np.mean(gain) + mean("given.dark") - mean("standardised.dark")
    )
    worse = [of[f"seed{s}.noiser.over"][i]["psnr"] < of["given.over"][i]["psnr"] for s in (0, 1) for i in ids]
    assert measured["hurt.over"]["value"] == pytest.approx(np.mean(worse))
    assert measured["luminance.noiser.camera"]["value"] == pytest.approx(
        np.mean([mean(f"seed{s}.noiser.camera", "luminance") for s in (0, 1)])
    )
    right = {}
    for row in run.rows("outcomes").to_pylist():
        right.setdefault(row["condition"], []).append(row["correct"])
    after = np.mean([np.mean(right[f"seed{s}.noiser.clean"]) for s in (0, 1)])
    assert measured["accuracy_gain.clean"]["value"] == pytest.approx(after - np.mean(right["given.clean"]))
    assert measured["accuracy_gain.clean"]["n"] == 4
    assert measured["cost.parameters"] == 54 * 2 + 2 + 3
